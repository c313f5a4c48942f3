"""Versions of models: lineage, files, and stages (candidate, shadow, canary, live, retired)."""

from __future__ import annotations

from freehold.registry.rule import Rule
from freehold.registry.store import ASIDE, Registry
from freehold.registry.trials import Terms, Trial
from freehold.registry.versions import Bundle, Version, is_reference, parse_reference

__all__ = [
    "ASIDE",
    "Bundle",
    "Registry",
    "Rule",
    "Terms",
    "Trial",
    "Version",
    "is_reference",
    "parse_reference",
]
