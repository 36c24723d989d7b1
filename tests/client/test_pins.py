"""Pins: what this user trusts, in her own folder; nothing else is believed, and nothing garbled crashes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holder import rooms
from xinglin.base.check import Failed, NotUnderstood, NotVerified
from xinglin.client import pins
from xinglin.client.codes import ClientCode
from xinglin.kernel.codes import KernelCode
from xinglin.modules import module_set

ONE, TWO = bytes([1]) * 32, bytes([2]) * 32
NAME_ONE, NAME_TWO = (f"{name}-{network[:8].hex()}" for name, network in (("one-sim", ONE), ("two", TWO)))


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, bytes]]:
    """(a receipt file, its network's id)"""
    room = rooms.Room.found(tmp_path_factory.mktemp("room"))
    yield room.node.receipt_at(1, 0), room.node.network
    room.close()


def test_a_pin_is_read_back_and_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    assert pins.read(tmp_path / "config") == {}
    pins.write(tmp_path / "config", NAME_ONE, ONE)
    pins.write(tmp_path / "config", NAME_TWO, TWO)
    before = (tmp_path / "config" / "networks.json").read_bytes()
    pins.write(tmp_path / "config", NAME_ONE, ONE)
    assert pins.read(tmp_path / "config") == {NAME_ONE: ONE, NAME_TWO: TWO}
    assert (tmp_path / "config" / "networks.json").read_bytes() == before


def test_a_policy_that_cannot_be_read_can_still_be_removed(tmp_path: Path) -> None:
    pins.write_policy(tmp_path, ONE, b"quorum none\n")
    (tmp_path / f"{ONE.hex()}.policy").write_bytes(b"garbled")
    with pytest.raises(NotUnderstood):
        pins.policy_of(tmp_path, ONE)
    assert pins.remove_policy(tmp_path, ONE) and pins.policy_of(tmp_path, ONE) is None
    assert not pins.remove_policy(tmp_path, ONE)


def test_a_name_is_pinned_once(tmp_path: Path) -> None:
    pins.write(tmp_path, NAME_ONE, ONE)
    alike = ONE[:8] + bytes(24)            # the chain id shows eight bytes of an id
    with pytest.raises(NotUnderstood) as caught:
        pins.write(tmp_path, NAME_ONE, alike)
    assert caught.value.code is ClientCode.PIN_DIFFERS and pins.read(tmp_path) == {NAME_ONE: ONE}


@pytest.mark.parametrize("name", ["two", "", NAME_ONE, NAME_TWO + "0", f"two-{TWO[:7].hex()}"])
def test_a_name_that_is_not_the_networks_own_is_not_pinned(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        pins.write(tmp_path, name, TWO)
    assert caught.value.code is ClientCode.PIN_NAME_OF_ANOTHER and pins.read(tmp_path) == {}


def test_pins_that_are_written_at_once_are_all_kept(tmp_path: Path) -> None:
    networks = [bytes([number]) * 32 for number in range(24)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda one: pins.write(tmp_path, f"n-{one[:8].hex()}", one), networks))
    assert sorted(pins.read(tmp_path).values()) == networks


def test_a_list_that_cannot_be_written_is_no_wallet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Failed) as failed:
            pins.write(folder, NAME_ONE, ONE)
        assert failed.value.code is ClientCode.PINS_NOT_WRITTEN

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(Failed) as failed:
        pins.write(tmp_path / "config", NAME_ONE, ONE)
    assert failed.value.code is ClientCode.PINS_NOT_WRITTEN and pins.read(tmp_path / "config") == {}


@pytest.mark.parametrize("content", [
    b"", b"\xff\xfe", b"not json", b"[]", b"7", b"null", b'"one"', b'{"one": 1}', b'{"one": null}', b'{"one": "zz"}',
    b'{"one": "00"}', b'{"one": {"two": "00"}}', b"[" * 200_000, json.dumps({"one": ONE.hex() + "00"}).encode(),
    json.dumps({"one": ONE.hex(), "two": "0"}).encode(), json.dumps({"one": ONE.hex()}).encode()[:-5]])
def test_a_garbled_file_of_pins_trusts_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "networks.json").write_bytes(content)
    for call in (lambda: pins.read(tmp_path), lambda: pins.write(tmp_path, NAME_TWO, TWO)):
        with pytest.raises(NotUnderstood) as caught:
            call()
        assert caught.value.code is ClientCode.PIN_NOT_UNDERSTOOD
    assert (tmp_path / "networks.json").read_bytes() == content, "and it is left as it is"


def test_a_folder_in_the_place_of_the_file_trusts_nobody(tmp_path: Path) -> None:
    (tmp_path / "networks.json").mkdir()
    with pytest.raises(NotUnderstood) as caught:
        pins.read(tmp_path)
    assert caught.value.code is ClientCode.PIN_NOT_UNDERSTOOD


def test_the_folder_is_the_one_named_or_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XINGLIN_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pins.config_folder() == tmp_path / ".config" / "xinglin"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert pins.config_folder() == tmp_path / "xdg" / "xinglin"
    monkeypatch.setenv("XINGLIN_CONFIG", str(tmp_path / "named"))
    assert pins.config_folder() == tmp_path / "named"


def test_a_file_is_verified_under_whichever_trusted_network_it_names(receipt: tuple[bytes, bytes]) -> None:
    data, network = receipt
    for trusted in ([network], [ONE, network], [network, TWO, ONE]):
        assert pins.verify(data, trusted, module_set()).network.id == network


@pytest.mark.parametrize(("trusted", "code"), [
    ([], KernelCode.NETWORK_NOT_PINNED), ([ONE], KernelCode.OTHER_NETWORK), ([ONE, TWO], KernelCode.OTHER_NETWORK)])
def test_a_file_of_a_network_that_nobody_pinned_cannot_be_told(
        receipt: tuple[bytes, bytes], trusted: list[bytes], code: KernelCode) -> None:
    data, network = receipt
    with pytest.raises(NotVerified) as caught:
        pins.verify(data, trusted, module_set())
    assert caught.value.code is code and caught.value.facts["network"] == network


def test_a_broken_file_is_broken_whoever_is_trusted(receipt: tuple[bytes, bytes]) -> None:
    data, network = receipt
    for trusted in ([], [network], [ONE, network]):
        with pytest.raises(Failed) as caught:
            pins.verify(data[:-1], trusted, module_set())
        assert caught.value.code is KernelCode.FILE_NOT_UNDERSTOOD
