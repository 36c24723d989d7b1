"""The oracle's book of keys: whose they are, until when they sign, and what members vote about them.

Nothing is forgotten here. A ledger forgets, of many keys of one account, those that ended long ago.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from xinglin.base.crypto import HashSuite, key_hash
from xinglin.base.limits import KEY_OVERLAP_MS_MAX
from xinglin.kernel.module import Event, Message
from xinglin.modules import members, subjects
from xinglin.sim.codes import hold

FOREVER = 2**63
REPLACE, RETIRE = members.KeyMotion

APART = (members.RotateKey, members.ReplaceKey, subjects.RotateKey)       # whose new key signs behind all others
KeyMessage = members.RotateKey | members.ReplaceKey | members.RetireKey | members.VoteKey | subjects.RotateKey


def brought_by(hashes: HashSuite, message: Message) -> tuple[bytes, bytes] | None:
    """(account, key), where the message brings one."""
    match message:
        case members.Invite() | members.ReplaceKey():
            account = message.member
        case members.EnrolStaff() | members.EnrolService() | members.RotateKey():
            account = message.account
        case subjects.Claim() | subjects.RotateKey():
            account = message.subject
        case _:
            return None
    return account, key_hash(hashes, message.suite, message.key)


class Motion(NamedTuple):
    motion: members.KeyMotion
    key: bytes
    voters: tuple[bytes, ...]


@dataclass
class KnownKeys:
    """`carry` says whether these voters are enough now."""

    hashes: HashSuite
    carry: Callable[[list[bytes]], bool]
    of: dict[bytes, dict[bytes, int]] = field(default_factory=dict)           # account -> key -> when it ends
    motions: dict[tuple[bytes, bytes], Motion] = field(default_factory=dict)  # (member, proposer)
    signing: dict[bytes, bytes] = field(default_factory=dict)                 # of what is executed now

    def id_of(self, message: members.RotateKey | members.ReplaceKey | subjects.RotateKey) -> bytes:
        return key_hash(self.hashes, message.suite, message.key)

    def live(self, account: bytes, now_ms: int) -> list[bytes]:
        return [key for key, ends_ms in self.of.get(account, {}).items() if ends_ms > now_ms]

    def check_signers(self, signers: tuple[tuple[bytes, bytes], ...], messages: tuple[Message, ...],
                      now_ms: int) -> None:
        """P1: what signed is good now, or brought by this very transaction; what is brought shows itself."""
        brought = [found for one in messages if (found := brought_by(self.hashes, one))]
        for signer in signers:
            ends_ms = self.of.get(signer[0], {}).get(signer[1])
            hold(ends_ms is not None or signer in brought, "P1", "a key signed that its account never had")
            hold(ends_ms is None or ends_ms > now_ms, "P1", "a key that has ended signed")
        hold({*brought} <= {*signers}, "P1", "a key was brought to an account, and did not sign")

    # -- why it must be refused

    def reasons(self, message: KeyMessage, now_ms: int) -> Iterator[str]:
        match message:
            case members.RotateKey() | subjects.RotateKey():
                account = message.account if isinstance(message, members.RotateKey) else message.subject
                if self.of[account].get(self.signing[account]) != FOREVER:
                    yield "the key that signs has an end already"
                if message.old_until_ms > now_ms + KEY_OVERLAP_MS_MAX:
                    yield "the old key is kept too long"
                if self.id_of(message) in self.of[account]:
                    yield "the account had that key"
            case members.ReplaceKey():
                if self.id_of(message) in self.of.get(message.member, {}):
                    yield "the member had that key"
            case members.RetireKey():
                yield from self._cannot_end(message.member, message.key, now_ms)
            case members.VoteKey():
                yield from self._cannot_vote(message, now_ms)

    def _cannot_end(self, member: bytes, key: bytes, now_ms: int) -> Iterator[str]:
        keys = self.of.get(member, {})
        if key not in self.live(member, now_ms) or FOREVER not in [keys[one] for one in keys if one != key]:
            yield "the key has ended, or is the member's last"

    def _cannot_vote(self, message: members.VoteKey, now_ms: int) -> Iterator[str]:
        row = self.motions.get((message.member, message.proposer))
        if row is None or (row.motion, row.key) != (message.motion, message.key):
            yield "there is no such motion"
            return
        if message.voter in row.voters and not self.carry([*row.voters]):
            yield "the voter has voted"
        if row.motion is RETIRE:
            yield from self._cannot_end(message.member, row.key, now_ms)
        elif row.key in self.of[message.member] and self.carry([*row.voters, message.voter]):
            yield "the member had that key"

    # -- taking it in

    def take(self, message: Message, event: Event, now_ms: int) -> None:
        brought = brought_by(self.hashes, message)
        if brought and not isinstance(message, APART):
            self.of.setdefault(brought[0], {})[brought[1]] = FOREVER
        match message:
            case members.EndStaff():
                self._end(message.account, now_ms)
            case members.RotateKey() | subjects.RotateKey():
                self._rotated(message, event, now_ms)
            case members.ReplaceKey():
                self._moved(message.member, message.proposer, Motion(
                    REPLACE, self.id_of(message), (message.proposer,)), event, now_ms)
            case members.RetireKey():
                self._moved(message.member, message.proposer, Motion(
                    RETIRE, message.key, (message.proposer,)), event, now_ms)
            case members.VoteKey():
                row = self.motions[message.member, message.proposer]
                voters = row.voters if message.voter in row.voters else (*row.voters, message.voter)
                self._moved(message.member, message.proposer, row._replace(voters=voters), event, now_ms)

    def _rotated(self, message: members.RotateKey | subjects.RotateKey, event: Event, now_ms: int) -> None:
        account = message.account if isinstance(message, members.RotateKey) else message.subject
        old, new, ends_ms = self.signing[account], self.id_of(message), max(message.old_until_ms, now_ms)
        self.of[account] |= {old: ends_ms, new: FOREVER}
        hold(isinstance(event, members.KeyRotated | subjects.KeyRotated)
             and (event.old, event.new, event.old_until_ms) == (old, new, ends_ms), "P1",
             "a rotation is told otherwise than it was")

    def _moved(self, member: bytes, proposer: bytes, row: Motion, event: Event, now_ms: int) -> None:
        carried = self.carry([*row.voters])
        hold(isinstance(event, members.KeyMoved) and event.carried is carried, "P1",
             "a motion carries with more than two thirds of the active members' votes")
        self.motions[member, proposer] = row
        if carried:
            del self.motions[member, proposer]
            self._end(member, now_ms, None if row.motion is REPLACE else row.key)
            if row.motion is REPLACE:
                self.of[member][row.key] = FOREVER

    def _end(self, account: bytes, now_ms: int, only: bytes | None = None) -> None:
        for key, ends_ms in self.of[account].items():
            if only in (None, key):
                self.of[account][key] = min(ends_ms, now_ms)
