"""The encoders that look up: their answers, their files, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from freehold.errors import TrainError
from freehold.serve.engine import Engine
from freehold.tasks.types import Dataset
from freehold.train import bag
from freehold.train.bag import features, fit_bag, tfidf
from freehold.train.checkpoint import load
from freehold.train.encoders import EncoderFiles, find, load_encoder, load_tokenizer
from freehold.train.finetune import fit
from freehold.train.lookup import BagConfig, StaticConfig, build, is_lookup
from freehold.train.predict import logits
from freehold.train.recipe import Recipe
from freehold.train.static import EPOCHS, LEARNING_RATE, static_student, suited, weights


@pytest.fixture(scope="session")
def static(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> EncoderFiles:
    return static_student(find(str(encoder)), tmp_path_factory.mktemp("static") / "it", dims=16)


@pytest.fixture(scope="session")
def a_bag(
    encoder: Path,
    train_texts: Dataset,
    dev_texts: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("bag") / "it"
    return fit_bag(train_texts, dev_texts, Recipe(base=str(encoder)), out).path


def test_a_token_s_vector_does_not_depend_on_its_neighbours(static: EncoderFiles) -> None:
    encoder = load_encoder(static, attention="eager").eval()
    tokenizer = load_tokenizer(static.folder)
    with torch.no_grad():
        one, other = (
            encoder(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
            for text in ("lost bike", "please lost")
        )
    assert torch.equal(one[0, 1], other[0, 2])
    assert one.shape == (1, 4, 16)
    assert not one[0, 0].any()  # a special token stands for no text
    assert one[0, 1].any()


def test_frequent_tokens_weigh_less() -> None:
    found = weights(1000)
    assert (np.diff(found) > 0).all()
    assert 0 < found[0] < 0.1
    assert found[-1] < 1


def test_the_same_source_gives_the_same_bytes(encoder: Path, tmp_path: Path) -> None:
    source = find(str(encoder))
    told: list[tuple[int, int]] = []
    one = static_student(
        source, tmp_path / "one", dims=8, on_progress=lambda *now: told.append(now)
    )
    assert one.sha256 == static_student(source, tmp_path / "two", dims=8).sha256
    assert told[-1][0] == told[-1][1] > 100


def test_more_dimensions_than_the_source_has_are_those_it_has(
    encoder: Path, tmp_path: Path
) -> None:
    made = static_student(find(str(encoder)), tmp_path / "wide", dims=500)
    assert made.config()["hidden_size"] == 32


def test_a_static_encoder_is_no_source_of_another(static: EncoderFiles, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="already"):
        static_student(static, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("kind", ["texts", "sentences"])
def test_a_static_encoder_learns_as_any_base(
    static: EncoderFiles, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    train, dev = (request.getfixturevalue(f"{split}_{kind}") for split in ("train", "dev"))
    recipe = Recipe(base=str(static.folder), learning_rate=0.02, batch_tokens=64, threads=1)
    result = fit(train, dev, recipe, tmp_path / "out")
    assert result.score > 0.9
    assert result.dev_logits is not None
    again = logits(result.path, dev.examples)
    for here, there in zip(result.dev_logits, again, strict=True):
        np.testing.assert_allclose(here, there, atol=1e-5)


def test_a_static_encoder_has_a_learning_rate_of_its_own(
    static: EncoderFiles, encoder: Path
) -> None:
    open_ends = suited(Recipe(), static)
    assert (open_ends.learning_rate, open_ends.epochs) == (LEARNING_RATE, EPOCHS)
    given = suited(Recipe(learning_rate=0.1, epochs=2), static)
    assert (given.learning_rate, given.epochs) == (0.1, 2)
    assert suited(Recipe(), find(str(encoder))) == Recipe()


def test_a_bag_answers_as_scikit_learn_does(
    a_bag: Path, encoder: Path, train_texts: Dataset, dev_texts: Dataset
) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    tokenizer = load_tokenizer(encoder)
    texts = [example.text for example in dev_texts.examples]
    texts += ["", "zzz unknown 9", "lost lost lost refund refund", "bike"]

    def numbers(some: list[str]) -> list[list[int]]:
        ids = [np.array(e.ids, np.int32) for e in tokenizer.encode_batch(some)]
        return list(features(ids, tokenizer))

    judge = make_pipeline(tfidf(least=1), LinearSVC(C=bag.PENALTY, random_state=0))
    judge.fit(
        numbers([example.text for example in train_texts.examples]),
        [example.label for example in train_texts.examples],
    )
    expected = judge.decision_function(numbers(texts))
    model = load(a_bag)
    ids = [torch.tensor(e.ids) for e in tokenizer.encode_batch(texts)]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    lengths = torch.tensor([len(row) for row in ids])
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    with torch.no_grad():
        np.testing.assert_allclose(model.module(padded, mask), expected, atol=2e-5)
        for row, right in zip(ids, expected, strict=True):
            np.testing.assert_allclose(model.module(row[None])[0], right, atol=2e-5)


def test_of_two_labels_a_bag_keeps_the_margin(
    encoder: Path, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    from little import dataset

    two = [
        dataset([e for e in data.examples if e.label in ("lost", "price")])
        for data in (train_texts, dev_texts)
    ]
    result = fit_bag(*two, Recipe(base=str(encoder)), tmp_path / "two")
    assert result.score > 0.9
    rows = np.stack(logits(result.path, two[1].examples))
    np.testing.assert_allclose(rows[:, 0], -rows[:, 1], atol=1e-5)


def test_a_bag_is_for_texts_with_a_label(
    encoder: Path, train_sentences: Dataset, dev_sentences: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match="not token-classification"):
        fit_bag(train_sentences, dev_sentences, Recipe(base=str(encoder)), tmp_path / "no")


def test_a_bag_is_not_trained_further(
    a_bag: Path, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match="finished model"):
        fit(train_texts, dev_texts, Recipe(base=str(a_bag), threads=1), tmp_path / "no")


@pytest.mark.parametrize("kind", ["bag", "static"])
def test_they_export_and_serve_without_torch(
    kind: str,
    a_bag: Path,
    static: EncoderFiles,
    train_texts: Dataset,
    dev_texts: Dataset,
    tmp_path: Path,
) -> None:
    from freehold.export.bundle import export

    checkpoint = a_bag
    if kind == "static":
        recipe = Recipe(base=str(static.folder), learning_rate=0.02, threads=1, epochs=3)
        checkpoint = fit(train_texts, dev_texts, recipe, tmp_path / "run").path
    report = export(
        checkpoint,
        tmp_path / "bundle",
        model="m",
        version=1,
        temperature=1.0,
        dev=dev_texts,
        open_engine=Engine.open,
        threads=1,
    )
    assert report.agreement == 1
    engine = Engine.open(report.bundle, threads=1)
    encoded = engine.encode([example.text for example in dev_texts.examples])
    for found, expected in zip(
        engine.run(encoded), logits(checkpoint, dev_texts.examples), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "freehold-static", "vocab_size": 10},
        {"model_type": "freehold-static", "vocab_size": "10", "hidden_size": 4},
        {"model_type": "freehold-bag", "vocab_size": 5, "hidden_size": 2, "surprise": 1},
    ],
)
def test_a_damaged_config_is_one_sentence(config: dict[str, object]) -> None:
    assert is_lookup(config)
    with pytest.raises(TrainError, match="damaged"):
        build(config)


def test_weights_that_do_not_fit_are_one_sentence(static: EncoderFiles, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(static.folder, tmp_path / "copy"))
    weights = load_file(copy / "model.safetensors")
    save_file(
        {"embedding.weight": weights["embedding.weight"][:5].copy()}, copy / "model.safetensors"
    )
    with pytest.raises(TrainError) as caught:
        load_encoder(find(str(copy)), attention="eager")
    assert "\n" not in caught.value.sentence()


def test_the_config_of_each_is_read_back(static: EncoderFiles, a_bag: Path) -> None:
    for folder, kind in ((static.folder, StaticConfig), (a_bag, BagConfig)):
        document = json.loads((folder / "config.json").read_text())
        assert isinstance(build(document).config, kind)
