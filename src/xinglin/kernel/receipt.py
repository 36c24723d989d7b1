"""Files a stranger verifies: an outcome with its proof, and a row or its absence with its proof.

Everything needed is in the file but the network's id, which must be pinned by whoever verifies: a manifest
whose hash is that id names the checkpoint keys. Nothing lying beside the file is trusted.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from xinglin.base import codec, note, sparse
from xinglin.base.check import BaseCode, Failed, NotVerified, ProofInvalid
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite
from xinglin.base.history import leaf_hash, verify_inclusion
from xinglin.base.ids import Hash, NetworkId
from xinglin.base.limits import (
    EVENT_BYTES_MAX,
    LEAF_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    NOTE_BYTES_MAX,
    PATH_STEPS_MAX,
    PROOF_FILE_BYTES_MAX,
    ROW_BYTES_MAX,
)
from xinglin.base.policy import NONE, Policy
from xinglin.base.units import Index
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import Manifest, chain_id, hash_suite, network_id
from xinglin.kernel.module import Event, ModuleSet, Row, Table
from xinglin.kernel.outcome import (
    KERNEL_EVENTS,
    NONE_FAILED,
    Closing,
    Envelope,
    Leaf,
    LeafKind,
    TimerEnvelope,
    events_hash,
)

ManifestBytes = Annotated[bytes, Meta(max_length=MANIFEST_BYTES_MAX)]
LeafBytes = Annotated[bytes, Meta(max_length=LEAF_BYTES_MAX)]
Path = Annotated[tuple[Hash, ...], Meta(max_length=PATH_STEPS_MAX)]
NoteBytes = Annotated[bytes, Meta(max_length=NOTE_BYTES_MAX)]


class InHistory(Struct):
    """One leaf of the history tree, and its path to the root of a checkpoint."""

    leaf: LeafBytes
    index: Index
    path: Path


class Receipt(Struct, tag="xinglin.receipt/1"):
    """What came of one transaction or timer."""

    manifest: ManifestBytes
    checkpoint: NoteBytes
    outcome: InHistory
    closing: InHistory             # of its block: when it was, and the state it led to
    events: Annotated[bytes, Meta(max_length=EVENT_BYTES_MAX)]


class StateProof(Struct, tag="xinglin.state-proof/1"):
    """A row, or that there is none under this key, in the state that a closing leaf names."""

    manifest: ManifestBytes
    checkpoint: NoteBytes
    closing: InHistory
    table: Annotated[str, Meta(max_length=64)]
    key: Annotated[bytes, Meta(max_length=256)]
    row: Annotated[bytes, Meta(max_length=ROW_BYTES_MAX)] | None
    proof: sparse.StateProof


@dataclass(frozen=True)
class Network:
    """What a verified manifest says: the trust root of everything else in the file."""

    manifest: Manifest
    id: NetworkId
    chain: str
    hashes: HashSuite


@dataclass(frozen=True)
class Signed:
    """Who stands behind a file."""

    keys: tuple[note.NoteKey, ...]                # the log's
    cosigned_by: tuple[note.Cosignature, ...]
    witnesses: int                                # that the policy names
    by_quorum: bool                               # the policy asks for cosignatures, and there are enough

    @property
    def names(self) -> tuple[str, ...]:
        return tuple([key.name for key in self.keys])

    @property
    def single_operator(self) -> bool:
        """One key has signed, under however many names: evidence of integrity, not of agreement."""
        return not self.by_quorum and len({key.key for key in self.keys}) <= 1


@dataclass(frozen=True)
class VerifiedReceipt:
    network: Network
    leaf: Leaf
    closing: Closing               # of its block: time and state
    events: tuple[Event, ...]
    signed: Signed


@dataclass(frozen=True)
class VerifiedRow:
    network: Network
    table: Table[Any]
    key: tuple[Any, ...]
    row: Row | None
    closing: Closing
    signed: Signed


def read_file(data: bytes, type_: Any) -> Any:
    """Errors  NotVerified FILE_NOT_UNDERSTOOD: truncated, trailing bytes, another kind of file."""
    if len(data) > PROOF_FILE_BYTES_MAX:
        raise NotVerified(KernelCode.FILE_NOT_UNDERSTOOD, f"over {PROOF_FILE_BYTES_MAX} bytes")
    try:
        return codec.decode(data, type_)
    except Failed as error:
        raise NotVerified(KernelCode.FILE_NOT_UNDERSTOOD, error.detail) from None


def open_network(manifest_bytes: bytes, pinned: NetworkId | None) -> Network:
    """The network of a file, if it is the pinned one.

    Errors  NotVerified MANIFEST_NOT_VALID, OTHER_NETWORK; NETWORK_NOT_PINNED when nothing is pinned,
            with the file's own id in `facts`.
    """
    try:
        manifest = codec.decode(manifest_bytes, Manifest)
    except Failed as error:
        raise NotVerified(KernelCode.MANIFEST_NOT_VALID, error.detail) from None
    found = network_id(manifest)
    if pinned is None:
        raise NotVerified(KernelCode.NETWORK_NOT_PINNED, f"the file says it is of {found.hex()}", network=found)
    if found != pinned:
        raise NotVerified(KernelCode.OTHER_NETWORK, f"the file is of {found.hex()}", network=found)
    return Network(manifest, found, chain_id(manifest), hash_suite(manifest))


def log_keys(network: Network, policy: Policy | None) -> tuple[note.NoteKey, ...]:
    """The keys that may sign this log's checkpoints: a policy's, in place of the manifest's, where it names any."""
    if policy is not None and policy.logs:
        return policy.logs
    return tuple([note.NoteKey(one.name, note.KeyUse.LOG, one.key) for one in network.manifest.checkpoint_keys])


def open_checkpoint(network: Network, data: bytes, policy: Policy | None) -> tuple[note.Checkpoint, Signed]:
    """A checkpoint of this network's log, signed by the log and cosigned as `policy` asks.

    Errors  NotVerified CHECKPOINT_NOT_VALID, NOT_COSIGNED.
    """
    witnesses = () if policy is None else policy.witness_keys
    try:
        checkpoint, signed_by, cosigned_by = note.open_checkpoint(data, (*log_keys(network, policy), *witnesses))
    except ProofInvalid as error:
        raise NotVerified(KernelCode.CHECKPOINT_NOT_VALID, error.detail) from None
    if checkpoint.origin != origin(network.chain):
        raise NotVerified(KernelCode.CHECKPOINT_NOT_VALID, "it is of another log")
    return checkpoint, judge_signers(signed_by, cosigned_by, policy)


def judge_signers(signed_by: tuple[note.NoteKey, ...], cosigned_by: tuple[note.Cosignature, ...],
                  policy: Policy | None) -> Signed:
    """Errors  NotVerified CHECKPOINT_NOT_VALID, NOT_COSIGNED: not those whom the policy asks for."""
    if not signed_by:
        raise NotVerified(KernelCode.CHECKPOINT_NOT_VALID, "it is signed by nobody who signs for this network")
    count = len(cosigned_by)
    asked = policy is not None and policy.quorum != NONE
    if policy is not None and not policy.is_met_by([one.key for one in cosigned_by]):
        raise NotVerified(BaseCode.NOT_COSIGNED, f"cosigned by {count} of {len(policy.witnesses)}")
    return Signed(signed_by, cosigned_by, len(policy.witnesses) if policy else 0, by_quorum=asked)


def verify_in_history(network: Network, checkpoint: note.Checkpoint, found: InHistory) -> None:
    """The leaf stands in the tree of the checkpoint. Errors  NotVerified NOT_IN_HISTORY."""
    try:
        verify_inclusion(network.hashes, leaf_hash(network.hashes, found.leaf), found.index, checkpoint.size,
                         found.path, checkpoint.root)
    except ProofInvalid as error:
        raise NotVerified(KernelCode.NOT_IN_HISTORY, error.detail) from None


def read_closing(network: Network, found: InHistory) -> Closing:
    """Errors  NotVerified NOT_IN_HISTORY; OTHER_NETWORK: the block was made under other rules than the manifest's."""
    closing: Closing = read_file(found.leaf, Closing)
    if closing.kind is not LeafKind.CLOSING:
        raise NotVerified(KernelCode.NOT_IN_HISTORY, "the leaf does not close a block")
    if closing.module_set != network.manifest.module_set:
        raise NotVerified(KernelCode.OTHER_NETWORK, "its block was made under other rules than its manifest's",
                          network=network.id)
    return closing


def origin(chain: str) -> str:
    return f"xinglin/{chain}"


def verify_receipt(receipt: Receipt, pinned: NetworkId | None, modules: ModuleSet,
                   policy: Policy | None = None) -> VerifiedReceipt:
    """Errors  NotVerified, whose code says which step failed."""
    network = open_network(receipt.manifest, pinned)
    checkpoint, signed = open_checkpoint(network, receipt.checkpoint, policy)
    verify_in_history(network, checkpoint, receipt.outcome)
    verify_in_history(network, checkpoint, receipt.closing)
    return read_outcome(network, receipt.outcome, receipt.closing, receipt.events, modules, signed)


def read_outcome(network: Network, outcome: InHistory, closed: InHistory, told: bytes, modules: ModuleSet,
                 signed: Signed) -> VerifiedReceipt:
    """What two leaves that stand in the history say, if they and the events belong together."""
    leaf: Leaf = read_file(outcome.leaf, Leaf)
    closing = read_closing(network, closed)
    if leaf.kind is LeafKind.CLOSING:
        raise NotVerified(KernelCode.EVENTS_DO_NOT_MATCH, "the leaf is not of an outcome")
    if leaf.height != closing.height or outcome.index >= closed.index:
        raise NotVerified(KernelCode.NOT_IN_HISTORY, "the closing leaf is of another block")
    if leaf.events_hash != events_hash(network.hashes, told):
        raise NotVerified(KernelCode.EVENTS_DO_NOT_MATCH)
    events = read_file(told, modules.events_type)
    if not _tells_the_same(leaf, events):
        raise NotVerified(KernelCode.EVENTS_DO_NOT_MATCH, "the envelope says something else than the leaf")
    return VerifiedReceipt(network, leaf, closing, events, signed)


def _tells_the_same(leaf: Leaf, events: tuple[Event, ...]) -> bool:
    """The envelope is of the leaf's kind and code, stands first and alone, and a refusal has nothing behind it."""
    first = events[0]
    if any(isinstance(event, KERNEL_EVENTS) for event in events[1:]):
        return False
    if isinstance(first, TimerEnvelope):
        return leaf.kind is LeafKind.TIMER and leaf.code == 0
    if not isinstance(first, Envelope) or leaf.kind is not LeafKind.TX or first.code != leaf.code:
        return False
    refused = leaf.code != 0
    return len(first.signers) == len(first.custody) and len(events) == (1 if refused else 1 + len(first.tags)) \
        and (refused or first.failed == NONE_FAILED)


def verify_state(proof: StateProof, pinned: NetworkId | None, modules: ModuleSet,
                 policy: Policy | None = None) -> VerifiedRow:
    """Errors  NotVerified, whose code says which step failed."""
    network = open_network(proof.manifest, pinned)
    checkpoint, signed = open_checkpoint(network, proof.checkpoint, policy)
    verify_in_history(network, checkpoint, proof.closing)
    closing = read_closing(network, proof.closing)
    table = modules.tables.get(proof.table)
    if table is None:
        raise NotVerified(KernelCode.NOT_IN_STATE, "not a table we know")
    if len(proof.key) != table.width:
        raise NotVerified(KernelCode.NOT_IN_STATE, f"a key of {table.name} is {table.width} bytes")
    path = sparse.path_of(network.hashes, proof.table, proof.key)
    try:
        if proof.row is None:
            sparse.verify_absence(network.hashes, closing.state_root, path, proof.proof)
        else:
            sparse.verify_presence(network.hashes, closing.state_root, path,
                                   network.hashes.digest(proof.row), proof.proof)
    except ProofInvalid as error:
        raise NotVerified(KernelCode.NOT_IN_STATE, error.detail) from None
    row = None if proof.row is None else read_file(proof.row, table.value)
    return VerifiedRow(network, table, table.decode_key(proof.key), row, closing, signed)
