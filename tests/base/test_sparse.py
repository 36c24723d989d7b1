"""base.sparse against its definition written a second time, and its vectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinglin.base import codec, sparse
from xinglin.base.check import InvariantBroken, NotUnderstood, ProofInvalid
from xinglin.base.crypto import HASH_SUITES, SHA256
from xinglin.base.sparse import EMPTY, StateProof, prove, root_of, verify_absence, verify_presence

VECTORS = Path(__file__).resolve().parents[1] / "golden" / "vectors" / "sparse.json"
H = SHA256.digest


# -- the definition, recursive, over strings of bits, sharing nothing with base.sparse

def bits(path: bytes) -> str:
    return f"{int.from_bytes(path, 'big'):0256b}"


def defined_root(leaves: dict[bytes, bytes], depth: int = 0) -> bytes:
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        [(path, row_hash)] = leaves.items()
        return H(b"\x03" + path + row_hash)
    left = {path: row for path, row in leaves.items() if bits(path)[depth] == "0"}
    right = {path: row for path, row in leaves.items() if bits(path)[depth] == "1"}
    return H(b"\x04" + defined_root(left, depth + 1) + defined_root(right, depth + 1))


def defined_siblings(leaves: dict[bytes, bytes], path: bytes, depth: int = 0) -> list[bytes]:
    if len(leaves) < 2:
        return []
    same = {p: row for p, row in leaves.items() if bits(p)[depth] == bits(path)[depth]}
    other = {p: row for p, row in leaves.items() if p not in same}
    return [defined_root(other, depth + 1), *defined_siblings(same, path, depth + 1)]


# -- paths that share long prefixes as often as none

def a_path(head: bytes, tail: bytes) -> bytes:
    return head + bytes(32 - len(head) - len(tail)) + tail


paths = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(a_path, st.binary(max_size=2), st.binary(max_size=1)),
)
rows = st.binary(min_size=32, max_size=32)
trees = st.dictionaries(paths, rows, max_size=24)


@given(trees, paths)
@settings(max_examples=100, deadline=None)
def test_roots_and_proofs_are_what_the_definition_says(leaves: dict[bytes, bytes], path: bytes) -> None:
    root = root_of(SHA256, leaves)
    assert root == defined_root(leaves)
    for at in (path, *leaves):
        proof = prove(SHA256, leaves, at)
        assert list(proof.siblings) == defined_siblings(leaves, at)
        if at in leaves:
            assert proof.other is None
            verify_presence(SHA256, root, at, leaves[at], proof)
        else:
            verify_absence(SHA256, root, at, proof)


@given(trees, paths, rows)
@settings(max_examples=200, deadline=None)
def test_no_proof_shows_the_opposite(leaves: dict[bytes, bytes], path: bytes, row: bytes) -> None:
    if leaves and path[0] % 2:
        path = max(leaves)
    root = root_of(SHA256, leaves)
    proof = prove(SHA256, leaves, path)
    if path in leaves:
        itself = StateProof(siblings=proof.siblings, other=(path, leaves[path]))
        for forged in (proof, itself):
            with pytest.raises(ProofInvalid):
                verify_absence(SHA256, root, path, forged)
        if row != leaves[path]:
            with pytest.raises(ProofInvalid):
                verify_presence(SHA256, root, path, row, proof)
    else:
        with pytest.raises(ProofInvalid):
            verify_presence(SHA256, root, path, row, proof)
        without_other = StateProof(siblings=proof.siblings, other=None)
        with pytest.raises(ProofInvalid):
            verify_presence(SHA256, root, path, row, without_other)


def flipped(some: bytes, bit: int) -> bytes:
    return (int.from_bytes(some, "big") ^ 1 << bit).to_bytes(len(some), "big")


def changed_proofs(proof: StateProof, bit: int) -> list[StateProof]:
    """Every proof one step away from this one."""
    siblings, other = list(proof.siblings), proof.other
    lists = [[*siblings, EMPTY], [EMPTY, *siblings], [*siblings, H(b"more")], [H(b"more"), *siblings]]
    for at, sibling in enumerate(siblings):
        lists.append([*siblings[:at], flipped(sibling, bit), *siblings[at + 1 :]])
        lists.append([*siblings[:at], *siblings[at + 1 :]])
        lists.append([*siblings[:at], EMPTY, *siblings[at:]])
    for at in range(len(siblings) - 1):
        lists.append([*siblings[:at], siblings[at + 1], siblings[at], *siblings[at + 2 :]])
    changed = [StateProof(siblings=tuple(some), other=other) for some in lists if some != siblings]
    if other is None:
        others = [(H(b"path"), H(b"row"))]
    else:
        others = [None, (flipped(other[0], bit), other[1]), (other[0], flipped(other[1], bit)), other[::-1]]
    return changed + [StateProof(siblings=proof.siblings, other=some) for some in others]


@given(st.dictionaries(paths, rows, max_size=12), paths, st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_every_change_to_a_proof_is_refused(leaves: dict[bytes, bytes], path: bytes, bit: int) -> None:
    root = root_of(SHA256, leaves)
    for at in (path, *leaves):
        for proof in changed_proofs(prove(SHA256, leaves, at), bit):
            with pytest.raises(ProofInvalid):
                if at in leaves:
                    verify_presence(SHA256, root, at, leaves[at], proof)
                else:
                    verify_absence(SHA256, root, at, proof)


@given(st.dictionaries(paths, rows, min_size=1, max_size=12), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_proof_holds_for_its_root_and_row_alone(leaves: dict[bytes, bytes], bit: int) -> None:
    root, path = root_of(SHA256, leaves), min(leaves)
    proof = prove(SHA256, leaves, path)
    with pytest.raises(ProofInvalid):
        verify_presence(SHA256, flipped(root, bit), path, leaves[path], proof)
    with pytest.raises(ProofInvalid):
        verify_presence(SHA256, root, flipped(path, bit), leaves[path], proof)
    with pytest.raises(ProofInvalid):
        verify_presence(SHA256, root, path, flipped(leaves[path], bit), proof)


def test_two_paths_that_differ_in_the_last_bit_meet_256_levels_down() -> None:
    left, right, row = bytes(32), bytes(31) + b"\x01", H(b"row")
    leaves = {left: row, right: H(b"other")}
    proof = prove(SHA256, leaves, left)
    assert len(proof.siblings) == 256 and proof.siblings[:255] == (EMPTY,) * 255
    verify_presence(SHA256, root_of(SHA256, leaves), left, row, proof)
    sparse_path = bytes(31) + b"\x02"
    verify_absence(SHA256, root_of(SHA256, leaves), sparse_path, prove(SHA256, leaves, sparse_path))


def test_a_lone_leaf_below_empty_siblings_is_refused_under_any_root() -> None:
    path, row = bytes(32), H(b"row")
    root = sparse.node_hash(SHA256, sparse.leaf_hash(SHA256, path, row), EMPTY)
    with pytest.raises(ProofInvalid, match="stand higher"):
        verify_presence(SHA256, root, path, row, StateProof(siblings=(EMPTY,), other=None))


@pytest.mark.parametrize("proof", [
    StateProof(siblings=(b"short",), other=None),
    StateProof(siblings=(H(b""),) * 257, other=None),
    StateProof(siblings=(), other=(b"short", H(b"row"))),
    StateProof(siblings=(), other=(H(b"path"), b"short")),
    StateProof(siblings=(), other=(H(b"path"),)),  # type: ignore[arg-type]
])
def test_a_proof_that_was_not_decoded_is_judged_all_the_same(proof: StateProof) -> None:
    with pytest.raises(ProofInvalid):
        verify_absence(SHA256, EMPTY, bytes(32), proof)


def test_a_root_or_path_of_another_length_is_refused() -> None:
    nothing = StateProof(siblings=(), other=None)
    verify_absence(SHA256, EMPTY, bytes(32), nothing)
    for root, path in ((bytes(31), bytes(32)), (EMPTY, bytes(31)), (EMPTY, bytes(33))):
        with pytest.raises(ProofInvalid):
            verify_absence(SHA256, root, path, nothing)


def test_a_proof_has_one_encoding_and_no_room_for_more() -> None:
    codec.form(StateProof)
    leaves = {bytes((n,)) * 32: H(bytes((n,))) for n in range(9)}
    for path in (bytes(32), b"\xee" * 32, b"\x01" + bytes(31)):
        proof = prove(SHA256, leaves, path)
        data = codec.encode(proof)
        assert codec.decode(data, StateProof) == proof
        for bad in (b"\x93" + data[1:] + b"\xc0", b"\x91" + data[1:-1], data + b"\x00", data[:-1]):
            with pytest.raises(NotUnderstood):
                codec.decode(bad, StateProof)


def test_lengths_that_do_not_fit_a_path_are_refused() -> None:
    assert sparse.path_of(SHA256, "t", b"k") == H(b"\x02\x01t\x00\x01k")
    assert sparse.path_of(SHA256, "药", b"") == H(b"\x02\x03" + "药".encode() + b"\x00\x00")
    for table, key in (("t" * 256, b""), ("药" * 86, b""), ("t", bytes(65_536))):
        with pytest.raises(NotUnderstood):
            sparse.path_of(SHA256, table, key)


def test_a_leaf_of_another_length_is_our_own_bug() -> None:
    for leaves in ({b"short": H(b"")}, {H(b""): b"short"}):
        with pytest.raises(InvariantBroken):
            root_of(SHA256, leaves)


def test_the_vectors_hold() -> None:
    for suite in json.loads(VECTORS.read_text())["suites"]:
        hashes = HASH_SUITES[suite["suite"]]
        for case in suite["paths"]:
            path = sparse.path_of(hashes, case["table"], bytes.fromhex(case["key"]))
            assert path.hex() == case["path"]
        for case in suite["trees"]:
            leaves = {bytes.fromhex(path): bytes.fromhex(row) for path, row in case["leaves"].items()}
            root = bytes.fromhex(case["root"])
            assert root_of(hashes, leaves) == root
            for shown in case["proofs"]:
                path, encoded = bytes.fromhex(shown["path"]), bytes.fromhex(shown["proof"])
                proof = codec.decode(encoded, StateProof)
                assert proof == prove(hashes, leaves, path)
                if shown["row_hash"] is None:
                    verify_absence(hashes, root, path, proof)
                else:
                    verify_presence(hashes, root, path, bytes.fromhex(shown["row_hash"]), proof)
