"""The paired comparison, the frontier, the recommendation, and how they are shown."""

from __future__ import annotations

import io
import re
from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from freehold.evaluate.ladder.html import page
from freehold.evaluate.ladder.paired import Paired, compare
from freehold.evaluate.ladder.rungs import Ladder, RungFigures, stand
from freehold.evaluate.ladder.terminal import explained, money, render
from freehold.tasks.base import Measured


def measured(right: NDArray[np.bool_]) -> Measured:
    return Measured(len(right), lambda chosen: {"accuracy": float(right[chosen].mean())})


def figures(rung: str, cost: str) -> RungFigures:
    return RungFigures(
        rung, f"bank@{len(rung)}", 12.3456, Decimal("0.0012"), 900.0, 1.5, Decimal(cost), 22.7,
        "onnxruntime", "int8",
    )  # fmt: skip


def ladder(*rungs: tuple[str, str, float, float]) -> Ladder:
    """(name, cost, score, low end of the interval of its distance from the best)."""
    best = max(score for _, _, score, _ in rungs)
    compared = [
        Paired(score, (score - 0.02, score + 0.02), best - score, (low, best - score + 0.01))
        for _, _, score, low in rungs
    ]
    stood = stand([figures(name, cost) for name, cost, _, _ in rungs], compared)
    return Ladder("train.csv", "dev<b>.csv", 500, "accuracy", "EUR", Decimal("0.10"), stood, {})


CLIMBED = ladder(
    ("tfidf", "0.000001", 0.80, 0.05),
    ("static", "0.000002", 0.89, -0.01),
    ("frozen", "0.0009", 0.88, 0.001),
    ("fine-tuned", "0.0008", 0.90, 0.0),
)


def test_a_difference_is_known_better_than_its_ends() -> None:
    chance = np.random.default_rng(0)
    hard = chance.random(800) < 0.3
    one = ~hard
    other = one.copy()
    other[np.flatnonzero(one)[:16]] = False  # 2 points worse, on top of the same mistakes
    best, worse = compare([measured(one), measured(other)], "accuracy", seed=1)
    assert best.behind == 0
    assert best.behind_interval == (0, 0)
    assert worse.behind == pytest.approx(0.02)
    assert worse.behind_interval[0] > 0
    assert best.interval[0] < worse.score < best.interval[1]
    again = compare([measured(one), measured(other)], "accuracy", seed=1)
    assert again == [best, worse]


def test_the_interval_is_the_bootstrap_s() -> None:
    right = np.arange(1000) < 700
    (one,) = compare([measured(right)], "accuracy")
    spread = np.sqrt(0.7 * 0.3 / 1000)
    assert one.interval[0] == pytest.approx(0.7 - 1.96 * spread, abs=0.004)
    assert one.interval[1] == pytest.approx(0.7 + 1.96 * spread, abs=0.004)


def test_the_cheapest_within_the_best_is_recommended() -> None:
    assert CLIMBED.best.figures.rung == "fine-tuned"
    assert CLIMBED.recommended.figures.rung == "static"
    assert [rung.within for rung in CLIMBED.rungs] == [False, True, False, True]
    assert [rung.frontier for rung in CLIMBED.rungs] == [True, True, False, True]
    assert "400.0 times as much" in explained(CLIMBED)


def test_the_best_is_recommended_where_the_cheaper_ones_are_worse() -> None:
    climbed = ladder(("tfidf", "0.000001", 0.80, 0.05), ("frozen", "0.0009", 0.88, 0.0))
    assert climbed.recommended is climbed.best
    assert "lies above 0" in explained(climbed)
    alone = ladder(("tfidf", "0.000001", 0.80, 0.0))
    assert "none is cheaper" in explained(alone)


def test_what_costs_nothing_and_what_costs_little_are_told_apart() -> None:
    assert [money(Decimal(x)) for x in ("0", "12.5", "0.00123456", "0.00000071234")] == [
        "0", "12.50", "0.00123", "0.000000712",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 140])
def test_the_terminal_cuts_no_number(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render(CLIMBED))
    shown = console.export_text()
    assert "…" not in shown
    for rung in CLIMBED.rungs:
        assert rung.figures.rung in shown
        assert money(rung.figures.serve_cost) in shown
    assert "→B" in shown


def test_the_page_is_whole_and_runs_nothing() -> None:
    shown = page(CLIMBED, "Ladder of <bank>")
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "Ladder of &lt;bank&gt;" in shown
    assert len(re.findall("<circle", shown)) == 4
    assert not re.search(r"\b(nan|inf)\b", shown)
    assert "http" not in shown.replace("http-equiv", "")


def test_rungs_that_cost_and_score_alike_stand_side_by_side() -> None:
    twins = ladder(("static", "0.001", 1.0, 0.0), ("frozen", "0.001", 1.0, 0.0))
    assert all(rung.frontier for rung in twins.rungs)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(twins))
    assert "AB" in console.export_text()
    page(twins, "twins")
