"""Invoices and reconciliation for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from freehold.bill.invoices import Invoice
from freehold.bill.periods import parse_period
from freehold.bill.reconcile import Reconciliation
from freehold.bill.words import labels, month, unit_name
from freehold.money import Money

__all__ = ["invoice", "invoices", "reconciliation"]


def invoices(issued: Sequence[Invoice], names: Mapping[str, str]) -> RenderableType:
    """One row an invoice; `names` are the customers' by id."""
    table = Table(Column("Number", no_wrap=True), "Customer", "Period", "Kind")
    for title in ("Inputs", "Net", "Tax", "Total"):
        table.add_column(title, justify="right", no_wrap=True)
    for item in issued:
        table.add_row(
            item.number,
            Text(names.get(item.customer_id, item.customer_id)),
            item.period,
            item.kind,
            f"{item.units:,}",
            f"{Money(item.net_minor, item.currency).amount:,}",
            f"{Money(item.tax_minor, item.currency).amount:,}",
            str(Money(item.total_minor, item.currency)),
        )
    return table


def invoice(document: Mapping[str, Any]) -> RenderableType:
    """An invoice's document with its lines and sums, in its own language."""
    language, currency, tax = document["language"], document["currency"], document["tax"]
    words = labels(language)
    title = words["interim"] if document["kind"] == "interim" else words["invoice"]
    period = month(parse_period(document["period"]["name"]), language)
    head = Table.grid(padding=(0, 2))
    for name, value in (
        (words["from"], document["seller"].splitlines()[0]),
        (words["to"], f"{document['customer']['name']} ({document['customer']['id']})"),
        (words["issued"], document["issued_at"][:10]),
        (words["period"], period),
    ):
        head.add_row(Text(name, style="dim"), Text(value))
    table = Table(words["description"])
    table.add_column(words["quantity"], justify="right")
    table.add_column(words["unit"])
    table.add_column(words["price"], justify="right")
    table.add_column(f"{words['amount']} ({currency})", justify="right")
    for line in document["lines"]:
        table.add_row(
            Text(line["description"]),
            f"{line['quantity']:,}",
            unit_name(line["unit"], language),
            f"{Decimal(line['unit_price']):,f}",
            f"{Decimal(line['amount']):,}",
        )
    sums = [(words["net"], document["net"]["amount"])]
    if Decimal(tax["rate"]) or tax["minor"]:
        percent = f"{(Decimal(tax['rate']) * 100).normalize():f}"
        sums.append((f"{tax['name']} {percent} %", tax["amount"]))
    sums.append((words["total"], document["total"]["amount"]))
    foot = Table.grid(padding=(0, 2))
    foot.add_column()
    foot.add_column(justify="right")
    for number, (name, amount) in enumerate(sums):
        last = number == len(sums) - 1
        shown = f"{Decimal(amount):,} {currency}" if last else f"{Decimal(amount):,}"
        style = "bold" if last else ""
        foot.add_row(Text(name, style=style), Text(shown, style=style))
    return Group(Text(f"{title} {document['number']}", style="bold"), head, table, foot)


def reconciliation(result: Reconciliation) -> RenderableType:
    """The five counts and amounts side by side, then what differs and what waits."""
    good = result.difference == 0
    document = result.document()
    table = Table()
    for name in ("", "Served", "Metered", "Rated", "Invoiced", "Ledger", "Difference"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    counts = ("served", "metered", "rated", "invoiced", "ledger")
    inputs = sum(i.difference for i in result.discrepancies if i.quantity == "inputs")
    table.add_row("inputs", *(f"{document[name]:,}" for name in counts), _judged(f"{inputs:,}"))
    for amounts in result.amounts:
        row = amounts.document()
        table.add_row(
            f"net {amounts.currency}",
            "",
            "",
            *(f"{Decimal(row[name]):,}" for name in ("rated", "invoiced", "ledger")),
            _judged(f"{Decimal(row['difference']):,}"),
        )
    parts: list[RenderableType] = [table]
    parts += [Text(f"✗ {item.sentence()}", style="red") for item in result.discrepancies]
    waiting = sum(item.inputs for item in result.unbilled)
    if waiting:
        parts.append(Text(f"Not invoiced yet, which is no difference: {waiting:,} inputs."))
    parts += [Text(hint) for hint in result.hints]
    verdict = "Everything agrees: difference 0." if good else f"Difference {result.difference:,}."
    parts.append(Text(verdict, style="bold green" if good else "bold red"))
    return Group(*parts)


def _judged(amount: str) -> Text:
    return Text(amount, style="green" if not amount.strip("0.") else "red")
