"""Limits of a customer or of one key, and how they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from freehold.app import App
from freehold.errors import ConflictError, InputError
from freehold.meter.allowances import period_of
from freehold.serve.keys import KeyInfo, find_key

if TYPE_CHECKING:
    from freehold.bill.customers import Customer
    from freehold.bill.limits import Standing

__all__ = ["change_limits", "limits_of"]


def change_limits(
    app: App, reference: str, sizes: Mapping[str, int | None], *, key: str | None = None
) -> list[Standing]:
    """Set limits of a customer (id or name), or of one of its keys and of those that it is rotated
    to; 0 lifts a limit, None takes back what was set. How all of them stand comes back."""
    from freehold.bill.limits import set_limits

    if not sizes:
        raise InputError("No limit is named.", hint="Give one, such as --quota 5000.")
    customer, info = _whose(app, reference, key)
    set_limits(app.database, info.line if info else customer.id, sizes, app.clock)
    return limits_of(app, reference, key=key)


def limits_of(app: App, reference: str, *, key: str | None = None) -> list[Standing]:
    """The limits of a customer, with those of one of its keys, and what of them is used."""
    from freehold.bill.customers import active
    from freehold.bill.limits import standings

    customer, info = _whose(app, reference, key)
    now = app.clock.now()
    with app.database.read() as connection:
        taken = active(connection, customer.id, now)
        if taken is None:
            raise ConflictError(
                f"{customer.name} has no running subscription.",
                hint="Its limits hold from the day on which one begins.",
            )
        return standings(
            connection, customer.id, info.line if info else "", taken.terms, period_of(now)
        )


def _whose(app: App, reference: str, key: str | None) -> tuple[Customer, KeyInfo | None]:
    from freehold.bill.customers import find_in

    with app.database.read() as connection:
        customer = find_in(connection, reference)
        info = find_key(connection, key) if key is not None else None
    if info is not None and info.customer_id != customer.id:
        raise ConflictError(f"{info.prefix}... is not a key of {customer.name}.")
    return customer, info
