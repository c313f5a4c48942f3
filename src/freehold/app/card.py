"""A version's model card: written when it is registered, kept with it, printed with what came
after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.app import App
from freehold.app.card_making import Known, how_it_was_made, metadata, what_it_is
from freehold.app.card_scores import how_to_use_it, limits, since, what_it_cost, what_it_scores
from freehold.app.markdown import front_matter
from freehold.errors import NotFoundError, StoreError
from freehold.registry import ASIDE, Bundle, Version

if TYPE_CHECKING:
    from freehold.evaluate.summary import Summary
    from freehold.tasks.types import Dataset

__all__ = ["CARD", "Card", "card_of", "label_counts", "write_card"]

CARD = f"{ASIDE}README.md"


@dataclass(frozen=True, slots=True)
class Card:
    """A card as it is shown; `stored` says whether it was written when the version was made, or
    only now, without what nobody wrote down then."""

    version: Version
    markdown: str
    metadata: Mapping[str, Any]
    stored: bool

    def document(self) -> dict[str, Any]:
        return {
            "model": self.version.model,
            "version": self.version.version,
            "stored": self.stored,
            "metadata": self.metadata,
            "markdown": self.markdown,
        }


def write_card(
    app: App,
    version: Version,
    *,
    counts: Mapping[str, int] | None = None,
    summary: Summary | None = None,
) -> Version:
    """Compose the card of a version that was just made, and keep it with it. `counts` are how often
    each label is in the training data, `summary` what dev says; both are written down nowhere else.

    The model is worth more than its card: where there is no room for it, that is remarked.
    """
    text = _compose(_known(app, version, counts, summary))
    try:
        return app.registry.keep(version, CARD, text.encode())
    except StoreError as error:
        app.remark(f"The card of {version.name} was not kept. {error.sentence()}")
        return version


def card_of(app: App, version: Version) -> Card:
    """The card as it was written, or composed now for a version that has none; with what the
    registry has learnt since (its stage, its export)."""
    known = _known(app, version)
    kept = app.registry.read(version, CARD)
    text = _compose(known) if kept is None else kept.decode()
    later = "\n".join(since(version, _bundle(app, version)))
    return Card(version, f"{text}\n{later}\n", metadata(known), stored=kept is not None)


def label_counts(data: Dataset) -> dict[str, int]:
    """How often each label is in the data (for tags: how many entities of each type), the most
    frequent first; empty where the answers are numbers or parts of a text."""
    from freehold.tasks.types import Example, LabelsExample, PairExample, TaggedExample

    found: Counter[str] = Counter()
    for example in data.examples:
        match example:
            case Example(label=str(label)) | PairExample(label=str(label)):
                found[label] += 1
            case LabelsExample(labels=tuple(labels)):
                found.update(labels)
            case TaggedExample(tags=tuple(tags)):
                found.update(tag[2:] for tag in tags if tag.startswith("B-"))
            case _:
                pass
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _compose(known: Known) -> str:
    parts = [
        [front_matter(metadata(known))],
        what_it_is(known),
        how_it_was_made(known),
        what_it_scores(known),
        what_it_cost(known),
        limits(known),
        how_to_use_it(known),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _known(
    app: App,
    version: Version,
    counts: Mapping[str, int] | None = None,
    summary: Summary | None = None,
) -> Known:
    written = app.registry.read(version, "freehold.json")
    return Known(
        version=version,
        project=app.project.name,
        language=app.project.language,
        chain=_chain(app, version),
        checkpoint={} if written is None else msgspec.json.decode(written),
        counts=counts,
        summary=summary,
    )


def _chain(app: App, version: Version) -> tuple[Version, ...]:
    """The versions that it was made from, the nearest first."""
    found: list[Version] = []
    parent = version.lineage.get("parent")
    while parent is not None:
        found.append(app.registry.get(parent))
        parent = found[-1].lineage.get("parent")
    return tuple(found)


def _bundle(app: App, version: Version) -> Bundle | None:
    try:
        return app.registry.bundle(version)
    except NotFoundError:
        return None
