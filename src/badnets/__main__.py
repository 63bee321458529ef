"""``python -m badnets`` is the command line."""

from __future__ import annotations

from badnets.cli.main import main

if __name__ == "__main__":
    main()
