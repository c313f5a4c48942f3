"""Distillation as a run: it learns, the student is a model like any, it goes on, it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from little import dataset, texts
from safetensors.numpy import load_file

from freehold.errors import TrainError
from freehold.tasks.types import Dataset, Example, TaggedExample
from freehold.train import checkpoint, predict
from freehold.train.distil import distil as module
from freehold.train.distil.distil import Distilled, distil
from freehold.train.distil.objective import Weights
from freehold.train.finetune import fit
from freehold.train.recipe import Recipe


def same(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, other))
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[n], theirs[n]) for n in ours)


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps + 1))
    return lambda: next(asked, None) is None or False


@pytest.fixture(scope="module")
def student_recipe(deep: Recipe) -> Recipe:
    return dataclasses.replace(deep, epochs=4, dropout=0.1)


@pytest.fixture(scope="module")
def whole(
    teacher: Path,
    train_texts: Dataset,
    dev_texts: Dataset,
    student_recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> Distilled:
    """A run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "student"
    return distil(
        teacher, train_texts, dev_texts, student_recipe, out, layers=2, augment=1, name="bank@1"
    )


def test_the_student_answers_as_its_teacher(whole: Distilled, teacher: Path) -> None:
    assert whole.layers == (1, 3)
    assert whole.unlabelled == 96
    assert whole.fit.score > 0.9
    assert whole.retained == whole.fit.score / whole.teacher_score
    asked = texts(60, seed=9).examples
    ours, theirs = (
        np.stack(predict.logits(folder, asked)).argmax(1) for folder in (whole.fit.path, teacher)
    )
    assert (ours == theirs).mean() > 0.9


def test_the_student_is_a_checkpoint_of_its_own(whole: Distilled, teacher: Path) -> None:
    meta = checkpoint.read_meta(whole.fit.path)
    assert meta.base == "bank@1"
    assert meta.labels == checkpoint.read_meta(teacher).labels
    config = checkpoint.load(whole.fit.path).module.encoder.config
    assert config.num_hidden_layers == 2
    assert not list(whole.fit.path.parent.glob(".*student"))


def test_it_can_be_a_teacher_and_a_base(
    whole: Distilled,
    train_texts: Dataset,
    dev_texts: Dataset,
    student_recipe: Recipe,
    tmp_path: Path,
) -> None:
    short = dataclasses.replace(student_recipe, epochs=1)
    again = distil(whole.fit.path, train_texts, dev_texts, short, tmp_path / "a", layers=1)
    assert again.layers == (1,)
    based = dataclasses.replace(short, base=str(whole.fit.path))
    assert fit(train_texts, dev_texts, based, tmp_path / "b").epochs == 1


def test_words_of_unlabelled_texts_are_learnt_and_kept(
    tagger: Path,
    train_sentences: Dataset,
    dev_sentences: Dataset,
    student_recipe: Recipe,
    tmp_path: Path,
) -> None:
    corpus = [TaggedExample(1, ("zq", "anna")), TaggedExample(2, ("lima", "7"))]
    recipe = dataclasses.replace(student_recipe, epochs=1)
    found = distil(
        tagger, train_sentences, dev_sentences, recipe, tmp_path / "s", layers=2, corpus=corpus
    )
    assert found.unlabelled == 2
    assert found.fit.examples == 98
    name = "encoder.embeddings.word_embeddings.weight"
    before, after = (load_file(f / "model.safetensors")[name] for f in (tagger, tmp_path / "s"))
    seven = checkpoint.load(tagger).tokenizer.token_to_id("7")
    unused = checkpoint.load(tagger).tokenizer.token_to_id("8")
    assert not np.array_equal(before[seven], after[seven])
    assert np.array_equal(before[unused], after[unused])


def test_a_static_student_learns_the_answers(
    teacher: Path, train_texts: Dataset, dev_texts: Dataset, deep: Recipe, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(deep, learning_rate=None, epochs=None, patience=20)
    given = (teacher, train_texts, dev_texts, recipe, tmp_path / "s")
    found = distil(*given, student="static")
    assert found.layers == ()
    assert found.fit.score > 0.9
    assert checkpoint.load(tmp_path / "s").module.encoder.config.hidden_size == 32
    with pytest.raises(TrainError, match="no layers to match"):
        distil(*given, student="static", weights=Weights(soft=0))
    with pytest.raises(TrainError, match="static encoder already"):
        distil(tmp_path / "s", *given[1:4], tmp_path / "t", student="static")
    with pytest.raises(TrainError, match="no layers that a student"):
        distil(tmp_path / "s", *given[1:4], tmp_path / "t", layers=1)


def test_what_the_recipe_leaves_open_is_chosen_by_the_number_of_texts() -> None:
    open_recipe = Recipe(max_length=64, casing="off")
    short, long = reads(32), reads(128)
    chosen = module.suited(open_recipe, 12_000, short, "layers")
    assert (chosen.epochs, chosen.learning_rate, chosen.max_length) == (10, 5e-4, 32)
    assert module.suited(open_recipe, 100, long, "layers").epochs == 30
    assert module.suited(open_recipe, 10**6, long, "layers").epochs == 6
    assert module.suited(open_recipe, 100, long, "static") == open_recipe
    given = Recipe(epochs=2, learning_rate=1e-5, casing="off")
    assert module.suited(given, 100, long, "layers") == given
    assert (
        module.suited(given, 100, dataclasses.replace(long, casing=True), "layers").casing == "on"
    )


def reads(longest: int) -> checkpoint.Meta:
    """A teacher of texts of so many tokens."""
    return checkpoint.Meta(
        task="text-classification",
        labels=("a", "b"),
        max_length=longest,
        base="minilm",
        base_sha256="",
        score_name="accuracy",
        score=0.0,
        epoch=1,
        recipe={},
    )


@pytest.mark.parametrize("steps", [0, 3, 30])
def test_a_stopped_run_ends_with_the_same_weights(
    steps: int,
    whole: Distilled,
    teacher: Path,
    train_texts: Dataset,
    dev_texts: Dataset,
    student_recipe: Recipe,
    tmp_path: Path,
) -> None:
    def go(**more: object) -> Distilled:
        return distil(
            teacher, train_texts, dev_texts, student_recipe, tmp_path / "s",
            layers=2, augment=1, name="bank@1", **more,
        )  # fmt: skip

    assert go(should_stop=stop_after(steps)).fit.interrupted
    resumed = go(resume=True)
    assert not resumed.fit.interrupted
    assert same(resumed.fit.path, whole.fit.path)


def test_a_run_is_not_gone_on_with_by_another_loss(
    teacher: Path,
    train_texts: Dataset,
    dev_texts: Dataset,
    student_recipe: Recipe,
    tmp_path: Path,
) -> None:
    given = (teacher, train_texts, dev_texts, student_recipe, tmp_path / "s")
    distil(*given, layers=2, should_stop=stop_after(5))
    with pytest.raises(TrainError, match="another loss"):
        distil(*given, layers=2, weights=Weights(temperature=5.0), resume=True)
    with pytest.raises(TrainError, match="another encoder and layers"):
        distil(*given, layers=3, resume=True)


def test_where_memory_is_short_the_teacher_answers_anew(
    teacher: Path,
    train_texts: Dataset,
    dev_texts: Dataset,
    student_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "room", lambda: 10)
    said: list[str] = []
    recipe = dataclasses.replace(student_recipe, epochs=2)
    found = distil(
        teacher, train_texts, dev_texts, recipe, tmp_path / "s", layers=2, on_step=said.append
    )
    assert found.fit.score > 0.5
    assert any("answers again in each step" in line for line in said)


def test_labels_alone_are_ordinary_training(
    teacher: Path,
    train_texts: Dataset,
    dev_texts: Dataset,
    student_recipe: Recipe,
    tmp_path: Path,
) -> None:
    weights = Weights(soft=0, hidden=0, hard=1)
    found = distil(
        teacher, train_texts, dev_texts, student_recipe, tmp_path / "s", layers=2, augment=1,
        weights=weights,
    )  # fmt: skip
    assert found.fit.score > 0.9


def test_what_cannot_be_distilled_is_a_sentence(
    teacher: Path,
    train_texts: Dataset,
    dev_texts: Dataset,
    dev_sentences: Dataset,
    student_recipe: Recipe,
    tmp_path: Path,
) -> None:
    def go(train: Dataset = train_texts, dev: Dataset = dev_texts, layers: int = 2) -> None:
        distil(teacher, train, dev, student_recipe, tmp_path / "s", layers=layers)

    others = dataset([Example(1, "lost", "lost"), Example(2, "hello", "greeting")], "others")
    with pytest.raises(TrainError, match="1 label that the teacher does not know: greeting"):
        go(train=others)
    with pytest.raises(TrainError, match=r"is for text-classification, but .* token-class"):
        go(dev=dev_sentences)
    with pytest.raises(TrainError, match="teacher has 4"):
        go(layers=5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"temperature": 0.0}, "above it"),
        ({"hidden": -1.0}, "hidden is -1.0"),
        ({"soft": float("nan")}, "soft is nan"),
        ({"soft": 0.0, "hidden": 0.0}, "nothing to learn from"),
    ],
)
def test_weights_out_of_range(knobs: dict[str, float], sentence: str) -> None:
    with pytest.raises(TrainError, match=sentence):
        Weights(**knobs)
