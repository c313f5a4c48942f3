"""docs/settings.md names every setting with its default; FREEHOLD_WRITE_DOCS=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from freehold.project import SECTIONS
from freehold.settings import ENVIRONMENT, settings_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

HEAD = """# Settings

Everything in `freehold.toml` has a working default but the project's name. Amounts are written as
texts (`"0.0025"`) or as plain decimals, and stay exact. A test compares this page with the code.
"""


def _default(value: object) -> str:
    if value == "":
        return "empty"
    if value in ((), None):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _page() -> str:
    parts = [HEAD]
    for section, cls in SECTIONS.items():
        parts.append(f"\n## [{section}]\n" if section != "plans" else "\n## [[plans]]\n")
        parts.append("| setting | default | what it is |\n| --- | --- | --- |")
        for item in settings_of(section, cls):
            assert item.help, f"{section}.{item.name} has no help"
            parts.append(f"| `{item.name}` | {_default(item.default)} | {item.help} |")
    parts.append("\n## Environment\n")
    parts.append("| variable | what it is |\n| --- | --- |")
    parts.extend(f"| `{item.name}` | {item.help} |" for item in ENVIRONMENT)
    return "\n".join(parts) + "\n"


def test_every_setting_is_documented_with_its_default() -> None:
    if os.environ.get("FREEHOLD_WRITE_DOCS"):
        PAGE.write_text(_page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == _page()
