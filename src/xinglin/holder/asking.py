"""The reader's side: hand over what is asked, order the request, fetch pages, check every part.

A released part is believed only when its bytes and nonce give the commitment that stands both in the
answer and, through its batch, on the ledger. How many parts there are is in the answer's opening: fewer are
noticed. Nothing is taken from the other holder's word, the answer itself neither: it is read on the own ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from xinglin.base import codec
from xinglin.base.check import Failed, NotAuthorised, NotUnderstood, NotVerified, ProofInvalid
from xinglin.base.crypto import HashSuite, SigningKey
from xinglin.base.history import leaf_hash, tree_root, verify_inclusion
from xinglin.base.ids import NO_ID, AccountId, GrantId, Hash, NetworkId, SubjectId, TxId
from xinglin.engine.embedded import Committed
from xinglin.holder import pending
from xinglin.holder.codes import HolderCode
from xinglin.holder.deliveries import Delivered
from xinglin.holder.fhir import Head, json_text
from xinglin.holder.fhir.definitions import resource_types
from xinglin.holder.holder import Holder, order
from xinglin.holder.pending import Pending
from xinglin.holder.release import (
    Page,
    PageKeys,
    ReleasedPart,
    fetch_message,
    opening_info,
    wrap_info,
)
from xinglin.holder.shelf import HEAD, REST, part_context
from xinglin.kernel.module import Event
from xinglin.modules import access, records
from xinglin.modules.decision import Opened, Opening, RequestBody, ScopeItem, commit, salted
from xinglin.node import Node
from xinglin.vault.seal import new_nonce, open_sealed
from xinglin.vault.wrap import RecipientKey

E = TypeVar("E", bound=Event)


class Peer(Protocol):
    """The data's holder, as the reader's holder reaches it: by a call in one process, by mutual TLS later."""

    def deliver(self, delivered: Delivered, signature: bytes) -> None: ...

    def answer(self, subject: SubjectId, number: int) -> Committed: ...

    def page(self, subject: SubjectId, request: int, number: int, signature: bytes) -> Page: ...

    def opening(self, subject: SubjectId, request: int, signature: bytes) -> bytes:
        """An Opened, wrapped for the request's key."""


@dataclass(frozen=True)
class Asked:
    """A request that was ordered. `denied` is consent's code when the ledger knew no live grant."""

    subject: SubjectId
    number: int
    denied: int
    body: Hash                     # the request's commitment
    tx: TxId
    reader: AccountId
    key: SigningKey                # the reader's, which signs for each page
    recipient: RecipientKey
    answer: access.Answered | None
    answer_tx: TxId | None

    def signature(self, network: NetworkId, page: int | None) -> bytes:
        """For a page, or the opening."""
        return self.key.sign(fetch_message(network, self.subject, self.number, page))

    @property
    def permitted(self) -> bool:
        return self.answer is not None and self.answer.decision is access.Decision.PERMIT


class Received(NamedTuple):
    """A record as the reader got it, each part verified against the ledger."""

    head: Head
    resource: bytes


class Verified(NamedTuple):
    part: ReleasedPart
    commitment: Hash
    content: bytes


def ask(room: Holder, peer: Peer, subject: SubjectId, reader: AccountId, key: SigningKey, *, purpose: str,
        scope: Sequence[ScopeItem], reason: str, grant_id: GrantId = NO_ID) -> Asked:
    """Hand over, order, and wait for the answer. `room` is the reader's own organisation's, which keeps the key.

    Errors  Failed with the ledger's code when the request itself was refused; Busy TOO_MUCH_WAITING; NotUnderstood
            BYTES_NOT_UNDERSTOOD when a field is longer than a request may be.
    """
    node, recipient = room.node, RecipientKey.new()
    body = codec.encode(RequestBody(reader=reader, purpose=purpose, scope=tuple(scope), reason=reason))
    opened = Opened(nonce=new_nonce(), body=body)
    delivered = Delivered(subject=subject, request=opened, recipient=recipient.public)
    commitment = commit(node.hashes, "request-body", opened.nonce, body)
    codec.decode(body, RequestBody)            # constructors check nothing: nobody is to keep what nobody can read
    mine = Pending(subject=subject, reader=reader, body=commitment, private=recipient.private,
                   height=node.ask(lambda ledger: ledger.height), at_ms=node.now_ms())
    pending.keep(room, mine)
    try:
        peer.deliver(delivered, key.sign(delivered.message(node.network)))
    except Failed:                 # turned away for certain: nothing is coming
        pending.drop(room, reader, commitment)
        raise
    committed, events = order(node, [access.Request(
        reader=reader, subject=subject, grant_id=grant_id,
        key_hash=access.key_hash(node.hashes, recipient.public), body=commitment)], {reader: key})
    requested = _one(events, access.Requested)
    if requested.denied:
        pending.drop(room, reader, commitment)
        return Asked(subject, requested.number, requested.denied, commitment, committed.tx_id, reader, key, recipient,
                     None, None)
    answer, answer_tx = _answer(room, peer, requested, mine)
    if (answer.subject, answer.request) != (subject, requested.number):
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "an answer to something else")
    asked = Asked(subject, requested.number, 0, commitment, committed.tx_id, reader, key, recipient, answer, answer_tx)
    if not asked.permitted:
        pending.drop(room, reader, commitment)
    return asked


def waiting(room: Holder, reader: AccountId, key: SigningKey) -> list[Asked]:
    """The reader's requests whose answer permits and was not taken yet: after a crash, they go on here.

    What nothing can come of any more is dropped: denied, never ordered, never answered, its permit over.
    """
    found = []
    for one, (requested, tx, answer, answer_tx, _) in pending.kept(room, reader):
        if requested is not None and tx is not None and answer is not None:
            found.append(Asked(one.subject, requested.number, 0, one.body, tx, reader, key,
                               RecipientKey.from_private(one.private), answer, answer_tx))
    return found


def taken(room: Holder, asked: Asked) -> None:
    """Forget the key: what it opens is in the reader's hands."""
    pending.drop(room, asked.reader, asked.body)


def _answer(room: Holder, peer: Peer, requested: access.Requested, mine: Pending) -> tuple[access.Answered, TxId]:
    """The answer as it stands on the own ledger; given just now, or by another thread that was quicker."""
    try:
        tx = peer.answer(requested.subject, requested.number).tx_id
    except NotUnderstood:
        _, _, answer, answer_tx, _ = pending.fate_of(room, mine)
        if answer is None or answer_tx is None:
            raise
        return answer, answer_tx
    outcome = room.node.outcome(tx)
    return _one(outcome.events if outcome else (), access.Answered), tx


def _one(events: Sequence[Event], type_: type[E]) -> E:
    for event in events:
        if isinstance(event, type_):
            return event
    raise Failed(HolderCode.REQUEST_NOT_KNOWN)


def fetch(node: Node, peer: Peer, asked: Asked, number: int) -> tuple[list[Verified], int]:
    """(verified parts of one page, how many pages there are).

    Errors  NotAuthorised NOT_AVAILABLE; NotVerified PART_NOT_VERIFIED, WRAP_NOT_VALID, SEAL_NOT_VALID.
    """
    return _fetch(node, peer, asked, number, opening(node, peer, asked).parts)


def _fetch(node: Node, peer: Peer, asked: Asked, number: int, total: int) -> tuple[list[Verified], int]:
    page = peer.page(asked.subject, asked.number, number, asked.signature(node.network, number))
    per_page = node.manifest.parameters.page_parts
    pages = -(-total // per_page)
    if (page.network, page.subject, page.request, page.page, page.pages, page.parts_total) != (
            node.network, asked.subject, asked.number, number, pages, total):
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "a page of something else")
    info = wrap_info(node.network, asked.subject, asked.number, number)
    keys: PageKeys = codec.decode(asked.recipient.unwrap(info, page.wrapped), PageKeys)
    places = range(number * per_page, min((number + 1) * per_page, total))
    if not len(keys.parts) == len(page.parts) == len(places):
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "parts of the page are missing")
    on_ledger = {key[1]: row for key, row in node.rows(records.BATCHES, asked.subject)}
    verified = []
    for index, part, opener in zip(places, page.parts, keys.parts, strict=True):
        if part.answer_index != index or part.part not in (HEAD, REST):
            raise NotVerified(HolderCode.PART_NOT_VERIFIED, "a part in the place of another")
        context = part_context(asked.subject, part.record_id, part.version, part.part)
        content = open_sealed(opener.key, context, part.sealed)
        commitment = commit(node.hashes, "part", opener.nonce, content)
        _verify(node.hashes, asked, total, part, commitment, on_ledger.get(part.batch))
        verified.append(Verified(part, commitment, content))
    return verified, pages


def _verify(hashes: HashSuite, asked: Asked, total: int, part: ReleasedPart, commitment: bytes,
            batch: records.BatchRow | None) -> None:
    """The part is in the answer, and its record is in the batch that stands on the ledger."""
    pair = [commitment, part.sibling] if part.part == HEAD else [part.sibling, commitment]
    try:
        if asked.answer is None or batch is None or batch.count != part.batch_size:
            raise ProofInvalid("no such answer, or no such batch on the ledger")
        verify_inclusion(hashes, leaf_hash(hashes, commitment), 1 + part.answer_index, 1 + total,
                         list(part.answer_path), asked.answer.parts_root)
        verify_inclusion(hashes, leaf_hash(hashes, tree_root(hashes, pair)), part.position, part.batch_size,
                         list(part.batch_path), batch.root)
    except ProofInvalid as error:
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, error.detail) from None


def fetch_all(node: Node, peer: Peer, asked: Asked) -> list[Received]:
    """Every page, joined into records.

    Errors  as `fetch`; NotVerified PART_NOT_VERIFIED when something is missing at the end.
    """
    said = opening(node, peer, asked)
    parts: list[Verified] = []
    number, pages = 0, 1
    while number < pages:
        found, pages = _fetch(node, peer, asked, number, said.parts)
        parts += found
        number += 1
    root = tree_root(node.hashes, salted(node.hashes, said.salt, [one.commitment for one in parts]))
    if asked.answer is None or root != asked.answer.parts_root:
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "the parts are not those of the answer")
    return join(parts)


def join(parts: Sequence[Verified]) -> list[Received]:
    """Heads with their rests, in order of release. A holder commits to whatever it likes: so each is looked at.

    Errors  NotVerified PART_NOT_VERIFIED when a record lacks one of them, or they are not of one FHIR resource.
    """
    heads: dict[tuple[int, int], Head] = {}
    found: dict[tuple[int, int], Received] = {}
    for part, _, content in parts:
        place = part.batch, part.position
        if part.part == HEAD:
            heads[place] = _head(part, content)
        elif place in heads:
            found[place] = Received(heads[place], _resource(heads[place], content))
    if len(found) != len(heads) or 2 * len(found) != len(parts):
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "half of a record is missing")
    return list(found.values())


def _head(part: ReleasedPart, content: bytes) -> Head:
    """It says of itself what the page says of it, and its type is one of FHIR's: files are named for it."""
    try:
        head: Head = codec.decode(content, Head)
    except NotUnderstood as error:
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, error.detail) from None
    if head.resource_type not in resource_types() or (head.id, head.version) != (part.record_id, part.version):
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "a head of something else")
    return head


def _resource(head: Head, content: bytes) -> bytes:
    """Strict JSON, of the type and id that its head names."""
    try:
        resource = json_text.parse(content)
    except NotUnderstood as error:
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, f"{error.code.name} {error.detail}") from None
    if not isinstance(resource, dict) or (resource.get("resourceType"), resource.get("id")) != (
            head.resource_type, head.id):
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "a resource that is not its head's")
    return content


def opening(node: Node, peer: Peer, asked: Asked) -> Opening:
    """What the answer says to the reader, checked against its commitment.

    Errors  NotAuthorised NOT_AVAILABLE when there is no answer; NotVerified PART_NOT_VERIFIED, WRAP_NOT_VALID.
    """
    if asked.answer is None:
        raise NotAuthorised(HolderCode.NOT_AVAILABLE)
    info = opening_info(node.network, asked.subject, asked.number)
    wrapped = peer.opening(asked.subject, asked.number, asked.signature(node.network, None))
    opened: Opened = codec.decode(asked.recipient.unwrap(info, wrapped), Opened)
    if commit(node.hashes, "opening", opened.nonce, opened.body) != asked.answer.opening:
        raise NotVerified(HolderCode.PART_NOT_VERIFIED, "the opening is another one")
    said: Opening = codec.decode(opened.body, Opening)
    return said


def available(node: Node, peer: Peer, asked: Asked) -> bool:
    """Whether there is anything for the reader. Errors  as `opening`."""
    return asked.answer is not None and opening(node, peer, asked).available
