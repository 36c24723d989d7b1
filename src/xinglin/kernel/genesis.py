"""The genesis manifest: one canonical Struct, whose hash is the network id."""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from xinglin.base import codec
from xinglin.base.check import NotUnderstood, NotVerified
from xinglin.base.codec import Struct
from xinglin.base.crypto import HASH_SUITES, HashSuite, SignatureSuite, tagged
from xinglin.base.ids import Hash, MemberId, NetworkId
from xinglin.base.limits import (
    CHECKPOINT_KEYS_MAX,
    FOUNDERS_MAX,
    KEY_BYTES_MAX,
    NAME_CHARS_MAX,
    PAGE_PARTS_MAX,
)
from xinglin.base.units import MS_PER_DAY, Millis
from xinglin.kernel.codes import KernelCode

PublicKey = Annotated[bytes, Meta(min_length=32, max_length=KEY_BYTES_MAX)]


class MemberKind(IntEnum):
    """What kind of organisation; HL7 organization-type where it has one."""

    HOSPITAL, PRACTICE, PHARMACY, INSURER, REGULATOR, MAKER, RESEARCHER, SPONSOR, DEVICE_MAKER, OTHER = range(10)


class Founder(Struct):
    member: MemberId
    kind: MemberKind
    suite: SignatureSuite
    key: PublicKey
    card: Hash                     # salted commitment to the directory card: names stay off chain


class CheckpointKey(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9.-]*\Z")]
    key: Annotated[bytes, Meta(min_length=32, max_length=32)]     # Ed25519, as C2SP signed notes ask


class Parameters(Struct):
    """Numbers that a network may choose; all in the manifest, so all in the network id."""

    units_per_second: Annotated[int, Meta(ge=1, le=2**32 - 1)]    # what one member may spend
    answer_ms: Annotated[int, Meta(ge=1, le=MS_PER_DAY)]          # how long a holder may take to answer a request
    page_parts: Annotated[int, Meta(ge=1, le=PAGE_PARTS_MAX)]     # parts in a page of a release


class Manifest(Struct, tag="xinglin.manifest/1"):
    # \Z, since $ lets a line break through.
    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[a-z0-9][a-z0-9-]*\Z")]
    hash_suite: Annotated[str, Meta(min_length=1, max_length=16)]
    started_ms: Millis
    simulated: bool                # days pass by command; shown in the chain name and so in every receipt
    module_set: Hash
    parameters: Parameters
    operator: MemberId
    founders: Annotated[tuple[Founder, ...], Meta(min_length=1, max_length=FOUNDERS_MAX)]
    checkpoint_keys: Annotated[tuple[CheckpointKey, ...], Meta(min_length=1, max_length=CHECKPOINT_KEYS_MAX)]


def hash_suite(manifest: Manifest) -> HashSuite:
    """Errors  NotVerified MANIFEST_NOT_VALID when the suite is not one of ours."""
    suite = HASH_SUITES.get(manifest.hash_suite)
    if suite is None:
        raise NotVerified(KernelCode.MANIFEST_NOT_VALID, "its hash suite is unknown")
    return suite


def check_manifest(manifest: Manifest) -> None:
    """What the type of a manifest does not say. A network is founded only on one that passes.

    Errors  NotVerified MANIFEST_NOT_VALID.
    """
    names = {one.name for one in manifest.checkpoint_keys}
    if len(names) < len(manifest.checkpoint_keys):
        raise NotVerified(KernelCode.MANIFEST_NOT_VALID, "two checkpoint keys have one name")
    if manifest.operator not in [founder.member for founder in manifest.founders]:
        raise NotVerified(KernelCode.MANIFEST_NOT_VALID, "the operator is not a founder")
    try:
        codec.decode(codec.encode(manifest), Manifest)     # constructors do not validate
    except NotUnderstood as error:
        raise NotVerified(KernelCode.MANIFEST_NOT_VALID, error.detail) from None


def network_id(manifest: Manifest) -> NetworkId:
    return tagged(hash_suite(manifest), "xinglin/network/1", codec.encode(manifest))


def chain_id(manifest: Manifest) -> str:
    """name[-sim]-<16 hex digits of the network id>, at most 50 characters."""
    simulated = "-sim" if manifest.simulated else ""
    return f"{manifest.name}{simulated}-{network_id(manifest)[:8].hex()}"
