"""A small network with real parts: a node, hospital A's data room, a doctor at B, patients who have claimed.

Time is simulated, so a test moves it; nothing else is pretended. Input is small FHIR made here, in the files'
own form, unless a test brings another.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xinglin.base import codec
from xinglin.base.crypto import SHA256, SignatureSuite, SigningKey, key_hash
from xinglin.base.ids import NO_ID
from xinglin.base.units import MS_PER_HOUR
from xinglin.client.door import ClaimRequest, KeptConsent, SignedChallenge, code_proof
from xinglin.holder import answer, asking, claim_codes, fhir, imports, openings, release
from xinglin.holder.deliveries import Delivered, deliver
from xinglin.holder.holder import Holder, order
from xinglin.holder.peers import LocalPeer
from xinglin.holder.release import Page
from xinglin.kernel.accounts import Custody
from xinglin.kernel.genesis import CheckpointKey, Founder, Manifest, MemberKind, Parameters
from xinglin.kernel.module import Event, Message
from xinglin.kernel.tx import SIGN_DOMAIN, Body, Signer
from xinglin.modules import consent, members, module_set, subjects
from xinglin.modules.decision import ConsentBody, Opened, ScopeItem, commit
from xinglin.node import Node
from xinglin.vault.keystore import TagKind
from xinglin.vault.wrap import RecipientKey

ED25519 = SignatureSuite.ED25519
RECIPIENT = RecipientKey.new()      # whose replies are not opened here
STARTED_MS = 1_700_000_000_000

A, B, C = (bytes([letter]) * 16 for letter in b"ABC")
SERVICE, B_SERVICE, DOCTOR, NURSE = (bytes([letter]) * 16 for letter in b"sbdn")

LABORATORY = (ScopeItem(data_class="laboratory", id=""),)
NOTES = (ScopeItem(data_class="DocumentReference", id=""),)
PSYCHIATRIC = "http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"


def seeded(number: int) -> SigningKey:
    return SigningKey.from_seed(ED25519, bytes([number]) * 32)


def manifest(answer_ms: int = 60_000, page_parts: int = 4) -> Manifest:
    return Manifest(
        name="test", hash_suite="sha-256", started_ms=STARTED_MS, simulated=True, module_set=module_set().hash(SHA256),
        parameters=Parameters(units_per_second=1_000_000, answer_ms=answer_ms, page_parts=page_parts), operator=A,
        founders=tuple(Founder(member=member, kind=MemberKind.HOSPITAL, suite=ED25519, key=seeded(member[0]).public,
                               card=bytes(32)) for member in (A, B, C)),
        checkpoint_keys=(CheckpointKey(name="op", key=seeded(9).public),))


# -- input

def patient(own: str = "mei", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": own, "name": [{"family": "Feest103", "given": ["Mei512"]}],
            "birthDate": "1971-02-03", "identifier": [{"system": "urn:test:mrn", "value": f"mrn-{own}-0001"}], **more}


def laboratory(own: str, about: str = "mei", value: str = "5.1 mmol/L") -> dict[str, Any]:
    return {"resourceType": "Observation", "id": own, "status": "final", "code": {"text": f"glucose {own}"},
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                      "code": "laboratory"}]}],
            "subject": {"reference": f"Patient/{about}"}, "valueString": value}


def note(own: str, about: str = "mei", labels: Sequence[str] = ()) -> dict[str, Any]:
    """A DocumentReference, with "system|code" labels."""
    coded = [coding(label) for label in labels]
    return {"resourceType": "DocumentReference", "id": own, "status": "current",
            "subject": {"reference": f"Patient/{about}"}, **({"meta": {"security": coded}} if coded else {}),
            "content": [{"attachment": {"contentType": "text/plain", "data": "c2xlZXBzIGJhZGx5"}}]}


def coding(label: str) -> dict[str, str]:
    """Of "system|code"."""
    return dict(zip(("system", "code"), label.split("|"), strict=True))


def chart(records: int = 5, about: str = "mei") -> list[dict[str, Any]]:
    """A patient with so many laboratory results, and two notes of which one is psychiatric."""
    return [patient(about), *(laboratory(f"{about}-lab-{number}", about) for number in range(records)),
            note(f"{about}-plain", about), note(f"{about}-psy", about, [PSYCHIATRIC])]


def sources(*resources: dict[str, Any]) -> list[fhir.Source]:
    return [fhir.Source("a.json", f"entry {at}", "", "", resource) for at, resource in enumerate(resources)]


# -- the network

class Room:
    """A node and what lives on it; `close` it."""

    def __init__(self, folder: Path, node: Node):
        self.folder = folder
        self.node = node
        self.keys: dict[bytes, SigningKey] = {member: seeded(member[0]) for member in (A, B, C)}
        self.keys |= {SERVICE: seeded(50), B_SERVICE: seeded(51), DOCTOR: seeded(52), NURSE: seeded(53)}
        self.holder = Holder.open(node, folder / "A", A, SERVICE, self.keys[SERVICE])
        self._reading: Holder | None = None
        self._opening = threading.Lock()

    @classmethod
    def found(cls, folder: Path, node: Node | None = None, **parameters: int) -> "Room":
        """A fresh network with its staff; nobody is a patient yet."""
        if node is None:
            node = Node.create(folder / "ledger", manifest(**parameters), module_set(), "op", bytes([9]) * 32)
        room = cls(folder, node)
        for member, account in ((A, SERVICE), (B, B_SERVICE)):
            room.order(members.EnrolService(member=member, account=account, suite=ED25519,
                                            key=room.keys[account].public))
        for account, role in ((DOCTOR, members.Role.PHYSICIAN), (NURSE, members.Role.NURSE)):
            room.order(members.EnrolStaff(member=B, account=account, role=role, custody=Custody.OWN, suite=ED25519,
                                          key=room.keys[account].public, card=bytes(32)))
        return room

    @classmethod
    def furnished(cls, folder: Path, *resources: dict[str, Any], **parameters: int) -> "Room":
        """With mei's chart, or `resources`, imported and every subject claimed."""
        room = cls.found(folder, **parameters)
        for one in room.take_in(*(resources or chart())).subjects:
            room.claim(one.owner)
        return room

    def close(self) -> None:
        self.holder.close()
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        self.node.close()

    def reopen(self) -> None:
        """As after a stop of the process."""
        self.close()
        self.node = Node.open(self.folder / "ledger", module_set())
        self.holder = Holder.open(self.node, self.folder / "A", A, SERVICE, self.keys[SERVICE])

    @property
    def reading(self) -> Holder:
        """B's room, whose staff ask."""
        with self._opening:
            if self._reading is None:
                self._reading = Holder.open(self.node, self.folder / "B", B, B_SERVICE, self.keys[B_SERVICE])
            return self._reading

    @property
    def peer(self) -> LocalPeer:
        return LocalPeer(self.holder)

    def order(self, *messages: Message) -> tuple[Event, ...]:
        return order(self.node, messages, self.keys)[1]

    # -- what people do

    def take_in(self, *resources: dict[str, Any], **options: Any) -> imports.Report:
        return imports.take_in(self.holder, sources(*resources), **options)

    def subject(self, own: str = "mei") -> bytes:
        found = self.holder.keystore.find("", f"Patient/{own}", TagKind.SOURCE)
        assert found is not None
        return found

    def claim_request(self, subject: bytes, code: str, **changes: Any) -> ClaimRequest:
        """A wallet's claim; `changes` replace fields of the body, `service` and `key` those of the message."""
        key = changes.pop("key", self.keys.setdefault(subject, SigningKey.from_seed(ED25519, secrets.token_bytes(32))))
        service = changes.pop("service", SERVICE)
        claim = subjects.Claim(service=service, subject=changes.pop("claimed", subject), suite=ED25519, key=key.public)
        fields: dict[str, Any] = {
            "network": self.node.network, "expires_at_ms": self.node.now_ms() + 60_000,
            "nonce": secrets.token_bytes(16), "messages": (claim,),
            "signers": (Signer(account=service, key=key_hash(SHA256, ED25519, self.keys[SERVICE].public)),
                        Signer(account=subject, key=key_hash(SHA256, ED25519, key.public)))} | changes
        body = codec.encode(Body(**fields))
        return ClaimRequest(body=body, signature=key.sign(SIGN_DOMAIN + body), proof=code_proof(SHA256, body, code))

    def claim(self, subject: bytes) -> None:
        claim_codes.co_sign(self.holder, self.claim_request(subject, claim_codes.issue(self.holder, subject)))

    def consent_body(self, **changes: Any) -> ConsentBody:
        fields: dict[str, Any] = {"person": NO_ID, "roles": (), "scope": LABORATORY, "purposes": ("TREAT",),
                                  "labels": (), "wording": "My results, for treatment.", "language": "en"} | changes
        return ConsentBody(**fields)

    def grant(self, subject: bytes, *, hours: int = 24, deliver: bool = True, grantee: bytes = B,
              committed: ConsentBody | None = None, **changes: Any) -> bytes:
        """Order a grant, its body delivered unless told not to; `committed` commits to another body."""
        grant_id, nonce = secrets.token_bytes(16), secrets.token_bytes(32)
        body = codec.encode(self.consent_body(**changes))
        if deliver:
            self.keep_consent(subject, grant_id, Opened(nonce=nonce, body=body))
        on_ledger = body if committed is None else codec.encode(committed)
        self.order(consent.Grant(subject=subject, grantee=grantee, grant_id=grant_id,
                                 until_h=self.node.now_ms() // MS_PER_HOUR + hours,
                                 body=commit(SHA256, "consent-body", nonce, on_ledger)))
        return grant_id

    def keep_consent(self, subject: bytes, grant_id: bytes, opened: Opened, signer: bytes | None = None) -> None:
        answer.keep_consent(self.holder, KeptConsent(
            network=self.node.network, subject=subject, grant_id=grant_id, opened=opened).signed(
                self.keys[signer or subject]))

    def deliver(self, delivered: Delivered, signer: bytes = DOCTOR) -> None:
        deliver(self.holder, delivered, self.keys[signer].sign(delivered.message(self.node.network)))

    def page(self, subject: bytes, request: int, number: int, reader: bytes = DOCTOR) -> Page:
        """As the reader fetches it, who signs for it."""
        return release.page(self.holder, subject, request, number, self.fetches(subject, request, number, reader))

    def opening(self, subject: bytes, request: int, reader: bytes = DOCTOR) -> bytes:
        return release.opening(self.holder, subject, request, self.fetches(subject, request, None, reader))

    def fetches(self, subject: bytes, request: int, number: int | None, reader: bytes = DOCTOR) -> bytes:
        if not 0 <= request < 2**63 or not 0 <= (number or 0) < 2**63:
            return b""             # no such number can be written down
        return self.keys[reader].sign(release.fetch_message(self.node.network, subject, request, number))

    def revoke(self, subject: bytes, grant_id: bytes, grantee: bytes = B) -> None:
        self.order(consent.Revoke(subject=subject, grantee=grantee, grant_id=grant_id))

    def ask(self, subject: bytes, *, reader: bytes = DOCTOR, scope: Sequence[ScopeItem] = LABORATORY,
            purpose: str = "TREAT", grant_id: bytes = NO_ID) -> asking.Asked:
        return asking.ask(self.reading, self.peer, subject, reader, self.keys[reader], purpose=purpose, scope=scope,
                          reason="follow-up", grant_id=grant_id)

    def signed_challenge(self, subject: bytes) -> SignedChallenge:
        drawn = openings.challenge(self.holder, subject)
        return drawn.signed(self.keys[subject], RECIPIENT.public)

    def cause(self, subject: bytes, entry: int) -> Any:
        """What the patient reads of why entry number `entry` was decided so."""
        _, words, _ = openings.history(self.holder, self.signed_challenge(subject))
        return codec.decode(words[entry - 1].inputs.body, answer.Inputs).cause


def opened(room: Room) -> Iterator[Room]:
    """For a fixture: the room, closed at the end."""
    try:
        yield room
    finally:
        room.close()
