"""How long a search may go on: minutes, money and trials, whichever ends first."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from freehold.errors import TrainError

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of the whole search, parts that ran before a stop included; None: no limit."""

    trials: int | None = None
    minutes: float | None = None  # of wall time
    money: Decimal | None = None  # of machine, in the project's currency

    def __post_init__(self) -> None:
        for name in ("trials", "minutes", "money"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainError(f"The budget of {name} is {value}, but has to be above 0.")
        if self.trials is None and self.minutes is None and self.money is None:
            raise TrainError(
                "The search has no budget.", hint="Give --minutes, --money or --trials."
            )

    def ended(self, *, seconds: float, cost: Decimal) -> bool:
        """Whether time or money is used up; trials under way are cut then."""
        over_time = self.minutes is not None and seconds >= self.minutes * 60
        return over_time or (self.money is not None and cost >= self.money)
