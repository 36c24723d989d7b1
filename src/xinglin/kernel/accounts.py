"""Accounts: whoever signs. The kernel's own table, since the kernel checks signatures.

Modules change it only through `open_account`, `open_with_key`, `enrol_key`, `retire_keys` and `suspend`, during
execution.
A key is known by H(suite, key); full keys stand here and where they are introduced.
"""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, structs

from xinglin.base.check import KeyInvalid
from xinglin.base.crypto import SignatureSuite, check_key, key_hash
from xinglin.base.ids import AccountId, KeyHash
from xinglin.base.limits import KEY_BYTES_MAX, KEYS_PER_ACCOUNT_MAX
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import Inner, Row, Table, refuse
from xinglin.kernel.state import Context


class AccountKind(IntEnum):
    MEMBER, STAFF, SERVICE, SUBJECT = range(4)


class Custody(IntEnum):
    """Who holds the private key. A receipt says so: a server-held key signs for a person who cannot check."""

    OWN, SERVER = range(2)


class Key(Inner):
    id: KeyHash
    suite: SignatureSuite
    key: Annotated[bytes, Meta(min_length=32, max_length=KEY_BYTES_MAX)]
    custody: Custody
    retired: bool


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


def enrol_key(ctx: Context, account: AccountId, suite: SignatureSuite, key: bytes, custody: Custody) -> KeyHash:
    """Add a key. Refused when it is outside the suite's accept set, known already, or one too many."""
    row = _existing(ctx, account)
    added = _accepted(ctx, suite, key, custody)
    if find_key(row, added.id):
        refuse(KernelCode.KEY_EXISTS)
    if len(row.keys) == KEYS_PER_ACCOUNT_MAX:
        refuse(KernelCode.TOO_MANY_KEYS)
    ctx.kernel(ACCOUNTS).put((account,), structs.replace(row, keys=(*row.keys, added)))
    return added.id


def _accepted(ctx: Context, suite: SignatureSuite, key: bytes, custody: Custody) -> Key:
    """Refused KEY_NOT_ACCEPTED."""
    try:
        check_key(suite, key)
    except KeyInvalid:
        refuse(KernelCode.KEY_NOT_ACCEPTED)
    return Key(id=key_hash(ctx.hashes, suite, key), suite=suite, key=key, custody=custody, retired=False)


def retire_keys(ctx: Context, account: AccountId) -> None:
    """Retire every key; what they signed before stays valid, what they sign from now on is refused."""
    row = _existing(ctx, account)
    keys = tuple(structs.replace(key, retired=True) for key in row.keys)
    ctx.kernel(ACCOUNTS).put((account,), structs.replace(row, keys=keys))


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
