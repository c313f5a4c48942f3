"""`freehold demo` as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_demo_ends_reconciled_with_three_paying_customers(tmp_path: Path) -> None:
    folder = tmp_path / "bicycles"
    done = subprocess.run(
        [sys.executable, "-m", "freehold", "demo", "--dir", str(folder), "--json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    document = json.loads(done.stdout)
    print(json.dumps({key: document[key] for key in ("accuracy", "requests", "margin")}, indent=2))
    assert document["accuracy"] >= 0.85
    assert document["requests"] == 850
    assert len(document["invoices"]) == 3
    proof = document["reconcile"]
    assert proof["difference"] == 0
    assert proof["served"] == proof["ledger"] == 6700
    for invoice in document["invoices"]:
        assert (folder / "invoices" / f"{invoice['number']}.pdf").is_file()
