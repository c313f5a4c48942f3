"""What this machine offers a training run: device, precision, threads, and memory that is kept."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch

from freehold.errors import TrainError
from freehold.train.recipe import Precision

__all__ = ["Hardware", "choose", "settled", "within_memory"]

# malloc.h of the GNU C library
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


@dataclass(frozen=True, slots=True)
class Hardware:
    device: torch.device
    bf16: bool

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "fp32"

    @property
    def attention(self) -> str:
        """Attention by plain matrix products on a CPU: at the lengths of short texts, the backward
        pass of the fused kernel there takes several times as long (measured)."""
        return "eager" if self.device.type == "cpu" else "sdpa"

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def choose(precision: Precision) -> Hardware:
    """The first CUDA device, else the CPU; `auto` is bf16 where the hardware multiplies it."""
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    bf16 = precision == "bf16" or (precision == "auto" and _multiplies_bf16(device))
    return Hardware(device, bf16)


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


@contextmanager
def within_memory(batch_tokens: int) -> Iterator[None]:
    """What torch and Python say when no memory is left, as a TrainError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch.OutOfMemoryError is a GPU's; a CPU's allocator has only its words.
        gone = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not gone and "allocate memory" not in str(error):
            raise
        raise TrainError(
            f"There is not enough memory for steps of {batch_tokens:,} tokens.",
            hint="Give a smaller --batch-tokens, or a smaller --max-length.",
        ) from error


@contextmanager
def settled(threads: int | None, seed: int) -> Iterator[int]:
    """Fix torch's threads and generator for a run, yield the number of threads, and put both back.

    Denormals are flushed: Adam's second moments are full of them, and each costs a hundred cycles.
    """
    before, state = torch.get_num_threads(), torch.get_rng_state()
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    _keep_freed_memory()
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_flush_denormal(False)
        torch.set_rng_state(state)
        torch.set_num_threads(before)


def _keep_freed_memory() -> None:
    """Have malloc keep what is freed. A step frees and asks for the same tens of megabytes again;
    by default each goes back to the kernel, and comes again as pages to be zeroed (7 % of a step).
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library: slower, not wrong
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
