"""base.history against RFC 9162 written a second time, its vectors, and the transparency-dev test data."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinglin.base import codec
from xinglin.base.check import NotUnderstood, ProofInvalid
from xinglin.base.crypto import HASH_SUITES, SHA256
from xinglin.base.history import (
    Appended,
    Frontier,
    FrontierRow,
    append,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
    tree,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "golden" / "vectors"
DATA = Path(os.environ.get("XINGLIN_DATA", ROOT.parent / "shared" / "data")) / "merkle-rfc6962"
H = SHA256.digest


# -- RFC 9162 2.1, as it is written there: recursive, over the whole list, sharing nothing with base.history


def split(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: list[bytes]) -> bytes:
    if not d:
        return H(b"")
    if len(d) == 1:
        return H(b"\x00" + d[0])
    k = split(len(d))
    return H(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m: int, d: list[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = split(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def proof(m: int, d: list[bytes]) -> list[bytes]:
    return subproof(m, d, True) if 0 < m < len(d) else []


# -- a log as an engine keeps one


def entries(n: int) -> list[bytes]:
    return [b"entry %d" % i for i in range(n)]


class Log:
    """Grows by blocks and has every complete subtree; asked for anything else it fails."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.leaves: list[bytes] = []
        self.nodes: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        assert (index + 1) << level <= len(self.leaves), "only a complete subtree is known for ever"
        if level == 0:
            return self.leaves[index]
        if (level, index) not in self.nodes:
            self.nodes[level, index] = node_hash(
                SHA256, self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))
        return self.nodes[level, index]

    def grow(self, leaves: list[bytes]) -> Appended:
        appended = append(SHA256, self.frontier, leaves)
        self.leaves += leaves
        self.frontier = appended.frontier
        return appended


def log_of(n: int) -> Log:
    log = Log()
    log.grow([leaf_hash(SHA256, entry) for entry in entries(n)])
    return log


def holds(check: Callable[..., None], *proof_parts: Any) -> bool:
    try:
        check(SHA256, *proof_parts)
    except ProofInvalid:
        return False
    return True


# -- frozen vectors


@pytest.mark.parametrize("suite", json.loads((VECTORS / "history.json").read_text())["suites"],
                         ids=lambda suite: suite["suite"])
def test_trees_frontiers_and_paths_are_what_the_vectors_say(suite: dict[str, Any]) -> None:
    hashes = HASH_SUITES[suite["suite"]]
    leaves, roots = ([bytes.fromhex(each) for each in suite[field]] for field in ("leaves", "roots"))
    assert [leaf_hash(hashes, bytes(range(i))) for i in range(len(leaves))] == leaves
    for n, root in enumerate(roots):
        appended = append(hashes, Frontier(), leaves[:n])
        assert appended.root == root == appended.frontier.root(hashes)
        row = bytes.fromhex(suite["frontiers"][n])
        assert codec.encode(appended.frontier.to_row()) == row
        assert Frontier.from_row(codec.decode(row, FrontierRow)) == appended.frontier
    for case in suite["inclusion"]:
        index, size = case["index"], case["size"]
        steps = append(hashes, Frontier(), leaves[:size]).path(index)
        assert [step.hex() for step in steps] == case["path"]
        verify_inclusion(hashes, leaves[index], index, size, steps, roots[size])
    for case in suite["consistency"]:
        old, new = case["old_size"], case["new_size"]
        verify_consistency(hashes, old, new, [bytes.fromhex(step) for step in case["path"]], roots[old], roots[new])


# -- against the definitions


@pytest.mark.parametrize("n", range(34))
def test_every_tree_path_and_proof_is_the_one_that_the_rfc_defines(n: int) -> None:
    data, log = entries(n), log_of(n)
    root = mth(data)
    assert tree_root(SHA256, data) == root_of(SHA256, log.node, n) == log.frontier.root(SHA256) == root
    for index in range(n):
        expected = path(index, data)
        assert tree(SHA256, data).path(index) == inclusion_path(SHA256, log.node, index, n) == expected
        verify_inclusion(SHA256, leaf_hash(SHA256, data[index]), index, n, expected, root)
    for old in range(n + 1):
        expected = proof(old, data)
        assert consistency_path(SHA256, log.node, old, n) == expected
        verify_consistency(SHA256, old, n, expected, mth(data[:old]), root)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=12))
def test_a_log_grown_in_any_blocks_is_the_tree_over_all_leaves(blocks: list[int]) -> None:
    log, data, size = Log(), entries(sum(blocks)), 0
    for block in blocks:
        appended = log.grow([leaf_hash(SHA256, entry) for entry in data[size : size + block]])
        assert (appended.first, appended.size) == (size, size + block)
        size += block
        assert appended.root == mth(data[:size]) == log.frontier.root(SHA256)
        for index in range(appended.first, size):
            assert appended.path(index) == path(index, data[:size])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_older_proofs_come_out_of_a_log_that_has_grown_on(one: int, two: int, three: int) -> None:
    old, new, now = sorted((one, two, three))
    log, data = log_of(now), entries(now)
    assert consistency_path(SHA256, log.node, old, new) == proof(old, data[:new])
    assert root_of(SHA256, log.node, new) == mth(data[:new])
    if old < new:
        assert inclusion_path(SHA256, log.node, old, new) == path(old, data[:new])


def test_a_tree_near_the_largest_size_still_proves_its_last_leaf() -> None:
    """Peaks that stand for 2^63 - 3 leaves nobody has: sizes are numbers, not lists."""
    size = 2**63 - 3
    frontier = Frontier(size, tuple(bytes((i,)) * 32 for i in range(size.bit_count())))
    leaves = [leaf_hash(SHA256, entry) for entry in entries(2)]
    appended = append(SHA256, frontier, leaves)
    assert appended.size == 2**63 - 1
    for index, leaf in zip((size, size + 1), leaves, strict=True):
        verify_inclusion(SHA256, leaf, index, appended.size, appended.path(index), appended.root)
    codec.decode(codec.encode(appended.frontier.to_row()), FrontierRow)


# -- what is refused


def flips(data: bytes, every: int) -> list[bytes]:
    whole = int.from_bytes(data, "big")
    return [(whole ^ 1 << bit).to_bytes(len(data), "big") for bit in range(0, 8 * len(data), every)]


# Every bit of small trees; of larger ones every seventh, which is each bit of a byte in turn, and all before a release.
SIZES = [*[(n, 1 if n <= 16 else 7) for n in range(1, 65)],
         *[pytest.param(n, 1, marks=pytest.mark.release) for n in range(17, 65)]]


@pytest.mark.parametrize(("n", "every"), SIZES)
def test_no_flipped_bit_and_no_other_place_passes_in_an_inclusion_proof(n: int, every: int) -> None:
    built = tree(SHA256, entries(n))
    for index in range(n):
        leaf, steps = leaf_hash(SHA256, entries(n)[index]), built.path(index)
        assert holds(verify_inclusion, leaf, index, n, steps, built.root)
        assert not any(holds(verify_inclusion, bad, index, n, steps, built.root) for bad in flips(leaf, every))
        assert not any(holds(verify_inclusion, leaf, index, n, steps, bad) for bad in flips(built.root, every))
        for at, step in enumerate(steps):
            for bad in flips(step, every):
                changed = [*steps[:at], bad, *steps[at + 1 :]]
                assert not holds(verify_inclusion, leaf, index, n, changed, built.root)
        for other in range(-1, n + 2):
            assert holds(verify_inclusion, leaf, other, n, steps, built.root) == (other == index)
        for changed in reshaped(steps):
            assert not holds(verify_inclusion, leaf, index, n, changed, built.root)


@pytest.mark.parametrize(("n", "every"), SIZES)
def test_no_flipped_bit_passes_in_a_consistency_proof(n: int, every: int) -> None:
    root = mth(entries(n))
    for old in range(1, n + 1):
        old_root, steps = mth(entries(old)), proof(old, entries(n))
        assert holds(verify_consistency, old, n, steps, old_root, root)
        assert not any(holds(verify_consistency, old, n, steps, bad, root) for bad in flips(old_root, every))
        assert not any(holds(verify_consistency, old, n, steps, old_root, bad) for bad in flips(root, every))
        for at, step in enumerate(steps):
            for bad in flips(step, every):
                changed = [*steps[:at], bad, *steps[at + 1 :]]
                assert not holds(verify_consistency, old, n, changed, old_root, root)
        for other in range(n + 2):  # the old size must be that of the old root
            assert holds(verify_consistency, other, n, steps, old_root, root) == (other == old)
        for changed in reshaped(steps):
            assert not holds(verify_consistency, old, n, changed, old_root, root)


def reshaped(steps: list[bytes]) -> list[list[bytes]]:
    """A path with a step more, less, swapped, or cut so that two steps make the same bytes together."""
    made = [[*steps, bytes(32)], [bytes(32), *steps], [b"", *steps], [*steps, b""]]
    made += [steps[:at] + steps[at + 1 :] for at in range(len(steps))]
    made += [[*steps[:at], steps[at][:-1], *steps[at + 1 :]] for at in range(len(steps))]
    made += [[*steps[:at], steps[at] + b"\x00", *steps[at + 1 :]] for at in range(len(steps))]
    made += [[*steps[:at], steps[at + 1], steps[at], *steps[at + 2 :]] for at in range(len(steps) - 1)]
    return made


def test_a_node_is_never_taken_for_a_leaf() -> None:
    leaves = [leaf_hash(SHA256, entry) for entry in entries(2)]
    root = node_hash(SHA256, *leaves)
    assert tree_root(SHA256, entries(2)) == root
    assert tree_root(SHA256, [leaves[0] + leaves[1]]) != root


def test_hash_lengths_cannot_be_shifted_between_siblings() -> None:
    left, right = (leaf_hash(SHA256, entry) for entry in entries(2))
    root = node_hash(SHA256, left, right)
    assert not holds(verify_inclusion, left + right[:1], 0, 2, [right[1:]], root)
    assert not holds(verify_inclusion, left[:-1], 0, 2, [left[-1:] + right], root)


def test_a_step_of_another_length_is_named_as_what_is_wrong() -> None:
    built = tree(SHA256, entries(2))
    for step in (b"", bytes(31), bytes(33)):
        with pytest.raises(ProofInvalid, match="32 bytes"):
            verify_inclusion(SHA256, leaf_hash(SHA256, b"entry 0"), 0, 2, [step], built.root)
        with pytest.raises(ProofInvalid, match="32 bytes"):
            verify_consistency(SHA256, 1, 2, [step], mth(entries(1)), built.root)


def test_a_path_of_a_larger_tree_does_not_pass_under_a_smaller_size() -> None:
    for n in range(2, 17):
        built, last = tree(SHA256, entries(n)), leaf_hash(SHA256, entries(n)[-1])
        assert holds(verify_inclusion, last, n - 1, n, built.path(n - 1), built.root)
        assert not holds(verify_inclusion, last, 0, 1, built.path(n - 1), built.root)


@pytest.mark.parametrize("index, size", [(0, 0), (1, 1), (-1, 3), (3, 3), (5, 4)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    assert not holds(verify_inclusion, bytes(32), index, size, [], bytes(32))
    with pytest.raises(ValueError):
        inclusion_path(SHA256, log_of(8).node, index, size)
    with pytest.raises(ValueError):
        tree(SHA256, entries(size)).path(index)


def test_a_tree_does_not_shrink() -> None:
    assert not holds(verify_consistency, 4, 3, [], mth(entries(4)), mth(entries(3)))
    assert not holds(verify_consistency, -1, 3, [], mth([]), mth(entries(3)))
    with pytest.raises(ValueError):
        consistency_path(SHA256, log_of(8).node, 4, 3)


def test_only_the_true_empty_root_is_the_start_of_a_log() -> None:
    empty, root = mth([]), mth(entries(3))
    assert holds(verify_consistency, 0, 3, [], empty, root) and holds(verify_consistency, 0, 0, [], empty, empty)
    assert not holds(verify_consistency, 0, 3, [], bytes(32), root)
    assert not holds(verify_consistency, 0, 3, [root], empty, root)
    assert not holds(verify_consistency, 0, 0, [], empty, root)


def test_a_block_without_leaves_changes_nothing() -> None:
    log = log_of(5)
    appended = append(SHA256, log.frontier, [])
    assert (appended.first, appended.size, appended.frontier) == (5, 5, log.frontier)
    assert appended.root == mth(entries(5))
    with pytest.raises(ValueError):
        appended.path(4)


def test_a_path_is_given_for_leaves_of_the_block_only() -> None:
    appended = log_of(5).grow([leaf_hash(SHA256, b"six")])
    assert len(appended.path(5)) == 2
    for index in (4, 6):
        with pytest.raises(ValueError):
            appended.path(index)


@pytest.mark.parametrize("size, peaks", [(0, 1), (1, 0), (5, 3), (6, 1)])
def test_a_frontier_whose_peaks_do_not_fit_its_size_is_refused(size: int, peaks: int) -> None:
    with pytest.raises(NotUnderstood):
        Frontier.from_row(FrontierRow(size=size, peaks=(bytes(32),) * peaks))


def test_the_frontier_row_is_of_whitelisted_types() -> None:
    codec.form(FrontierRow)


# -- transparency-dev/merkle


def cases(kind: str) -> list[Any]:
    found = sorted(DATA.glob(f"{kind}/**/*.json"))
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no Merkle data: set XINGLIN_DATA, {kind}"))]
    return [pytest.param(each, id=str(each.relative_to(DATA))) for each in found]


def decoded(case: dict[str, Any], *fields: str) -> list[bytes]:
    return [base64.b64decode(case[field] or "") for field in fields]


@pytest.mark.parametrize("file", cases("inclusion"))
def test_transparency_dev_inclusion_has_the_verdict_it_wants(file: Path) -> None:
    case = json.loads(file.read_text())
    leaf, root = decoded(case, "leafHash", "root")
    steps = [base64.b64decode(step) for step in case["proof"] or []]
    assert holds(verify_inclusion, leaf, case["leafIdx"], case["treeSize"], steps, root) != case["wantErr"]


@pytest.mark.parametrize("file", cases("consistency"))
def test_transparency_dev_consistency_has_the_verdict_it_wants(file: Path) -> None:
    case = json.loads(file.read_text())
    old_root, new_root = decoded(case, "root1", "root2")
    steps = [base64.b64decode(step) for step in case["proof"] or []]
    assert holds(verify_consistency, case["size1"], case["size2"], steps, old_root, new_root) != case["wantErr"]
