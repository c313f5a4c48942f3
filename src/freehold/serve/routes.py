"""Which engine answers a name, for a caller: the live version, its canary, or the one named."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from freehold.errors import NotFoundError
from freehold.registry.trials import WHOLE, Trial
from freehold.registry.wanted import Wanted
from freehold.serve.ports import Caller, ModelEngine

__all__ = ["Canary", "Loaded", "Place", "Route", "Table", "position", "table_of"]

_REMEMBERED = 50_000
Place = tuple[str, int, int]  # model, version, bundle


def position(name: str, subject: str) -> int:
    """Where a customer or key stands among all, 0 to 2**32 - 1, for one canary (`bank@3`): the
    first four bytes of the SHA-256 of `bank@3:cus_…`. The same on every server, another for each
    canary; a share that grows keeps whom it had."""
    return int.from_bytes(hashlib.sha256(f"{name}:{subject}".encode()).digest()[:4], "big")


class Canary:
    """A version that answers some of the callers of its model. Lives in one event loop."""

    __slots__ = ("_bound", "_by", "_named", "_remembered", "engine", "trial")

    def __init__(self, engine: ModelEngine, trial: Trial) -> None:
        self.engine = engine
        self.trial = trial
        self._named = frozenset(trial.terms.customers)
        self._by = trial.terms.sticky
        self._bound = trial.terms.share * 2**32 // WHOLE
        self._remembered: dict[str, bool] = {}

    def gets(self, caller: Caller) -> bool:
        """Whether this caller is answered by the canary."""
        if caller.customer_id in self._named:
            return True
        if self._by == "request":
            return random.getrandbits(32) < self._bound
        subject = caller.customer_id if self._by == "customer" else caller.key_id
        known = self._remembered.get(subject)
        if known is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            known = position(self.trial.name, subject) < self._bound
            self._remembered[subject] = known
        return known


class Route:
    """What a name leads to. `beside` is the shadow of the live version."""

    __slots__ = ("beside", "canary", "live")

    def __init__(
        self,
        live: ModelEngine,
        canary: Canary | None = None,
        beside: tuple[ModelEngine, Trial] | None = None,
    ) -> None:
        self.live = live
        self.canary = canary
        self.beside = beside

    def engine(self, caller: Caller) -> ModelEngine:
        """Which engine answers this caller; a canary only whose key is for it. Raises
        ForbiddenError where the key is for other models."""
        canary = self.canary
        if canary is not None and canary.gets(caller) and _may(caller, canary.engine):
            return canary.engine
        caller.require(self.live.meta.model, self.live.meta.version)
        return self.live


@dataclass(frozen=True, slots=True)
class Loaded:
    """One engine and what it is loaded for: live, canary, shadow, kept, or more than one."""

    engine: ModelEngine
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Everything that is loaded. It is never changed, only replaced as a whole, so that a request
    sees one state of it. `troubles`: MODEL@VERSION -> why it is not loaded although it should."""

    named: Mapping[str, Route]  # model ->
    exact: Mapping[str, Route]  # model@version ->
    loaded: tuple[Loaded, ...]
    troubles: Mapping[str, str] = field(default_factory=dict)

    def route(self, name: str) -> Route:
        """Raises NotFoundError, naming what there is."""
        found = self.named.get(name) or self.exact.get(name)
        if found is None:
            there = ", ".join(sorted({*self.named, *self.exact})) or "none"
            raise NotFoundError(
                f"There is no model {name[:80]!r} here; loaded: {there}.",
                hint="GET /models lists them.",
            )
        return found

    @classmethod
    def of(cls, models: Mapping[str, ModelEngine]) -> Table:
        """Engines by the name in the path, all of them live."""
        each = {id(engine): engine for engine in models.values()}.values()
        return cls(
            {name: Route(engine) for name, engine in models.items()},
            {_name(engine): Route(engine) for engine in each},
            tuple(Loaded(engine, ("live",)) for engine in each),
        )


def table_of(
    wanted: Sequence[Wanted],
    engines: Mapping[Place, ModelEngine],
    before: Table,
    troubles: Mapping[str, str],
) -> Table:
    """What is wanted, of the engines that could be opened. Where a model's live version could not,
    the one that answered before goes on; a canary or shadow that could not is left out."""
    stages: dict[int, tuple[ModelEngine, list[str]]] = {}

    def load(engine: ModelEngine, stage: str) -> ModelEngine:
        stages.setdefault(id(engine), (engine, []))[1].append(stage)
        return engine

    named: dict[str, Route] = {}
    for model in dict.fromkeys(item.model for item in wanted):
        mine = [item for item in wanted if item.model == model]
        live = next((engines.get(item.place) for item in mine if item.stage == "live"), None)
        if live is None and model in before.named:
            live = before.named[model].live
        canary = beside = None
        for item in mine:
            engine = engines.get(item.place)
            if engine is None or item.trial is None:
                continue
            load(engine, item.stage)
            if item.stage == "canary":
                canary = Canary(engine, item.trial)
            elif item.stage == "shadow":
                beside = (engine, item.trial)
        if live is not None:
            named[model] = Route(load(live, "live"), canary, beside)
    loaded = tuple(Loaded(engine, _order(found)) for engine, found in stages.values())
    exact = {_name(item.engine): Route(item.engine) for item in loaded}
    return Table(named, exact, loaded, dict(troubles))


def _may(caller: Caller, engine: ModelEngine) -> bool:
    return caller.may(engine.meta.model, engine.meta.version)


def _order(stages: Iterable[str]) -> tuple[str, ...]:
    return tuple(stage for stage in ("live", "canary", "shadow", "kept") if stage in stages)


def _name(engine: ModelEngine) -> str:
    return f"{engine.meta.model}@{engine.meta.version}"
