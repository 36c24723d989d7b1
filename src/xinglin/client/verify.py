"""`xinglin verify FILE`: one verifier for every kind of file, offline, under a pinned network.

Kinds are told by the tag the file begins with. What a file proves comes back as facts; anything wrong is
NotVerified with the step that failed.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import NotVerified
from xinglin.base.codec import Struct
from xinglin.base.ids import NetworkId
from xinglin.base.limits import COMPLETE_ENTRIES_MAX, PROOF_FILE_BYTES_MAX
from xinglin.base.policy import Policy
from xinglin.base.units import MS_PER_HOUR
from xinglin.client.codes import ClientCode
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Event, ModuleSet
from xinglin.kernel.outcome import Envelope, TimerEnvelope
from xinglin.kernel.receipt import (
    Network,
    Receipt,
    Signed,
    StateProof,
    VerifiedReceipt,
    VerifiedRow,
    read_file,
    verify_receipt,
    verify_state,
)
from xinglin.kernel.receipt_cose import is_cose, verify_cose
from xinglin.modules import access, consent

EntryBytes = Annotated[bytes, Meta(max_length=2048)]


class Completeness(Struct, tag="xinglin.completeness/1"):
    """Every entry of a subject's access log, in order, and the proof of the log's row."""

    entries: Annotated[tuple[EntryBytes, ...], Meta(max_length=COMPLETE_ENTRIES_MAX)]
    log: StateProof


@dataclass(frozen=True)
class Verdict:
    """What a verified file proves."""

    kind: str                      # receipt | cose-receipt | state-proof | completeness
    network: Network
    signed: Signed
    time_ms: int                   # of the block that it is about
    facts: dict[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()

    @property
    def signed_by(self) -> tuple[str, ...]:
        return self.signed.names

    @property
    def single_operator(self) -> bool:
        return self.signed.single_operator


def same_rules(network: Network, modules: ModuleSet) -> bool:
    """Whether the network runs the very rules of this program: else its events and codes may mean something else."""
    return network.manifest.module_set == modules.hash(network.hashes)


KINDS: dict[str, Any] = {codec.tag_of(kind): kind for kind in (Receipt, StateProof, Completeness)}


def verify_file(data: bytes, pinned: NetworkId | None, modules: ModuleSet, policy: Policy | None = None) -> Verdict:
    """Verify under a pinned network, and under a policy where one is given.

    Errors  NotVerified, whose code says which step failed; NETWORK_NOT_PINNED when nothing is pinned.
    """
    if is_cose(data):
        return _receipt(verify_cose(data, pinned, modules, policy), "cose-receipt")
    file = read_file(data, KINDS[_kind(data)])
    if isinstance(file, Receipt):
        return _receipt(verify_receipt(file, pinned, modules, policy), "receipt")
    if isinstance(file, StateProof):
        return _state(verify_state(file, pinned, modules, policy))
    return _completeness(file, verify_state(file.log, pinned, modules, policy))


def _kind(data: bytes) -> str:
    """The tag that an encoded Struct begins with: an array header, then a string."""
    for tag in KINDS:
        if data[1:].startswith(codec.encode(tag)):
            return tag
    if len(data) > PROOF_FILE_BYTES_MAX:
        raise NotVerified(KernelCode.FILE_NOT_UNDERSTOOD, f"over {PROOF_FILE_BYTES_MAX} bytes")
    raise NotVerified(ClientCode.KIND_NOT_KNOWN)


def _receipt(verified: VerifiedReceipt, kind: str) -> Verdict:
    first = verified.events[0]
    facts: dict[str, Any] = {"height": verified.leaf.height, "index": verified.leaf.index, "code": verified.leaf.code}
    if isinstance(first, Envelope):
        facts |= {"tx": first.tx_id.hex(), "tags": list(first.tags),
                  "signers": [one.hex() for one in first.signers], "custody": [one.name for one in first.custody]}
    elif isinstance(first, TimerEnvelope):
        facts |= {"timer": first.table, "due_ms": first.due_ms}
    return Verdict(kind, verified.network, verified.signed, verified.closing.time_ms, facts,
                   verified.events[1:])


def _state(verified: VerifiedRow) -> Verdict:
    facts: dict[str, Any] = {
        "height": verified.closing.height, "table": verified.table.name, "present": verified.row is not None,
        "key": [part.hex() if isinstance(part, bytes) else part for part in verified.key]}
    if verified.table is consent.GRANTS:
        subject, grantee = facts["key"]
        facts |= {"subject": subject, "grantee": grantee,
                  "live_grants": _live(verified.row, verified.closing.time_ms)}
    return Verdict("state-proof", verified.network, verified.signed, verified.closing.time_ms, facts)


def _live(row: Any, time_ms: int) -> int:
    """How many grants are neither taken back nor run out at the closing leaf's time: none means "no consent to X".

    Whether X is active, so that they count, its own row says.
    """
    if not isinstance(row, consent.GrantsRow):
        return 0
    return sum(consent.why_not_live(given, time_ms // MS_PER_HOUR) is None for given in row.grants)


def _completeness(file: Completeness, verified: VerifiedRow) -> Verdict:
    if verified.table is not access.LOG:
        raise NotVerified(KernelCode.LIST_NOT_COMPLETE, "the proof is not of an access log")
    subject = verified.key[0]
    expected = verified.row if isinstance(verified.row, access.LogRow) else access.NO_ENTRIES
    if len(file.entries) != expected.count:        # before they are read: a false list may be as long as a file may be
        raise NotVerified(KernelCode.LIST_NOT_COMPLETE,
                          f"{len(file.entries)} entries, the ledger counts {expected.count}")
    entries: list[access.Entry] = [read_file(data, access.Entry) for data in file.entries]
    found = access.running_of(verified.network.hashes, [*entries])
    if found != expected or any(entry.subject != subject or entry.number != at
                                for at, entry in enumerate(entries, start=1)):
        raise NotVerified(KernelCode.LIST_NOT_COMPLETE, "an entry is not the one that was ordered")
    facts = {"subject": subject.hex(), "entries": found.count, "height": verified.closing.height}
    return Verdict("completeness", verified.network, verified.signed, verified.closing.time_ms, facts,
                   tuple(entries))
