"""Conducts a search: what runs next, what is given up, what is kept; runners only run trials.

A runner asks `begin` for the next trial as long as it has room, tells `epoch` of each dev score,
asks `stopping` between steps, and tells `end`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from freehold.clock import Clock, SystemClock
from freehold.errors import TrainError
from freehold.train.recipe import Recipe
from freehold.train.search.budget import Budget
from freehold.train.search.guide import Guide
from freehold.train.search.space import Space
from freehold.train.search.studies import Studies, Study
from freehold.train.search.trial import Ended, Spec

__all__ = ["Conductor", "Told"]

FAILURES = 5  # so many failed trials in a row end the search: the next would fail too


@dataclass(frozen=True, slots=True)
class Told:
    """What a watcher is told: a trial began, ended an epoch, or ended."""

    number: int
    state: str  # as Trial.state; "running" at the beginning and at each epoch
    knobs: Mapping[str, Any]
    scores: tuple[float, ...]
    best: float | None  # dev score of the best trial so far
    why: str | None = None


@dataclass(slots=True)
class _Running:
    knobs: Mapping[str, Any]
    turn: int  # how many trials were before it that nobody stopped
    started: float
    share: float  # of the machine
    scores: tuple[float, ...] = ()
    hopeless: bool = False


class Conductor:
    """One part of a search, from its beginning or from where another part ended."""

    def __init__(
        self,
        studies: Studies,
        study: Study,
        *,
        recipe: Recipe,
        space: Space,
        pruner: str,
        budget: Budget,
        price: Callable[[float], Decimal],
        folder: Path,
        asked_to_stop: Callable[[], bool],
        on_change: Callable[[Told], None] = lambda told: None,
        clock: Clock | None = None,
    ) -> None:
        """`price` turns seconds of a whole machine into money; checkpoints go below `folder`."""
        self._studies, self._study = studies, study
        self._recipe, self._space, self._budget = recipe, space, budget
        self._price, self._folder = price, folder
        self._asked, self._on_change = asked_to_stop, on_change
        self._clock = clock or SystemClock()
        self._started = self._clock.monotonic()
        studies.abandon(study.name)
        earlier = studies.trials(study.name)
        self._guide = Guide(space, name=study.name, seed=recipe.seed, pruner=pruner)
        self._guide.replay(earlier)
        self._next = len(earlier)
        self._used = sum(1 for trial in earlier if not trial.facts.get("stopped"))
        self._spent = sum((trial.cost for trial in earlier), Decimal(0))
        self._best: tuple[float, int] | None = None
        for trial in earlier:
            self._consider(trial.number, trial.score if trial.state != "failed" else None)
        self._running: dict[int, _Running] = {}
        self._failures = 0

    @property
    def best(self) -> int | None:
        """The number of the best trial so far; of equal scores the earlier."""
        return None if self._best is None else self._best[1]

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self._all_tried() or self._ended()

    def folder_of(self, number: int) -> Path:
        """Where a trial's checkpoint is."""
        return self._folder / f"trial-{number}"

    def begin(self, share: float = 1.0) -> Spec | None:
        """The next trial; None when nothing more is to be begun. `share` of a machine is what the
        trial will hold, and be charged for."""
        if self.over or self._asked():
            return None
        number, turn, name = self._next, self._used, self._study.name
        if turn == 0:
            # The recipe as it stands is tried first: a search can only gain on it.
            knobs = {knob: getattr(self._recipe, knob) for knob in self._space}
            self._guide.take(number, knobs)
        else:
            knobs = self._guide.draw(number, turn)
        self._next += 1
        self._used += 1
        self._studies.begin(name, number, knobs)
        self._running[number] = _Running(knobs, turn, self._clock.monotonic(), share)
        self._tell(number, "running")
        return Spec(number, replace(self._recipe, **knobs), self.folder_of(number))

    def epoch(self, number: int, epoch: int, score: float) -> None:
        """Take the dev score after an epoch (1-based); each once."""
        running = self._running[number]
        running.scores = (*running.scores, score)
        seconds, cost = self._charge(running)
        self._studies.scored(self._study.name, number, running.scores, seconds=seconds, cost=cost)
        running.hopeless = self._guide.hopeless(number, epoch, score)
        self._tell(number, "running")

    def stopping(self, number: int) -> bool:
        """Whether the trial should end now."""
        return self._running[number].hopeless or self._ended() or self._asked()

    def end(self, number: int, ended: Ended) -> bool:
        """Take what a trial came to, and keep its checkpoint if it is the best. Returns whether
        it came to anything: False where it was stopped.

        Raises TrainError where the recipe itself cannot be trained, or one after another fails.
        """
        running = self._running.pop(number)
        state, facts = self._state(running, ended), dict(ended.facts)
        stopped = state == "failed" and ended.why is None
        if state == "failed":
            facts |= {"why": ended.why or "stopped before it ended", "stopped": stopped}
        self._used -= stopped
        self._failures = self._failures + 1 if ended.why else 0
        seconds, cost = self._charge(running)
        self._spent += cost
        score = None if state == "failed" else facts.get("score")
        self._guide.end(number, state, score, stopped=stopped)
        self._studies.end(
            self._study.name,
            number,
            state=state,
            seconds=seconds,
            cost=cost,
            facts=facts,
            elapsed=self._elapsed(),
        )
        self._consider(number, score)
        self._clear()
        why, best = facts.get("why"), self._best_score()
        self._on_change(Told(number, state, running.knobs, running.scores, best, why))
        if ended.why and (running.turn == 0 or self._failures >= FAILURES):
            raise TrainError(f"Trial {number} failed: {ended.why}")
        return not stopped

    def _state(self, running: _Running, ended: Ended) -> str:
        if ended.why is not None:
            return "failed"
        if not ended.interrupted:
            return "complete"
        if running.hopeless:
            return "pruned"
        # The budget's end is a result, Ctrl-C is none: the trial is run anew when the search is
        # gone on with.
        return "cut" if self._ended() and not self._asked() and ended.facts else "failed"

    def _charge(self, running: _Running) -> tuple[float, Decimal]:
        seconds = (self._clock.monotonic() - running.started) * running.share
        return seconds, self._price(seconds)

    def _elapsed(self) -> float:
        return self._study.elapsed + self._clock.monotonic() - self._started

    def _ended(self) -> bool:
        under_way = sum((self._charge(one)[1] for one in self._running.values()), Decimal(0))
        return self._budget.ended(seconds=self._elapsed(), cost=self._spent + under_way)

    def _all_tried(self) -> bool:
        return self._budget.trials is not None and self._used >= self._budget.trials

    def _consider(self, number: int, score: float | None) -> None:
        if score is None:
            return
        # Of equal scores the lower number, also where the higher one ended first.
        if self._best is None or (score, -number) > (self._best[0], -self._best[1]):
            self._best = (score, number)

    def _best_score(self) -> float | None:
        return None if self._best is None else self._best[0]

    def _clear(self) -> None:
        """Only the best trial's checkpoint stays, and those that are being written."""
        kept = {self.folder_of(number) for number in self._running}
        if self._best is not None:
            kept.add(self.folder_of(self._best[1]))
        for folder in self._folder.glob("trial-*"):
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _tell(self, number: int, state: str) -> None:
        one = self._running[number]
        self._on_change(Told(number, state, one.knobs, one.scores, self._best_score()))
