"""COSE receipts: the form that RFC 9942 says, written by one reader of the standard and read by another."""

from typing import Any

import pytest

from mutations import single_bit_flips
from worlds import CHECKPOINT, CHECKPOINT_KEY, World, key_named
from xinglin.base import cbor, codec
from xinglin.base.check import BaseCode, Failed, NotVerified
from xinglin.base.crypto import SHA256
from xinglin.base.history import inclusion_root, leaf_hash
from xinglin.base.note import KeyUse, NoteKey, read_checkpoint
from xinglin.base.policy import Policy, read_policy
from xinglin.kernel import receipt_cose
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.genesis import network_id
from xinglin.kernel.receipt import Receipt, verify_receipt
from xinglin.kernel.receipt_cose import to_be_signed, verify_cose


class Files:
    """A receipt in both forms."""

    def __init__(self) -> None:
        self.world = World()
        block = self.world.block(*[self.world.transaction(self.world.enrol_service(member, f"{member}.service"))
                                   for member in ("A", "B", "C")])
        self.receipt: Receipt = self.world.receipt(block, 1)
        self.cose = receipt_cose.write(self.receipt, CHECKPOINT_KEY, CHECKPOINT.sign)

    def verify(self, data: bytes, policy: Policy | None = None) -> Any:
        return verify_cose(data, self.world.network, self.world.modules, policy)


@pytest.fixture(scope="module")
def files() -> Files:
    return Files()


def test_both_forms_of_a_receipt_say_the_same(files: Files) -> None:
    one = verify_receipt(files.receipt, files.world.network, files.world.modules)
    other = files.verify(files.cose)
    assert (one.leaf, one.closing, one.events, one.signed) == (other.leaf, other.closing, other.events, other.signed)
    assert receipt_cose.is_cose(files.cose) and not receipt_cose.is_cose(codec.encode(files.receipt))


def plain(data: bytes) -> Any:
    """A reader of CBOR that knows nothing of receipts: RFC 8949 as far as there are such values."""
    value, end = _value(data, 0)
    assert end == len(data)
    return value


def _value(data: bytes, at: int) -> tuple[Any, int]:
    major, number = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        assert number == 22
        return None, at
    if number >= 24:
        width = 1 << number - 24
        number, at = int.from_bytes(data[at:at + width], "big"), at + width
    match major:
        case 0 | 1:
            return (number if major == 0 else -1 - number), at
        case 2 | 3:
            piece = data[at:at + number]
            return (piece if major == 2 else piece.decode()), at + number
        case 4:
            items = []
            for _ in range(number):
                item, at = _value(data, at)
                items.append(item)
            return items, at
        case 5:
            pairs = {}
            for _ in range(number):
                key, at = _value(data, at)
                pairs[key], at = _value(data, at)
            return pairs, at
    item, at = _value(data, at)
    return (number, item), at


def test_the_file_is_a_cose_sign1_over_the_detached_root(files: Files) -> None:
    """RFC 9942 5.2.1, step by step, with a reader of its own."""
    tag, (protected, unprotected, payload, signature) = plain(files.cose)
    header = plain(protected)
    checkpoint = read_checkpoint(files.receipt.checkpoint)
    assert tag == 18 and payload is None
    assert header == {1: -8, 4: f"operator+{CHECKPOINT_KEY.id.hex()}".encode(), 15: {1: checkpoint.origin}, 395: 1,
                      -65537: checkpoint.size}
    for proof, leaf in zip(unprotected[396][-1], unprotected[-65539], strict=True):
        size, index, path = plain(proof)
        root = inclusion_root(SHA256, leaf_hash(SHA256, leaf), index, size, path)
        assert root == checkpoint.root
        signed = cbor.array(cbor.text("Signature1"), cbor.string(protected), b"\x40", cbor.string(root))
        assert CHECKPOINT.sign(signed) == signature
    assert network_id(files.world.manifest) == files.world.network
    assert unprotected[-65538] == files.receipt.manifest and unprotected[-65540] == files.receipt.events


def test_every_changed_bit_is_refused(files: Files) -> None:
    for bit, data in single_bit_flips(files.cose):
        with pytest.raises(NotVerified):
            files.verify(data)
            pytest.fail(f"bit {bit} may be flipped")


def test_every_cut_and_every_addition_is_refused(files: Files) -> None:
    for end in range(len(files.cose)):
        with pytest.raises(NotVerified):
            files.verify(files.cose[:end])
    for more in (b"\x00", b"\xf6", files.cose):
        with pytest.raises(NotVerified):
            files.verify(files.cose + more)


def made(files: Files, *, size: int = 0, index: int = 0, alg: int = -8, issuer: str = "", structure: int = 1,
         **changes: Any) -> bytes:
    """Signed by the operator, in another form or of another content."""
    receipt = files.receipt
    checkpoint = read_checkpoint(receipt.checkpoint)
    protected = cbor.mapping(
        (1, cbor.integer(alg)), (4, cbor.string(receipt_cose.key_id(CHECKPOINT_KEY).encode())),
        (15, cbor.mapping((1, cbor.text(issuer or checkpoint.origin)))), (395, cbor.integer(structure)),
        (-65537, cbor.integer(checkpoint.size + size)))
    places = [receipt.outcome, receipt.closing]
    proofs = [cbor.string(cbor.array(cbor.integer(checkpoint.size + changes.get("proof_size", size)),
                                     cbor.integer(place.index + index),
                                     cbor.array(*map(cbor.string, place.path)))) for place in places]
    unprotected = cbor.mapping(
        (396, cbor.mapping((-1, cbor.array(*proofs)))), (-65538, cbor.string(receipt.manifest)),
        (-65539, cbor.array(*[cbor.string(one.leaf) for one in places[::changes.get("step", 1)]])),
        (-65540, cbor.string(receipt.events)), *changes.get("more", ()))
    payload = changes.get("payload", cbor.NULL)
    return (b"\xd2\x84" + cbor.string(protected) + unprotected + payload
            + cbor.string(CHECKPOINT.sign(to_be_signed(protected, checkpoint.root))))


def test_what_the_operator_signs_in_this_form_passes(files: Files) -> None:
    assert made(files) == files.cose


@pytest.mark.parametrize("changes", [
    {"size": 1}, {"size": -1}, {"proof_size": 1}, {"index": 1}, {"alg": -7}, {"alg": -19}, {"issuer": "xinglin/other"},
    {"structure": 2}, {"step": -1}, {"more": ((-65541, cbor.integer(0)),)},
    {"payload": cbor.string(bytes(32))}])
def test_another_form_or_content_is_refused_though_the_operator_signed_it(
        files: Files, changes: dict[str, Any]) -> None:
    with pytest.raises(NotVerified):
        files.verify(made(files, **changes))


def test_a_place_of_another_size_is_refused_though_the_path_leads_to_the_root(files: Files) -> None:
    """Paths do not bind a size: the leaf at 3 of 4 has the path of the one at 1 of 2 above two pairs."""
    receipt = files.receipt
    file = receipt_cose.read(files.cose)
    root = read_checkpoint(receipt.checkpoint).root
    found = [(size, index) for size in range(2, 40) for index in range(size)
             if _leads(receipt, size, index, root) and (size, index) != (file.size, file.outcome.index)]
    assert found, "else this shows nothing"
    with pytest.raises(NotVerified) as caught:
        files.verify(made(files, proof_size=found[0][0] - file.size))
    assert caught.value.code is KernelCode.NOT_IN_HISTORY


def _leads(receipt: Receipt, size: int, index: int, root: bytes) -> bool:
    try:
        leaf = leaf_hash(SHA256, receipt.outcome.leaf)
        return inclusion_root(SHA256, leaf, index, size, receipt.outcome.path) == root
    except Failed:
        return False


def test_a_policy_names_the_keys_and_a_quorum_is_more_than_a_cose_receipt_has(files: Files) -> None:
    other = NoteKey("operator", KeyUse.LOG, key_named("other").public)
    assert files.verify(files.cose, Policy(logs=(other, CHECKPOINT_KEY))).signed.keys == (CHECKPOINT_KEY,)
    with pytest.raises(NotVerified) as caught:
        files.verify(files.cose, Policy(logs=(other,)))
    assert caught.value.code is KernelCode.CHECKPOINT_NOT_VALID
    witness = NoteKey("w", KeyUse.WITNESS, key_named("w").public).text()
    with pytest.raises(NotVerified) as caught:
        files.verify(files.cose, read_policy(f"witness w {witness}\nquorum w\n".encode()))
    assert caught.value.code is BaseCode.NOT_COSIGNED
    foreign = receipt_cose.write(files.receipt, CHECKPOINT_KEY, key_named("other").sign)
    with pytest.raises(NotVerified):
        files.verify(foreign)
