"""Reads freehold.toml: what is unknown, of a wrong type or no amount is refused by line."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from freehold.errors import ProjectError
from freehold.money import parse_rate
from freehold.project import SECTIONS, PlanTerms, Project, Tier
from freehold.settings import settings_of
from freehold.tasks.registry import kinds

__all__ = ["load_project"]

_HEADER = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]\]?")
_KEY = re.compile(r"^\s*\"?([A-Za-z0-9_-]+)\"?\s*=")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

_KIND = ("task", "kind")
_CHOICES = {
    ("train", "class_weights"): ("none", "balanced"),
    ("train", "lora_modules"): ("attention", "all"),
    ("train", "adversarial"): ("none", "fgm", "pgd", "freelb", "rdrop", "copies"),
    ("train", "casing"): ("auto", "on", "off"),
    ("train", "precision"): ("auto", "fp32", "bf16"),
    ("release", "canary_by"): ("customer", "key", "request"),
    ("plans", "unit"): ("inputs", "tokens"),
    ("project", "language"): ("en", "zh"),
}


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a section of the file starts: `index` counts the [[plans]] tables."""

    path: Path
    lines: tuple[str, ...]
    section: str
    index: int = 0

    def line(self, key: str | None = None) -> int:
        """The line, from 1, of a key (or of the section's header)."""
        current, seen, header = "", -1, 1
        for number, line in enumerate(self.lines, start=1):
            if match := _HEADER.match(line):
                current = match[1]
                if current == self.section:
                    seen += 1
                    header = number if seen == self.index else header
                continue
            match = _KEY.match(line)
            here = current == self.section and seen == self.index
            if key is not None and here and match and match[1] == key:
                return number
        return header

    def refuse(self, key: str | None, message: str, hint: str | None = None) -> NoReturn:
        raise ProjectError(f"{self.path.name} line {self.line(key)}: {message}", hint=hint)


def load_project(path: Path) -> Project:
    """The project that a freehold.toml describes. Raises ProjectError naming line and fix."""
    table, lines = _parse(path)
    sections: dict[str, Any] = {}
    for name in table:
        if name not in SECTIONS:
            place = _Place(path, lines, name)
            place.refuse(None, f"[{name}] is not a section.", _closest(name, list(SECTIONS)))
    for name, cls in SECTIONS.items():
        if name == "plans":
            continue
        place = _Place(path, lines, name)
        raw = table.get(name, {})
        if not isinstance(raw, dict):
            place.refuse(None, f"{name} must be a table.", f"Write [{name}] above its settings.")
        sections[name] = _section(cls, raw, place)
    head = sections.pop("project")
    if not _NAME.fullmatch(head.name):
        _Place(path, lines, "project").refuse(
            "name",
            f"the project's name is {head.name!r}.",
            'Write name = "bank" under [project]: a letter, then letters, digits, - or _.',
        )
    if not re.fullmatch(r"[A-Z]{3}", head.currency):
        _Place(path, lines, "project").refuse(
            "currency", f"the currency is {head.currency!r}.", 'Use an ISO 4217 code such as "EUR".'
        )
    _check_ranges(sections, path, lines)
    return Project(
        root=path.parent.resolve(),
        name=head.name,
        currency=head.currency,
        language=head.language,
        plans=_plans(table.get("plans", []), path, lines),
        **sections,
    )


def _parse(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProjectError(
            f"{path.name} is not UTF-8 at byte {error.start}.", hint="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        # Amounts are exact: a bare 0.1 arrives as the text it was written as.
        return tomllib.loads(text, parse_float=Decimal), tuple(text.splitlines())
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{path.name} is not valid TOML: {error}.") from error


def _section(cls: type, raw: dict[str, Any], place: _Place) -> Any:
    declared = {item.name: item for item in settings_of(place.section, cls)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in declared:
            place.refuse(
                key,
                f"{key!r} is not a setting of [{place.section}].",
                _closest(key, list(declared)),
            )
        values[key] = _value(place, key, declared[key].type, value)
    return cls(**values)


def _value(place: _Place, key: str, kind: str, value: Any) -> Any:
    """The value in its declared type, or a refusal that names the line."""
    choices = kinds() if (place.section, key) == _KIND else _CHOICES.get((place.section, key))
    if choices and value not in choices:
        place.refuse(key, f"{key} is {value!r}.", f"Use one of: {', '.join(choices)}.")
    if kind == "Decimal":
        text = str(value) if isinstance(value, Decimal) else value
        try:
            amount = parse_rate(text, what=key)
        except ProjectError as error:
            place.refuse(key, error.message, error.hint)
        if amount < 0:
            place.refuse(key, f"{key} is {amount}.", "It must not be negative.")
        return amount
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            place.refuse(key, f"{key} is {value}.", "It must not be negative.")
        return value
    if kind == "float" and isinstance(value, Decimal | int) and not isinstance(value, bool):
        if not Decimal(value).is_finite() or value < 0:
            place.refuse(key, f"{key} is {value}.", "Use a number that is not negative.")
        return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "tuple[str, ...]" and isinstance(value, list) and _all_strings(value):
        return tuple(value)
    if kind == "tuple[Tier, ...]" and isinstance(value, list):
        return _tiers(place, value)
    words = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    wanted = words.get(kind, "a list of texts" if "str" in kind else "a list of tiers")
    return place.refuse(key, f"{key} is {value!r}; it must be {wanted}.")


def _all_strings(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _tiers(place: _Place, raw: list[Any]) -> tuple[Tier, ...]:
    tiers: list[Tier] = []
    below = 0
    for number, item in enumerate(raw, start=1):
        if not isinstance(item, dict) or not set(item) <= {"up_to", "price"} or "price" not in item:
            place.refuse(
                "tiers", f"tier {number} is {item!r}.", 'Write { up_to = 1000, price = "0.002" }.'
            )
        up_to = item.get("up_to")
        last = number == len(raw)
        if (up_to is None) != last:
            place.refuse(
                "tiers",
                f"tier {number} of {len(raw)} has {'a' if last else 'no'} limit.",
                "Every tier but the last needs up_to; the last must not have it.",
            )
        if up_to is not None and (type(up_to) is not int or up_to <= below):
            place.refuse(
                "tiers", f"tier {number} ends at {up_to!r}.", f"It must end above {below}."
            )
        below = up_to or below
        tiers.append(Tier(up_to, _value(place, "tiers", "Decimal", item["price"])))
    return tuple(tiers)


def _plans(raw: Any, path: Path, lines: tuple[str, ...]) -> tuple[PlanTerms, ...]:
    if not isinstance(raw, list):
        _Place(path, lines, "plans").refuse(None, "plans must be tables.", "Write [[plans]].")
    plans: list[PlanTerms] = []
    for index, item in enumerate(raw):
        place = _Place(path, lines, "plans", index)
        plan: PlanTerms = _section(PlanTerms, item, place)
        if not plan.name:
            place.refuse("name", "this plan has no name.", 'Add name = "starter".')
        if plan.name in {other.name for other in plans}:
            place.refuse("name", f"there are two plans {plan.name!r}.", "Rename one of them.")
        if plan.tiers and plan.price:
            place.refuse("price", f"plan {plan.name!r} has both price and tiers.", "Keep one.")
        if plan.prepaid and (plan.price or plan.tiers or plan.included):
            place.refuse(
                "prepaid",
                f"plan {plan.name!r} is prepaid and has a price or included units.",
                "Leave these out: units of a prepaid plan are paid when the wallet is topped up.",
            )
        plans.append(plan)
    return tuple(plans)


def _check_ranges(sections: dict[str, Any], path: Path, lines: tuple[str, ...]) -> None:
    """Values that have the right type and still cannot be meant."""
    rules: tuple[tuple[str, str, Decimal | None, Decimal | None], ...] = (
        ("serve", "port", None, Decimal(65535)),
        ("serve", "max_inputs", Decimal(1), None),
        ("serve", "batch_tokens", Decimal(16), None),
        ("serve", "queue_tokens", Decimal(16), None),
        ("serve", "max_body_bytes", Decimal(64), None),
        ("serve", "replicas", Decimal(1), None),
        ("serve", "replica_requests", Decimal(1), None),
        ("serve", "follow_seconds", Decimal("0.1"), None),
        ("release", "shadow_share", None, Decimal(1)),
        ("release", "min_answers", Decimal(20), None),
        ("release", "max_error_rate", None, Decimal(1)),
        ("release", "latency_quantile", Decimal("0.5"), Decimal("0.999")),
        ("train", "max_length", Decimal(8), None),
        ("train", "seed", None, Decimal(2**32 - 1)),
        ("billing", "tax_rate", None, Decimal("0.99")),
    )
    for section, key, least, most in rules:
        value = getattr(sections[section], key)
        if isinstance(value, float):
            value = Decimal(str(value))
        if (least is not None and value < least) or (most is not None and value > most):
            bound = f"at least {least}" if least is not None else f"at most {most}"
            _Place(path, lines, section).refuse(key, f"{key} is {value}.", f"Use {bound}.")
    model = sections["task"].model
    if model and not _NAME.fullmatch(model):
        _Place(path, lines, "task").refuse(
            "model",
            f"the model's name is {model!r}.",
            "Use a letter, then letters, digits, - or _.",
        )


def _closest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
