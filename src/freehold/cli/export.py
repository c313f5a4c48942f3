"""`freehold export`: a bundle that serves without torch."""

from __future__ import annotations

from pathlib import Path

import click

from freehold.cli.common import Output, project_of, verb


@click.command("export")
@click.argument("model", required=False)
@click.option("--data", "file", type=click.Path(path_type=Path), help="Dev texts to check it on.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "onnxruntime", "openvino", "torch"]),
    default="auto",
    show_default=True,
    help="auto: the fastest that keeps the dev score; a named one is kept.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "int8"]),
    default="auto",
    show_default=True,
    help="auto: the fastest that keeps the dev score; a named one is kept.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, max=100),
    default=0.3,
    show_default=True,
    help="Points of the dev score that may be lost for speed.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    help="About how long is measured.  [default: 30]",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Also copy it here.")
@verb
def command(
    output: Output,
    model: str | None,
    file: Path | None,
    engine: str,
    precision: str,
    budget: float,
    seconds: float | None,
    out: Path | None,
) -> None:
    """Export MODEL (its newest version), measure it here in every engine that is installed, and
    register the bundle."""
    from freehold.app import open_app
    from freehold.app.learn import export
    from freehold.cli.progress import steps
    from freehold.export.terminal import render

    project = project_of(output)
    with open_app(project) as app:
        version = app.version(model, newest=True)
        dev = app.dev_of(version, file)
        if dev is None:
            output.remark("No dev file: agreement and score are not measured.")
        with steps(output.err) as step:
            report, bundle = export(
                app,
                version,
                dev=dev,
                engine=engine,
                precision=precision,
                budget=budget / 100,
                seconds=seconds,
                out=out,
                on_step=step,
            )
    output.document({"model": version.name, **report.document(), "bundle": str(bundle)})
    output.show(render(report))
    output.show(f"The bundle: {bundle}")
    output.show(f"Next: freehold promote {version.name} && freehold serve")
