"""`freehold data review` by the command line: a sheet, a correction, a file that is right again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from freehold.cli.main import main
from freehold.testing import tiny_encoder

KEYS = ("lost", "refund", "repair", "price")


def call(*words: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["data", "review", *words, "--json"])
    assert done.exit_code == code, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_from_a_wrong_label_to_a_corrected_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_encoder(tmp_path / "encoder", vocab_words=[*KEYS, "please", "bike"], hidden=96, layers=1)
    rows = [{"text": f"please {key} bike {n}", "label": key} for n in range(30) for key in KEYS]
    right = [json.dumps(row) for row in rows]
    rows[9]["label"] = "price"
    Path("train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    base = ("--base", "encoder", "--threads", "1")
    found = call("train.jsonl", *base)
    assert found["n"] == 120
    assert found["suspects"][0]["row"] == 10
    assert found["suspects"][0]["suggested"] == "refund"
    sheet = Path(found["sheet"])
    # A sheet with a person's work in it is not written over.
    assert "already" in call("train.jsonl", *base, code=1)["error"]
    with sheet.open(encoding="utf-8-sig", newline="") as content:
        lines = list(csv.DictReader(content))
    assert lines[0]["label"] == lines[0]["given"] == "price"
    lines[0]["label"] = lines[0]["suggested"]
    with sheet.open("w", encoding="utf-8", newline="") as content:
        writer = csv.DictWriter(content, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    done = call("train.jsonl", "--apply", str(sheet))
    assert (done["corrected"], done["added"], done["rows"]) == (1, 0, 120)
    assert Path(done["out"]).read_text().split("\n")[:-1] == right

    Path("pool.txt").write_text("please refund lost bike\nplease price bike 1\n")
    wanted = call("train.jsonl", "--pool", "pool.txt", "--most", "5", *base)
    assert wanted["wanted"][0]["text"] == "please refund lost bike"
    assert "together" in call("train.jsonl", "--pool", "a", "--apply", "b", code=1)["error"]
