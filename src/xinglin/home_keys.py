"""New keys for old: of the organisations of a home, their people and their systems.

The new key is in a file of its own before the ledger hears of it, and takes the old one's place once the ledger has
it. So whatever is cut off, one of the files holds a key that signs; the same call goes on. NAME.rotation is the key
that an account brings itself; member.replacement is the one that members vote on, which may take them weeks.
"""

from pathlib import Path

from xinglin import disk
from xinglin.base.check import Failed
from xinglin.base.crypto import SignatureSuite, SigningKey, key_hash
from xinglin.base.ids import AccountId, KeyHash, MemberId
from xinglin.client.client import Sent
from xinglin.client.key_file import KeyFile
from xinglin.home import MEMBER_SUITE, Home, Organisation, Staff
from xinglin.kernel.accounts import ACCOUNTS, Key, find_key, has_ended
from xinglin.kernel.tx import NotIncludable
from xinglin.modules import members


def live_keys(home: Home, account: AccountId) -> list[Key]:
    """Oldest first."""
    found = home.node.rows(ACCOUNTS, account)
    now_ms = home.node.now_ms()
    return [key for _, row in found for key in row.keys if not has_ended(key, now_ms)]


def rotate_member(home: Home, organisation: Organisation, old_until_ms: int = 0) -> Sent | None:
    """None when the ledger had the new key already: of a call that was cut off, or voted for meanwhile.

    Errors  Failed on a refusal.
    """
    if take_up(home, organisation.member):
        return None
    return _rotate(home, organisation.folder / "member.key", None, old_until_ms)


def rotate_service(home: Home, organisation: Organisation, old_until_ms: int = 0) -> Sent | None:
    """As `rotate_member`, of its system: its data room goes on with the new key."""
    sent = _rotate(home, organisation.folder / "service.key", None, old_until_ms)
    home.close_holder(organisation)
    return sent


def rotate_staff(home: Home, staff: Staff, passphrase: str | None, old_until_ms: int = 0) -> Sent | None:
    """As `rotate_member`, of a person, under the passphrase that her key file has."""
    return _rotate(home, staff.key_file, passphrase, old_until_ms)


def _rotate(home: Home, file: Path, passphrase: str | None, old_until_ms: int) -> Sent | None:
    account, old = KeyFile.open(file, passphrase)
    coming = file.with_suffix(".rotation")
    new = _drawn(home, coming, passphrase, old.suite, account)
    sent = None
    if not _is_live(home, account, new):
        try:
            sent = home.client.send([members.RotateKey(
                account=account, suite=new.suite, key=new.public, old_until_ms=old_until_ms)],
                {account: old}, apart=[new])
        except Failed as error:
            refused = "receipt" in error.facts or isinstance(error, NotIncludable)
            if refused and not _is_wanted(home, account, new):     # else it may be on the ledger yet
                coming.unlink()
            raise
    disk.move(coming, file)
    return sent


def propose_replacement(home: Home, proposer: Organisation, organisation: Organisation) -> Sent:
    """Move that an organisation of this home gets a new key, which is made here, for all that it has.

    Errors  Failed on a refusal.
    """
    new = _drawn(home, _replacement(organisation), None, MEMBER_SUITE, organisation.member)
    sent = home.client.send([members.ReplaceKey(
        proposer=proposer.member, member=organisation.member, suite=new.suite, key=new.public)],
        {proposer.member: home.member_key(proposer)}, apart=[new])
    take_up(home, organisation.member)
    return sent


def propose_end(home: Home, proposer: Organisation, member: MemberId, key: KeyHash) -> Sent:
    """Move that one key of a member ends now. Errors  Failed on a refusal."""
    return home.client.send([members.RetireKey(proposer=proposer.member, member=member, key=key)],
                            {proposer.member: home.member_key(proposer)})


def vote(home: Home, voter: Organisation, member: MemberId, proposer: MemberId, row: members.KeyMotionRow) -> Sent:
    """Agree with an open motion as it stands. Errors  Failed on a refusal."""
    sent = home.client.send([members.VoteKey(
        voter=voter.member, proposer=proposer, member=member, motion=row.motion, key=row.id)],
        {voter.member: home.member_key(voter)})
    take_up(home, member)
    return sent


def take_up(home: Home, member: MemberId) -> bool:
    """Whether a key that was made here for the member has become its key; then its file is the member's."""
    organisation = home.member_named(member)
    if organisation is None:
        return False
    coming = _replacement(organisation)
    if not coming.exists() or not _is_live(home, member, KeyFile.open(coming)[1]):
        return False
    disk.move(coming, organisation.folder / "member.key")
    return True


def _replacement(organisation: Organisation) -> Path:
    return organisation.folder / "member.replacement"


def _drawn(home: Home, coming: Path, passphrase: str | None, suite: SignatureSuite, account: AccountId) -> SigningKey:
    """The key in the file: from a call that was cut off, else a new one; never one that has ended already."""
    if coming.exists():
        key = KeyFile.open(coming, passphrase)[1]
        if _is_wanted(home, account, key) or _known(home, account, key) is None:
            return key
        coming.unlink()
    return KeyFile.create(coming, passphrase, suite, account)


def _is_wanted(home: Home, account: AccountId, key: SigningKey) -> bool:
    """Whether the account signs with it, or members vote on it: losing it, the account could be left with none."""
    voted_on = {row.id for _, row in home.node.rows(members.KEY_MOTIONS, account)}
    return _is_live(home, account, key) or key_hash(home.node.hashes, key.suite, key.public) in voted_on


def _is_live(home: Home, account: AccountId, key: SigningKey) -> bool:
    found = _known(home, account, key)
    return found is not None and not has_ended(found, home.node.now_ms())


def _known(home: Home, account: AccountId, key: SigningKey) -> Key | None:
    rows = home.node.rows(ACCOUNTS, account)
    return find_key(rows[0][1], key_hash(home.node.hashes, key.suite, key.public)) if rows else None
