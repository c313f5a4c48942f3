"""Makes a project folder: freehold.toml from a template, and the sample data that belongs to it."""

from __future__ import annotations

import re
import shutil
import string
import tempfile
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from freehold.errors import ConflictError, InputError

__all__ = ["TEMPLATES", "NewProject", "new_project", "sample"]

TEMPLATES = {
    "classification": ("bicycle_hire", ("train.csv", "dev.csv", "faq.csv", "README.md")),
    "tagging": ("bicycle_hire_tags", ("train.conll", "dev.conll", "README.md")),
}


@dataclass(frozen=True, slots=True)
class NewProject:
    folder: Path
    files: tuple[str, ...]


def sample(name: str) -> Traversable:
    """A folder of hand-written sample data that ships with the program."""
    return resources.files("freehold") / "samples" / name


def new_project(name: str, parent: Path, template: str = "classification") -> NewProject:
    """Make `parent/name` whole or not at all. Raises ConflictError when it is there already."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        raise InputError(
            f"{name!r} cannot be a project's name.",
            hint="Use a letter, then letters, digits, - or _.",
        )
    folder = parent / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"{folder} is already there.", hint="Choose another name or folder.")
    source, files = TEMPLATES[template]
    toml = (resources.files("freehold") / "templates" / f"{template}.toml").read_text("utf-8")
    parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}-"))
    try:
        beside.chmod(0o755)
        text = string.Template(toml).substitute(name=name)
        (beside / "freehold.toml").write_text(text, encoding="utf-8")
        (beside / ".gitignore").write_text(".freehold/\n", encoding="utf-8")
        (beside / "data").mkdir()
        for file in files:
            (beside / "data" / file).write_bytes((sample(source) / file).read_bytes())
        if folder.exists():
            folder.rmdir()
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return NewProject(folder, ("freehold.toml", *(f"data/{file}" for file in files)))
