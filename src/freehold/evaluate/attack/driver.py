"""Runs the searches of many texts side by side, so that the model answers in large batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from freehold.data.perturb.words import Words
from freehold.evaluate.attack.search import Ask, Attempt, Compare, Row, Search, Target

__all__ = ["Predict", "Row", "Similarity", "run", "weigh"]

AT_ONCE = 512  # searches under way together

Predict = Callable[[Sequence[str]], Row]  # texts -> (texts, labels) probabilities
Similarity = Callable[[Sequence[str], Sequence[str]], Row]  # pairs -> cosines


def run(
    searches: Iterable[Search],
    predict: Predict,
    similarity: Similarity,
    *,
    on_done: Callable[[int], None] = lambda done: None,
) -> list[Attempt]:
    """The attempts in the order of the searches; `on_done` hears how many have ended."""
    waiting = enumerate(searches)
    under_way: dict[int, Search] = {}
    asked: dict[int, Ask | Compare] = {}
    found: dict[int, Attempt] = {}
    while True:
        while len(under_way) < AT_ONCE and (more := next(waiting, None)) is not None:
            under_way[more[0]] = more[1]
        if not under_way:
            return [found[number] for number in range(len(found))]
        answers = _answers(asked, predict, similarity)
        for number, one in list(under_way.items()):
            try:
                # A generator that has not begun is begun by sending it None.
                asked[number] = one.send(answers.get(number))  # type: ignore[arg-type]
            except StopIteration as end:
                found[number] = end.value
                del under_way[number]
                asked.pop(number, None)
        on_done(len(found))


def _answers(
    asked: Mapping[int, Ask | Compare], predict: Predict, similarity: Similarity
) -> dict[int, Row]:
    """What each search asked for, from one call of the model and one of the comparison."""
    asks = {number: one for number, one in asked.items() if isinstance(one, Ask)}
    compares = {number: one for number, one in asked.items() if isinstance(one, Compare)}
    found = _shared_out(asks, lambda: predict([t for one in asks.values() for t in one.texts]))
    found |= _shared_out(
        compares,
        lambda: similarity(
            [one.original for one in compares.values() for _ in one.texts],
            [text for one in compares.values() for text in one.texts],
        ),
    )
    return found


def _shared_out(
    asked: Mapping[int, Ask] | Mapping[int, Compare], answer: Callable[[], Row]
) -> dict[int, Row]:
    if not asked:
        return {}
    rows, found, at = answer(), {}, 0
    for number, one in asked.items():
        found[number] = rows[at : at + len(one.texts)]
        at += len(one.texts)
    return found


def weigh(
    texts: Sequence[tuple[int, Words, int]],
    rows: Row,
    predict: Predict,
    most: int,
    chance: np.random.Generator,
) -> list[Target]:
    """Targets of the texts (number, words, gold) that `rows`, (texts, labels), answer rightly.

    Each word is left out once, `most` words of a text at most, drawn where it has more.
    """
    asked: list[str] = []
    plans: list[tuple[int, Words, int, float, list[int]]] = []
    for (number, words, gold), row in zip(texts, rows, strict=True):
        if row.argmax() != gold:
            continue
        places = np.sort(chance.permutation(len(words.words))[:most]).tolist()
        plans.append((number, words, gold, float(row[gold]), places))
        asked += [words.without(place) for place in places]
    answers = predict(asked) if asked else np.zeros((0, 1))
    targets, at = [], 0
    for number, words, gold, sure, places in plans:
        lost = (sure - answers[at : at + len(places), gold]).tolist()
        at += len(places)
        targets.append(Target(number, words, gold, sure, dict(zip(places, lost, strict=True))))
    return targets
