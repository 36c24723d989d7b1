"""Accounts: whoever signs. The kernel's own table, since the kernel checks signatures.

Modules change it only through `open_account`, `open_with_key`, `enrol_key`, `rotate_key`, `replace_keys`, `end_keys`
and `suspend`, during execution.
A key is known by H(suite, key); full keys stand here and where they are introduced.
"""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, structs

from xinglin.base.check import KeyInvalid
from xinglin.base.crypto import SignatureSuite, check_key, key_hash
from xinglin.base.ids import AccountId, KeyHash
from xinglin.base.limits import (
    KEY_BYTES_MAX,
    KEY_KEPT_MS,
    KEY_OVERLAP_MS_MAX,
    KEYS_BROUGHT_MAX,
    KEYS_PER_ACCOUNT_MAX,
)
from xinglin.base.units import Millis
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Inner, Row, Table, refuse
from xinglin.kernel.state import Context


class AccountKind(IntEnum):
    MEMBER, STAFF, SERVICE, SUBJECT = range(4)


class Custody(IntEnum):
    """Who holds the private key. A receipt says so: a server-held key signs for a person who cannot check."""

    OWN, SERVER = range(2)


NO_END = 0                        # Key.ends_ms


class Key(Inner):
    id: KeyHash
    suite: SignatureSuite
    key: Annotated[bytes, Meta(min_length=32, max_length=KEY_BYTES_MAX)]
    custody: Custody
    ends_ms: Millis                # what it signs from then on is refused; NO_END while none is set


class AccountRow(Row):
    kind: AccountKind
    payer: AccountId               # the member that opened it and pays for what it signs
    suspended: bool
    keys: Annotated[tuple[Key, ...], Meta(max_length=KEYS_PER_ACCOUNT_MAX)]


ACCOUNTS = Table("kernel/accounts", key=(AccountId,), value=AccountRow)


def find_key(row: AccountRow | None, key_id: KeyHash) -> Key | None:
    if row is not None:
        for key in row.keys:
            if key.id == key_id:
                return key
    return None


def has_ended(key: Key, now_ms: Millis) -> bool:
    return NO_END < key.ends_ms <= now_ms


def open_account(ctx: Context, account: AccountId, kind: AccountKind, payer: AccountId) -> None:
    """Open an account without keys, which nobody can sign for yet."""
    if ctx.kernel(ACCOUNTS).get((account,)) is not None:
        refuse(KernelCode.ACCOUNT_EXISTS)
    ctx.kernel(ACCOUNTS).put((account,), AccountRow(kind=kind, payer=payer, suspended=False, keys=()))


def open_with_key(ctx: Context, account: AccountId, kind: AccountKind, payer: AccountId, suite: SignatureSuite,
                  key: bytes, custody: Custody, *, suspended: bool = False) -> None:
    """As `open_account` and `enrol_key`, all of whose checks stand before the write."""
    if ctx.kernel(ACCOUNTS).get((account,)) is not None:
        refuse(KernelCode.ACCOUNT_EXISTS)
    first = _accepted(ctx, suite, key, custody)
    ctx.kernel(ACCOUNTS).put((account,), AccountRow(kind=kind, payer=payer, suspended=suspended, keys=(first,)))


def _accepted(ctx: Context, suite: SignatureSuite, key: bytes, custody: Custody) -> Key:
    """Refused KEY_NOT_ACCEPTED."""
    try:
        check_key(suite, key)
    except KeyInvalid:
        refuse(KernelCode.KEY_NOT_ACCEPTED)
    return Key(id=key_hash(ctx.hashes, suite, key), suite=suite, key=key, custody=custody, ends_ms=NO_END)


def require_new_key(ctx: Context, account: AccountId, suite: SignatureSuite, key: bytes, custody: Custody) -> Key:
    """The key as it may be added. Refused when it is outside the suite's accept set, or the account has or had it."""
    row = _existing(ctx, account)
    added = _accepted(ctx, suite, key, custody)
    if find_key(row, added.id):
        refuse(KernelCode.KEY_EXISTS)
    return added


def enrol_key(ctx: Context, account: AccountId, suite: SignatureSuite, key: bytes, custody: Custody) -> KeyHash:
    """Add a key. Refused when it is outside the suite's accept set, known already, or one too many.

    In a full row the key that ended longest ago makes room, if that was long enough ago.
    """
    added = require_new_key(ctx, account, suite, key, custody)
    _add(ctx, account, added, KEYS_BROUGHT_MAX)
    return added.id


def replace_keys(ctx: Context, account: AccountId, suite: SignatureSuite, key: bytes, custody: Custody) -> None:
    """End every key, and add one. As `enrol_key`, but with a place of its own, that only this fills: whoever has the
    account's keys could keep it out for a month otherwise, with keys that end later or have just ended.
    """
    added = require_new_key(ctx, account, suite, key, custody)
    _add(ctx, account, added, KEYS_PER_ACCOUNT_MAX)
    end_keys(ctx, account, but=added.id)


def _add(ctx: Context, account: AccountId, added: Key, at_most: int) -> None:
    row = _existing(ctx, account)
    kept = _make_room(row.keys, ctx.block_time_ms, at_most)
    if len(kept) >= at_most:
        refuse(KernelCode.TOO_MANY_KEYS)
    ctx.kernel(ACCOUNTS).put((account,), structs.replace(row, keys=(*kept, added)))


def _make_room(keys: tuple[Key, ...], now_ms: Millis, at_most: int) -> tuple[Key, ...]:
    """A key that ended within the window of a transaction stays: one signed before must find that it ended."""
    over = sorted([key for key in keys if has_ended(key, now_ms - KEY_KEPT_MS)], key=lambda key: key.ends_ms)
    gone = [key.id for key in over[:max(0, len(keys) + 1 - at_most)]]
    return tuple([key for key in keys if key.id not in gone])


def rotate_key(ctx: Context, account: AccountId, suite: SignatureSuite, key: bytes,
               old_until_ms: Millis) -> tuple[KeyHash, KeyHash, Millis]:
    """Let `key` take the place of the one that signs here, in the same hands: (old, new, when the old one ends).

    The old one signs until `old_until_ms`, or no more where that is past. One whose end is set already brings no
    successor: else whoever has a replaced key could replace its own successor.
    """
    signing = next(signer.key for signer in ctx.signers if signer.account == account)
    old = find_key(_existing(ctx, account), signing)
    if old is None:                   # a later message of this transaction brings it
        refuse(KernelCode.KEY_NOT_ENROLLED)
    if old.ends_ms != NO_END:
        refuse(KernelCode.KEY_IS_ENDING)
    if old_until_ms > ctx.block_time_ms + KEY_OVERLAP_MS_MAX:
        refuse(KernelCode.OVERLAP_TOO_LONG)
    new = enrol_key(ctx, account, suite, key, old.custody)
    ends_ms = max(old_until_ms, ctx.block_time_ms)
    _set_end(ctx, account, (old.id,), ends_ms)
    return old.id, new, ends_ms


def end_keys(ctx: Context, account: AccountId, *, only: KeyHash | None = None, but: KeyHash | None = None) -> None:
    """End every key, or `only` one, or all `but` one: what they signed before stays valid, what they sign from now
    on is refused.
    """
    row = _existing(ctx, account)
    ended = tuple([key.id for key in row.keys if only in (None, key.id) and key.id != but])
    _set_end(ctx, account, ended, ctx.block_time_ms)


def _set_end(ctx: Context, account: AccountId, ids: tuple[KeyHash, ...], at_ms: Millis) -> None:
    """An end is only ever set earlier."""
    row = _existing(ctx, account)
    keys = tuple([structs.replace(key, ends_ms=at_ms) if key.id in ids and not has_ended(key, at_ms) else key
                  for key in row.keys])
    ctx.kernel(ACCOUNTS).put((account,), structs.replace(row, keys=keys))


def live_key(ctx: Context, account: AccountId, key_id: KeyHash) -> Key | None:
    key = find_key(ctx.kernel(ACCOUNTS).get((account,)), key_id)
    return None if key is None or has_ended(key, ctx.block_time_ms) else key


def is_last_without_end(ctx: Context, account: AccountId, key_id: KeyHash) -> bool:
    """Whether no key without an end would be left if this one went."""
    return all([key.id == key_id or key.ends_ms != NO_END for key in _existing(ctx, account).keys])


def suspend(ctx: Context, account: AccountId, suspended: bool) -> None:
    ctx.kernel(ACCOUNTS).put((account,), structs.replace(_existing(ctx, account), suspended=suspended))


def kind_of(ctx: Context, account: AccountId) -> AccountKind | None:
    """Of an account that signs here this costs nothing: the kernel has just read it."""
    row = ctx.kernel(ACCOUNTS).get((account,))
    return None if row is None else row.kind


def _existing(ctx: Context, account: AccountId) -> AccountRow:
    row = ctx.kernel(ACCOUNTS).get((account,))
    if row is None:
        refuse(KernelCode.ACCOUNT_NOT_FOUND)
    return row
