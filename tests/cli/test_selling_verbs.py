"""`freehold key`, `limit` and `wallet`, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.errors import ProjectError
from freehold.project_file import load_project
from freehold.testing import run_verb

PROJECT = """
[project]
name = "bank"

[[plans]]
name = "starter"
price = "0.01"
quota = 100
requests_per_minute = 600

[[plans]]
name = "ahead"
fee = "5"
prepaid = true
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "freehold.toml").write_text(PROJECT, encoding="utf-8")
    run_verb(tmp_path, "customer", "add", "North Bank", "--plan", "starter")
    run_verb(tmp_path, "customer", "add", "Lake Bank", "--plan", "ahead")
    return tmp_path


def test_keys_are_scoped_and_rotated(project: Path) -> None:
    run_verb(project, "key", "add", "North Bank", "--models", "bank@3", code=1)
    answer = run_verb(project, "key", "add", "North Bank", "--models", "bank@3", code=1)
    assert answer["error"] == "There is no model 'bank@3'."
    made = run_verb(project, "key", "add", "North Bank", "--expires", "90d")
    turned = run_verb(project, "key", "rotate", made["id"], "--overlap", "12h")
    assert turned["old"]["replaced_by"] == turned["id"]
    assert turned["key"] != made["key"]
    keys = run_verb(project, "key", "list", "--customer", "North Bank")["keys"]
    assert [key["state"] for key in keys] == ["valid"] * 3
    assert [bool(key["expires_at"]) for key in keys] == [False, True, True]
    run_verb(project, "key", "revoke", turned["id"])
    assert run_verb(project, "key", "rotate", turned["id"], code=1)["error"].endswith("is revoked.")
    assert (
        "span of time"
        in run_verb(project, "key", "add", "North Bank", "--expires", "soon", code=1)["error"]
    )


def test_limits_are_set_cleared_and_shown(project: Path) -> None:
    def shown(*words: str) -> dict[str, tuple[str, int]]:
        found = run_verb(project, "limit", *words)["limits"]
        return {one["limit"]: (one["from"], one["size"]) for one in found}

    assert shown("show", "North Bank") == {
        "quota": ("plan", 100),
        "requests_per_minute": ("plan", 600),
    }
    assert shown("set", "North Bank", "--quota", "7", "--requests-per-minute", "0") == {
        "quota": ("customer", 7)
    }
    assert shown("clear", "North Bank", "--quota") == {"quota": ("plan", 100)}
    assert len(shown("clear", "North Bank")) == 2
    key = run_verb(project, "key", "list", "--customer", "North Bank")["keys"][0]["key_id"]
    assert shown("set", "North Bank", "--key", key, "--tokens-per-minute", "9")[
        "tokens_per_minute"
    ] == ("key", 9)
    assert run_verb(project, "limit", "set", "North Bank", code=1)["error"] == (
        "No limit is named."
    )
    refused = run_verb(project, "limit", "show", "Lake Bank", "--key", key, code=1)
    assert refused["error"].endswith("is not a key of Lake Bank.")


def test_a_wallet_is_topped_up_once(project: Path) -> None:
    words = ("wallet", "topup", "Lake Bank", "500", "--paid", "4.50", "--key", "order-1")
    for _ in range(2):
        answer = run_verb(project, *words)
        assert (answer["left"], answer["topup"]["paid"]) == (500, "4.50")
    assert run_verb(project, "wallet", "show", "Lake Bank")["topups"][0]["key"] == "order-1"
    assert "has no wallet" in run_verb(project, "wallet", "show", "North Bank", code=1)["error"]
    assert run_verb(project, "limit", "show", "Lake Bank")["limits"][0]["left"] == 500
    assert run_verb(project, "reconcile")["difference"] == 0


def test_a_prepaid_plan_has_no_price(tmp_path: Path) -> None:
    file = tmp_path / "freehold.toml"
    file.write_text(PROJECT + 'price = "0.1"\n', encoding="utf-8")
    with pytest.raises(ProjectError, match="line 14: plan 'ahead' is prepaid and has a price"):
        load_project(file)
