"""PROOF: of tens of thousands of spoilt receipts, state proofs and access logs the verifier takes none that lies.

A mutant may happen to say something that is true, of another key that is absent too: that is checked against the whole
state of that height. Everything else is refused, with a typed reason.
"""

import functools
from collections import Counter
from collections.abc import Callable

import pytest

from proofs.spoil import Archive, Spoiler
from rows import Span
from xinglin.base import codec
from xinglin.base.check import NotVerified
from xinglin.client import verify_file
from xinglin.client.codes import ClientCode
from xinglin.client.verify import KINDS, Completeness
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.outcome import Closing
from xinglin.kernel.receipt import Receipt

REASONS = {KernelCode.FILE_NOT_UNDERSTOOD, KernelCode.OTHER_NETWORK, KernelCode.MANIFEST_NOT_VALID,
           KernelCode.CHECKPOINT_NOT_VALID, KernelCode.EVENTS_DO_NOT_MATCH, KernelCode.NOT_IN_HISTORY,
           KernelCode.NOT_IN_STATE, KernelCode.LIST_NOT_COMPLETE, ClientCode.KIND_NOT_KNOWN}


@functools.cache
def spoiler() -> Spoiler:
    archive, other = Archive(founders=("A", "B", "C")), Archive(founders=("B", "A"))
    archive.eventful()
    for number in range(6):                      # blocks of several outcomes, whose parts are of one tree
        archive.block(*[archive.transaction(said) for said in (
            archive.request("B.doctor", "mei"), archive.request("C.doctor", "li"), archive.request("C.doctor", "mei"),
            archive.register("A.service", "mei"), archive.anchor("A.service", 8 + number))])
    other.furnished()
    return Spoiler(archive, other)


def judged(one: Spoiler, data: bytes) -> str:
    """The reason for which it is refused; "true" of a file that says nothing false. Raises what is not documented."""
    try:
        verify_file(data, one.archive.network, one.archive.modules)
    except NotVerified as refused:
        assert refused.code in REASONS, refused
        return refused.code.name
    return "true" if says_what_is(one.archive, data) else "a lie"


def says_what_is(archive: Archive, data: bytes) -> bool:
    """Whether a file that was taken is one of the good ones, or tells of a row what the state of that height has."""
    if data in spoiler().good:
        return True
    kind = KINDS[codec.decoder(list).decode(data)[0]]
    if kind is Receipt:
        return False
    file = codec.decode(data, kind)
    proof = file.log if isinstance(file, Completeness) else file
    height = codec.decode(proof.closing.leaf, Closing).height
    row = archive.states[height].get(archive.modules.tables[proof.table].store_prefix + proof.key)
    return row == proof.row and (not isinstance(file, Completeness) or (
        file.entries == archive.entries(proof.key)[:len(file.entries)]))


def test_the_files_themselves_are_good() -> None:
    one = spoiler()
    assert len(one.archive.receipts) > 40 and len(one.archive.rows) > 200 and len(one.archive.complete) > 10
    assert {judged(one, data) for data in one.raws} == {"true"}


@pytest.mark.row("PROOF")
def test_no_spoilt_file_is_taken_for_what_it_is_not(span: Span, record_property: Callable[[str, object], None]) -> None:
    one = spoiler()
    found: Counter[str] = Counter()
    for number in span:
        verdict = judged(one, one.mutant(number))
        assert verdict != "a lie", f"Spoiler.mutant({number})"
        found[verdict] += 1
    record_property("refused", span.count - found["true"])
    record_property("true all the same", found["true"])
    assert found["true"] < span.count // 50
    assert {*found} >= {code.name for code in REASONS - {ClientCode.KIND_NOT_KNOWN}} or span.count < 5_000


class AlwaysEqual:
    """A hash, or a row, that is whatever it is compared with."""

    def __getattr__(self, name: str) -> "AlwaysEqual":
        return self

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


@pytest.mark.parametrize(("step", "forgotten"), [
    ("kernel.receipt.verify_in_history", lambda *_: None), ("kernel.receipt.events_hash", lambda *_: AlwaysEqual()),
    ("base.note.verify", lambda *_: None), ("base.sparse.verify_presence", lambda *_: None),
    ("base.sparse.verify_absence", lambda *_: None), ("modules.access.running_of", lambda *_: AlwaysEqual())])
def test_a_verifier_that_forgets_a_step_is_found(monkeypatch: pytest.MonkeyPatch, step: str,
                                                 forgotten: Callable[..., object]) -> None:
    one = spoiler()
    monkeypatch.setattr(f"xinglin.{step}", forgotten)
    assert "a lie" in {judged(one, one.mutant(number)) for number in range(6_000)}
