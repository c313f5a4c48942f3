"""What every verb shares: --json and --project, one document on stdout, a sentence on an error."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from freehold.errors import FreeholdError, MissingDependencyError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from freehold.project import Project

__all__ = ["SEED", "Output", "columns", "project_of", "require_effect", "verb"]

SEED = click.IntRange(0, 2**32 - 1)  # what every library that draws takes


@dataclass
class Output:
    """Where a verb writes: progress on stderr, results on stdout; with --json stdout holds exactly
    one JSON document and `show` is silent."""

    json: bool
    folder: Path
    exit_code: int = 0
    _document: Any = field(default=None, repr=False)

    @functools.cached_property
    def console(self) -> Console:
        from rich.console import Console

        return Console(highlight=False)

    @functools.cached_property
    def err(self) -> Console:
        """Standard error: progress and remarks."""
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def show(self, *renderables: RenderableType) -> None:
        """Print results for a person; nothing with --json."""
        if not self.json:
            self.console.print(*renderables)

    def remark(self, text: str) -> None:
        """A line beside the result, on stderr in both modes."""
        self.err.print(text, markup=False, style="dim")

    def document(self, value: Any) -> None:
        """The verb's JSON document: a dict of plain values, msgspec-encodable."""
        self._document = value

    def flush(self, *, compact: bool = False) -> None:
        """Write the document, on one line with `compact`."""
        if self.json and self._document is not None:
            import msgspec

            encoded = msgspec.json.encode(self._document)
            text = encoded if compact else msgspec.json.format(encoded, indent=2)
            sys.stdout.write(text.decode() + "\n")
            sys.stdout.flush()


def project_of(output: Output) -> Project:
    """The project of the folder the verb runs in (or of --project)."""
    from freehold.project import find_project
    from freehold.project_file import load_project

    return load_project(find_project(output.folder.resolve()))


def columns(function: Callable[..., None]) -> Callable[..., None]:
    """Give a click command --text and --label, the columns of its data files."""
    function = click.option("--label", help="The column with the label (or the tags).")(function)
    return click.option("--text", help="The column with the text (or the words).")(function)


def require_effect(names: Sequence[str], why: str) -> None:
    """A usage error where one of these parameters was given on the command line, though it would
    change nothing: "--NAME" and `why`."""
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
        if option.name in names and given:
            raise click.UsageError(f"{option.opts[0]} {why}")


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Give a click command --json and --project; errors become a sentence and exit code 1."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    @click.option(
        "--project",
        "project_folder",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        default=Path(),
        show_default="this folder",
        help="The folder of freehold.toml, or one below it.",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, project_folder: Path, **options: Any) -> None:
        output = Output(as_json, project_folder)
        with _errors(output):
            function(output, *args, **options)
        output.flush()
        if output.exit_code:
            raise SystemExit(output.exit_code)

    return wrapped


# Libraries that the base installation leaves out, and what brings them.
_EXTRAS = dict.fromkeys(
    (
        "torch",
        "transformers",
        "safetensors",
        "sklearn",
        "scipy",
        "seqeval",
        "onnx",
        "onnxscript",
        "optuna",
    ),
    "train",
)


@contextmanager
def _errors(output: Output) -> Iterator[None]:
    try:
        yield
    except FreeholdError as error:
        _fail(output, error)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _EXTRAS:
            raise
        _fail(output, MissingDependencyError(library, _EXTRAS[library], "This verb"))
    except KeyboardInterrupt:
        if output.json:
            output.document({"error": "stopped", "hint": None})
            output.flush()
        output.err.print("freehold: stopped.", markup=False)
        raise SystemExit(1) from None


def _fail(output: Output, error: FreeholdError) -> NoReturn:
    if output.json:
        output.document({"error": error.message, "hint": error.hint})
        output.flush()
    output.err.print(f"freehold: {error.message}", markup=False, style="red")
    if error.hint:
        output.err.print(error.hint, markup=False)
    raise SystemExit(1) from None
