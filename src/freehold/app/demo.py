"""The whole loop on the sample: a model, an API, three paying customers, their margins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from freehold.app import App, open_app
from freehold.app.learn import evaluate, export, recipe_of, train
from freehold.app.sell import add_customer, close_invoices, margins, reconciliation
from freehold.app.traffic import Player, Sent, play
from freehold.bill.periods import period_of
from freehold.errors import UnavailableError
from freehold.project_file import load_project
from freehold.scaffold import new_project, sample

if TYPE_CHECKING:
    from freehold.bill.invoices import Invoice
    from freehold.economics.figures import Report
    from freehold.evaluate.report import Evaluation
    from freehold.train.progress import Progress

__all__ = ["CUSTOMERS", "Demo", "run"]

_MEASURING = 5.0  # seconds; enough to tell the engines apart

# name, plan, requests, inputs a request: one below its included units, one beyond, one by tokens.
CUSTOMERS = (
    ("Northgate Cycles", "starter", 400, 4),
    ("Canal City Hire", "growth", 150, 32),
    ("Old Mill Campus", "metered", 300, 1),
)


@dataclass(frozen=True, slots=True)
class Demo:
    """What the loop left: the scores, the traffic, the invoices, the margins, the proof."""

    folder: Path
    evaluation: Evaluation
    sent: Sequence[Sent]
    invoices: Sequence[Invoice]
    report: Report
    reconcile: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told how far it is: a step by name, training's progress, each answer of `total`."""

    step: Callable[[str], None]
    training: Callable[[Progress], None]
    answer: Callable[[int], None]


def run(folder: Path, watcher: Watcher) -> Demo:
    """Make a project in `folder` (which must be absent or empty) and take it once around."""
    watcher.step("Making the project")
    made = new_project(folder.name, folder.parent)
    project = load_project(made.folder / "freehold.toml")
    # Never a database that is set up for real customers.
    with open_app(project, environ={}) as app:
        evaluation = _learn(app, watcher)
        players = _customers(app)
        sent = _serve(app, players, watcher)
        watcher.step("Closing an interim invoice for each customer")
        period = period_of(app.clock.now())
        invoices = close_invoices(app, period)
        watcher.step("Working out the margins")
        return Demo(
            folder=made.folder,
            evaluation=evaluation,
            sent=sent,
            invoices=invoices,
            report=margins(app),
            reconcile=reconciliation(app).document(),
        )


def _learn(app: App, watcher: Watcher) -> Evaluation:
    """Check, train, evaluate, export and promote the sample's model."""
    from freehold.data.check import check
    from freehold.evaluate.html import render
    from freehold.store.files import write_text

    watcher.step("Checking the data")
    train_data = app.read(app.data_path(None, "train"))
    dev_data = app.read(app.data_path(None, "dev"))
    check({"train": train_data, "dev": dev_data})
    watcher.step(f"Fine-tuning on {len(train_data)} hand-written messages")
    trained = train(
        app,
        train_data=train_data,
        dev_data=dev_data,
        recipe=recipe_of(app),
        model=app.project.model,
        on_progress=watcher.training,
    )
    if trained.version is None or trained.fit.interrupted:
        raise KeyboardInterrupt
    watcher.step(f"Evaluating on {len(dev_data)} messages it has not seen")
    # The sample's task chooses one of several labels.
    evaluation = cast("Evaluation", evaluate(app, trained.version, dev_data))
    page = app.project.root / "reports" / f"{trained.version.name}-dev.html"
    write_text(page, render(evaluation, title=f"{trained.version.name} on dev.csv"))
    watcher.step("Exporting a bundle that serves without torch")
    export(app, trained.version, dev=dev_data, seconds=_MEASURING, on_step=watcher.step)
    app.registry.promote(trained.version.name)
    return evaluation


def _customers(app: App) -> list[Player]:
    lines = (sample("bicycle_hire") / "requests.txt").read_text("utf-8").splitlines()
    texts = [line for line in lines if line.strip()]
    players = []
    for number, (name, plan, requests, inputs) in enumerate(CUSTOMERS):
        _, key = add_customer(app, name, plan)
        shifted = texts[number * 40 :] + texts[: number * 40]
        players.append(Player(name, key, shifted, requests, inputs))
    return players


def _serve(app: App, players: Sequence[Player], watcher: Watcher) -> list[Sent]:
    """Real HTTP against a real server process, which is then asked to drain and stop."""
    watcher.step("Starting the server")
    total = sum(player.requests for player in players)
    with _server(app.project.root) as url:
        watcher.step(f"Answering {total:,} requests of {len(players)} customers at {url}")
        return play(
            url, f"/models/{app.project.model}", players, on_answer=lambda: watcher.answer(total)
        )


@contextmanager
def _server(root: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "freehold", "serve"]
    command += ["--project", str(root), "--port", "0", "--json"]
    log = root / "server.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "FREEHOLD_DATABASE_URL": ""},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            try:
                url = json.loads(ready)["url"]
            except (ValueError, KeyError) as error:
                raise UnavailableError(
                    "The server did not start.", hint=f"What it said is in {log}."
                ) from error
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
