"""Statements by which a log's keys are replaced: each is signed by a key that is known before it."""

import pytest

from worlds import key_named
from xinglin.base.check import ProofInvalid
from xinglin.base.note import KeyUse, NoteKey
from xinglin.base.succession import read_successors, statement

ORIGIN = "xinglin/city-0011223344556677"
FIRST, SECOND, THIRD, FORGER = (key_named(name) for name in ("first", "second", "third", "forger"))


def named(key: object, name: str = "operator", use: KeyUse = KeyUse.LOG) -> NoteKey:
    return NoteKey(name, use, key.public)  # type: ignore[attr-defined]


KNOWN = (named(FIRST),)
CHAIN = statement(ORIGIN, named(SECOND), FIRST) + statement(ORIGIN, named(THIRD), SECOND)


def test_a_chain_from_a_known_key_names_all_that_came_after_it() -> None:
    assert read_successors(b"", ORIGIN, KNOWN) == ()
    assert read_successors(CHAIN, ORIGIN, KNOWN) == (named(SECOND), named(THIRD))


def test_a_statement_is_a_note_of_these_bytes() -> None:
    text, _, line = statement(ORIGIN, named(SECOND), FIRST).partition(b"\n\n")
    assert text.decode() == f"xinglin.successor/1\n{ORIGIN}\n{named(SECOND).text()}"
    assert line.startswith("— operator ".encode()) and line.endswith(b"=\n")


def test_a_key_in_use_may_name_another_where_the_first_that_it_named_was_lost() -> None:
    both = statement(ORIGIN, named(SECOND), FIRST) + statement(ORIGIN, named(THIRD), FIRST)
    assert read_successors(both, ORIGIN, KNOWN) == (named(SECOND), named(THIRD))


LIES = {
    "a log line, as it once was": f"log {named(FORGER).text()}\nquorum none\n".encode(),
    "signed by itself": statement(ORIGIN, named(FORGER), FORGER),
    "behind a good one, by nobody known": CHAIN + statement(ORIGIN, named(FORGER), FORGER),
    "the first one left out": statement(ORIGIN, named(THIRD), SECOND),
    "in the other order": statement(ORIGIN, named(THIRD), SECOND) + statement(ORIGIN, named(SECOND), FIRST),
    "of another log": statement(ORIGIN + "8", named(SECOND), FIRST),
    "for another name": statement(ORIGIN, named(SECOND, "other"), FIRST),
    "for a witness": statement(ORIGIN, named(SECOND, use=KeyUse.WITNESS), FIRST),
    "for a key that is known": CHAIN + statement(ORIGIN, named(FIRST), THIRD),
    "with another key in it": CHAIN.replace(named(SECOND).text().encode(), named(FORGER).text().encode()),
    "cut off": CHAIN[:-1],
    "a line short": CHAIN[:-20].rpartition(b"\n")[0] + b"\n",
    "no text": b"\n" * 5,
}


@pytest.mark.parametrize("data", LIES.values(), ids=LIES)
def test_what_no_known_key_has_stated_is_refused(data: bytes) -> None:
    with pytest.raises(ProofInvalid):
        read_successors(data, ORIGIN, KNOWN)


def test_no_byte_of_a_chain_can_be_another() -> None:
    for at in range(len(CHAIN)):
        spoiled = bytearray(CHAIN)
        spoiled[at] ^= 1
        with pytest.raises(ProofInvalid):
            read_successors(bytes(spoiled), ORIGIN, KNOWN)
