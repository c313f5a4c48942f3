"""The server as replicas on Ray Serve: the only file of serve that imports ray.

Each replica holds the whole app of `serve.factory`, with engines, batcher and database connections
of its own. Ray's HTTP proxies hand requests to replicas, and hand one to a second replica when they
do not hear from the first whether it took it; the first may have answered and recorded it before it
died. So a request is metered under the id that the proxy gave it, the same in both replicas, and
`settle` meters an id once.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from freehold.cluster import QUIET, first_line, folder, options, unreachable
from freehold.errors import MissingDependencyError, UnavailableError
from freehold.project import Serve
from freehold.serve.cores import usable_cores
from freehold.serve.factory import Service, create_app
from freehold.serve.logs import log_as_json
from freehold.serve.server import SWITCH_SECONDS, listen

__all__ = ["Scale", "replica_app", "serve_on_ray"]

NAME = "freehold"  # of the application within Ray Serve
# Requests that a replica has at a time. More than its queue of tokens takes of short texts: it is
# the replica that refuses, with 429, instead of a proxy that keeps what nobody counts.
ONGOING = 4096
HEALTH_SECONDS = 5.0
GRACE_SECONDS = 10  # for a replica to stop, beyond the time for what it has begun
LOOK_SECONDS = 2.0
UP_SECONDS, DOWN_SECONDS = (
    10.0,
    120.0,
)  # of too much, or too little, until replicas are more or less
_ENVIRONMENT = {
    **QUIET,
    # A thread for the app and one for the proxy's router would only hand each request on.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "freehold.serve.proxied.middlewares",
}
_WHERE = (
    "See [serve] ray_address in freehold.toml; a cluster that asks for a token takes it from Ray's "
    "own RAY_AUTH_MODE and RAY_AUTH_TOKEN."
)
_log = logging.getLogger("freehold.serve")


@dataclass(frozen=True, slots=True)
class Scale:
    """`least` replicas always, up to `most` while each has more than `each` requests waiting or in
    work; `threads` processors for each, 0: its part of this machine's, or a machine of a cluster.
    """

    least: int
    most: int
    each: int
    threads: int


def serve_on_ray(
    build: Callable[[int], Service],
    settings: Serve,
    scale: Scale,
    *,
    on_ready: Callable[[str], None],
) -> None:
    """Serve as replicas until SIGTERM or SIGINT, then let each finish what it has begun.

    `build` makes a replica's Service, given its engine's threads; it is pickled and called in the
    replica's process. `on_ready` gets the URL once requests are answered. To be called in the main
    thread. Raises MissingDependencyError, and UnavailableError where Ray, the address to listen on
    or the replicas cannot be had.
    """
    with _started(settings, scale) as (ray, serve, threads), _asked_to_stop() as asked:
        begun = time.monotonic()
        _run(serve, settings, _application(serve, build, settings, scale, threads))
        url = _url(ray, serve, settings)
        while not (answers := _answers(url)) and not asked.wait(0.2):
            if time.monotonic() - begun > 120:
                raise UnavailableError(f"Ray's proxy does not answer at {url}.", hint=_WHERE)
        if answers:
            on_ready(url)
        while not asked.wait(LOOK_SECONDS):
            _require_there(serve)
        _drain(serve, settings.drain_seconds + GRACE_SECONDS)


def replica_app(service: Service, identity: Callable[[], str]) -> Any:
    """The app as a replica runs it: each request has the id that `identity` says it has."""
    app = create_app(service)

    async def identified(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["freehold.request_id"] = identity()
        await app(scope, receive, send)

    return identified


def _application(
    serve: Any, build: Callable[[int], Service], settings: Serve, scale: Scale, threads: int
) -> Any:
    """What Ray Serve is to run."""
    services: list[Service] = []  # of the replica's process: pickled empty, filled there

    def app() -> Any:
        log_as_json()
        # As in `serve.server`: the engine's thread does not wait long for the interpreter.
        sys.setswitchinterval(SWITCH_SECONDS)
        services.append(build(threads))
        return replica_app(services[0], _identity)

    class Replica:
        def check_health(self) -> None:
            # Not whether the database answers: another replica would not reach it either.
            services[0].require_engine()

    how: dict[str, Any] = {"num_replicas": scale.least}
    if scale.most > scale.least:
        how = {
            "autoscaling_config": {
                "min_replicas": scale.least,
                "max_replicas": scale.most,
                "target_ongoing_requests": scale.each,
                "upscale_delay_s": UP_SECONDS,
                "downscale_delay_s": DOWN_SECONDS,
            }
        }
    return serve.deployment(
        serve.ingress(app)(Replica),
        name=NAME,
        ray_actor_options={"num_cpus": threads},
        max_ongoing_requests=ONGOING,
        health_check_period_s=HEALTH_SECONDS,
        graceful_shutdown_timeout_s=settings.drain_seconds + GRACE_SECONDS,
        graceful_shutdown_wait_loop_s=1.0,
        max_constructor_retry_count=1,
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
        **how,
    ).bind()


def _identity() -> str:
    """The id that Ray's proxy drew for the present request, in the shape of our own. It is not the
    X-Request-Id that a client may send: who repeats that one would not be billed again."""
    from ray.serve import context

    found: str = context._get_serve_request_context()._internal_request_id
    if not found:
        raise RuntimeError("Ray Serve gave this request no id, so that it could be billed twice")
    return found.replace("-", "")


@contextmanager
def _started(settings: Serve, scale: Scale) -> Iterator[tuple[Any, Any, int]]:
    """Ray, its Serve with proxies at our address, and the threads that a replica has; at the end
    nothing of it is left."""
    os.environ |= _ENVIRONMENT
    try:
        import ray

        serve: Any = importlib.import_module("ray.serve")
    except ImportError:
        raise MissingDependencyError("ray", "ray", "Serving on Ray") from None
    address = settings.ray_address
    if (why := unreachable(address)) is not None:
        raise UnavailableError(
            f"Ray at {address} cannot be reached: {first_line(why)}.", hint=_WHERE
        ) from why
    port = _free_port(settings)
    threads = scale.threads or max(1, usable_cores() // scale.most)
    with folder() as kept:
        try:
            try:
                ray.init(**options(address, scale.most * threads, kept, _ENVIRONMENT))
            except Exception as error:
                where = f"Ray at {address}" if address else "A local Ray"
                raise UnavailableError(
                    f"{where} cannot be used: {first_line(error)}.", hint=_WHERE
                ) from error
            if address and not scale.threads:
                threads = _smallest(ray)
            _require_room(ray, serve, scale.least, threads)
            logging.getLogger("ray.serve").setLevel(logging.ERROR)
            try:
                serve.start(
                    proxy_location="EveryNode",
                    http_options={"host": settings.host, "port": port},
                    logging_config={"enable_access_log": False, "log_level": "WARNING"},
                )
                yield ray, serve, threads
            finally:
                serve.shutdown()
        finally:
            ray.shutdown()


def _free_port(settings: Serve) -> int:
    """The port to listen on, after a look whether it is free. Raises UnavailableError."""
    listener = listen(settings.host, settings.port)
    port: int = listener.getsockname()[1]
    listener.close()
    return port


def _smallest(ray: Any) -> int:
    """Processors of the cluster's smallest machine that has some: one replica a machine."""
    found = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return max(1, min((count for count in found if count), default=1))


def _require_room(ray: Any, serve: Any, replicas: int, threads: int) -> None:
    if applications := sorted(serve.status().applications):
        raise UnavailableError(
            f"Ray Serve runs in this cluster already, with {', '.join(applications)}.",
            hint="Freehold brings proxies of its own: take another cluster, or end that one with "
            "`serve shutdown`.",
        )
    free = int(ray.available_resources().get("CPU", 0))
    if free < replicas * threads:
        raise UnavailableError(
            f"Ray has {free} free processors, but {replicas} replicas need {threads} each.",
            hint="Give fewer --replicas, or fewer --threads.",
        )


def _run(serve: Any, settings: Serve, application: Any) -> None:
    try:
        serve.run(application, name=NAME, route_prefix="/")
    except Exception as error:
        raise UnavailableError(
            f"The replicas could not be started: {_reason(error)}",
            hint="Ray's own logs have the rest.",
        ) from error


def _reason(error: Exception) -> str:
    """Our own sentence, if a replica ended with one, else the last line of what Ray says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith("freehold.errors."):
            return line.partition(": ")[2]
    return lines[-1] if lines else type(error).__name__


def _url(ray: Any, serve: Any, settings: Serve) -> str:
    """Where requests are answered: by this machine's proxy if it has one."""
    port = serve.context._get_global_client().http_config.port
    here = ray.get_runtime_context().get_node_id()
    proxies = serve.status().proxies
    hosts = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
    host = settings.host
    if here not in proxies and proxies:
        host = hosts[next(iter(proxies))]
    elif host in ("0.0.0.0", "::"):  # noqa: S104 - it is compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _answers(url: str) -> bool:
    """Whether a replica answers there; whether the database does, too, is for /ready to say."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=10) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def _require_there(serve: Any) -> None:
    """Raises UnavailableError when somebody else has ended the application, or Ray."""
    try:
        there = NAME in serve.status().applications
    except Exception as error:
        raise UnavailableError(f"Ray was lost: {first_line(error)}.") from error
    if not there:
        raise UnavailableError("The application was ended within Ray Serve.")


def _drain(serve: Any, seconds: float) -> None:
    """Take the application away: proxies pass nothing on, replicas finish what they have begun."""
    serve.delete(NAME, _blocking=False)
    until = time.monotonic() + seconds
    while NAME in serve.status().applications:
        if time.monotonic() > until:
            _log.error("gave up on replicas that did not finish")
            return
        time.sleep(0.1)


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set once SIGTERM or SIGINT asks to stop; a second one interrupts the drain."""
    asked = threading.Event()

    def on_signal(number: int, _: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
