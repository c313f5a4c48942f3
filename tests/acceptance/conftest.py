"""Acceptance runs are asked for: they train on whole public data sets and take many minutes."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-acceptance"):
        return
    skip = pytest.mark.skip(reason="slow: run `make acceptance`")
    for item in items:
        if "acceptance" in item.path.parts:
            item.add_marker(skip)
