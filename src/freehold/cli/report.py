"""`freehold report`: which version, customer and plan earns its keep."""

from __future__ import annotations

import click

from freehold.cli.common import Output, project_of, verb


@click.command("report")
@click.option("--period", metavar="YYYY-MM", help="Only this month; default: all of them.")
@verb
def command(output: Output, period: str | None) -> None:
    """Revenue, cost and gross margin by model version, customer and plan."""
    from freehold.app import open_app
    from freehold.app.sell import margins
    from freehold.bill.periods import parse_period
    from freehold.economics.terminal import render

    month = parse_period(period) if period else None
    with open_app(project_of(output)) as app:
        found = margins(app, month)
    output.document(found.document())
    output.show(render(found))
