"""`freehold reconcile`: proves that served = metered = rated = invoiced = ledger."""

from __future__ import annotations

import click

from freehold.cli.common import Output, project_of, verb


@click.command("reconcile")
@verb
def command(output: Output) -> None:
    """Compare every record of usage and money with the one it came from.

    Exits with 1 if anything differs. Usage of an open period that waits for its invoice does not
    differ.
    """
    from freehold.app import open_app
    from freehold.app.sell import reconciliation
    from freehold.bill import terminal

    with open_app(project_of(output)) as app:
        result = reconciliation(app)
    output.document(result.document())
    output.show(terminal.reconciliation(result))
    if result.difference:
        output.exit_code = 1
