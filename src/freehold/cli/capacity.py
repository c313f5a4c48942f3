"""`freehold capacity`: how many machines a traffic needs, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb

if TYPE_CHECKING:
    from decimal import Decimal

    from freehold.economics.capacity import Capacity

_SHARE = click.FloatRange(0, 1, min_open=True)


@click.command("capacity")
@click.argument("version", required=False)
@click.option(
    "--requests-per-day", type=click.IntRange(min=1), required=True, help="On a mean day."
)
@click.option(
    "--inputs",
    type=click.FloatRange(1),
    default=1.0,
    show_default=True,
    help="Inputs in a request, on the mean.",
)
@click.option(
    "--peak",
    type=click.FloatRange(1),
    default=4.0,
    show_default=True,
    help="The busiest hour over the mean one.",
)
@click.option(
    "--busy",
    type=_SHARE,
    default=0.6,
    show_default=True,
    help="Of what a machine can do, how much the busiest hour may take.",
)
@click.option(
    "--share",
    type=_SHARE,
    default=0.85,
    show_default=True,
    help="Of the engine's own speed, how much the server keeps (make bench-serve measures it).",
)
@verb
def command(
    output: Output,
    version: str | None,
    requests_per_day: int,
    inputs: float,
    peak: float,
    busy: float,
    share: float,
) -> None:
    """Work out machines and costs for VERSION (the live one), by what its export measured on the
    machine where it ran, and [costs] machine_per_hour."""
    from freehold.app import open_app
    from freehold.app.scale import capacity_for
    from freehold.economics.capacity import Traffic

    traffic = Traffic(requests_per_day, inputs, peak)
    with open_app(project_of(output)) as app:
        found = capacity_for(app, version, traffic, share=share, busy=busy)
    output.document(found.document())
    for line in _lines(found):
        output.show(line)


def _lines(found: Capacity) -> list[str]:
    from freehold.economics.figures import shown

    def money(amount: Decimal) -> str:
        return f"{shown(amount, found.currency)} {found.currency}"

    traffic = found.traffic
    return [
        f"{found.version} ({found.engine}) answered {found.measured:,.0f} inputs/s when it was "
        "exported.",
        f"Planned for a machine like that one: {found.planned:,.0f} ({found.share:.0%} of it "
        f"through the server, {found.busy:.0%} busy).",
        f"{traffic.requests_per_day:,} requests a day: {traffic.inputs_per_second:,.1f} inputs/s "
        "in the busiest hour.",
        _needed(found.machines),
        f"{money(found.per_month)} a month, {money(found.per_1000)} for 1,000 inputs; "
        f"{money(found.per_1000_at_best)} if they came evenly and filled what is planned.",
    ]


def _needed(machines: int) -> str:
    if machines == 1:
        return "One machine is enough."
    return (
        f"{machines} machines: `freehold serve --on ray --replicas {machines}` with PostgreSQL "
        "(docs/scale.md)."
    )
