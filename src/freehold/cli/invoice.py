"""`freehold invoice`: close a period, list what was issued, show one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb

if TYPE_CHECKING:
    from freehold.app import App
    from freehold.bill.customers import Customer
    from freehold.bill.invoices import Invoice


@click.group("invoice")
def command() -> None:
    """Close a period, list and write invoices."""


@command.command("close")
@click.option("--period", required=True, metavar="YYYY-MM", help="The month to bill, in UTC.")
@click.option("--customer", help="Only this customer (name or id).")
@verb
def close(output: Output, period: str, customer: str | None) -> None:
    """Bill what is new in a period; before its end the invoices are interim.

    Closing again with nothing new gives the same invoices and changes nothing.
    """
    from freehold.app import open_app
    from freehold.app.sell import close_invoices
    from freehold.bill import terminal
    from freehold.bill.files import FOLDER
    from freehold.bill.periods import parse_period

    month = parse_period(period)
    heard: list[tuple[Customer, Invoice | None]] = []
    project = project_of(output)
    with open_app(project) as app:
        invoices = close_invoices(
            app,
            month,
            customer=customer,
            on_invoice=lambda who, invoice: heard.append((who, invoice)),
        )
    output.document(
        {
            "period": month.name,
            "invoices": [_document(invoice) for invoice in invoices],
            "without": [who.name for who, invoice in heard if invoice is None],
        }
    )
    if not invoices:
        output.show(f"There is nothing to invoice in {month.name}.")
        return
    names = {who.id: who.name for who, _ in heard}
    output.show(terminal.invoices(invoices, names))
    fresh = sum(invoice.fresh for invoice in invoices)
    counts = f"{fresh} new, {len(invoices) - fresh} issued before"
    output.show(f"{counts}; JSON and PDF are in {project.root / FOLDER}.")


@command.command("list")
@click.option("--period", metavar="YYYY-MM", help="Only of this month.")
@click.option("--customer", help="Only of this customer (name or id).")
@verb
def list_(output: Output, period: str | None, customer: str | None) -> None:
    """Invoices in the order of their issue."""
    from freehold.app import open_app
    from freehold.bill import terminal
    from freehold.bill.customers import find
    from freehold.bill.invoices import list_invoices
    from freehold.bill.periods import parse_period

    month = parse_period(period) if period else None
    with open_app(project_of(output)) as app:
        only = find(app.database, customer).id if customer else None
        invoices = list_invoices(app.database, customer_id=only, period=month)
        names = _names(app)
    output.document({"invoices": [_document(invoice) for invoice in invoices]})
    if invoices:
        output.show(terminal.invoices(invoices, names))
    else:
        output.show("No invoice was issued yet: `freehold invoice close --period YYYY-MM`.")


@command.command("show")
@click.argument("number")
@click.option("--pdf", type=click.Path(path_type=Path, dir_okay=False), help="Write the PDF here.")
@verb
def show(output: Output, number: str, pdf: Path | None) -> None:
    """One invoice as it was issued; with --json the document itself."""
    from freehold.app import open_app
    from freehold.bill import terminal
    from freehold.bill.files import write_pdf
    from freehold.bill.invoices import get

    with open_app(project_of(output)) as app:
        invoice = get(app.database, number)
    document = invoice.document()
    output.document(document)
    output.show(terminal.invoice(document), f"sha256 {invoice.digest}")
    if pdf is not None:
        write_pdf(invoice, pdf)
        output.remark(f"{pdf} is written.")


def _document(invoice: Invoice) -> dict[str, object]:
    return {**invoice.document(), "digest": invoice.digest, "new": invoice.fresh}


def _names(app: App) -> dict[str, str]:
    from freehold.bill.customers import list_customers

    return {customer.id: customer.name for customer in list_customers(app.database)}
