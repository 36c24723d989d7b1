"""A transaction: body and signatures; and what makes bytes one (`includable`).

Every listed signature must be present, in place and valid, or the transaction does not exist: no leaf, no
id consumed. So a stripped, added, reordered or foreign signature can burn nobody's id. Checks are in two
steps, so that an engine may verify signatures elsewhere: `read` and `prepare` find what is to be verified,
the caller verifies it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import Failed, NotUnderstood
from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite, SignatureSuite, key_hash, tagged
from xinglin.base.ids import AccountId, KeyHash, NetworkId, Nonce, TxId
from xinglin.base.limits import (
    SIGNATURE_BYTES_MAX,
    SIGNERS_PER_TX_MAX,
    TX_BYTES_MAX,
    TX_LONG_WINDOW_MS,
    TX_WINDOW_MS,
)
from xinglin.base.units import MS_PER_MINUTE, Millis
from xinglin.kernel.accounts import ACCOUNTS, AccountKind, AccountRow, find_key, has_ended
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Message, MessageSpec, ModuleSet
from xinglin.kernel.state import Accounts

SIGN_DOMAIN = b"xinglin/tx/1\x00"

M = TypeVar("M")


class Signer(Struct):
    account: AccountId
    key: KeyHash


class Body(Struct, Generic[M]):
    network: NetworkId
    expires_at_ms: Millis
    nonce: Nonce
    signers: Annotated[tuple[Signer, ...], Meta(min_length=1, max_length=SIGNERS_PER_TX_MAX)]
    messages: M


class Transaction(Struct):
    body: Annotated[bytes, Meta(max_length=TX_BYTES_MAX)]
    signatures: Annotated[tuple[Annotated[bytes, Meta(max_length=SIGNATURE_BYTES_MAX)], ...],
                          Meta(min_length=1, max_length=SIGNERS_PER_TX_MAX)]


class Tx(NamedTuple):
    """A transaction that has been read: its bytes, and what they say."""

    raw: bytes
    full_hash: bytes
    id: TxId
    body_bytes: bytes
    expires_at_ms: int
    signers: tuple[Signer, ...]
    messages: tuple[Message, ...]
    specs: tuple[MessageSpec, ...]
    signatures: tuple[bytes, ...]
    unsponsored: bool              # every message is
    apart: int                     # so many signers, the last, sign with a new key for an account that may have others

    @property
    def minute(self) -> int:
        return self.expires_at_ms // MS_PER_MINUTE

    @property
    def short_id(self) -> bytes:
        return self.id[:16]


class Check(NamedTuple):
    """One signature to verify."""

    suite: SignatureSuite
    key: bytes
    message: bytes
    signature: bytes


class NotIncludable(Failed):
    """These bytes are not a transaction here and now."""


@dataclass(frozen=True)
class Reader:
    """Reads transactions of one network."""

    network: NetworkId
    hashes: HashSuite
    modules: ModuleSet
    _body: Any = field(init=False, repr=False, compare=False)    # decoder

    def __post_init__(self) -> None:
        body = Body[self.modules.message_type]  # type: ignore[name-defined]
        object.__setattr__(self, "_body", codec.decoder(body))

    def read(self, raw: bytes) -> Tx:
        """Form, network and signers of `raw`; nothing that depends on state or time.

        Errors  NotIncludable TX_TOO_LARGE, TX_NOT_UNDERSTOOD, WRONG_NETWORK, SIGNERS_DO_NOT_MATCH,
                SIGNATURES_DO_NOT_MATCH.
        """
        if len(raw) > TX_BYTES_MAX:
            raise NotIncludable(KernelCode.TX_TOO_LARGE, f"{len(raw)} of {TX_BYTES_MAX} bytes")
        try:
            outer: Transaction = codec.decode(raw, Transaction)
            body: Any = codec.decode_by(self._body, outer.body)
        except NotUnderstood as error:
            raise NotIncludable(KernelCode.TX_NOT_UNDERSTOOD, error.detail) from None
        if body.network != self.network:
            raise NotIncludable(KernelCode.WRONG_NETWORK)
        specs = tuple([self.modules.messages[type(message)] for message in body.messages])
        if tuple([signer.account for signer in body.signers]) != needed_signers(body.messages, specs):
            raise NotIncludable(KernelCode.SIGNERS_DO_NOT_MATCH)
        apart = 0
        if any([spec.introduces for spec in specs]):
            brought, beside = _brought(self.hashes, body.messages, specs)
            apart = len(beside)
            places = body.signers[:len(body.signers) - apart]
            if any([signer not in places for signer in brought]) or body.signers[len(places):] != beside:
                raise NotIncludable(KernelCode.SIGNERS_DO_NOT_MATCH, "a new key does not sign for its account")
        if len(outer.signatures) != len(body.signers):
            raise NotIncludable(KernelCode.SIGNATURES_DO_NOT_MATCH)
        return Tx(raw, self.hashes.digest(raw), tx_id(self.hashes, outer.body), outer.body,
                  body.expires_at_ms, body.signers, body.messages, specs, outer.signatures,
                  all([spec.unsponsored for spec in specs]), apart)


def tx_id(hashes: HashSuite, body: bytes) -> TxId:
    return tagged(hashes, "xinglin/txid/1", body)


def needed_signers(messages: tuple[Message, ...], specs: tuple[MessageSpec, ...]) -> tuple[AccountId, ...]:
    """The accounts that the messages' `signed_by` fields hold, each once, in the order of first need; then one more
    for each message that brings a key apart, in their order.
    """
    needed: dict[bytes, None] = {}
    apart: list[bytes] = []
    for message, spec in zip(messages, specs, strict=True):
        for name in spec.signed_by:
            needed[getattr(message, name)] = None
        if spec.introduces and spec.introduces.apart:
            apart.append(getattr(message, spec.introduces.account))
    return (*needed, *apart)


def _brought(hashes: HashSuite, messages: tuple[Message, ...],
             specs: tuple[MessageSpec, ...]) -> tuple[tuple[Signer, ...], tuple[Signer, ...]]:
    """The keys that the messages introduce: among the signers, and apart."""
    within: list[Signer] = []
    apart: list[Signer] = []
    for message, spec in zip(messages, specs, strict=True):
        if brings := spec.introduces:
            (apart if brings.apart else within).append(Signer(
                account=getattr(message, brings.account),
                key=key_hash(hashes, getattr(message, brings.suite), getattr(message, brings.key))))
    return tuple(within), tuple(apart)


def in_lane(tx: Tx, rows: Sequence[AccountRow | None]) -> bool:
    """Whether nobody pays for `tx`: all of its messages are unsponsored, all of its signers are subjects."""
    return tx.unsponsored and all([row is not None and row.kind is AccountKind.SUBJECT for row in rows])


def prepare(tx: Tx, state: Accounts, now_ms: int) -> list[Check]:
    """The signatures to verify for `tx` to be includable at `now_ms` after `state`.

    The first signer's payer pays, so the first signer has an account, and its payer is an active member (which a
    lane does not need): neither a stranger nor whoever is invited, but not admitted, can leave anything behind.

    Errors  NotIncludable TX_EXPIRED, EXPIRY_TOO_FAR_AHEAD, ALREADY_EXECUTED, SIGNER_UNKNOWN, PAYER_NOT_ACTIVE.
    """
    check_window(tx, now_ms)
    if state.executed(tx.minute, tx.short_id):
        raise NotIncludable(KernelCode.ALREADY_EXECUTED)
    message = SIGN_DOMAIN + tx.body_bytes
    checks = []
    rows = [state.row(ACCOUNTS, signer.account) for signer in tx.signers]
    own = len(tx.signers) - tx.apart
    for at, (signer, row, signature) in enumerate(zip(tx.signers, rows, tx.signatures, strict=True)):
        key = find_key(row, signer.key)
        if key is not None and has_ended(key, now_ms):
            raise NotIncludable(KernelCode.SIGNER_UNKNOWN, "its key has ended")
        if key is None and (at == 0 or (at < own and row is not None and row.keys)):
            raise NotIncludable(KernelCode.SIGNER_UNKNOWN)      # a key is brought to an account that has none, or apart
        suite, public = (key.suite, key.key) if key else _introduced(tx, signer, state.hashes, at >= own)
        checks.append(Check(suite, public, message, signature))
    first = rows[0]
    if first is not None and not in_lane(tx, rows):
        payer = state.row(ACCOUNTS, first.payer)
        if payer is None or payer.suspended:
            raise NotIncludable(KernelCode.PAYER_NOT_ACTIVE)
    return checks


def check_window(tx: Tx, now_ms: int) -> None:
    if tx.expires_at_ms <= now_ms:
        raise NotIncludable(KernelCode.TX_EXPIRED, f"{now_ms - tx.expires_at_ms} ms ago")
    if tx.expires_at_ms <= now_ms + TX_WINDOW_MS:
        return
    window = TX_LONG_WINDOW_MS if all([spec.long_window for spec in tx.specs]) else TX_WINDOW_MS
    if tx.expires_at_ms > now_ms + window:
        raise NotIncludable(KernelCode.EXPIRY_TOO_FAR_AHEAD, f"at most {window} ms ahead")


def _introduced(tx: Tx, signer: Signer, hashes: HashSuite, apart: bool) -> tuple[SignatureSuite, bytes]:
    """A key that a message of this very transaction brings."""
    for message, spec in zip(tx.messages, tx.specs, strict=True):
        brings = spec.introduces
        if brings and brings.apart is apart and getattr(message, brings.account) == signer.account:
            suite, key = getattr(message, brings.suite), getattr(message, brings.key)
            if key_hash(hashes, suite, key) == signer.key:
                return suite, key
    raise NotIncludable(KernelCode.SIGNER_UNKNOWN)
