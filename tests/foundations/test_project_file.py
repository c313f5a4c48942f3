"""freehold.toml: what is wrong is named by line, with the fix; what is unset has its default."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from freehold.errors import NotFoundError, ProjectError
from freehold.project import Project, Tier, find_project
from freehold.project_file import load_project
from freehold.scaffold import TEMPLATES, new_project

HEAD = '[project]\nname = "bank"\n'


def _load(tmp_path: Path, text: str) -> Project:
    path = tmp_path / "freehold.toml"
    path.write_text(text, encoding="utf-8")
    return load_project(path)


def test_only_the_name_is_needed(tmp_path: Path) -> None:
    project = _load(tmp_path, HEAD)
    assert project == Project(root=tmp_path.resolve(), name="bank")
    assert project.model == "bank"


def test_a_project_is_frozen(tmp_path: Path) -> None:
    project = _load(tmp_path, HEAD)
    with pytest.raises(AttributeError):
        project.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        (HEAD + '[trian]\nbase = "x"\n', 3, "[trian] is not a section", "Did you mean 'train'"),
        (HEAD + "[train]\nepoch = 3\n", 4, "'epoch' is not a setting", "Did you mean 'epochs'"),
        (HEAD + "\n[train]\n\nepochs = '3'\n", 6, "must be a whole number", None),
        (HEAD + "[train]\nepochs = -3\n", 4, "epochs is -3", "negative"),
        (HEAD + "[train]\nlearning_rate = nan\n", 4, "learning_rate", "not negative"),
        (HEAD + "[serve]\nport = true\n", 4, "port is True", None),
        (HEAD + "[serve]\nport = 99999\n", 4, "port is 99999", "at most 65535"),
        (HEAD + '[costs]\nmachine_per_hour = "1,5"\n', 4, "not an exact amount", "0.0025"),
        (HEAD + '[costs]\nlabel_each = "-1"\n', 4, "label_each is -1", "negative"),
        (HEAD + '[task]\nkind = "sentiment"\n', 4, "kind is 'sentiment'", "text-classification"),
        (HEAD + "[business]\nsegments = 'all'\n", 4, "must be a list of texts", None),
        ('[project]\nname = "9 lives"\n', 2, "name is '9 lives'", "letter"),
        ("[task]\n", 1, "name is ''", 'name = "bank"'),
        (HEAD + 'currency = "euro"\n', 3, "currency is 'euro'", "EUR"),
        (HEAD + '[[plans]]\nname = "a"\n[[plans]]\nfee = "1"\n', 5, "has no name", "starter"),
        (HEAD + '[[plans]]\nname = "a"\n[[plans]]\nname = "a"\n', 6, "two plans 'a'", "Rename"),
        (
            HEAD + '[[plans]]\nname = "a"\n[[plans]]\nname = "b"\nfee = 1.5e3\n',
            7,
            "fee is",
            "as a string",
        ),
        (
            HEAD + '[[plans]]\nname = "a"\ntiers = [{ up_to = 5, price = "1" }]\n',
            5,
            "tier 1 of 1 has a limit",
            "the last must not",
        ),
        (
            HEAD + '[[plans]]\nname = "a"\ntiers = [{ price = "1" }, { price = "1" }]\n',
            5,
            "tier 1 of 2 has no limit",
            None,
        ),
        (
            HEAD
            + '[[plans]]\nname = "a"\ntiers = [{ up_to = 5, price = "1" }, '
            + '{ up_to = 5, price = "1" }, { price = "1" }]\n',
            5,
            "tier 2 ends at 5",
            "above 5",
        ),
        (
            HEAD + '[[plans]]\nname = "a"\nprice = "1"\ntiers = [{ price = "1" }]\n',
            5,
            "both price and tiers",
            "Keep one",
        ),
    ],
)
def test_a_mistake_names_its_line_and_the_fix(
    tmp_path: Path, text: str, line: int, says: str, hint: str | None
) -> None:
    with pytest.raises(ProjectError) as caught:
        _load(tmp_path, text)
    assert caught.value.message.startswith(f"freehold.toml line {line}:")
    assert says in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_broken_toml_and_encoding_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="not valid TOML"):
        _load(tmp_path, "[project\n")
    (tmp_path / "freehold.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProjectError, match="not UTF-8"):
        load_project(tmp_path / "freehold.toml")


def test_bare_decimals_stay_exact(tmp_path: Path) -> None:
    project = _load(tmp_path, HEAD + "[costs]\nmachine_per_hour = 0.1\n")
    assert project.costs.machine_per_hour == Decimal("0.1")


def test_graduated_tiers(tmp_path: Path) -> None:
    tiers = '[[plans]]\nname = "a"\ntiers = [{ up_to = 10, price = "0.2" }, { price = "0.1" }]\n'
    project = _load(tmp_path, HEAD + tiers)
    assert project.plan("a").tiers == (Tier(10, Decimal("0.2")), Tier(None, Decimal("0.1")))
    with pytest.raises(NotFoundError, match="no plan 'b'"):
        project.plan("b")


def test_the_project_is_found_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "freehold.toml").write_text(HEAD)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_project(tmp_path / "a" / "b") == tmp_path / "freehold.toml"


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_every_template_is_a_valid_project(tmp_path: Path, template: str) -> None:
    project = new_project("shop", tmp_path, template)
    loaded = load_project(project.folder / "freehold.toml")
    assert loaded.name == "shop"
    assert len(loaded.plans) >= 2
    for name in (loaded.data.train, loaded.data.dev):
        assert (loaded.root / name).is_file()
