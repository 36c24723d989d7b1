"""Which keys an account signs with: those in its row at the tip, and those that it had before they made room there.

A row gives up a key only when it has no place for another, and never has many places again. So of all other accounts
the row tells enough; of these few, what the founding and the messages brought is kept on the way along the blocks. A
key that votes bring counts from the vote that carries it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from xinglin.base.crypto import HashSuite, SignatureSuite, key_hash
from xinglin.base.limits import KEY_KEPT_MS, KEY_OVERLAP_MS_MAX, KEYS_PER_ACCOUNT_MAX
from xinglin.engine.store import Store
from xinglin.fsck.formats import read
from xinglin.kernel.accounts import ACCOUNTS, AccountRow
from xinglin.kernel.genesis import Founder
from xinglin.modules import members

ACCOUNTS_KEPT_MAX = 100_000        # rows held in memory; then it begins anew
FULL_MIN = KEYS_PER_ACCOUNT_MAX - 1     # a row with fewer never gave up one, also where one place is not for all
# A row takes KEYS_PER_ACCOUNT_MAX new keys in KEY_KEPT_MS, and a replaced key signs on for KEY_OVERLAP_MS_MAX.
BROUGHT_KEPT_MAX = KEYS_PER_ACCOUNT_MAX * (KEY_OVERLAP_MS_MAX // KEY_KEPT_MS + 1)


class Key(NamedTuple):
    suite: SignatureSuite
    public: bytes


class Brought(NamedTuple):
    """A key that a message brings for an account; `apart`: to sign in a place of its own, behind all others."""

    account: bytes
    id: bytes
    key: Key
    apart: bool


def brought(hashes: HashSuite, message: Any, spec: Any) -> Brought | None:
    """What a message brings, whatever becomes of it."""
    if not spec.introduces:
        return None
    account, suite, public = [getattr(message, name) for name in (
        spec.introduces.account, spec.introduces.suite, spec.introduces.key)]
    return Brought(account, key_hash(hashes, suite, public), Key(suite, public), spec.introduces.apart)


class Keys:
    """Goes along with the transactions."""

    def __init__(self, store: Store, hashes: HashSuite, founders: Sequence[Founder]):
        self._store = store
        self._hashes = hashes
        self._rows: dict[bytes, dict[bytes, Key]] = {}
        self._brought: dict[bytes, dict[bytes, Key]] = {}               # latest last
        self._moved: dict[tuple[bytes, bytes], Brought] = {}            # (member, proposer) -> what is voted on
        for one in founders:
            self._keep(Brought(one.member, key_hash(hashes, one.suite, one.key), Key(one.suite, one.key), False))

    def find(self, account: bytes, key_id: bytes) -> Key | None:
        """Whether it was live at the time is not asked."""
        return self._row(account).get(key_id) or self._brought.get(account, {}).get(key_id)

    def gave_up_some(self, account: bytes) -> bool:
        """Whether the account may have had keys that its row has no more."""
        return len(self._row(account)) >= FULL_MIN

    def take(self, messages: Sequence[Any], specs: Sequence[Any], events: Sequence[Any]) -> None:
        """Of a transaction that the rules did not refuse: its messages, and an event of each."""
        for message, spec, event in zip(messages, specs, events, strict=True):
            new = brought(self._hashes, message, spec)
            if isinstance(message, members.ReplaceKey):
                if new is not None and self.gave_up_some(new.account):
                    self._moved[new.account, message.proposer] = new
            elif new is not None:
                self._keep(new)
            if isinstance(event, members.KeyMoved) and event.carried:
                moved = self._moved.pop((event.member, event.proposer), None)
                if moved is not None and moved.id == event.key:
                    self._keep(moved)

    def _keep(self, new: Brought) -> None:
        if self.gave_up_some(new.account):
            keys = self._brought.setdefault(new.account, {})
            keys.pop(new.id, None)
            keys[new.id] = new.key
            if len(keys) > BROUGHT_KEPT_MAX:
                del keys[next(iter(keys))]

    def _row(self, account: bytes) -> dict[bytes, Key]:
        """By their own hashes, as of the tip."""
        keys = self._rows.get(account)
        if keys is None:
            data = self._store.get(ACCOUNTS.store_prefix + account)
            row = None if data is None else read(data, AccountRow, f"account {account.hex()}")
            keys = {key_hash(self._hashes, key.suite, key.key): Key(key.suite, key.key)
                    for key in (row.keys if row else ())}
            if len(self._rows) >= ACCOUNTS_KEPT_MAX:
                self._rows.clear()
            self._rows[account] = keys
        return keys
