"""Plans as they were taken: the terms and their currency, frozen as JSON in the subscription.

A later change of freehold.toml therefore never re-prices a subscription that exists.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from freehold.errors import IntegrityError, ProjectError
from freehold.project import PlanTerms, Tier

__all__ = ["UNITS", "Snapshot", "check_terms", "freeze", "plain_terms", "thaw"]

UNITS = ("inputs", "tokens")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a customer agreed to: prices, and the currency they are in."""

    terms: PlanTerms
    currency: str


def check_terms(terms: PlanTerms) -> None:
    """Refuse terms that cannot be meant. Raises ProjectError with the plan's name and the fix."""
    name = f"Plan {terms.name!r}"
    if not terms.name:
        raise ProjectError("The plan has no name.", hint='Give it one, such as name = "starter".')
    if terms.unit not in UNITS:
        raise ProjectError(
            f"{name} counts {terms.unit!r}.", hint=f"Use one of: {', '.join(UNITS)}."
        )
    prices = (terms.fee, terms.price, *(tier.price for tier in terms.tiers))
    if any(not price.is_finite() or price < 0 for price in prices) or terms.included < 0:
        raise ProjectError(f"{name} has a negative amount.", hint="Use amounts of zero or more.")
    if terms.tiers and terms.price:
        raise ProjectError(f"{name} has both price and tiers.", hint="Keep one of the two.")
    if not terms.cached.is_finite() or not 0 <= terms.cached <= 1:
        raise ProjectError(
            f"{name} prices an answer from the cache at {terms.cached} of the price.",
            hint="Use a share from 0 (free) to 1 (counted like any other).",
        )
    if terms.prepaid and terms.cached != 1:
        raise ProjectError(
            f"{name} is prepaid and has a price for answers from the cache.",
            hint="A wallet pays for each unit alike: leave cached out.",
        )
    if terms.prepaid and (terms.price or terms.tiers or terms.included):
        raise ProjectError(
            f"{name} is prepaid and has a price or included units.",
            hint="Leave these out: units of a prepaid plan are paid when the wallet is topped up.",
        )
    if min(terms.requests_per_minute, terms.tokens_per_minute, terms.quota) < 0:
        raise ProjectError(f"{name} has a negative limit.", hint="Use 0 for no limit.")
    below = 0
    for number, tier in enumerate(terms.tiers, start=1):
        last = number == len(terms.tiers)
        if (tier.up_to is None) != last or (tier.up_to is not None and tier.up_to <= below):
            raise ProjectError(
                f"Tier {number} of plan {terms.name!r} ends at {tier.up_to}.",
                hint=f"It must {'have no end' if last else f'end above {below}'}.",
            )
        below = tier.up_to or below


def plain_terms(terms: PlanTerms) -> dict[str, Any]:
    """Terms as plain values: amounts as decimal strings, tiers as a list."""
    return {field.name: _plain(getattr(terms, field.name)) for field in dataclasses.fields(terms)}


def freeze(terms: PlanTerms, currency: str) -> str:
    """The JSON text that a subscription keeps."""
    check_terms(terms)
    document = {"currency": currency, **plain_terms(terms)}
    return msgspec.json.encode(document, order="sorted").decode()


def thaw(text: str) -> Snapshot:
    """The inverse of `freeze`; a setting that did not exist yet has its default.

    Raises IntegrityError for a text that this version of Freehold did not write.
    """
    try:
        document = msgspec.json.decode(text, type=dict[str, Any])
        currency = str(document.pop("currency"))
        fields = {field.name: str(field.type) for field in dataclasses.fields(PlanTerms)}
        values = {name: _typed(fields[name], value) for name, value in document.items()}
        terms = PlanTerms(**values)
        check_terms(terms)
    except (msgspec.DecodeError, KeyError, TypeError, InvalidOperation, ProjectError) as error:
        raise IntegrityError(
            "A subscription's terms are not what this version of Freehold writes.",
            hint="Use the version that wrote them, or restore the database from a backup.",
        ) from error
    return Snapshot(terms, currency)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Tier):
        return {"up_to": value.up_to, "price": _plain(value.price)}
    return value


def _typed(kind: str, value: Any) -> Any:
    if kind == "Decimal":
        return Decimal(value)
    if kind == "tuple[Tier, ...]":
        return tuple(Tier(item["up_to"], Decimal(item["price"])) for item in value)
    return value
