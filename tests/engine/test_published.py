"""What the world is shown: checkpoints at most once a second, cosigned; receipts under them; tiles; years later."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from homes import CHECKPOINT_SEED, Home, home
from witness.logs import GrowingLog
from worlds import STARTED_MS, key_named, named
from xinglin.base import codec, note
from xinglin.base.check import BaseCode, Failed, NotFound, NotVerified
from xinglin.base.crypto import SHA256, SignatureSuite, SigningKey
from xinglin.base.history import leaf_hash, node_hash
from xinglin.base.limits import NOTE_BYTES_MAX
from xinglin.base.note import KeyUse, NoteKey, open_checkpoint, read_checkpoint
from xinglin.base.policy import Group, Policy, read_policy
from xinglin.base.policy import Witness as Named
from xinglin.base.succession import statement
from xinglin.client import verify_file
from xinglin.engine import published
from xinglin.engine.codes import EngineCode
from xinglin.engine.tiles import Tile, tiles_of
from xinglin.home import Home as RealHome
from xinglin.home import NewOrganisation
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import MemberKind
from xinglin.kernel.receipt import Receipt, StateProof, origin
from xinglin.modules import consent
from xinglin.node import Node, NodeCode
from xinglin.witness.kept import Witness
from xinglin.witness.protocol import write_request
from xinglin.witness.server import WitnessServer, serving

YEAR_MS = 365 * 86_400_000


@pytest.fixture
def furnished(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path / "home") as made:
        yield made.furnished()


class Witnesses:
    """Some that answer on loopback, at the time of the node's clock."""

    def __init__(self, stack: ExitStack, folder: Path, made: Home, *names: str):
        self._stack, self._folder, self._made = stack, folder, made
        self.running: dict[str, WitnessServer] = {}
        for name in names:
            self.start(name)

    def start(self, name: str) -> None:
        node = self._made.node
        kept = Witness.open(self._folder / name, lambda: node.now_ms() // 1_000, name)
        for key in node.log_keys:
            kept.follow(key, origin(node.chain), SHA256)
        self.running[name] = self._stack.enter_context(serving(WitnessServer(kept, "127.0.0.1", 0)))
        self._stack.callback(kept.close)

    def stop(self, name: str) -> None:
        self.running[name].shutdown()
        self.running[name].server_close()

    def follow(self, key: NoteKey) -> None:
        for server in self.running.values():
            server.witness.follow(key, origin(self._made.node.chain), SHA256)

    def policy(self, least: int, *names: str, logs: tuple[NoteKey, ...] = ()) -> Policy:
        lines = [f"log {key.text()}" for key in logs]
        for name in names:
            server = self.running[name]
            lines.append(f"witness {name} {server.witness.verifier_key.text()} http://127.0.0.1:{server.port}")
        lines += [f"group all {least} {' '.join(names)}", "quorum all"]
        return read_policy("".join(f"{line}\n" for line in lines).encode())


@pytest.fixture
def witnesses(furnished: Home, tmp_path: Path) -> Iterator[Witnesses]:
    with ExitStack() as stack:
        yield Witnesses(stack, tmp_path, furnished, "a", "b", "c")


# -- publishing

def test_a_node_without_blocks_has_nothing_to_publish(tmp_path: Path) -> None:
    with home(tmp_path / "empty") as made:
        with pytest.raises(NotFound) as caught:
            made.node.publish(Policy())
        assert caught.value.code is EngineCode.NOTHING_TO_PUBLISH


def test_at_most_one_checkpoint_a_second_is_published_and_each_ends_a_block(furnished: Home) -> None:
    node = furnished.node
    first, _ = node.publish(Policy())
    furnished.done(furnished.world.grant("mei", "B", "g1"))
    assert node.publish(Policy())[0] == first
    node.advance(1_000)
    second, _ = node.publish(Policy())
    assert second.height == node.ask(lambda ledger: ledger.height) > first.height
    assert second.at_ms >= first.at_ms + 1_000
    for row in (first, second):
        block = node.ask(lambda ledger, height=row.height: ledger.block(height))
        assert row.note == block.checkpoint and row.checkpoint.size == block.first + len(block.leaves) + 1
    node.advance(1_000)
    assert node.publish(Policy())[0] == second, "there is nothing new"
    assert node.ask(lambda ledger: list(published.newest_first(ledger))) == [second, first]


def test_a_clock_that_was_set_back_does_not_stop_publishing(furnished: Home) -> None:
    node = furnished.node
    first, _ = node.publish(Policy())
    furnished.done(furnished.world.grant("mei", "B", "g1"))
    earlier = first.at_ms - 3_600_000
    second = node.ask(lambda ledger: published.publish(ledger, earlier))
    assert second.height > first.height and second.at_ms == earlier


def test_a_note_holds_as_many_cosignatures_as_every_verifier_reads(furnished: Home) -> None:
    node = furnished.node
    row, _ = node.publish(Policy())
    keys = [key_named(f"witness {number}") for number in range(150)]
    lines = b"".join(note.cosign(row.checkpoint, f"w{number}.example", key, 1) for number, key in enumerate(keys))
    grown = node.ask(lambda ledger: published.add_cosignatures(ledger, row, lines))
    assert NOTE_BYTES_MAX - 200 < len(grown.note) <= NOTE_BYTES_MAX
    named = [NoteKey(f"w{number}.example", KeyUse.WITNESS, key.public) for number, key in enumerate(keys)]
    cosigned = open_checkpoint(grown.note, named).cosigned_by
    assert 50 < len(cosigned) < 150
    policy = Policy(
        witnesses=tuple([Named(one.name, NoteKey(one.name, KeyUse.WITNESS, one.key), None) for one in cosigned]),
        groups=(Group("all", 50, tuple([one.name for one in cosigned])),), quorum="all")
    file = node.cosigned_receipt_at(1, 0, policy)
    assert len(verify_file(file, node.network, node.modules, policy).signed.cosigned_by) == len(cosigned)


def test_cosignatures_are_collected_added_and_kept(furnished: Home, witnesses: Witnesses) -> None:
    node = furnished.node
    policy = witnesses.policy(2, "a", "b", "c")
    witnesses.stop("c")
    row, asked = node.publish(policy)
    assert [one.witness for one in asked if one.why_not] == ["c"]
    opened = open_checkpoint(row.note, policy.witness_keys)
    assert {one.name for one in opened.cosigned_by} == {"a", "b"}
    assert all(one.time_s == pytest.approx(node.now_ms() // 1_000, abs=60) for one in opened.cosigned_by)
    again, _ = node.publish(policy)
    assert {one.name for one in open_checkpoint(again.note, policy.witness_keys).cosigned_by} == {"a", "b"}
    furnished.done(furnished.world.grant("mei", "B", "g1"))
    node.advance(1_000)
    later, _ = node.publish(policy)
    assert later.checkpoint.size > row.checkpoint.size
    furnished.reopen()
    assert furnished.node.ask(lambda ledger: list(published.newest_first(ledger))) == [later, again]


def test_an_operator_with_two_histories_gets_no_quorum_for_the_second(
        furnished: Home, witnesses: Witnesses) -> None:
    """The witnesses have seen another log under the operator's own key."""
    node = furnished.node
    policy = witnesses.policy(2, "a", "b", "c")
    other = GrowingLog("other", key_named("checkpoint")).to(node.ask(lambda ledger: ledger.history.size))
    said = other.checkpoint()._replace(origin=origin(node.chain))
    signed = write_request(0, [], note.sign(said, "operator", other.key))
    for name in ("a", "b"):
        assert witnesses.running[name].witness.answer(signed).status == 200
    row, asked = node.publish(policy)
    assert {one.witness: "another history" in one.why_not for one in asked} == {"a": True, "b": True, "c": False}
    assert not policy.is_met_by([one.key for one in open_checkpoint(row.note, policy.witness_keys).cosigned_by])
    for name in ("a", "b"):
        assert list((witnesses.running[name].witness.folder / "evidence").glob("*-split-*"))


# -- receipts under them

def test_a_receipt_is_cosigned_by_m_of_n_or_refused(furnished: Home, witnesses: Witnesses) -> None:
    node, modules = furnished.node, furnished.world.modules
    policy = witnesses.policy(2, "a", "b", "c")
    done = furnished.done(furnished.world.grant("mei", "B", "g1"))
    with pytest.raises(NotFound) as caught:
        node.cosigned_receipt_at(done.height, done.index, policy)
    assert caught.value.code is NodeCode.NOT_COSIGNED_YET
    node.publish(policy)
    file = node.cosigned_receipt_at(done.height, done.index, policy)
    verdict = verify_file(file, node.network, modules, policy)
    assert not verdict.single_operator and len(verdict.signed.cosigned_by) == 3 == verdict.signed.witnesses
    assert verdict.facts["height"] == done.height
    assert verify_file(file, node.network, modules).single_operator, "without a policy it is the operator's word"
    for least in (1, 2, 3):
        verify_file(file, node.network, modules, witnesses.policy(least, "a", "b", "c"))
    plain = node.receipt(done.tx_id)
    with pytest.raises(NotVerified) as refused:
        verify_file(plain, node.network, modules, policy)
    assert refused.value.code is BaseCode.NOT_COSIGNED and "0 of 3" in refused.value.detail


def test_a_proof_of_state_is_cosigned_by_m_of_n_or_refused(furnished: Home, witnesses: Witnesses) -> None:
    node, modules = furnished.node, furnished.world.modules
    policy = witnesses.policy(2, "a", "b", "c")
    furnished.done(furnished.world.grant("mei", "B", "g1"))
    nobody = (named("li"), named("B"))
    proof: StateProof = codec.decode(node.prove(consent.GRANTS, nobody), StateProof)
    with pytest.raises(NotFound) as caught:
        node.cosigned_proof(proof, policy)
    assert caught.value.code is NodeCode.NOT_COSIGNED_YET
    furnished.done(furnished.world.register("A.service", "later"))       # what was proved is the tip no more
    node.publish(policy)
    file = codec.encode(node.cosigned_proof(proof, policy))
    verdict = verify_file(file, node.network, modules, policy)
    assert not verdict.single_operator and len(verdict.signed.cosigned_by) == 3
    assert (verdict.facts["present"], verdict.facts["height"]) == (
        False, verify_file(codec.encode(proof), node.network, modules).facts["height"])
    with pytest.raises(NotVerified):
        verify_file(codec.encode(proof), node.network, modules, policy)


def test_a_policy_with_log_keys_takes_no_others(furnished: Home) -> None:
    node, modules = furnished.node, furnished.world.modules
    file = node.receipt_at(1, 0)
    other = NoteKey("operator", node.checkpoint_key.use, key_named("other").public)
    both = Policy(logs=(other, node.checkpoint_key))
    assert verify_file(file, node.network, modules, both).signed.keys == (node.checkpoint_key,)
    with pytest.raises(NotVerified) as caught:
        verify_file(file, node.network, modules, Policy(logs=(other,)))
    assert caught.value.code is KernelCode.CHECKPOINT_NOT_VALID


def test_a_changed_checkpoint_key_signs_from_the_next_block_on_and_after_a_restart(furnished: Home) -> None:
    node, modules = furnished.node, furnished.world.modules
    first = node.checkpoint_key
    node.change_checkpoint_key(hashlib.sha256(b"second").digest())
    second = node.checkpoint_key
    done = furnished.done(furnished.world.grant("mei", "B", "g1"))
    furnished.reopen()
    node = furnished.node
    assert node.checkpoint_key == second != first and node.log_keys == (first, second)
    for file, key in ((node.receipt_at(1, 0), first), (node.receipt(done.tx_id), second)):
        assert verify_file(file, node.network, modules, node.policy).signed.keys == (key,)
    with pytest.raises(NotVerified):
        verify_file(node.receipt(done.tx_id), node.network, modules)


def test_a_key_that_its_predecessor_has_not_stated_signs_nothing(furnished: Home) -> None:
    """Whoever keeps a backup can write to its files: a key of his own is none of this ledger's for that."""
    folder, seed = furnished.folder, hashlib.sha256(b"thief").digest()
    thief = SigningKey.from_seed(SignatureSuite.ED25519, seed)
    his = NoteKey("operator", KeyUse.LOG, thief.public)
    furnished.node.close()
    (folder / "checkpoint.key").write_bytes(seed + b"operator")
    for stated in (f"log {his.text()}\nquorum none\n".encode(), statement(origin(furnished.node.chain), his, thief)):
        (folder / "successors").write_bytes(stated)
        with pytest.raises(Failed) as caught:
            Node.open(folder, furnished.world.modules)
        assert caught.value.code is NodeCode.CHECKPOINT_KEY_NOT_USABLE
        assert caught.value.detail.startswith("ledger/successors: ")
    (folder / "successors").unlink()
    with pytest.raises(Failed) as caught:
        Node.open(folder, furnished.world.modules)
    assert caught.value.detail.endswith("ledger/successors is not there")
    (folder / "checkpoint.key").write_bytes(CHECKPOINT_SEED + b"operator")


def test_a_change_that_was_cut_off_leaves_the_key_in_use_which_can_be_changed_again(furnished: Home) -> None:
    node = furnished.node
    first = node.checkpoint_key
    node.change_checkpoint_key(hashlib.sha256(b"lost").digest())
    (furnished.folder / "checkpoint.key").write_bytes(CHECKPOINT_SEED + b"operator")     # as before it was written
    furnished.reopen()
    assert furnished.node.checkpoint_key == first
    furnished.node.change_checkpoint_key(hashlib.sha256(b"second").digest())
    furnished.reopen()
    assert furnished.node.checkpoint_key.key == furnished.node.log_keys[2].key != first.key
    with pytest.raises(Failed) as caught:
        furnished.node.change_checkpoint_key(CHECKPOINT_SEED)
    assert caught.value.code is NodeCode.CHECKPOINT_KEY_NOT_USABLE
    furnished.reopen()


def test_a_receipt_holds_after_ten_years_in_which_every_signing_key_has_changed(
        furnished: Home, tmp_path: Path) -> None:
    """The operator's key and all three witnesses change each year; one witness is away at the end."""
    node, modules = furnished.node, furnished.world.modules
    done = furnished.done(furnished.world.grant("mei", "B", "g1"))
    old = node.receipt(done.tx_id)
    policies = []
    with ExitStack() as stack:
        for year in range(11):
            names = [f"{name}{year}" for name in ("a", "b", "c")]
            witnesses = Witnesses(stack, tmp_path, furnished, *names)
            policies.append(witnesses.policy(2, *names, logs=(node.checkpoint_key,)))
            if year == 10:
                witnesses.stop(names[0])
            node.publish(policies[-1])
            if year < 10:
                node.change_checkpoint_key(hashlib.sha256(b"year %d" % year).digest())
                node.advance(YEAR_MS)
                furnished.done(furnished.world.register("A.service", f"born in {year}"))
    now = policies[10]
    keys = [(*one.logs, *one.witness_keys) for one in policies]
    assert len({key.key for year in keys for key in year}) == 44, "no key was used in two years"
    with pytest.raises(NotVerified) as caught:
        verify_file(old, node.network, modules, now)
    assert caught.value.code is KernelCode.CHECKPOINT_NOT_VALID

    file = node.cosigned_receipt_at(done.height, done.index, now)
    verdict = verify_file(file, node.network, modules, now)
    assert (len(verdict.signed.cosigned_by), verdict.signed.witnesses) == (2, 3) and not verdict.single_operator
    assert verdict.time_ms == done.time_ms
    assert min(one.time_s for one in verdict.signed.cosigned_by) * 1_000 >= done.time_ms + 10 * YEAR_MS - 60_000
    first: Receipt = codec.decode(old, Receipt)
    upgraded: Receipt = codec.decode(file, Receipt)
    assert len(upgraded.outcome.path) > len(first.outcome.path)
    assert (upgraded.events, upgraded.outcome.leaf, upgraded.closing.leaf) == (
        first.events, first.outcome.leaf, first.closing.leaf)
    for other in policies[:10]:
        with pytest.raises(NotVerified):
            verify_file(file, node.network, modules, other)


# -- tiles

def test_there_are_the_tiles_that_the_specification_counts() -> None:
    found = list(tiles_of(70_000))
    assert [one for one in found if one.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert sum(one.level == 0 and one.width == 256 for one in found) == 273
    assert sum(one.level == 1 and one.width == 256 for one in found) == 1
    assert list(tiles_of(256)) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert Tile(3, 1_234_067, 256).path == "tile/3/x001/x234/067" and Tile(0, 5, 9).path == "tile/0/005.p/9"


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512, 65_535, 65_536, 65_537, 70_000])
def test_tiles_of_a_grown_tree_are_the_old_ones_and_those_since(size: int) -> None:
    for since in (0, 1, 255, 256, 300, 512, 65_536):
        if since <= size:
            full = {one for one in tiles_of(since) if one.width == 256}
            assert full.isdisjoint(tiles_of(size, since))
            assert full | set(tiles_of(size, since)) == set(tiles_of(size))


def test_the_tiles_hold_the_tree_of_the_published_checkpoint_though_the_log_has_grown(furnished: Home) -> None:
    node, world = furnished.node, furnished.world
    for at in range(5):
        furnished.done(*[world.grant("mei", "B", f"g{at} {one}") for one in range(1)])
        furnished.done(*[world.register("A.service", f"p{at} {one}") for one in range(60)])
    for at in range(130):
        furnished.done(world.register("A.service", f"q{at}"))
    row, _ = node.publish(Policy())
    for at in range(200):
        furnished.done(world.register("A.service", f"r{at}"))
    files = dict(node.tiles())
    size, root = row.checkpoint.size, row.checkpoint.root
    assert size > 256 and list(files)[-1] == "checkpoint" and read_checkpoint(files["checkpoint"]).root == root
    assert set(files) == {one.path for one in tiles_of(size)} | {"checkpoint"}
    hashes = b"".join(files[one.path] for one in tiles_of(size) if one.level == 0)
    level = [hashes[at:at + 32] for at in range(0, len(hashes), 32)]
    leaves = node.ask(lambda ledger: [leaf for height in range(1, ledger.height + 1) for leaf in (
        *ledger.block(height).leaves, ledger.block(height).closing)])
    assert level == [leaf_hash(SHA256, leaf) for leaf in leaves[:size]]
    while len(level) > 1:
        level = [node_hash(SHA256, *level[at:at + 2]) if at + 1 < len(level) else level[at]
                 for at in range(0, len(level), 2)]
    assert level == [root]


def test_no_file_of_the_tiles_holds_an_entry(furnished: Home) -> None:
    files = b"".join(data for _, data in furnished.node.tiles())
    block = furnished.node.ask(lambda ledger: ledger.block(1))
    assert all(leaf not in files for leaf in (*block.leaves, block.closing))


def test_tiles_and_cose_receipts_are_for_networks_on_sha_256(tmp_path: Path) -> None:
    founder = NewOrganisation("east", "东院", "East", MemberKind.HOSPITAL)
    with RealHome.create(tmp_path / "sm3", "city", [founder], simulated=True, hash_suite="sm3",
                         started_ms=STARTED_MS) as made:
        node = made.node
        for attempt in (lambda: list(node.tiles()), lambda: node.cose_receipt_at(1, 0)):
            with pytest.raises(Failed) as caught:
                attempt()
            assert caught.value.code is EngineCode.NEEDS_SHA256
        assert verify_file(node.receipt_at(1, 0), node.network, node.modules).facts["code"] == 0
