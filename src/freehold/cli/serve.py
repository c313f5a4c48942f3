"""`freehold serve`: the live versions as an HTTP API."""

from __future__ import annotations

import dataclasses

import click

from freehold.cli.common import Output, project_of, verb


@click.command("serve")
@click.option("--host", help="Address to listen on; 0.0.0.0 opens it to the network.")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the engine.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that share the port and the threads."
)
@verb
def command(
    output: Output,
    host: str | None,
    port: int | None,
    threads: int | None,
    workers: int | None,
) -> None:
    """Answer POST /models/NAME until Ctrl-C or SIGTERM; each answer is metered before it leaves."""
    from freehold.app import open_app
    from freehold.app.sell import serve

    project = project_of(output)
    settings = dataclasses.replace(
        project.serve,
        host=project.serve.host if host is None else host,
        port=project.serve.port if port is None else port,
        threads=project.serve.threads if threads is None else threads,
        workers=project.serve.workers if workers is None else workers,
    )
    project = dataclasses.replace(project, serve=settings)

    with open_app(project) as app:
        names = [version.name for version in app.registry.live()]

        def ready(url: str) -> None:
            # One line, since a caller reads it while the server runs.
            output.document({"url": url, "models": names})
            output.flush(compact=True)
            output.show(f"Serving {', '.join(names)} at {url}/models/NAME (docs at {url}/docs).")

        serve(app, settings, on_ready=ready)
    output.document(None)
