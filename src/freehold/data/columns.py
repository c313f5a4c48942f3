"""Which column is the text and which the label: named by the user, or inferred and said so.

The rule, in this order: a name given by the user; a name that says what the column is, the better
name winning (`TEXT`, `LABEL`, `TOKENS`, `TAGS` below, best first); if no name says it, the one
column whose content can only be that. Two columns that fit equally
well are an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from freehold.data.table import Table, printable, quoted
from freehold.errors import DataError
from freehold.tasks.bio import is_tag
from freehold.tasks.types import Task

__all__ = ["KNOWN", "Columns", "columns_of", "find_columns"]

Ranks = tuple[frozenset[str], ...]


def _ranks(*ranks: str) -> Ranks:
    return tuple(frozenset(names.split()) for names in ranks)


TEXT = _ranks(
    "text",
    "sentence utterance query question content review message comment tweet body input inputs "
    "document doc texts sentences utterances 文本 句子 内容 评论 问题",
    "review_text comment_text tweet_text headline title description phrase",
)
LABEL = _ranks(
    "label",
    "intent category class sentiment tag target topic labels label_text label_name emotion "
    "polarity 标签 类别 分类 意图 情感",
    "type y group output class_label class_name",
)
TOKENS = _ranks("tokens", "words token word")
TAGS = _ranks("tags ner_tags", "labels bio_tags iob_tags ner bio iob tag label slots")
KNOWN = frozenset().union(*TEXT, *LABEL, *TOKENS, *TAGS)

_HINT = (
    "Name the columns: --text COL --label COL, or "
    'text = "COL" and label = "COL" under [data] in freehold.toml.'
)
_PROFILED = 2000  # values looked at to judge a column's content


@dataclass(frozen=True, slots=True)
class Columns:
    """The column that holds the text or the words, and the one with the label or the tags."""

    task: Task
    source: str
    target: str | None
    inferred: bool

    def roles(self) -> dict[str, str]:
        tagged = self.task == "token-classification"
        roles = {"tokens" if tagged else "text": self.source}
        if self.target is not None:
            roles["tags" if tagged else "label"] = self.target
        return roles


def find_columns(
    table: Table, *, task: Task | None, text: str | None, label: str | None, labelled: bool
) -> Columns:
    """Decide what each column of `table` is. `text` and `label` are the user's names, for words
    and tags too. Raises DataError listing the columns when that cannot be told."""
    label = label if labelled else None
    for name in (text, label):
        if name is not None and name not in table.columns:
            raise _no_column(table, name)
    if task is None:
        task = _task(table, text, label, labelled)
    elif labelled and text is None and label is None:
        _refuse_other(table, task)
    tagged = task == "token-classification"
    free = [name for name in table.columns if name not in (text, label)]
    source = text or _by_name(table, free, TOKENS + TEXT if tagged else TEXT, "text")
    target = label
    if labelled and target is None:
        free = [name for name in free if name != source]
        target = _by_name(table, free, TAGS if tagged else LABEL, "label")
    if source is None or (labelled and target is None):
        unnamed = source is None and (target is None or not labelled)
        source, target = _by_content(table, source, target, tagged=tagged, labelled=labelled)
        if unnamed:
            _refuse_headless(table, (source, target))
    given = text is not None and (label is not None or not labelled)
    return Columns(task, source, target, inferred=not given)


def _task(table: Table, text: str | None, label: str | None, labelled: bool) -> Task:
    """token-classification if the file has words with tags, text-classification otherwise."""
    lists = [name for name in table.columns if _is_list(table, name)]
    if text is not None:
        return "token-classification" if text in lists else "text-classification"
    names = list(table.columns)
    tokens = _best(names, TOKENS)
    tags = [name for name in _best(names, TAGS) if name not in tokens]
    words = [name for name in tokens if name in lists]
    if not tokens and len(lists) < 2:
        return "text-classification"
    if labelled and label is None and _best(names, TEXT):
        single = [name for name in _best(names, LABEL) if name not in lists]
        if words and single and tags:
            raise DataError(
                f"{table.path} has words with tags ({quoted(words + tags)}) and a text with a "
                f"label ({quoted(single)}); the task is not clear. {columns_of(table)}",
                hint='Say which: --task token-classification, or [task] kind = "…" in '
                "freehold.toml; or name the columns with --text and --label.",
            )
    pairs = len(lists) >= 2 or (not labelled and words) or (tokens and (label or tags))
    return "token-classification" if pairs else "text-classification"


def _refuse_other(table: Table, task: Task) -> None:
    """A file made for the other task gets a sentence about the task, not about its columns."""
    names = list(table.columns)
    if task == "text-classification":
        other = not _best(names, TEXT) and _task(table, None, None, labelled=True) != task
        what = "words with tags"
    else:
        tags = _best(names, TAGS)
        texts = _best(names, TOKENS + TEXT)
        other = bool(texts and tags) and not any(_looks_like_tags(_sample(table, t)) for t in tags)
        what = "texts with a label"
    if other:
        raise DataError(
            f"{table.path} holds {what}, but the task is {task}. {columns_of(table)}",
            hint="Set the other kind under [task] in freehold.toml, or give another file.",
        )


def _by_name(table: Table, names: Sequence[str], ranks: Ranks, role: str) -> str | None:
    """The one column with the best fitting name; None if none fits."""
    best = _best(names, ranks)
    if len(best) > 1:
        raise _unclear(table, role, best)
    return best[0] if best else None


def _best(names: Sequence[str], ranks: Ranks) -> list[str]:
    folded = {name: name.strip().lower().replace(" ", "_").replace("-", "_") for name in names}
    for rank in ranks:
        best = [name for name in names if folded[name] in rank]
        if best:
            return best
    return []


def _by_content(
    table: Table, source: str | None, target: str | None, *, tagged: bool, labelled: bool
) -> tuple[str, str | None]:
    """Fill in what the names left open, from what the columns hold."""
    if labelled and target is None:
        fits: Callable[[Sequence[object]], bool] = _looks_like_tags if tagged else _looks_like_label
        target = _only(table, fits, "label", taken=source)
    if source is None:
        fits = _looks_like_tokens if tagged else _looks_like_text
        free = [name for name in table.columns if name != target]
        if not labelled and len(free) == 1:
            return free[0], target
        source = _only(table, fits, "text", taken=target)
    return source, target


def _only(
    table: Table, fits: Callable[[Sequence[object]], bool], role: str, taken: str | None
) -> str:
    free = [name for name in table.columns if name != taken]
    found = [name for name in free if fits(_sample(table, name))]
    if len(found) == 1:
        return found[0]
    raise _unclear(table, role, found)


def _sample(table: Table, name: str) -> list[object]:
    values = table.columns[name][:_PROFILED]
    return [value for value in values if value is not None and value != ""]


def _looks_like_text(values: Sequence[object]) -> bool:
    """Long, varied strings of several words (or of several Chinese or Japanese characters)."""
    texts = [value for value in values if isinstance(value, str)]
    if not texts or len(texts) < 0.9 * len(values):
        return False
    wordy = sum(" " in text.strip() or _ideographs(text) >= 4 for text in texts)
    length = sum(len(text) + _ideographs(text) for text in texts) / len(texts)
    return wordy >= 0.5 * len(texts) and length >= 12 and len(set(texts)) >= 0.5 * len(texts)


def _looks_like_label(values: Sequence[object]) -> bool:
    """Short values of which few are distinct."""
    plain = [str(v).strip() for v in values if isinstance(v, str | int) and not isinstance(v, bool)]
    if len(plain) < 2 or len(plain) < len(values):
        return False
    distinct = len(set(plain))
    most = len(plain) / 2 if len(plain) >= 20 else len(plain) - 1
    return 2 <= distinct <= most and sum(map(len, plain)) <= 40 * len(plain)


def _looks_like_tokens(values: Sequence[object]) -> bool:
    return bool(values) and _words(values) and not _looks_like_tags(values)


def _looks_like_tags(values: Sequence[object]) -> bool:
    lists = [value.split() if isinstance(value, str) else value for value in values]
    return _words(lists) and all(
        is_tag(str(tag)) for value in lists if isinstance(value, list) for tag in value
    )


def _words(values: Sequence[object]) -> bool:
    return bool(values) and all(
        isinstance(value, list) and all(isinstance(word, str) for word in value) for value in values
    )


def _ideographs(text: str) -> int:
    return sum("\u3040" <= sign <= "\u9fff" for sign in text)


def _is_list(table: Table, name: str) -> bool:
    first = next((value for value in table.columns[name] if value is not None), None)
    return isinstance(first, list)


def _refuse_headless(table: Table, chosen: Sequence[str | None]) -> None:
    """A header that holds a value of its own column is no header: the first text would be lost."""
    if table.format not in ("csv", "tsv", "xlsx"):
        return
    for name in chosen:
        if name is not None and name in table.columns[name]:
            raise DataError(
                f"{table.path}: the first line looks like data, not like column names.",
                hint="Add a first line that names the columns, such as: text,label",
            )


def columns_of(table: Table) -> str:
    """A sentence that lists a table's columns."""
    shown = list(table.columns)[:30]
    more = f" and {len(table.columns) - 30} more" if len(table.columns) > 30 else ""
    return f"The columns are {quoted(shown)}{more}."


def _no_column(table: Table, name: str) -> DataError:
    near = get_close_matches(name, list(table.columns), n=1)
    question = f' Did you mean "{printable(near[0])}"?' if near else ""
    return DataError(
        f'{table.path} has no column "{printable(name)}". {columns_of(table)}',
        hint=_HINT + question,
    )


def _unclear(table: Table, role: str, found: Sequence[str]) -> DataError:
    which = (
        f"more than one column may be the {role}: {quoted(found)}"
        if found
        else f"no column can be told to be the {role}"
    )
    return DataError(f"{table.path}: {which}. {columns_of(table)}", hint=_HINT)
