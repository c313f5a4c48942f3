"""What /metrics tells Prometheus: requests, latencies, the queue, batches, compute, commits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from freehold.serve.ports import ModelEngine
from freehold.serve.routes import Table

__all__ = ["CONTENT_TYPE_LATEST", "Metrics", "together"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(
    list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]
).decode

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_INPUTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class Metrics:
    """A registry of its own, so that several servers in one process do not share figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _Requests()
        self.registry.register(self._requests)
        self._queue = Gauge(
            "freehold_queue_tokens",
            "Tokens accepted and not yet answered.",
            registry=self.registry,
        )
        self._batch_inputs = Histogram(
            "freehold_batch_inputs", "Inputs of a batch.", buckets=_INPUTS, registry=self.registry
        )
        self._batch_tokens = Histogram(
            "freehold_batch_tokens",
            "Tokens of a batch, padding included.",
            buckets=_TOKENS,
            registry=self.registry,
        )
        self._inputs = self._counter("inputs", "Inputs that the engine answered.")
        self._tokens = self._counter("tokens", "Tokens that the engine read, without padding.")
        self._compute = self._counter("compute_seconds", "Time of the engine in batches.")
        self._asked_cache = self._counter("cache_inputs", "Inputs looked up in the answer cache.")
        self._cached = self._counter("cached_inputs", "Of them, those that were found.")
        self._cache_bytes = Gauge(
            "freehold_cache_bytes", "Memory of the answer cache.", registry=self.registry
        )
        self._settle = Histogram(
            "freehold_settle_seconds",
            "Recording the answers of one commit.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._settled = Counter(
            "freehold_settled_requests", "Requests in those commits.", registry=self.registry
        )

    def watch_queue(self, tokens: Callable[[], float]) -> None:
        """Ask `tokens` for the length of the queue whenever the metrics are read."""
        self._queue.set_function(tokens)

    def watch_releases(self, table: Callable[[], Table]) -> None:
        """Ask `table` for what is loaded whenever the metrics are read."""
        self.registry.register(_Loaded(table))

    def request(self, model: str, status: int, seconds: float) -> None:
        """`model` is the name of a loaded model or empty, never what a client made up."""
        self._requests.add(model, status, seconds)

    def batch(
        self, engine: ModelEngine, inputs: int, tokens: int, padded: int, seconds: float
    ) -> None:
        names = (engine.meta.model, str(engine.meta.version))
        self._batch_inputs.observe(inputs)
        self._batch_tokens.observe(padded)
        self._inputs.labels(*names).inc(inputs)
        self._tokens.labels(*names).inc(tokens)
        self._compute.labels(*names).inc(seconds)

    def cached(self, engine: ModelEngine, found: int, asked: int, size: int) -> None:
        names = (engine.meta.model, str(engine.meta.version))
        self._asked_cache.labels(*names).inc(asked)
        self._cached.labels(*names).inc(found)
        self._cache_bytes.set(size)

    def settled(self, works: int, seconds: float) -> None:
        self._settle.observe(seconds)
        self._settled.inc(works)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)

    def figures(self) -> bytes:
        """All figures for `together`."""
        return _encode(
            [
                (
                    family.name,
                    family.documentation,
                    family.type,
                    [(sample.name, sample.labels, sample.value) for sample in family.samples],
                )
                for family in self.registry.collect()
            ]
        )

    def _counter(self, name: str, help: str) -> Counter:
        return Counter(f"freehold_{name}", help, ("model", "version"), registry=self.registry)


class _Requests(Collector):
    """Requests and their latencies. Counted in the event loop alone, and read there, so that it
    needs no lock: the library's own counters would be a tenth of what a request costs."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, model: str, status: int, seconds: float) -> None:
        place = (model, status)
        self._counts[place] = self._counts.get(place, 0) + 1
        buckets = self._buckets.get(model)
        if buckets is None:
            buckets = self._buckets[model] = [0] * (len(_SECONDS) + 1)
            self._sums[model] = 0.0
        buckets[bisect_left(_SECONDS, seconds)] += 1
        self._sums[model] += seconds

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "freehold_requests",
            "Answered HTTP requests to a model, by status; model is empty where none was found.",
            labels=("model", "status"),
        )
        for (model, status), count in self._counts.items():
            requests.add_metric((model, str(status)), count)
        yield requests
        latency = HistogramMetricFamily(
            "freehold_request_seconds", "From the request's head to its answer.", labels=("model",)
        )
        bounds = [*map(str, _SECONDS), "+Inf"]
        for model, buckets in self._buckets.items():
            below = list(zip(bounds, accumulate(buckets), strict=True))
            latency.add_metric((model,), below, self._sums[model])
        yield latency


def together(figures: Mapping[str, bytes]) -> bytes:
    """Several processes' figures in Prometheus' text format, each with its process as the label
    `worker`: their sums are the server's."""
    families: dict[str, Metric] = {}
    for worker, given in figures.items():
        for name, documentation, kind, samples in _decode(given):
            family = families.setdefault(name, Metric(name, documentation, kind))
            for sample, labels, value in samples:
                family.add_sample(sample, {"worker": worker, **labels}, value)
    return generate_latest(_Collected(families.values()))


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Loaded(Collector):
    """What is loaded and what could not be, as of the moment it is asked."""

    def __init__(self, table: Callable[[], Table]) -> None:
        self._table = table

    def collect(self) -> Iterator[Metric]:
        table = self._table()
        loaded = GaugeMetricFamily(
            "freehold_loaded",
            "1 for each version that is loaded, by what it is loaded for.",
            labels=("model", "version", "stage"),
        )
        for item in table.loaded:
            for stage in item.stages:
                loaded.add_metric((item.engine.meta.model, str(item.engine.meta.version), stage), 1)
        troubles = GaugeMetricFamily(
            "freehold_load_failed",
            "1 for each version that should be loaded and could not be opened.",
            labels=("model", "version"),
        )
        for name in table.troubles:
            troubles.add_metric(name.rsplit("@", 1), 1)
        yield from (loaded, troubles)
