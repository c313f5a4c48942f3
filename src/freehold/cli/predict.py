"""`freehold predict`: label a file of texts, one JSON line an input, in order."""

from __future__ import annotations

from pathlib import Path

import click

from freehold.cli.common import Output, columns, project_of, verb


@click.command("predict")
@click.argument("model")
@click.option("--data", "file", type=click.Path(path_type=Path), required=True, help="Texts.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON Lines to write.")
@columns
@verb
def command(
    output: Output, model: str, file: Path, out: Path, text: str | None, label: str | None
) -> None:
    """Answer every text of a file with MODEL's bundle, which is made first where there is none."""
    from freehold.app import open_app
    from freehold.app.learn import predict
    from freehold.cli.progress import steps

    with open_app(project_of(output)) as app:
        version = app.version(model)
        with steps(output.err) as step:
            step(f"answering {file} with {version.name}")
            done = predict(app, version, file, out, text=text, label=label)
    output.document(
        {
            "model": version.model,
            "version": version.version,
            "n": done.n,
            "seconds": done.seconds,
            "inputs_per_second": done.n / done.seconds if done.seconds else None,
            "engine": done.engine,
            "out": str(out),
        }
    )
    output.show(f"{done.n:,} answers of {version.name} ({done.engine}) in {out}.")
