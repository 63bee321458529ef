"""``python -m badnets`` and the command ``badnets``.

Next to nothing is imported before Ctrl-C is seen to: it may come at any moment, and is no error.
"""

from __future__ import annotations

import os


def run() -> None:
    """The command line, whenever it is interrupted."""
    try:
        import signal

        # Until the work begins there is nothing to put in order, and libraries that are being imported would make
        # errors of their own of a Ctrl-C.
        signal.signal(signal.SIGINT, _leave)
        _fill_closed()
        from badnets.cli.main import main
        from badnets.core.memory import keep_freed_memory

        keep_freed_memory()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            main()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is closing down
    except KeyboardInterrupt:
        _leave()


def _leave(*_: object) -> None:
    try:
        os.write(2, b"badnets: interrupted before it began\n")
    finally:
        os._exit(130)


def _fill_closed() -> None:
    """A stream that was closed before we began gives its number to the next file that is opened, and words would go
    into that."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    run()
