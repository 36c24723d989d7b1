import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinglin.base.check import NotUnderstood
from xinglin.client import paper
from xinglin.client.codes import ClientCode

SEEDS = st.binary(min_size=32, max_size=32)


@given(SEEDS)
def test_a_seed_is_read_as_it_was_written_however_it_is_spaced(seed: bytes) -> None:
    text = paper.written(seed)
    assert len(text.split()) == 17
    for spaced in (text, text.replace(" ", ""), text.replace(" ", "-"), text.upper(), f"  {text}\n"):
        assert paper.read(spaced) == seed


@given(SEEDS, st.integers(0, 67), st.integers(1, 15))
def test_one_wrong_digit_is_noticed(seed: bytes, at: int, by: int) -> None:
    digits = list(paper.written(seed).replace(" ", ""))
    digits[at] = f"{(int(digits[at], 16) + by) % 16:x}"
    with pytest.raises(NotUnderstood) as refused:
        paper.read("".join(digits))
    assert refused.value.code is ClientCode.SEED_NOT_VALID


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 33, "ab" * 35, "ab" * 32])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        paper.read(text)


def test_the_written_form_does_not_change() -> None:
    assert paper.written(bytes(range(32))).endswith(" 1c1d 1e1f " + paper.written(bytes(range(32)))[-4:])
    assert paper.read(paper.written(bytes(32))) == bytes(32)
