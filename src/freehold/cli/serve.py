"""`freehold serve`: the live versions as an HTTP API."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from freehold.cli.common import Output, project_of, require_effect, verb


@click.command("serve")
@click.option("--host", help="Address to listen on; 0.0.0.0 opens it to the network.")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the engine.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that share the port and the threads."
)
@click.option(
    "--on",
    "where",
    type=click.Choice(["here", "ray"]),
    default="here",
    show_default=True,
    help="In this process, or as replicas on Ray (freehold[ray]).",
)
@click.option("--replicas", type=click.IntRange(min=1), help="With --on ray: always, or at least.")
@click.option("--max-replicas", type=click.IntRange(min=1), help="With --on ray: under load.")
@verb
def command(output: Output, where: str, **given: Any) -> None:
    """Answer POST /models/NAME until Ctrl-C or SIGTERM; each answer is metered before it leaves."""
    from freehold.app import open_app
    from freehold.app.scale import serve_on_ray
    from freehold.app.sell import serve

    if where == "ray":
        require_effect(("workers",), "is for one machine; --replicas is for Ray.")
    else:
        require_effect(("replicas", "max_replicas"), "is for --on ray.")
    project = project_of(output)
    settings = dataclasses.replace(
        project.serve, **{name: value for name, value in given.items() if value is not None}
    )
    project = dataclasses.replace(project, serve=settings)

    with open_app(project) as app:
        names = [version.name for version in app.registry.live()]

        def ready(url: str) -> None:
            # One line, since a caller reads it while the server runs.
            output.document({"url": url, "models": names})
            output.flush(compact=True)
            output.show(f"Serving {', '.join(names)} at {url}/models/NAME (docs at {url}/docs).")

        (serve_on_ray if where == "ray" else serve)(app, settings, on_ready=ready)
    output.document(None)
