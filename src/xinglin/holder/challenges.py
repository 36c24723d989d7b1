"""Challenges that a patient signs to read her history: drawn here, signed once, good for two minutes.

A challenge proves by itself that it was drawn here (time, chance, HMAC), so drawing one keeps nothing: nobody can
fill the memory with open challenges, or push out hers. Those that were signed are kept until they run out.
"""

import hmac
import secrets
import threading
from collections.abc import Callable

from xinglin.base.ids import SubjectId
from xinglin.base.limits import CHALLENGE_MS, CHALLENGES_PER_SUBJECT_MAX

_CHANCE_BYTES = 8
_TAG_BYTES = 16


class Challenges:
    """Of one process: a restart voids the open ones. Safe for threads."""

    def __init__(self, monotonic_ms: Callable[[], int]):
        self._monotonic_ms = monotonic_ms
        self._key = secrets.token_bytes(32)
        self._used: dict[SubjectId, dict[bytes, int]] = {}
        self._turn = threading.Lock()

    def draw(self, subject: SubjectId) -> bytes:
        """The 32-byte nonce of a fresh challenge."""
        start = self._monotonic_ms().to_bytes(8, "big") + secrets.token_bytes(_CHANCE_BYTES)
        return start + self._tag(subject, start)

    def is_open(self, subject: SubjectId, nonce: bytes) -> bool:
        """Whether it was drawn here, for this subject, not long ago."""
        start, tag = nonce[:-_TAG_BYTES], nonce[-_TAG_BYTES:]
        age_ms = self._monotonic_ms() - int.from_bytes(start[:8], "big")
        return hmac.compare_digest(tag, self._tag(subject, start)) and 0 <= age_ms <= CHALLENGE_MS

    def use(self, subject: SubjectId, nonce: bytes) -> bool:
        """Whether this is its first use. Call it once the signature was found good: else strangers fill the list."""
        with self._turn:
            oldest_ms = self._monotonic_ms() - CHALLENGE_MS
            for known, nonces in list(self._used.items()):
                for old in [one for one, drawn_ms in nonces.items() if drawn_ms < oldest_ms]:
                    del nonces[old]
                if not nonces:
                    del self._used[known]
            used = self._used.setdefault(subject, {})
            if nonce in used or len(used) >= CHALLENGES_PER_SUBJECT_MAX:
                return False
            used[nonce] = int.from_bytes(nonce[:8], "big")
            return True

    def _tag(self, subject: SubjectId, start: bytes) -> bytes:
        return hmac.digest(self._key, subject + start, "sha256")[:_TAG_BYTES]
