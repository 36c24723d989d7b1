"""The bench's network and its work: consent grants, each to a (subject, organisation) pair that has no row yet.

One hospital registers all subjects; pair n is subject n mod S and founder n div S. Keys come from numbers,
so this network protects nothing; its ids mean nothing either. Transactions are signed by other processes.
"""

import functools
import hashlib
import multiprocessing
import os
import secrets
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType

from xinglin.base.crypto import SHA256, SignatureSuite, SigningKey
from xinglin.base.limits import FOUNDERS_MAX, TX_WINDOW_MS
from xinglin.base.units import MS_PER_HOUR, MS_PER_SECOND
from xinglin.client.signing import sign
from xinglin.kernel.genesis import (
    CheckpointKey,
    Founder,
    Manifest,
    MemberKind,
    Parameters,
    network_id,
)
from xinglin.kernel.module import Message, ModuleSet
from xinglin.modules import consent, members, module_set, subjects

ED25519 = SignatureSuite.ED25519
ORGANISATIONS = FOUNDERS_MAX
CHECKPOINT_NAME = "bench"
UNITS_PER_SECOND = 2**32 - 1        # quotas are not what is measured
STARTED_MS = 1_767_225_600_000      # 2026-01-01
EXPIRES_IN_MS = TX_WINDOW_MS - 10 * MS_PER_SECOND
GRANT_HOURS = 24 * 30
CLAIMS_PER_TX = 15                  # the service and fifteen subjects sign
GRANTS_PER_JOB = 1_000
JOBS_AHEAD = 16


def id_of(what: str, number: int) -> bytes:
    return hashlib.sha256(f"bench {what} {number}".encode()).digest()[:16]


def key_of(what: str, number: int) -> SigningKey:
    seed = hashlib.sha256(f"bench key {what} {number}".encode()).digest()
    return SigningKey.from_seed(ED25519, seed)


def checkpoint_seed() -> bytes:
    return hashlib.sha256(b"bench checkpoint").digest()


def manifest(modules: ModuleSet) -> Manifest:
    founders = tuple(
        Founder(member=id_of("member", number), kind=MemberKind.HOSPITAL, suite=ED25519,
                key=key_of("member", number).public, card=bytes(32))
        for number in range(ORGANISATIONS))
    checkpoint = SigningKey.from_seed(ED25519, checkpoint_seed()).public
    return Manifest(
        name="bench", hash_suite=SHA256.name, started_ms=STARTED_MS, simulated=False,
        module_set=modules.hash(SHA256), operator=id_of("member", 0), founders=founders,
        parameters=Parameters(units_per_second=UNITS_PER_SECOND, answer_ms=60_000, page_parts=16),
        checkpoint_keys=(CheckpointKey(name=CHECKPOINT_NAME, key=checkpoint),))


class _Signer:
    """Signs for everybody of the bench's network."""

    def __init__(self) -> None:
        self._modules = module_set()
        self._network = network_id(manifest(self._modules))
        self._key = functools.cache(key_of)

    def _sign(self, messages: list[Message], keys: dict[bytes, SigningKey]) -> bytes:
        expires_at_ms = time.time_ns() // 1_000_000 + EXPIRES_IN_MS
        return sign(self._network, SHA256, self._modules, messages, keys, expires_at_ms)[0]

    def hospital(self) -> bytes:
        """The one service, which registers and co-signs for all subjects."""
        member, service = id_of("member", 0), id_of("service", 0)
        message = members.EnrolService(member=member, account=service, suite=ED25519,
                                       key=self._key("service", 0).public)
        return self._sign([message], {member: self._key("member", 0),
                                      service: self._key("service", 0)})

    def claims(self, first: int, count: int) -> bytes:
        """Subjects registered and claimed at once."""
        service = id_of("service", 0)
        keys = {service: self._key("service", 0)}
        messages: list[Message] = []
        for number in range(first, first + count):
            subject, key = id_of("subject", number), self._key("subject", number)
            keys[subject] = key
            messages.append(subjects.Register(service=service, subject=subject))
            messages.append(subjects.Claim(service=service, subject=subject, suite=ED25519,
                                           key=key.public))
        return self._sign(messages, keys)

    def grant(self, pair: int, subjects_count: int) -> bytes:
        grantee, number = divmod(pair, subjects_count)
        subject = id_of("subject", number)
        until_h = time.time_ns() // 1_000_000 // MS_PER_HOUR + GRANT_HOURS
        message = consent.Grant(subject=subject, grantee=id_of("member", grantee),
                                grant_id=secrets.token_bytes(16), until_h=until_h,
                                body=secrets.token_bytes(32))
        return self._sign([message], {subject: self._key("subject", number)})


@functools.cache
def _signer() -> _Signer:
    """One a process."""
    return _Signer()


def _claims(first: int, last: int) -> list[bytes]:
    return [_signer().claims(at, min(CLAIMS_PER_TX, last - at))
            for at in range(first, last, CLAIMS_PER_TX)]


def _grants(first: int, last: int, subjects_count: int) -> list[bytes]:
    return [_signer().grant(pair, subjects_count) for pair in range(first, last)]


def one_grant() -> bytes:
    """One transaction as they all are, to know its size by."""
    return _signer().grant(0, 1)


class Signers:
    """Processes that sign, a little ahead of whoever takes from them."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))

    def __enter__(self) -> "Signers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def hospital(self) -> bytes:
        return _signer().hospital()

    def claims(self, subjects_count: int) -> Iterator[bytes]:
        step = 10 * CLAIMS_PER_TX
        yield from _ahead(self._pool.submit(_claims, at, min(at + step, subjects_count))
                          for at in range(0, subjects_count, step))

    def grants(self, first: int, last: int, subjects_count: int) -> Iterator[bytes]:
        yield from _ahead(
            self._pool.submit(_grants, at, min(at + GRANTS_PER_JOB, last), subjects_count)
            for at in range(first, last, GRANTS_PER_JOB))


def _ahead(jobs: Iterator[Future[list[bytes]]]) -> Iterator[bytes]:
    """What the jobs give, in order, with `JOBS_AHEAD` of them under way."""
    waiting: deque[Future[list[bytes]]] = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) == JOBS_AHEAD:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()
