"""Exact money: Decimal rates, integer minor units with a currency, one place that rounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext

from freehold.errors import ProjectError

__all__ = ["EXACT", "Money", "minor_digits", "parse_rate", "round_money"]

# ISO 4217 currencies whose minor unit is not a hundredth; all others have two digits.
_DIGITS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
         "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}  # fmt: skip

# Sixty digits hold 10^18 units times a rate of twenty decimals without rounding.
EXACT = Context(prec=60)

_RATE = re.compile(r"[+-]?\d{1,18}(\.\d{1,12})?")


def minor_digits(currency: str) -> int:
    """Decimal digits of the currency's minor unit (ISO 4217): 2 for EUR, 0 for JPY, 3 for KWD."""
    return _DIGITS.get(currency, 2)


def parse_rate(value: object, *, what: str = "amount") -> Decimal:
    """An exact Decimal from a string or an int; floats are refused since 0.1 has no exact float.

    Raises ProjectError, naming `what`, for anything else, for exponents, for more than 18 digits
    before the point or 12 behind it, and for NaN.
    """
    text = (
        str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    )
    if not _RATE.fullmatch(text):
        raise ProjectError(
            f"{what} is {value!r}, which is not an exact amount.",
            hint='Write it as a string such as "0.0025", with at most 12 decimals.',
        )
    try:
        return Decimal(text)
    except InvalidOperation as error:  # pragma: no cover - the pattern admits decimals only
        raise ProjectError(f"{what} is {value!r}, which is not an amount.") from error


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in integer minor units (cents for EUR, yen for JPY)."""

    minor: int
    currency: str

    @property
    def amount(self) -> Decimal:
        """In major units, with the currency's own number of decimals."""
        return Decimal(self.minor).scaleb(-minor_digits(self.currency))

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __str__(self) -> str:
        return f"{self.amount:,} {self.currency}"

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")


def round_money(amount: Decimal, currency: str) -> Money:
    """Major units, exact, to minor units; half up (half away from zero). Once per invoice line."""
    with localcontext(EXACT):
        minor = amount.scaleb(minor_digits(currency)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return Money(int(minor), currency)
