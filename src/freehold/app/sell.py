"""From a live version to its margin: customers, keys, the server and its gate, books, reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from freehold.app import App
from freehold.app.gate import ProjectGate
from freehold.errors import NotFoundError
from freehold.serve.keys import KeyInfo, create_key, list_keys

if TYPE_CHECKING:
    from freehold.bill.customers import Customer
    from freehold.bill.invoices import Invoice
    from freehold.bill.periods import Period
    from freehold.bill.reconcile import Reconciliation
    from freehold.economics.figures import Report
    from freehold.project import Serve
    from freehold.serve.engine import Engine

__all__ = [
    "ProjectGate",
    "add_customer",
    "add_key",
    "close_invoices",
    "keys_of",
    "margins",
    "open_engines",
    "reconciliation",
    "serve",
]


def add_customer(
    app: App, name: str, plan: str, *, starts: datetime | None = None
) -> tuple[Customer, str]:
    """A customer on a plan of freehold.toml with a first API key, which is shown only here."""
    from freehold.bill import customers

    terms = app.project.plan(plan)
    customer = customers.add_customer(
        app.database, name, terms, app.clock, currency=app.project.currency, starts=starts
    )
    _, key = create_key(app.database, customer.id, app.clock)
    return customer, key


def add_key(
    app: App, reference: str, *, models: Sequence[str] = (), expires: timedelta | None = None
) -> tuple[Customer, str, str]:
    """A further key of a customer, as (customer, key id, key); for some models only, with an end.

    Raises NotFoundError for a model or version that is not in the registry.
    """
    from freehold.bill.customers import find

    customer = find(app.database, reference)
    versions = app.registry.all()
    known = {v.model for v in versions} | {f"{v.model}@{v.version}" for v in versions}
    for name in models:
        if name not in known:
            raise NotFoundError(
                f"There is no model {name!r}.", hint="`freehold models` shows those there are."
            )
    ends = app.clock.now() + expires if expires is not None else None
    key_id, key = create_key(app.database, customer.id, app.clock, models=models, expires_at=ends)
    return customer, key_id, key


def keys_of(app: App, reference: str | None) -> list[tuple[KeyInfo, str]]:
    """Keys with their customers' names; all of them, or one customer's."""
    from freehold.bill.customers import find, list_customers

    only = find(app.database, reference).id if reference else None
    names = {customer.id: customer.name for customer in list_customers(app.database)}
    return [(key, names[key.customer_id]) for key in list_keys(app.database, only)]


def open_engines(app: App, threads: int | None = None) -> dict[str, Engine]:
    """The engine of every live version by its model's name; NotFoundError if none is live.

    `threads` of each; None: those of [serve], or the engine's own choice.
    """
    from freehold.serve.engine import Engine

    live = app.registry.live()
    if not live:
        raise NotFoundError(
            "No version is live.", hint="Run `freehold promote MODEL@N` for one that is exported."
        )
    threads = threads or app.project.serve.threads or None
    return {
        version.model: Engine.open(app.registry.bundle_folder(version), threads=threads)
        for version in live
    }


def close_invoices(
    app: App,
    period: Period,
    *,
    customer: str | None = None,
    on_invoice: Callable[[Customer, Invoice | None], None] | None = None,
) -> list[Invoice]:
    """Close a period for one customer or all, and write each invoice as JSON and PDF."""
    from freehold.bill.customers import find
    from freehold.bill.document import Issuer
    from freehold.bill.files import FOLDER, write_invoice
    from freehold.bill.invoices import close, close_all

    issuer = Issuer.of(app.project)
    folder = app.project.root / FOLDER

    def closed(who: Customer, invoice: Invoice | None) -> None:
        if invoice is not None:
            write_invoice(invoice, folder)
        if on_invoice is not None:
            on_invoice(who, invoice)

    if customer is None:
        return close_all(app.database, period, app.clock, issuer, on_invoice=closed)
    who = find(app.database, customer)
    invoice = close(app.database, who.id, period, app.clock, issuer)
    closed(who, invoice)
    return [invoice] if invoice is not None else []


def margins(app: App, period: Period | None = None) -> Report:
    """Cost, revenue and margin by version, customer and plan."""
    from freehold.economics.margins import report

    return report(app.database, app.project.costs, app.project.currency, app.clock, period=period)


def reconciliation(app: App) -> Reconciliation:
    """served = metered = rated = invoiced = ledger, checked record by record."""
    from freehold.bill.reconcile import reconcile

    return reconcile(app.database, app.clock)


def serve(app: App, settings: Serve, *, on_ready: Callable[[str], None]) -> None:
    """Serve every live version until SIGTERM or Ctrl-C, metering each answer before it leaves, and
    follow what is promoted, tried and taken back meanwhile.

    With several workers this process starts and keeps them, and each comes here again.
    """
    import secrets
    import sys

    from freehold.app.batches import open_batches
    from freehold.app.follow import ProjectSource
    from freehold.serve.server import serve as run
    from freehold.serve.worker import Worker, threads_of

    worker = Worker.of()
    if worker is None and settings.workers > 1:
        from freehold.serve.workers import supervise

        command = [sys.executable, "-m", "freehold", "serve", "--project", str(app.project.root)]
        supervise(command, settings, on_ready=on_ready)
        return
    settings = worker.settings if worker else settings
    gate = ProjectGate(app.database, app.clock, server=f"srv_{secrets.token_hex(6)}")
    try:
        threads = threads_of(settings, worker)
        run(
            open_engines(app, threads),
            gate,
            settings,
            clock=app.clock,
            on_ready=on_ready,
            worker=worker,
            batches=open_batches(app, settings, gate),
            source=ProjectSource(app, threads),
        )
    finally:
        gate.close()
