"""How an engine uses the machine: few shapes for all batches; what was measured, or asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freehold.serve.tuning import MOST_ROWS, MOST_TOKENS, Tuning, padded, pieces


@given(st.integers(1, 300), st.integers(1, 512), st.integers(1, 8))
def test_pieces_are_the_batch_in_sizes_that_are_powers_of_two(
    rows: int, length: int, streams: int
) -> None:
    found = pieces(rows, length, streams)
    assert [row for part in found for row in range(part.start, part.stop)] == list(range(rows))
    sizes = [part.stop - part.start for part in found]
    assert all(size & (size - 1) == 0 and size <= MOST_ROWS for size in sizes)
    assert all(size == 1 or size * length <= MOST_TOKENS for size in sizes)
    assert max(sizes) <= -(-rows // streams)


@given(st.integers(1, 512), st.integers(1, 32), st.integers(512, 600))
def test_padding_is_never_less_and_little_more(length: int, step: int, longest: int) -> None:
    wide = padded(length, step, longest)
    assert length <= wide <= longest
    assert wide - length < max(step, length / 4)


def test_few_lengths_stand_for_all() -> None:
    assert {padded(length, 8, 128) for length in range(1, 129)} == {
        8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128,
    }  # fmt: skip
    assert len({padded(length, 8, 512) for length in range(1, 513)}) == 20
    assert padded(127, 8, 127) == 127  # the model reads no more
    assert padded(77, 1, 512) == 77


def test_what_was_measured_is_used_as_far_as_the_cores_go_and_what_is_asked_for_wins() -> None:
    recorded = {"threads": 4, "streams": 4, "step": 16}
    assert Tuning.of(recorded, 8) == Tuning(4, 4, 16)
    assert Tuning.of(recorded, 2) == Tuning(2, 2, 16)
    assert Tuning.of(recorded, 8, 1) == Tuning(1, 1, 16)
    assert Tuning.of({}, 2) == Tuning(2, 1, 8)
