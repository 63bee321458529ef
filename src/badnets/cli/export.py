"""``badnets export RUN``: the poisoned training set as PNG files."""

from __future__ import annotations

from pathlib import Path

import typer

from badnets.cli.console import Json, print_json, watching


def export_command(
    run: Path = typer.Argument(help="The folder of a finished run."),
    out: Path = typer.Option(..., "--out", help="A new folder for <class>/<row>.png and manifest.json."),
    seed: int | None = typer.Option(None, "--seed", help="Which seed's set [the run's first]."),
    only_changed: bool = typer.Option(False, "--only-changed", help="Leave out the pictures that were not changed."),
    json: bool = Json,
) -> None:
    """Write what a run's network was trained on as PNG files, with a list of what was changed."""
    from badnets.backdoors.export import MANIFEST, export_pngs
    from badnets.referee.run import poisoned_of

    with watching(quiet=json) as watcher:
        poisoned = poisoned_of(run, seed=seed, watcher=watcher)
        manifest = export_pngs(
            poisoned,
            out,
            only_changed=only_changed,
            progress=lambda what, done, total: watcher.progress(what, done, total, None),
        )
    if json:
        facts = {name: manifest[name] for name in ("format", "pictures", "mode", "only_changed")}
        print_json({**facts, "changed": len(manifest["changed"]), "folder": str(out), "manifest": str(out / MANIFEST)})
        return
    typer.echo(f"pictures  {out}  ({manifest['pictures']:,}, of which {len(manifest['changed']):,} changed)")
