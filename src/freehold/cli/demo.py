"""`freehold demo`: the whole loop on a hand-written sample, to the margin report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import Output, verb

if TYPE_CHECKING:
    from rich.console import Console

    from freehold.app.demo import Demo, Watcher


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Leave the project here; otherwise in a temporary folder.",
)
@verb
def command(output: Output, folder: Path | None) -> None:
    """Train, serve, meter, bill and report on the sample of a bicycle-hire company."""
    from freehold.app.demo import run

    target = (folder or Path(tempfile.mkdtemp(prefix="freehold-")) / "bicycles").resolve()
    with _watched(output.err) as watcher:
        demo = run(target, watcher)
    output.document(_document(demo))
    _show(output, demo)
    if demo.reconcile["difference"]:
        output.exit_code = 1


def _document(demo: Demo) -> dict[str, Any]:
    total = demo.report.document()["total"]
    return {
        "accuracy": demo.evaluation.document()["accuracy"],
        "requests": sum(sent.answers for sent in demo.sent),
        "retries": sum(sent.retries for sent in demo.sent),
        "invoices": [invoice.document() for invoice in demo.invoices],
        "margin": total,
        "reconcile": demo.reconcile,
        "folder": str(demo.folder),
    }


def _show(output: Output, demo: Demo) -> None:
    from rich.table import Table

    from freehold.economics.terminal import render

    document = demo.evaluation.document()
    low, high = document["intervals"]["accuracy"]
    output.show(
        f"\n[bold]The model[/bold]: accuracy {document['accuracy']:.3f} "
        f"({low:.3f} to {high:.3f}) on {document['n']} messages it had not seen."
    )
    table = Table("customer", "answers", "inputs", "repeated", "mostly about", title="The traffic")
    for sent in demo.sent:
        top = sorted(sent.labels, key=lambda label: -sent.labels[label])[:2]
        numbers = (f"{sent.answers:,}", f"{sent.inputs:,}", f"{sent.retries:,}")
        table.add_row(sent.customer, *numbers, ", ".join(top))
    output.show(table)
    invoices = Table("number", "customer", "kind", "total", title="The invoices")
    for invoice in demo.invoices:
        row = invoice.document()
        total = f"{row['total']['amount']} {row['currency']}"
        invoices.add_row(row["number"], row["customer"]["name"], row["kind"], total)
    output.show(invoices)
    output.show(render(demo.report))
    proof = demo.reconcile
    steps = ("served", "metered", "rated", "invoiced", "ledger")
    chain = " = ".join(f"{proof[step]:,} {step}" for step in steps)
    output.show(f"[bold]Reconciled[/bold]: {chain}; difference {proof['difference']}.")
    output.show(
        f"\nThe project is in {demo.folder}: invoices in invoices/, the evaluation in reports/.\n"
        f"Next:  cd {demo.folder}\n"
        "       freehold report          # the same table at any time\n"
        "       freehold card            # what it is, scores, costs, and its limits\n"
        "       freehold serve           # the API at http://127.0.0.1:8080, docs at /docs\n"
        "       freehold new NAME        # your own project: put your texts in data/\n"
    )


@contextmanager
def _watched(console: Console) -> Iterator[Watcher]:
    """Steps as lines, training and traffic as bars."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from freehold.app.demo import Watcher
    from freehold.cli.progress import training_text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bars:
        current = bars.add_task("starting", total=None, text="")
        epochs = [0]

        def step(text: str) -> None:
            console.print(f"• {text}", markup=False)
            bars.reset(current, description=text, total=None, text="")

        def training(progress: Any) -> None:
            text = training_text(progress)
            bars.update(current, completed=progress.step, total=progress.steps, text=text)
            if quiet and progress.score is not None and progress.epoch > epochs[0]:
                epochs[0] = progress.epoch
                line = f"  epoch {progress.epoch}/{progress.epochs}: {text}"
                console.print(line, style="dim", markup=False)

        def answer(total: int) -> None:
            bars.update(current, advance=1, total=total)

        yield Watcher(step, training, answer)
