"""How long things took, in counts that can be added up over servers; quantiles with bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Spread", "wilson"]

# Each bucket is 5 % wide, so that a quantile is known to 5 %, from 10 microseconds on.
_LEAST = 1e-5
_RATIO = math.log(1.05)


@dataclass(slots=True)
class Spread:
    """Durations in seconds; `counts` by the number of the bucket."""

    counts: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Spread:
        """From what `document` made."""
        return cls({int(bucket): count for bucket, count in counts.items()})

    def document(self) -> dict[str, int]:
        return {str(bucket): count for bucket, count in sorted(self.counts.items())}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def add(self, seconds: float) -> None:
        bucket = int(math.log(max(seconds, _LEAST) / _LEAST) / _RATIO)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def merge(self, others: Iterable[Spread]) -> Spread:
        """This one with the others added."""
        for other in others:
            for bucket, count in other.counts.items():
                self.counts[bucket] = self.counts.get(bucket, 0) + count
        return self

    def quantile(self, share: float) -> float:
        """The middle of the bucket in which so large a share has been counted; 0 where there is
        none."""
        rank = max(1, math.ceil(share * len(self)))
        return (self._low(rank) + self._high(rank)) / 2 if self.counts else 0.0

    def bounds(self, share: float, z: float) -> tuple[float, float]:
        """An interval for the quantile: the order statistics `z` standard deviations of a binomial
        count below and above its rank (Conover 1999, "Practical Nonparametric Statistics", section
        3.2), widened to their buckets; 0 and infinity where there are too few to say."""
        count = len(self)
        middle, spread = share * count, z * math.sqrt(share * (1 - share) * count)
        low, high = math.floor(middle - spread), math.ceil(middle + spread) + 1
        return self._low(low) if low >= 1 else 0.0, self._high(high) if high <= count else math.inf

    def _low(self, rank: int) -> float:
        return _LEAST * math.exp(_RATIO * self._bucket(rank))

    def _high(self, rank: int) -> float:
        return _LEAST * math.exp(_RATIO * (self._bucket(rank) + 1))

    def _bucket(self, rank: int) -> int:
        seen = 0
        for bucket, count in sorted(self.counts.items()):
            seen += count
            if seen >= rank:
                return bucket
        raise ValueError(f"there are {seen} durations, not {rank}")


def wilson(share: float, count: int, z: float) -> tuple[float, float]:
    """Wilson's interval for a share of `count` (Wilson 1927, JASA 22, "Probable inference, the law
    of succession, and statistical inference"); (0, 1) of nothing."""
    if not count:
        return 0.0, 1.0
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)
