"""Which recipe to try next and which trial to give up: optuna's TPE and pruners over our trials.

Trials are kept in the project's own tables; optuna holds a copy in memory, made anew when a search
goes on (docs/decisions/0006). The N-th draw comes from the seed, N and the trials before it alone,
so that a search that was stopped draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from freehold.errors import TrainError
from freehold.train.search.space import Choice, Space
from freehold.train.search.studies import Trial

__all__ = ["PRUNERS", "Guide", "PrunerName"]

PrunerName = Literal["median", "hyperband", "none"]
PRUNERS: tuple[str, ...] = get_args(PrunerName)
STARTUP = 6  # trials drawn at random before the model of good and bad ones begins to guide


class Guide:
    """Draws knobs and judges trials; told how each one ended."""

    def __init__(self, space: Space, *, name: str, seed: int, pruner: str = "median") -> None:
        """`name` is the study's (hyperband sorts trials into brackets by it)."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._seed = space, seed
        self._distributions = {knob: _distribution(entry) for knob, entry in space.items()}
        self._study = optuna.create_study(
            study_name=name, direction="maximize", pruner=_pruner(pruner, space)
        )
        self._running: dict[int, optuna.Trial] = {}

    def replay(self, trials: Iterable[Trial]) -> None:
        """Tell of the trials of an earlier part, in their order, all of them ended."""
        for trial in trials:
            self._study.add_trial(self._frozen(trial))

    def draw(self, number: int, turn: int) -> dict[str, Any]:
        """The knobs of trial `number`; trials are drawn in the order of their numbers. `turn`
        counts only those that nobody stopped."""
        self._study.sampler = optuna.samplers.TPESampler(
            seed=(self._seed * 1_000_003 + turn) % (1 << 32), n_startup_trials=STARTUP
        )
        trial = self._study.ask(self._distributions)
        self._require(trial, number)
        return dict(trial.params)

    def take(self, number: int, knobs: Mapping[str, Any]) -> None:
        """Begin trial `number` with knobs that were not drawn: the recipe as it stands."""
        self._study.enqueue_trial(self._nearest(knobs))
        self._require(self._study.ask(self._distributions), number)

    def hopeless(self, number: int, epoch: int, score: float) -> bool:
        """Take the dev score after an epoch (1-based); whether the trial is not worth going on."""
        trial = self._running[number]
        trial.report(score, epoch - 1)
        return bool(trial.should_prune())

    def end(self, number: int, state: str, score: float | None, *, stopped: bool) -> None:
        """The trial is over; see `Trial.state`. One that somebody stopped says nothing of its
        knobs; one that failed by itself says that they are worse than any with a score."""
        trial = self._running.pop(number)
        told = _told(state, stopped=stopped)
        self._study.tell(trial, score if told is TrialState.COMPLETE else None, state=told)

    def _require(self, trial: optuna.Trial, number: int) -> None:
        assert trial.number == number, "trials are told to optuna in the order of their numbers"
        self._running[number] = trial

    def _nearest(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Within the space: the recipe that the search starts from may lie outside of it."""
        return {
            name: _nearest_choice(entry, knobs[name])
            if isinstance(entry, Choice)
            else entry.nearest(knobs[name])
            for name, entry in self._space.items()
        }

    def _frozen(self, trial: Trial) -> optuna.trial.FrozenTrial:
        state = _told(trial.state, stopped=bool(trial.facts.get("stopped")))
        pruned_at = trial.scores[-1] if trial.scores else None
        return create_trial(
            state=state,
            value={TrialState.COMPLETE: trial.score, TrialState.PRUNED: pruned_at}.get(state),
            params=self._nearest(trial.knobs),
            distributions=self._distributions,
            intermediate_values=dict(enumerate(trial.scores)),
        )


def _told(state: str, *, stopped: bool) -> TrialState:
    if stopped:
        return TrialState.FAIL
    return TrialState.COMPLETE if state == "complete" else TrialState.PRUNED


def _distribution(knob: Any) -> BaseDistribution:
    if isinstance(knob, Choice):
        return CategoricalDistribution(knob.choices)
    if knob.whole:
        return IntDistribution(int(knob.low), int(knob.high), log=knob.log)
    return FloatDistribution(knob.low, knob.high, log=knob.log)


def _nearest_choice(knob: Choice, value: Any) -> Any:
    return value if value in knob.choices else knob.choices[0]


def _pruner(name: str, space: Space) -> optuna.pruners.BasePruner:
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "median":
        # An epoch is not judged before others have been there, nor the very first one.
        return optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1, n_min_trials=3)
    if name == "hyperband":
        epochs = space.get("epochs")
        most = None if epochs is None or isinstance(epochs, Choice) else int(epochs.high)
        return optuna.pruners.HyperbandPruner(1, most or "auto", reduction_factor=2)
    raise TrainError(f"There is no pruner {name!r}.", hint=f"Pruners: {', '.join(PRUNERS)}.")
