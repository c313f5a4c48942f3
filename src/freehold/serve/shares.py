"""A batch's measured time, shared out among its inputs to the microsecond."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["apportion"]


def apportion(total_us: int, weights: Sequence[int]) -> list[int]:
    """Non-negative integers that sum to `total_us`, each within one of its exact share.

    The largest-remainder method: every share is rounded down, then what is left goes, one each, to
    the largest remainders (the first of equal ones). Weights that are all zero share equally.
    Raises ValueError for a negative total or weight, and for a total with nobody to take it.
    """
    if total_us < 0 or any(weight < 0 for weight in weights):
        raise ValueError("a total and its weights cannot be negative")
    if not weights:
        if total_us:
            raise ValueError("there is nobody to share the total")
        return []
    whole = sum(weights)
    if whole == 0:
        weights, whole = [1] * len(weights), len(weights)
    shares = [total_us * weight // whole for weight in weights]
    left = total_us - sum(shares)
    if left:
        order = sorted(
            range(len(weights)), key=lambda place: (-(total_us * weights[place] % whole), place)
        )
        for place in order[:left]:
            shares[place] += 1
    return shares
