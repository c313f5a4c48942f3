"""As much of Ray as the runners use, in threads of this process; a worker can be lost."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any


class RayError(Exception):
    """What Ray's own errors descend from."""


class ActorDiedError(RayError):
    pass


class _Method:
    def __init__(self, actor: Actor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *args: Any, **options: Any) -> futures.Future[Any]:
        return self._actor.call(self._name, args, options)


class Actor:
    """An instance whose methods run in two threads."""

    def __init__(self, made: Any) -> None:
        self._made, self._refs = made, list[futures.Future[Any]]()
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.lost = False
        # Of a lost worker nobody waits for the end.
        self.threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)

    def call(self, name: str, args: Any, options: Any) -> futures.Future[Any]:
        ref: futures.Future[Any] = futures.Future()
        self._refs.append(ref)
        if self.lost:
            self._end(ref, ActorDiedError("gone"))
            return ref

        def work() -> None:
            try:
                found = getattr(self._made, name)(*args, **options)
            except Exception as error:
                self._end(ref, RayError(str(error)))
            else:
                self._end(ref, None, found)

        self._waiting.put(work)
        return ref

    def end(self) -> None:
        for _ in self.threads:
            self._waiting.put(None)

    def _serve(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()

    def lose(self) -> None:
        """Every answer that is still open is an error; what runs is let run to its end."""
        self.lost = True
        for ref in self._refs:
            self._end(ref, ActorDiedError("gone"))

    @staticmethod
    def _end(ref: futures.Future[Any], error: Exception | None, found: Any = None) -> None:
        if ref.done():
            return
        if error is None:
            ref.set_result(found)
        else:
            ref.set_exception(error)


class StandIn:
    """`ray`, as `runner_ray.started` yields it."""

    class exceptions:  # noqa: N801 # as Ray names it
        RayError = RayError

    def __init__(self) -> None:
        self.actors: list[Actor] = []

    def remote(self, **options: Any) -> Any:
        assert options == {"num_cpus": 1, "max_concurrency": 2}
        stand_in = self

        def decorate(made: Any) -> Any:
            class Maker:
                @staticmethod
                def remote(*args: Any, **named: Any) -> Actor:
                    given = [
                        one.result() if isinstance(one, futures.Future) else one for one in args
                    ]
                    stand_in.actors.append(Actor(made(*given, **named)))
                    return stand_in.actors[-1]

            return Maker

        return decorate

    def put(self, value: Any) -> Any:
        return value

    def get(self, ref: futures.Future[Any], timeout: float | None = None) -> Any:
        return ref.result(timeout)

    def wait(self, refs: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        done, rest = futures.wait(refs, timeout, return_when=futures.FIRST_COMPLETED)
        return list(done), list(rest)

    def kill(self, actor: Actor) -> None:
        actor.lose()

    @contextmanager
    def started(self, address: str, workers: int) -> Iterator[StandIn]:
        """In the place of `runner_ray.started`."""
        try:
            yield self
        finally:
            for actor in self.actors:
                actor.end()

    def holder(self) -> Actor:
        """The actor whose thread this is."""
        here = threading.current_thread()
        return next(actor for actor in self.actors if here in actor.threads)
