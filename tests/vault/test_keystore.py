"""Keys live in every folder or in none, and what is destroyed is gone from every byte of them."""

import os
import random
import stat
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from xinglin.base.check import Busy, Failed, NotFound, NotUnderstood
from xinglin.vault import VaultCode
from xinglin.vault.keystore import LOOKUP_ID, Keystore, TagKind, holder_kek

KEK = bytes(range(32))
ANNA, BORIS, CHEN = b"A" * 16, b"B" * 16, b"C" * 16
SLOT = 128


def code_of(call, *arguments, **named) -> VaultCode:
    with pytest.raises(Failed) as caught:
        call(*arguments, **named)
    return caught.value.code


def slots(folder: Path) -> dict[bytes, bytes]:
    """subject -> slot, read without the keystore's own code."""
    data = (folder / "keys").read_bytes()
    found = {}
    for at in range(SLOT, len(data), SLOT):
        if any(data[at:at + SLOT]):
            found[data[at + 8:at + 24]] = data[at:at + SLOT]
    return found


def all_bytes(*folders: Path) -> bytes:
    return b"|".join(path.read_bytes() for folder in folders
                     for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_key_is_the_same_after_closing_and_opening(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        key = store.create(ANNA)
        assert len(key) == 32
        assert store.key(ANNA) == key
    with Keystore.open(tmp_path, KEK) as store:
        assert store.key(ANNA) == key


def test_each_subject_has_a_key_of_its_own(tmp_path: Path) -> None:
    subjects = [number.to_bytes(16, "big") for number in range(1, 3_001)]
    with Keystore.open(tmp_path, KEK) as store:
        keys = store.create_many(subjects)
        assert len(set(keys)) == len(subjects)
    with Keystore.open(tmp_path, KEK) as store:
        assert [store.key(subject) for subject in subjects] == keys


def test_a_key_stands_in_no_file_in_clear(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        key = store.create(ANNA)
    data = all_bytes(tmp_path)
    assert key not in data
    assert not any(key[at:at + 8] in data for at in range(25))


def test_an_unknown_subject_has_no_key(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        with pytest.raises(NotFound) as caught:
            store.key(ANNA)
        assert caught.value.code is VaultCode.KEY_NOT_FOUND


def test_a_subject_gets_one_key_only(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        key = store.create(ANNA)
        assert code_of(store.create, ANNA) is VaultCode.KEY_ALREADY_EXISTS
        assert code_of(store.create_many, (BORIS, CHEN, BORIS)) is VaultCode.KEY_ALREADY_EXISTS
        assert code_of(store.create_many, (BORIS, ANNA)) is VaultCode.KEY_ALREADY_EXISTS
        assert store.key(ANNA) == key
        assert code_of(store.key, BORIS) is VaultCode.KEY_NOT_FOUND


@pytest.mark.parametrize("subject", [b"", b"short", bytes(17), bytes(16), LOOKUP_ID])
def test_an_id_that_nobody_draws_is_refused(tmp_path: Path, subject: bytes) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        for call in (store.create, store.key, store.destroy):
            assert code_of(call, subject) is VaultCode.SUBJECT_ID_NOT_VALID


def test_destroying_leaves_no_byte_of_the_wrapped_key_in_any_folder(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second", "third")]
    with Keystore.open(folders[0], KEK, folders[1:]) as store:
        store.create_many((ANNA, BORIS))
        wrapped = slots(folders[0])[ANNA][24:84]
        assert all(wrapped in all_bytes(folder) for folder in folders)

        store.destroy(ANNA)

        data = all_bytes(*folders)
        assert not any(wrapped[at:at + 6] in data for at in range(len(wrapped) - 5))
        assert code_of(store.key, ANNA) is VaultCode.KEY_DESTROYED
        assert code_of(store.create, ANNA) is VaultCode.KEY_DESTROYED
        assert store.destroyed == (ANNA,)
        assert len(store.key(BORIS)) == 32


def test_a_tombstone_outlives_closing_and_opening(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        store.create(ANNA)
        store.destroy(ANNA)
        store.destroy(ANNA)
    with Keystore.open(tmp_path, KEK) as store:
        assert code_of(store.key, ANNA) is VaultCode.KEY_DESTROYED
        assert store.destroyed == (ANNA,)


def test_a_subject_without_a_key_can_be_entombed_before_an_old_copy_turns_up(tmp_path: Path) -> None:
    first, old = tmp_path / "first", tmp_path / "old"
    with Keystore.open(first, KEK, (old,)) as store:
        store.create(ANNA)
    before = slots(first)[ANNA]
    data = (first / "keys").read_bytes()
    (first / "keys").write_bytes(data.replace(before, bytes(SLOT)))
    with Keystore.open(first, KEK) as store:
        assert code_of(store.key, ANNA) is VaultCode.KEY_NOT_FOUND
        store.destroy(ANNA)
    with Keystore.open(first, KEK, (old,)) as store:
        assert code_of(store.key, ANNA) is VaultCode.KEY_DESTROYED
    assert before[24:84] not in all_bytes(first, old)


def test_a_tombstone_is_applied_to_a_folder_restored_from_an_older_backup(tmp_path: Path) -> None:
    first, mirror = tmp_path / "first", tmp_path / "mirror"
    with Keystore.open(first, KEK, (mirror,)) as store:
        store.create(ANNA)
        store.tag("urn:mrn", "17", ANNA)
    backup = {name: (first / name).read_bytes() for name in ("keys", "tags")}
    wrapped = slots(first)[ANNA][24:84]
    with Keystore.open(first, KEK, (mirror,)) as store:
        store.destroy(ANNA)
    for name, data in backup.items():
        (first / name).write_bytes(data)

    with Keystore.open(first, KEK, (mirror,)) as store:
        assert code_of(store.key, ANNA) is VaultCode.KEY_DESTROYED
        assert store.find("urn:mrn", "17") is None
    assert wrapped not in all_bytes(first, mirror)


def test_an_empty_folder_becomes_a_mirror_and_can_stand_in_for_the_first(tmp_path: Path) -> None:
    first, mirror = tmp_path / "first", tmp_path / "mirror"
    with Keystore.open(first, KEK) as store:
        key = store.create(ANNA)
        store.create(BORIS)
        store.destroy(BORIS)
        store.tag("urn:mrn", "17", ANNA)
    Keystore.open(first, KEK, (mirror,)).close()
    with Keystore.open(mirror, KEK) as store:
        assert store.key(ANNA) == key
        assert store.find("urn:mrn", "17") == ANNA
        assert store.destroyed == (BORIS,)


def test_no_key_is_returned_when_a_mirror_cannot_take_it(tmp_path: Path) -> None:
    first, mirror = tmp_path / "first", tmp_path / "mirror"
    store = Keystore.open(first, KEK, (mirror,))
    os.close(store._copies[1]._keys._fd)          # the disk went away
    with pytest.raises(Failed) as caught:
        store.create(ANNA)
    assert caught.value.code is VaultCode.MIRROR_FAILED
    assert str(mirror) in caught.value.detail
    assert code_of(store.key, ANNA) is VaultCode.KEY_NOT_FOUND
    assert code_of(store.create, BORIS) is VaultCode.MIRROR_FAILED


def test_destroying_names_the_mirror_that_did_not_follow_and_still_does_the_rest(
        tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second", "third")]
    store = Keystore.open(folders[0], KEK, folders[1:])
    store.create(ANNA)
    wrapped = slots(folders[0])[ANNA][24:84]
    os.close(store._copies[1]._keys._fd)
    for _ in range(2):
        with pytest.raises(Failed) as caught:
            store.destroy(ANNA)
        assert caught.value.code is VaultCode.MIRROR_FAILED
        assert str(folders[1]) in caught.value.detail
        assert str(folders[0]) not in caught.value.detail
        assert str(folders[2]) not in caught.value.detail
    assert wrapped not in all_bytes(folders[0], folders[2])
    assert code_of(store.key, ANNA) is VaultCode.KEY_DESTROYED
    for copy in store._copies:                    # as the end of the process would
        os.close(copy._lock)

    with Keystore.open(folders[1], KEK, (folders[0], folders[2])) as again:
        assert code_of(again.key, ANNA) is VaultCode.KEY_DESTROYED
        again.destroy(ANNA)
    assert wrapped not in all_bytes(*folders)


def test_a_mirror_that_is_not_there_refuses_to_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Failed) as caught:
        Keystore.open(tmp_path / "first", KEK, (tmp_path / "file",))
    assert caught.value.code is VaultCode.MIRROR_FAILED
    Keystore.open(tmp_path / "first", KEK).close()   # and let go of what it had


def test_folders_with_different_keys_refuse_to_open_together(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Keystore.open(tmp_path / name, KEK) as store:
            store.create(ANNA)
    before = all_bytes(tmp_path)
    assert code_of(Keystore.open, tmp_path / "one", KEK, (tmp_path / "two",)) \
        is VaultCode.KEYSTORES_DIFFER
    assert all_bytes(tmp_path) == before


def test_one_process_at_a_time_has_the_keystore(tmp_path: Path) -> None:
    with Keystore.open(tmp_path / "first", KEK, (tmp_path / "mirror",)):
        for folder in ("first", "mirror"):
            with pytest.raises(Busy) as caught:
                Keystore.open(tmp_path / folder, KEK)
            assert caught.value.code is VaultCode.KEYSTORE_IN_USE
    Keystore.open(tmp_path / "first", KEK).close()


def test_another_kek_does_not_open_the_keystore(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        store.create(ANNA)
    assert code_of(Keystore.open, tmp_path, bytes(32)) is VaultCode.KEK_NOT_VALID
    assert code_of(Keystore.open, tmp_path, b"short") is VaultCode.KEK_NOT_VALID


def test_a_wrapped_key_moved_to_another_subject_does_not_open(tmp_path: Path) -> None:
    from hashlib import sha256
    with Keystore.open(tmp_path, KEK) as store:
        store.create_many((ANNA, BORIS))
    found, data = slots(tmp_path), (tmp_path / "keys").read_bytes()
    forged = found[ANNA][:24] + found[BORIS][24:120]
    (tmp_path / "keys").write_bytes(data.replace(found[ANNA], forged + sha256(forged).digest()[:8]))
    with Keystore.open(tmp_path, KEK) as store:
        assert code_of(store.key, ANNA) is VaultCode.KEY_DAMAGED
        assert len(store.key(BORIS)) == 32


# -- power loss: every prefix of a slot write, over what was there


def images(before: bytes, after: bytes, at: int) -> list[bytes]:
    return [before[:at] + after[at:at + cut] + before[at + cut:] for cut in range(SLOT + 1)]


def test_a_create_cut_short_anywhere_gives_the_key_or_says_it_is_not_there(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        old = store.create(BORIS)
        before = (tmp_path / "keys").read_bytes()
        key = store.create(ANNA)
        after = (tmp_path / "keys").read_bytes()
    answers = []
    for image in images(before, after, 3 * SLOT):
        (tmp_path / "keys").write_bytes(image)
        with Keystore.open(tmp_path, KEK) as store:
            assert store.key(BORIS) == old
            try:
                assert store.key(ANNA) == key
                answers.append("whole")
            except Failed as failed:
                answers.append(failed.code.name)
            assert len(store.create(CHEN)) == 32  # the keystore goes on
    assert answers[0] == "KEY_NOT_FOUND"
    assert answers[-1] == "whole"
    assert set(answers) == {"KEY_NOT_FOUND", "KEY_DAMAGED", "whole"}


def test_a_destroy_cut_short_anywhere_never_gives_a_wrong_key_and_can_be_repeated(
        tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        key = store.create(ANNA)
        before = (tmp_path / "keys").read_bytes()
        store.destroy(ANNA)
        after = (tmp_path / "keys").read_bytes()
    wrapped = before[2 * SLOT + 24:2 * SLOT + 84]
    answers = []
    for image in images(before, after, 2 * SLOT):
        (tmp_path / "keys").write_bytes(image)
        with Keystore.open(tmp_path, KEK) as store:
            try:
                assert store.key(ANNA) == key
                answers.append("whole")
            except Failed as failed:
                answers.append(failed.code.name)
            store.destroy(ANNA)
            assert code_of(store.key, ANNA) is VaultCode.KEY_DESTROYED
        data = all_bytes(tmp_path)
        assert not any(wrapped[at:at + 6] in data for at in range(len(wrapped) - 5))
    assert (answers[0], answers[-1]) == ("whole", "KEY_DESTROYED")
    assert set(answers) == {"whole", "KEY_DAMAGED", "KEY_DESTROYED"}


def test_a_slot_torn_in_one_folder_is_mended_from_the_other(tmp_path: Path) -> None:
    first, mirror = tmp_path / "first", tmp_path / "mirror"
    with Keystore.open(first, KEK, (mirror,)) as store:
        key = store.create(ANNA)
    good = (first / "keys").read_bytes()
    for cut in range(SLOT):
        (first / "keys").write_bytes(good[:2 * SLOT + cut] + bytes(SLOT - cut) + good[3 * SLOT:])
        with Keystore.open(first, KEK, (mirror,)) as store:
            assert store.key(ANNA) == key
        assert slots(first)[ANNA] == slots(mirror)[ANNA]


def test_a_file_cut_short_anywhere_opens_or_is_refused(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        key = store.create(ANNA)
    good = (tmp_path / "keys").read_bytes()
    for cut in (*range(3 * SLOT + 2), len(good) - 1):
        (tmp_path / "keys").write_bytes(good[:cut])
        try:
            with Keystore.open(tmp_path, KEK) as store:
                assert store.key(ANNA) == key
                assert len(store.create(BORIS)) == 32
            with Keystore.open(tmp_path, KEK) as store:
                assert store.key(ANNA) == key
        except Failed as failed:
            assert failed.code in (VaultCode.KEYSTORE_NOT_UNDERSTOOD, VaultCode.KEY_NOT_FOUND,
                                   VaultCode.KEY_DAMAGED)


def test_a_damaged_key_is_named_and_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        store.create(ANNA)
    data = bytearray((tmp_path / "keys").read_bytes())
    data[2 * SLOT + 40] ^= 1
    (tmp_path / "keys").write_bytes(bytes(data))
    with Keystore.open(tmp_path, KEK) as store:
        assert len(store.damaged) == 1
        assert "slot 2" in store.damaged[0]
        assert code_of(store.key, ANNA) is VaultCode.KEY_DAMAGED
        assert code_of(store.create, ANNA) is VaultCode.KEY_DAMAGED


@pytest.mark.parametrize("at", [10, 26, 50, 80])
def test_remains_of_a_rotten_slot_go_with_the_key_even_when_its_id_rotted(
        tmp_path: Path, at: int) -> None:
    first, mirror = tmp_path / "first", tmp_path / "mirror"
    with Keystore.open(first, KEK, (mirror,)) as store:
        key = store.create(ANNA)
        store.create(BORIS)
    wrapped = slots(first)[ANNA][24:84]
    data = bytearray((first / "keys").read_bytes())
    data[2 * SLOT + at] ^= 1
    (first / "keys").write_bytes(bytes(data))
    with Keystore.open(first, KEK, (mirror,)) as store:
        assert store.key(ANNA) == key
        store.destroy(ANNA)
        assert len(store.key(BORIS)) == 32
    data = all_bytes(first, mirror)
    assert not any(wrapped[at:at + 6] in data for at in range(len(wrapped) - 5))


def test_a_key_that_rots_while_open_is_read_from_the_mirror(tmp_path: Path) -> None:
    first, mirror = tmp_path / "first", tmp_path / "mirror"
    with Keystore.open(first, KEK, (mirror,)) as store:
        key = store.create(ANNA)
        with open(first / "keys", "r+b") as file:
            file.seek(2 * SLOT + 30)
            file.write(b"rot")
        assert store.key(ANNA) == key


def test_a_damaged_look_up_key_leaves_the_subjects_keys_readable(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        key = store.create(ANNA)
    data = bytearray((tmp_path / "keys").read_bytes())
    data[SLOT + 40] ^= 1
    (tmp_path / "keys").write_bytes(bytes(data))
    with Keystore.open(tmp_path, KEK) as store:
        assert store.key(ANNA) == key
        assert code_of(store.find, "urn:mrn", "17") is VaultCode.KEY_DAMAGED


def test_twenty_thousand_hostile_slots_never_give_a_key(tmp_path: Path) -> None:
    draw = random.Random(3)
    with Keystore.open(tmp_path, KEK) as store:
        keys = {store.create(bytes([n]) * 16) for n in range(1, 9)}
    good = (tmp_path / "keys").read_bytes()[:10 * SLOT]
    for _ in range(20):
        hostile = bytearray(good)
        for _ in range(1_000):
            slot = bytearray(good[(at := draw.randrange(1, 10) * SLOT):at + SLOT])
            slot[draw.randrange(SLOT)] ^= draw.randrange(1, 256)
            hostile += slot if draw.randrange(2) else draw.randbytes(SLOT)
        (tmp_path / "keys").write_bytes(bytes(hostile))
        with Keystore.open(tmp_path, KEK) as store:
            assert {store.key(bytes([n]) * 16) for n in range(1, 9)} == keys
            assert len(store.damaged) == 1_000


# -- tags


def test_an_identifier_leads_to_its_subject_and_goes_with_the_key(tmp_path: Path) -> None:
    first, mirror = tmp_path / "first", tmp_path / "mirror"
    with Keystore.open(first, KEK, (mirror,)) as store:
        store.create_many((ANNA, BORIS))
        store.tag("http://hospital.example/mrn", "0815", ANNA)
        store.tag_many((("urn:ssn", "1", ANNA), ("urn:ssn", "2", BORIS), ("urn:ssn", "1", ANNA)))
    with Keystore.open(first, KEK, (mirror,)) as store:
        assert store.find("http://hospital.example/mrn", "0815") == ANNA
        assert store.find("urn:ssn", "1") == ANNA
        assert store.find("urn:ssn", "2") == BORIS
        assert store.find("urn:ssn", "3") is None
        anna_tags = [slot for slot in chunks(first / "tags", 64) if ANNA in slot]
        assert len(anna_tags) == 2

        store.destroy(ANNA)

        assert store.find("urn:ssn", "1") is None
        assert store.find("urn:ssn", "2") == BORIS
        for folder in (first, mirror):
            data = (folder / "tags").read_bytes()
            assert ANNA not in data
            assert not any(slot[24:56] in data for slot in anna_tags)


def chunks(path: Path, size: int) -> list[bytes]:
    data = path.read_bytes()
    return [data[at:at + size] for at in range(0, len(data), size)]


def test_no_identifier_stands_in_a_file_nor_can_be_guessed_without_the_look_up_key(
        tmp_path: Path) -> None:
    from hashlib import sha256
    with Keystore.open(tmp_path, KEK) as store:
        store.create(ANNA)
        store.tag("urn:mrn", "0815-4711", ANNA)
    data = all_bytes(tmp_path)
    assert b"0815-4711" not in data
    assert sha256(b"urn:mrn\x000815-4711").digest() not in data


def test_an_identifier_belongs_to_one_subject(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        store.create_many((ANNA, BORIS))
        store.tag("urn:mrn", "17", ANNA)
        assert code_of(store.tag, "urn:mrn", "17", BORIS) is VaultCode.TAG_TAKEN
        assert code_of(store.tag_many, (("s", "1", ANNA), ("s", "1", BORIS))) is VaultCode.TAG_TAKEN
        assert store.find("s", "1") is None
        store.destroy(ANNA)
        store.tag("urn:mrn", "17", BORIS)
        assert store.find("urn:mrn", "17") == BORIS


def test_tags_of_one_kind_are_not_reached_by_the_words_of_another(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        store.create_many((ANNA, BORIS))
        store.tag("s", "1", ANNA, TagKind.SOURCE)
        store.tag("s", "1", BORIS)
        for system in ("s", "\x01s", "\x02s", "\x03s"):
            assert store.find(system, "1") == (BORIS if system == "s" else None)
        assert store.find("s", "1", TagKind.CONTESTED) is None
    with Keystore.open(tmp_path, KEK) as store:
        assert store.find("s", "1", TagKind.SOURCE) == ANNA
        store.destroy(ANNA)
        assert store.find("s", "1", TagKind.SOURCE) is None and store.find("s", "1") == BORIS


@pytest.mark.parametrize(("system", "value"), [("a\0b", "c"), ("s", ""), ("s", "\ud800")])
def test_an_identifier_that_could_be_two_is_refused(tmp_path: Path, system: str, value: str) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        store.create(ANNA)
        assert code_of(store.tag, system, value, ANNA) is VaultCode.TAG_NOT_VALID
        assert code_of(store.find, system, value) is VaultCode.TAG_NOT_VALID


def test_a_tag_needs_a_live_key(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        assert code_of(store.tag, "s", "1", ANNA) is VaultCode.KEY_NOT_FOUND
        store.create(ANNA)
        store.destroy(ANNA)
        assert code_of(store.tag, "s", "1", ANNA) is VaultCode.KEY_DESTROYED


def test_a_tag_cut_short_anywhere_finds_its_subject_or_nobody(tmp_path: Path) -> None:
    with Keystore.open(tmp_path, KEK) as store:
        store.create(ANNA)
        before = (tmp_path / "tags").read_bytes().ljust(128, b"\0")
        store.tag("s", "1", ANNA)
        after = (tmp_path / "tags").read_bytes()
    for cut in range(65):
        (tmp_path / "tags").write_bytes(before[:64] + after[64:64 + cut] + bytes(64 - cut))
        with Keystore.open(tmp_path, KEK) as store:
            assert store.find("s", "1") == (ANNA if cut == 64 else None)
            store.tag("s", "1", ANNA)
            assert store.find("s", "1") == ANNA


# -- files


def test_files_are_for_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "keys"
    Keystore.open(folder, holder_kek(folder)).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {path.name for path in folder.iterdir()}
    assert names == {"keys", "tags", "lock", "holder.kek"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_the_kek_is_drawn_once_and_copied_to_every_folder(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    kek = holder_kek(one)
    assert len(kek) == 32
    assert holder_kek(one, two) == kek
    assert holder_kek(two) == kek
    assert holder_kek(tmp_path / "other") != kek


def test_a_lost_kek_is_not_replaced_by_one_that_opens_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    kek = holder_kek(one, two)
    Keystore.open(one, kek, [two]).close()
    (one / "holder.kek").unlink()
    assert code_of(holder_kek, one) is VaultCode.KEK_LOST
    assert not (one / "holder.kek").exists()
    assert holder_kek(one, two) == kek, "the mirror has it"
    assert (one / "holder.kek").read_bytes() == kek


def test_a_kek_that_others_can_read_or_that_differs_is_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    holder_kek(one)
    holder_kek(two)
    assert code_of(holder_kek, one, two) is VaultCode.KEYSTORES_DIFFER
    (one / "holder.kek").chmod(0o640)
    assert code_of(holder_kek, one) is VaultCode.KEK_READABLE_BY_OTHERS
    (two / "holder.kek").write_bytes(bytes(31))
    assert code_of(holder_kek, two) is VaultCode.KEK_NOT_VALID


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    Keystore.open(tmp_path, KEK).close()
    data = (tmp_path / "keys").read_bytes()
    (tmp_path / "keys").write_bytes(data.replace(b"keys 1", b"keys 2"))
    with pytest.raises(NotUnderstood) as caught:
        Keystore.open(tmp_path, KEK)
    assert caught.value.code is VaultCode.KEYSTORE_NOT_UNDERSTOOD


class AgainstADictionary(RuleBasedStateMachine):
    """Two folders, opened in either order or alone, against a dictionary that forgets nothing."""

    subjects = st.sampled_from([bytes([n]) * 16 for n in range(1, 6)])
    values = st.sampled_from(["1", "2", "3"])

    @initialize()
    def start(self) -> None:
        import tempfile
        self.home = tempfile.TemporaryDirectory()
        self.folders = [Path(self.home.name) / "a", Path(self.home.name) / "b"]
        self.store = Keystore.open(self.folders[0], KEK, self.folders[1:])
        self.keys: dict[bytes, bytes | None] = {}
        self.tags: dict[str, bytes] = {}

    @rule(subject=subjects)
    def create(self, subject: bytes) -> None:
        if subject in self.keys:
            dead = self.keys[subject] is None
            assert code_of(self.store.create, subject) is (
                VaultCode.KEY_DESTROYED if dead else VaultCode.KEY_ALREADY_EXISTS)
        else:
            self.keys[subject] = self.store.create(subject)

    @rule(subject=subjects)
    def destroy(self, subject: bytes) -> None:
        self.store.destroy(subject)
        self.keys[subject] = None
        self.tags = {value: owner for value, owner in self.tags.items() if owner != subject}

    @rule(subject=subjects, value=values)
    def tag(self, subject: bytes, value: str) -> None:
        if self.keys.get(subject) is None:
            assert code_of(self.store.tag, "s", value, subject) in (
                VaultCode.KEY_NOT_FOUND, VaultCode.KEY_DESTROYED)
        elif self.tags.get(value, subject) != subject:
            assert code_of(self.store.tag, "s", value, subject) is VaultCode.TAG_TAKEN
        else:
            self.store.tag("s", value, subject)
            self.tags[value] = subject

    @rule()
    def reopen_the_other_way_round(self) -> None:
        self.store.close()
        self.folders.reverse()
        self.store = Keystore.open(self.folders[0], KEK, self.folders[1:])

    @rule()
    def lose_one_folder(self) -> None:
        self.store.close()
        for name in ("keys", "tags"):
            (self.folders[0] / name).unlink()
        self.store = Keystore.open(self.folders[0], KEK, self.folders[1:])

    @invariant()
    def agrees(self) -> None:
        for subject, key in self.keys.items():
            if key is None:
                assert code_of(self.store.key, subject) is VaultCode.KEY_DESTROYED
            else:
                assert self.store.key(subject) == key
        for value in ("1", "2", "3"):
            assert self.store.find("s", value) == self.tags.get(value)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.home.cleanup()


AgainstADictionary.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestAgainstADictionary = AgainstADictionary.TestCase
