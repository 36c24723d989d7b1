"""The one rule over private data: `decide`. The holder runs it; whoever is shown what it judged runs it again.

Reads       nothing: a pure function, pinned by RULE_VERSION
Source      domains.md J1; core.md "Asking and answering"; HL7 ActReason, v3-Confidentiality, ActCode
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, NamedTuple

from msgspec import Meta

from xinglin.base.codec import Struct
from xinglin.base.crypto import HashSuite, tagged
from xinglin.base.ids import NO_ID, AccountId, Commitment, Hash
from xinglin.base.limits import BODY_BYTES_MAX, WORDS_CHARS_MAX
from xinglin.base.units import U8, U32, Millis
from xinglin.modules.members import Role

RULE_VERSION = 1

ShortCode = Annotated[str, Meta(min_length=1, max_length=512)]
Words = Annotated[str, Meta(max_length=WORDS_CHARS_MAX)]
Codes = Annotated[tuple[ShortCode, ...], Meta(max_length=64)]

# The systems of labels: a sensitivity says why to hold a record closely, a confidentiality how.
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

# Confidentiality that needs no permission of its own: unrestricted to normal.
RESTRICTED = f"{CONFIDENTIALITY}|R"
ORDINARY = tuple(f"{CONFIDENTIALITY}|{code}" for code in ("U", "L", "M", "N"))


class ScopeItem(Struct):
    """A class of data, narrowed to one resource unless `id` is empty.

    Classes are those of a record's head: "laboratory", "medications", a FHIR resource type, or a type and a
    code of its category, "Observation/vital-signs".
    """

    data_class: ShortCode
    id: Annotated[str, Meta(max_length=64)]


Scope = Annotated[tuple[ScopeItem, ...], Meta(min_length=1, max_length=64)]


class ConsentBody(Struct, tag="xinglin.consent-body/1"):
    """What a grant commits to. It lies under the subject's key at the holder, and in her wallet."""

    person: AccountId             # NO_ID: anybody of the organisation in one of `roles`
    roles: Annotated[tuple[Role, ...], Meta(max_length=16)]     # empty: any
    scope: Scope
    purposes: Codes               # HL7 ActReason
    labels: Codes                 # sensitivities she opens too; none unless named
    wording: Words                # the sentence she was shown
    language: ShortCode           # BCP 47


class RequestBody(Struct, tag="xinglin.request-body/1"):
    """What a request commits to. The holder keeps it, denied or not, so that she can read it."""

    reader: AccountId
    purpose: ShortCode
    scope: Scope
    reason: Words


class Facts(Struct):
    """What the rule may know of a record, from its committed head."""

    id: ShortCode
    classes: Codes
    labels: Codes                 # "system|code"


class Cause(IntEnum):
    """Why, for the patient's eyes. The reader's opening says available or not, nothing finer."""

    PERMITTED = 0
    NO_BODY = 1
    BODY_DOES_NOT_MATCH = 2
    OTHER_PERSON = 3
    OTHER_ROLE = 4
    OTHER_PURPOSE = 5
    NOTHING_IN_SCOPE = 6
    ONLY_WITHHELD = 7             # records in scope exist, each with a label that the grant does not name
    NO_LONGER_LIVE = 8            # permitted when judged, ended before it was ordered; the ledger refused it


class Judgement(NamedTuple):
    cause: Cause
    selected: tuple[int, ...]     # positions in the records given, ascending; empty unless permitted


class Inputs(Struct, tag="xinglin.inputs/1"):
    """What was judged. Opened to the patient: whoever has bodies and facts that hash to this can judge again."""

    rule_version: U8
    request: Commitment
    consent: Commitment
    role: U8
    at_ms: Millis
    records: U32                  # how many records were considered
    records_root: Hash            # H over their facts in order
    cause: Cause


class Opening(Struct, tag="xinglin.opening/1"):
    """What reader and patient may know of an answer."""

    available: bool
    scope: Annotated[tuple[ScopeItem, ...], Meta(max_length=64)]
    parts: U32
    salt: Hash                    # the secret under the parts root; zero when nothing is available


class Opened(Struct, tag="xinglin.opened/1"):
    """A committed body with its nonce."""

    nonce: Hash
    body: Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]


def decide(body: ConsentBody, request: RequestBody, records: Sequence[Facts], role: Role) -> Judgement:
    """Which of `records` the grant opens to this request. Time was judged before: the grant is live."""
    if body.person not in (NO_ID, request.reader):
        return _no(Cause.OTHER_PERSON)
    if body.roles and role not in body.roles:
        return _no(Cause.OTHER_ROLE)
    if request.purpose not in body.purposes:
        return _no(Cause.OTHER_PURPOSE)
    asked, granted = covering(request.scope), covering(body.scope)
    in_scope = [at for at, facts in enumerate(records) if covers(asked, facts) and covers(granted, facts)]
    if not in_scope:
        return _no(Cause.NOTHING_IN_SCOPE)
    selected = tuple(at for at in in_scope if not withheld(records[at].labels, body.labels))
    if not selected:
        return _no(Cause.ONLY_WITHHELD)
    return Judgement(cause=Cause.PERMITTED, selected=selected)


def newest(records: Sequence[tuple[str, int]]) -> list[int]:
    """Where, among (id, version) of all records in the ledger's order, those stand that are judged: the newest version
    of each, the first of two alike. Holder and patient judge over the same list or a root would differ."""
    latest: dict[str, tuple[int, int]] = {}
    for at, (name, version) in enumerate(records):
        before = latest.get(name)
        if before is None or version > before[0]:
            latest[name] = version, at
    return sorted([at for _, at in latest.values()])


def salted(hashes: HashSuite, salt: bytes, commitments: Sequence[Hash]) -> list[Hash]:
    """The entries of an answer's tree: a secret first, so that its root on the ledger tells nobody who knows the parts
    which of them were released, or that two answers released the same."""
    return [commit(hashes, "parts", salt, b""), *commitments]


def covering(scope: Sequence[ScopeItem]) -> frozenset[tuple[str, str]]:
    """A scope to look up in: 64 items against thousands of records, once for each of 32 grants."""
    return frozenset((item.data_class, item.id) for item in scope)


def covers(scope: frozenset[tuple[str, str]], facts: Facts) -> bool:
    return any((named, "") in scope or (named, facts.id) in scope for named in facts.classes)


def withheld(labels: Sequence[str], named: Sequence[str]) -> bool:
    """Whether a record has a label that the grant had to name and does not.

    Restricted says how closely to hold it, a sensitivity says why: where every why is named, restricted adds
    nothing; a record that bears it alone is released only where the grant names it.
    """
    reasons = [label for label in labels if label not in ORDINARY and label != RESTRICTED]
    if any(label not in named for label in reasons):
        return True
    return RESTRICTED in labels and not reasons and RESTRICTED not in named


def _no(cause: Cause) -> Judgement:
    return Judgement(cause=cause, selected=())


def commit(hashes: HashSuite, kind: str, nonce: bytes, content: bytes) -> Commitment:
    """H(domain, nonce, content): without the nonce nobody can try out what `content` was.

    kind  consent-body | request-body | inputs | opening | part | parts | card
    """
    return tagged(hashes, f"xinglin/{kind}/1", nonce, content)


def records_root(hashes: HashSuite, facts: Sequence[bytes]) -> Hash:
    return tagged(hashes, "xinglin/facts/1", *facts)
