"""A receipt in the form of COSE Receipts: one COSE_Sign1 over the root of the history, which it does not contain.

    18([ << {1: -8, 4: key name, 15: {1: origin}, 395: 1, -65537: size} >>,
         {396: {-1: [<< [size, index, path] >>, << [size, index, path] >>]},
          -65538: manifest, -65539: [outcome leaf, closing leaf], -65540: events},
         null, signature ])

The two inclusion proofs are of the outcome's leaf and of its block's closing leaf. RFC 9942 leaves the tree's size
unsigned, and a path alone does not bind it: so it stands in the protected header too. This form and no other is
read. Labels below -65536 are for private use.

Source  RFC 9942 (COSE Receipts, RFC9162_SHA256); RFC 9052; RFC 9597 (claims in headers); docs/spec/receipt-cose.md
"""

from collections.abc import Callable
from typing import NamedTuple

from xinglin.base import cbor, note
from xinglin.base.cbor import Reader
from xinglin.base.check import Failed, NotVerified, ProofInvalid, SignatureInvalid
from xinglin.base.crypto import SHA256, SignatureSuite, verify
from xinglin.base.history import inclusion_root, leaf_hash
from xinglin.base.ids import NetworkId
from xinglin.base.limits import (
    EVENT_BYTES_MAX,
    LEAF_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    PATH_STEPS_MAX,
    PROOF_FILE_BYTES_MAX,
)
from xinglin.base.policy import Policy
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.module import ModuleSet
from xinglin.kernel.receipt import (
    InHistory,
    Network,
    Receipt,
    VerifiedReceipt,
    judge_signers,
    log_keys,
    open_network,
    origin,
    read_outcome,
)

ALGORITHM, KEY_ID, CLAIMS, STRUCTURE, PROOFS = 1, 4, 15, 395, 396
EDDSA, ISSUER, RFC9162_SHA256, INCLUSION = -8, 1, 1, -1
SIZE, MANIFEST, LEAVES, EVENTS = -65537, -65538, -65539, -65540

_START = cbor.head(cbor.Major.TAG, 18) + cbor.head(cbor.Major.ARRAY, 4)


class CoseReceipt(NamedTuple):
    """The file, read. `protected` are the bytes that the signature covers."""

    protected: bytes
    key_id: str
    origin: str
    size: int
    outcome: InHistory
    closing: InHistory
    sizes: tuple[int, int]         # as the two proofs have it
    manifest: bytes
    events: bytes
    signature: bytes


def is_cose(data: bytes) -> bool:
    return data.startswith(_START)


# -- writing


def write(receipt: Receipt, key: note.NoteKey, sign: Callable[[bytes], bytes]) -> bytes:
    """The receipt in this form, under the root that its checkpoint names, signed anew by `sign` with `key`.

    Whoever calls has the receipt from its own ledger: nothing is verified here.
    """
    checkpoint = note.read_checkpoint(receipt.checkpoint)
    protected = cbor.mapping(
        (ALGORITHM, cbor.integer(EDDSA)), (KEY_ID, cbor.string(key_id(key).encode())),
        (CLAIMS, cbor.mapping((ISSUER, cbor.text(checkpoint.origin)))),
        (STRUCTURE, cbor.integer(RFC9162_SHA256)), (SIZE, cbor.integer(checkpoint.size)))
    places = (receipt.outcome, receipt.closing)
    proofs = [cbor.string(cbor.array(cbor.integer(checkpoint.size), cbor.integer(place.index),
                                     cbor.array(*[cbor.string(step) for step in place.path]))) for place in places]
    unprotected = cbor.mapping(
        (PROOFS, cbor.mapping((INCLUSION, cbor.array(*proofs)))), (MANIFEST, cbor.string(receipt.manifest)),
        (LEAVES, cbor.array(*[cbor.string(place.leaf) for place in places])), (EVENTS, cbor.string(receipt.events)))
    signature = sign(to_be_signed(protected, checkpoint.root))
    return _START + cbor.string(protected) + unprotected + cbor.NULL + cbor.string(signature)


def to_be_signed(protected: bytes, root: bytes) -> bytes:
    """Sig_structure of RFC 9052 4.4, without external data. The root is the detached payload."""
    return cbor.array(cbor.text("Signature1"), cbor.string(protected), cbor.string(b""), cbor.string(root))


def key_id(key: note.NoteKey) -> str:
    """Name and hash of the key, as its verifier key begins."""
    return f"{key.name}+{key.id.hex()}"


# -- reading


def read(data: bytes) -> CoseReceipt:
    """Errors  NotVerified FILE_NOT_UNDERSTOOD."""
    if len(data) > PROOF_FILE_BYTES_MAX:
        raise NotVerified(KernelCode.FILE_NOT_UNDERSTOOD, f"over {PROOF_FILE_BYTES_MAX} bytes")
    try:
        return _read(data)
    except Failed as error:
        raise NotVerified(KernelCode.FILE_NOT_UNDERSTOOD, error.detail) from None


def _read(data: bytes) -> CoseReceipt:
    file = Reader(data)
    file.exactly(_START)
    protected = file.string(LEAF_BYTES_MAX)
    file.exactly(cbor.head(cbor.Major.MAP, 4) + cbor.integer(PROOFS) + cbor.head(cbor.Major.MAP, 1)
                 + cbor.integer(INCLUSION) + cbor.head(cbor.Major.ARRAY, 2))
    proofs = [_proof(file.string(PATH_STEPS_MAX * 40)) for _ in range(2)]
    file.exactly(cbor.integer(MANIFEST))
    manifest = file.string(MANIFEST_BYTES_MAX)
    file.exactly(cbor.integer(LEAVES) + cbor.head(cbor.Major.ARRAY, 2))
    leaves = [file.string(LEAF_BYTES_MAX) for _ in range(2)]
    file.exactly(cbor.integer(EVENTS))
    events = file.string(EVENT_BYTES_MAX)
    file.exactly(cbor.NULL)
    signature = file.string(64)
    file.end()
    places = [InHistory(leaf=leaf, index=index, path=path)
              for leaf, (_, index, path) in zip(leaves, proofs, strict=True)]
    return CoseReceipt(protected, *_protected(protected), places[0], places[1], (proofs[0][0], proofs[1][0]), manifest,
                       events, signature)


def _protected(data: bytes) -> tuple[str, str, int]:
    """Key id, origin, size."""
    header = Reader(data)
    header.exactly(cbor.head(cbor.Major.MAP, 5) + cbor.integer(ALGORITHM) + cbor.integer(EDDSA) + cbor.integer(KEY_ID))
    try:
        key = header.string(128).decode("ascii")
    except UnicodeDecodeError:
        raise NotVerified(KernelCode.FILE_NOT_UNDERSTOOD, "the key id is not ASCII") from None
    header.exactly(cbor.integer(CLAIMS) + cbor.head(cbor.Major.MAP, 1) + cbor.integer(ISSUER))
    issuer = header.text(128)
    header.exactly(cbor.integer(STRUCTURE) + cbor.integer(RFC9162_SHA256) + cbor.integer(SIZE))
    size = header.uint()
    header.end()
    return key, issuer, size


def _proof(data: bytes) -> tuple[int, int, tuple[bytes, ...]]:
    """Size, index, path."""
    proof = Reader(data)
    proof.exactly(cbor.head(cbor.Major.ARRAY, 3))
    size, index = proof.uint(), proof.uint()
    steps = proof.head(cbor.Major.ARRAY)
    if not 0 < steps <= PATH_STEPS_MAX:
        raise NotVerified(KernelCode.FILE_NOT_UNDERSTOOD, "a path without steps, or with too many")
    path = tuple([proof.string(32) for _ in range(steps)])
    proof.end()
    return size, index, path


# -- verifying


def verify_cose(data: bytes, pinned: NetworkId | None, modules: ModuleSet,
                policy: Policy | None = None) -> VerifiedReceipt:
    """Errors  NotVerified, whose code says which step failed."""
    file = read(data)
    network = open_network(file.manifest, pinned)
    if network.hashes is not SHA256:
        raise NotVerified(KernelCode.CHECKPOINT_NOT_VALID, "this form is for networks on SHA-256")
    root = _root(network, file)
    keys = [key for key in log_keys(network, policy) if key_id(key) == file.key_id]
    if not keys or file.origin != origin(network.chain):
        raise NotVerified(KernelCode.CHECKPOINT_NOT_VALID, "it is of another log, or signed by nobody who signs for it")
    try:
        verify(SignatureSuite.ED25519, keys[0].key, to_be_signed(file.protected, root), file.signature)
    except SignatureInvalid:
        raise NotVerified(KernelCode.CHECKPOINT_NOT_VALID, "its signature does not hold") from None
    signed = judge_signers((keys[0],), (), policy)
    return read_outcome(network, file.outcome, file.closing, file.events, modules, signed)


def _root(network: Network, file: CoseReceipt) -> bytes:
    """The root that both paths lead to, at the size that was signed. Errors  NotVerified NOT_IN_HISTORY."""
    if file.sizes != (file.size, file.size):
        raise NotVerified(KernelCode.NOT_IN_HISTORY, "a proof is of another size than the one signed")
    try:
        first, second = [inclusion_root(network.hashes, leaf_hash(network.hashes, place.leaf), place.index, file.size,
                                        place.path) for place in (file.outcome, file.closing)]
    except ProofInvalid as error:
        raise NotVerified(KernelCode.NOT_IN_HISTORY, error.detail) from None
    if first != second:
        raise NotVerified(KernelCode.NOT_IN_HISTORY, "the two paths lead to two roots")
    return first


__all__ = ["CoseReceipt", "is_cose", "key_id", "read", "to_be_signed", "verify_cose", "write"]
