"""Wallets and key files open for their owner with the right passphrase, and say what else is wrong."""

import os
import random
import resource
import stat
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Thread

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from xinglin.base import codec
from xinglin.base.check import Busy, Failed, KeyInvalid, NotFound, NotUnderstood
from xinglin.base.crypto import SignatureSuite, SigningKey, verify
from xinglin.client import wallet as wallet_module
from xinglin.client.codes import ClientCode
from xinglin.client.key_file import KeyContent, KeyFile
from xinglin.client.sealed_file import Envelope, Header, PassphraseKey, Strength
from xinglin.client.wallet import FIRST_LINE, GrantMade, Wallet, WalletContent, WalletSubject

NETWORK, OTHER_NETWORK = b"n" * 32, b"o" * 32
ANNA, BORIS = b"A" * 16, b"B" * 16
QUICK = Strength.INTERACTIVE
SUBJECT = WalletSubject(network=NETWORK, subject=ANNA, holder=b"H" * 16, label="St Mary's 圣玛丽")
GRANT = GrantMade(network=NETWORK, subject=ANNA, grantee=b"G" * 16, grant_id=b"g" * 16,
                  body=b"what the grant says", nonce=b"N" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "anna.wallet"


@pytest.fixture
def wallet(path: Path) -> Wallet:
    return Wallet.create(path, "correct horse", strength=QUICK)


def code_of(call, *arguments, **named) -> ClientCode:
    with pytest.raises(Failed) as caught:
        call(*arguments, **named)
    return caught.value.code


def with_checksum(data: bytes) -> bytes:
    return data + sha256(data).digest()


# -- the wallet


def test_a_wallet_keeps_what_it_was_given(wallet: Wallet, path: Path) -> None:
    wallet.add_subject(SUBJECT)
    wallet.put_grant(GRANT)
    wallet.put_note("guardian", b"1", b"a share")
    again = Wallet.open(path, "correct horse")
    assert again.seed == wallet.seed
    assert len(wallet.seed) == 32
    assert again.subjects == (SUBJECT,)
    assert again.grants == (GRANT,)
    assert again.note("guardian", b"1") == b"a share"
    assert again.note("guardian", b"2") is None
    assert len(again.notes) == 1


def test_a_later_grant_or_note_takes_the_place_of_its_namesake(wallet: Wallet, path: Path) -> None:
    later = GrantMade(network=NETWORK, subject=ANNA, grantee=b"G" * 16, grant_id=b"g" * 16,
                      body=b"new words", nonce=b"M" * 32)
    wallet.put_grant(GRANT)
    wallet.put_grant(later)
    wallet.put_note("k", b"1", b"old")
    wallet.put_note("k", b"1", b"new")
    wallet.put_note("k", b"2", b"other")
    wallet.delete_note("k", b"2")
    again = Wallet.open(path, "correct horse")
    assert again.grants == (later,)
    assert [note.content for note in again.notes] == [b"new"]


def test_a_subject_stands_in_a_wallet_once_for_each_network(wallet: Wallet) -> None:
    wallet.add_subject(SUBJECT)
    assert code_of(wallet.add_subject, SUBJECT) is ClientCode.SUBJECT_ALREADY_IN_WALLET
    wallet.add_subject(WalletSubject(network=OTHER_NETWORK, subject=ANNA, holder=b"H" * 16, label=""))
    assert len(wallet.subjects) == 2


def test_each_network_and_subject_has_a_key_of_its_own_and_always_the_same(
        wallet: Wallet, path: Path) -> None:
    pairs = [(network, subject) for network in (NETWORK, OTHER_NETWORK) for subject in (ANNA, BORIS)]
    keys = [wallet.signing_key(*pair).public for pair in pairs]
    assert len(set(keys)) == 4
    again = Wallet.open(path, "correct horse")
    assert [again.signing_key(*pair).public for pair in pairs] == keys


def test_a_key_is_hkdf_of_seed_network_and_subject_and_signs(wallet: Wallet) -> None:
    key = wallet.signing_key(NETWORK, ANNA)
    derived = HKDF(SHA256(), 32, NETWORK, b"xinglin/wallet/1" + ANNA).derive(wallet.seed)
    assert key.public == SigningKey.from_seed(SignatureSuite.ED25519, derived).public
    assert key.suite is SignatureSuite.ED25519
    verify(key.suite, key.public, b"message", key.sign(b"message"))


def test_a_wallet_restored_from_its_seed_signs_with_the_same_keys(
        wallet: Wallet, tmp_path: Path) -> None:
    again = Wallet.create(tmp_path / "again", "other words", seed=wallet.seed, strength=QUICK)
    assert again.signing_key(NETWORK, ANNA).public == wallet.signing_key(NETWORK, ANNA).public
    assert again.subjects == ()


def test_a_seed_of_another_length_is_refused(path: Path) -> None:
    assert code_of(Wallet.create, path, "p", seed=bytes(31), strength=QUICK) \
        is ClientCode.SEED_NOT_VALID
    assert not path.exists()


def test_nothing_of_a_wallet_can_be_read_in_its_file(wallet: Wallet, path: Path) -> None:
    wallet.add_subject(SUBJECT)
    wallet.put_grant(GRANT)
    data = path.read_bytes()
    assert data.startswith(FIRST_LINE)
    for secret in (wallet.seed, ANNA, NETWORK, GRANT.body, GRANT.nonce, SUBJECT.label.encode()):
        assert secret not in data


# -- passphrases


def test_a_wrong_passphrase_is_told_from_a_damaged_file(wallet: Wallet, path: Path) -> None:
    assert code_of(Wallet.open, path, "correct house") is ClientCode.PASSPHRASE_WRONG
    data = path.read_bytes()
    for at in (len(FIRST_LINE), len(FIRST_LINE) + 5, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[at] ^= 1
        path.write_bytes(bytes(damaged))
        assert code_of(Wallet.open, path, "correct horse") is ClientCode.WALLET_DAMAGED
        assert code_of(Wallet.open, path, "correct house") is ClientCode.WALLET_DAMAGED


def test_a_file_altered_with_a_fresh_checksum_is_still_refused(wallet: Wallet, path: Path) -> None:
    envelope = codec.decode(path.read_bytes()[len(FIRST_LINE):-32], Envelope)
    altered = Envelope(header=envelope.header, check=envelope.check,
                       sealed=envelope.sealed[:-1] + bytes([envelope.sealed[-1] ^ 1]))
    path.write_bytes(with_checksum(FIRST_LINE + codec.encode(altered)))
    assert code_of(Wallet.open, path, "correct horse") is ClientCode.WALLET_DAMAGED


def test_a_file_cannot_ask_for_weaker_or_endless_key_stretching(wallet: Wallet, path: Path) -> None:
    envelope = codec.decode(path.read_bytes()[len(FIRST_LINE):-32], Envelope)
    for passes, memory_bytes in ((1, 8_192), (2**32 - 1, 64 * 2**20), (3, 2**60)):
        header = type(envelope.header)(salt=envelope.header.salt, passes=passes,
                                       memory_bytes=memory_bytes)
        altered = Envelope(header=header, check=envelope.check, sealed=envelope.sealed)
        path.write_bytes(with_checksum(FIRST_LINE + codec.encode(altered)))
        assert code_of(Wallet.open, path, "correct horse") is ClientCode.WALLET_NOT_UNDERSTOOD


def test_the_strength_in_the_header_is_the_one_asked_for(path: Path) -> None:
    Wallet.create(path, "p")
    header = codec.decode(path.read_bytes()[len(FIRST_LINE):-32], Envelope).header
    assert (header.passes, header.memory_bytes) == (3, 256 * 2**20) == Strength.MODERATE.value


def test_composed_and_decomposed_letters_are_one_passphrase(path: Path) -> None:
    Wallet.create(path, "caf\u00e9 杏林", strength=QUICK)
    assert Wallet.open(path, "cafe\u0301 杏林").subjects == ()
    assert Wallet.open(path, "caf\u00e9 杏林".encode()).subjects == ()


@pytest.mark.parametrize("passphrase", ["", b"", "x" * 1_025, "\ud800"])
def test_a_passphrase_that_is_none_is_refused(path: Path, passphrase: str | bytes) -> None:
    assert code_of(Wallet.create, path, passphrase, strength=QUICK) is ClientCode.PASSPHRASE_NOT_VALID
    assert not path.exists()


def test_after_a_change_only_the_new_passphrase_opens_the_file(wallet: Wallet, path: Path) -> None:
    wallet.add_subject(SUBJECT)
    wallet.change_passphrase("new words", strength=QUICK)
    assert code_of(Wallet.open, path, "correct horse") is ClientCode.PASSPHRASE_WRONG
    wallet.put_grant(GRANT)
    again = Wallet.open(path, "new words")
    assert (again.seed, again.subjects, again.grants) == (wallet.seed, (SUBJECT,), (GRANT,))


def test_no_secret_is_in_the_printed_form_of_a_key(wallet: Wallet) -> None:
    key = PassphraseKey.new("p", QUICK)
    assert "_sealing" not in repr(key)
    assert "_checking" not in repr(key)
    assert repr(wallet.signing_key(NETWORK, ANNA)) == "SigningKey(ED25519)"


# -- the file


def test_a_wallet_is_for_the_user_alone_and_refused_when_it_is_not(wallet: Wallet, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    wallet.add_subject(SUBJECT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        assert code_of(Wallet.open, path, "correct horse") is ClientCode.WALLET_PERMISSIONS
    path.chmod(0o400)
    assert Wallet.open(path, "correct horse").subjects == (SUBJECT,)


def test_a_wallet_is_never_written_over_by_a_new_one(wallet: Wallet, path: Path) -> None:
    before = path.read_bytes()
    assert code_of(Wallet.create, path, "p", strength=QUICK) is ClientCode.WALLET_ALREADY_EXISTS
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_another_program_wrote_meanwhile_is_not_lost(wallet: Wallet, path: Path) -> None:
    other = Wallet.open(path, "correct horse")
    other.add_subject(SUBJECT)
    with pytest.raises(Busy) as caught:
        wallet.put_grant(GRANT)
    assert caught.value.code is ClientCode.WALLET_CHANGED_MEANWHILE
    assert Wallet.open(path, "correct horse").subjects == (SUBJECT,)


def test_of_two_that_change_a_wallet_at_once_neither_loses_what_it_was_told_is_kept(wallet: Wallet, path: Path) -> None:
    """436 of 800 changes were once lost between the look at the file and its replacement."""
    kept: list[bytes] = []

    def keeps(opened: Wallet, me: bytes) -> None:
        for number in range(40):
            name = me + b"%d" % number
            try:
                opened.put_note("n", name, b"x")
            except Busy:
                opened = Wallet.open(path, "correct horse")
                continue
            kept.append(name)
    threads = [Thread(target=keeps, args=(Wallet.open(path, "correct horse"), me)) for me in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept and {*kept} <= {note.name for note in Wallet.open(path, "correct horse").notes}


def test_a_wallet_that_cannot_be_written_is_left_whole(wallet: Wallet, path: Path) -> None:
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))       # as on a full disk
    try:
        assert code_of(wallet.add_subject, SUBJECT) is ClientCode.WALLET_NOT_WRITTEN
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before and [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert wallet.subjects == ()


def test_of_several_that_make_one_wallet_at_once_one_has_it(tmp_path: Path) -> None:
    for turn in range(8):
        path = tmp_path / f"{turn}.wallet"
        together, made = Barrier(4), []

        def make(path: Path = path, together: Barrier = together, made: list[Wallet] = made) -> None:
            together.wait()
            try:
                made.append(Wallet.create(path, "p", strength=QUICK))
            except NotUnderstood as error:
                assert error.code is ClientCode.WALLET_ALREADY_EXISTS
        threads = [Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (owner,) = made
        assert owner.seed == Wallet.open(path, "p").seed
    assert len(list(tmp_path.iterdir())) == 8, "nothing else is left"


def test_a_file_that_asks_for_a_gibibyte_is_refused_before_it_gets_one(tmp_path: Path) -> None:
    header = Header(salt=bytes(16), passes=4, memory_bytes=2**30)
    body = codec.encode(Envelope(header=header, check=bytes(32), sealed=b""))
    with pytest.raises(NotUnderstood) as caught:
        PassphraseKey.open(b"", body, "p")
    assert caught.value.code is ClientCode.WALLET_NOT_UNDERSTOOD


def test_a_missing_wallet_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        Wallet.open(tmp_path / "none", "p")
    assert caught.value.code is ClientCode.WALLET_NOT_FOUND


def test_a_folder_or_another_file_is_no_wallet(tmp_path: Path) -> None:
    folder, text = tmp_path / "folder", tmp_path / "text"
    folder.mkdir(mode=0o700)
    text.write_text("hello")
    text.chmod(0o600)
    KeyFile.create(tmp_path / "key", None, SignatureSuite.ED25519, ANNA)
    assert code_of(Wallet.open, text, "p") is ClientCode.WALLET_NOT_UNDERSTOOD
    assert code_of(Wallet.open, tmp_path / "key", "p") is ClientCode.WALLET_NOT_UNDERSTOOD
    assert code_of(Wallet.open, folder, "p") is ClientCode.WALLET_NOT_UNDERSTOOD
    os.mkfifo(tmp_path / "pipe", mode=0o600)
    assert code_of(Wallet.open, tmp_path / "pipe", "p") is ClientCode.WALLET_NOT_UNDERSTOOD


def test_an_entry_out_of_bounds_is_refused_and_leaves_the_wallet_as_it_was(
        wallet: Wallet, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    for label, subject in (("x" * 81, ANNA), ("fine", b"short"), ("\ud800", ANNA)):
        entry = WalletSubject(network=NETWORK, subject=subject, holder=b"H" * 16, label=label)
        assert code_of(wallet.add_subject, entry) is ClientCode.WALLET_ENTRY_NOT_VALID
    assert code_of(wallet.put_note, "k", b"n", bytes(16 * 1024 + 1)) \
        is ClientCode.WALLET_ENTRY_NOT_VALID
    monkeypatch.setattr(wallet_module, "WALLET_SUBJECTS_MAX", 0)
    assert code_of(wallet.add_subject, SUBJECT) is ClientCode.WALLET_FULL
    assert path.read_bytes() == before
    assert wallet.subjects == ()


def test_the_wallet_s_types_can_be_encoded_in_one_way_only() -> None:
    for type_ in (WalletContent, Envelope, KeyContent):
        codec.form(type_)


def test_every_cut_and_twenty_thousand_hostile_files_are_refused_with_a_code(
        wallet: Wallet, path: Path) -> None:
    """Without the key stretching, which a hostile file cannot skip but a fuzzer cannot afford."""
    from xinglin.client import sealed_file
    data = path.read_bytes()
    draw = random.Random(11)

    def refused(hostile: bytes) -> None:
        with pytest.raises(Failed):
            _, body = sealed_file.split(hostile, (FIRST_LINE,))
            sealed_file.decode(body, Envelope)
            raise AssertionError("understood")

    for cut in range(len(data)):
        refused(data[:cut])
    for number in range(20_000):
        if number % 2:
            hostile = FIRST_LINE + draw.randbytes(draw.randrange(300))
        else:
            hostile = bytearray(data[:-32])
            for _ in range(draw.randrange(1, 4)):
                hostile[draw.randrange(len(FIRST_LINE), len(FIRST_LINE) + 4)] = draw.randrange(256)
            hostile = bytes(hostile[:draw.randrange(len(hostile))])
        refused(with_checksum(hostile) if number % 3 else hostile)


def test_hostile_content_under_the_right_passphrase_is_refused_with_a_code(path: Path) -> None:
    """A wallet that someone gives away with its passphrase is input like any other."""
    key = PassphraseKey.new("p", QUICK)
    good = codec.encode(WalletContent(seed=bytes(32), subjects=(SUBJECT,), grants=(GRANT,), notes=()))
    draw = random.Random(13)
    from xinglin.client import sealed_file
    understood = 0
    for _ in range(20_000):
        hostile = bytearray(good)
        hostile[draw.randrange(len(hostile))] = draw.randrange(256)
        cut = bytes(hostile[:draw.randrange(1, len(hostile) + 1)])
        try:
            understood += codec.encode(sealed_file.decode(cut, WalletContent)) == cut
        except Failed as failed:
            assert failed.code is ClientCode.WALLET_NOT_UNDERSTOOD
    assert understood < 200                       # a changed byte of a seed is another seed
    path.write_bytes(key.seal(FIRST_LINE, b"not a wallet"))
    path.chmod(0o600)
    assert code_of(Wallet.open, path, "p") is ClientCode.WALLET_NOT_UNDERSTOOD


# -- key files

SUITES = [SignatureSuite.ED25519, SignatureSuite.ML_DSA_65, SignatureSuite.ED25519_ML_DSA_65]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_file_gives_back_its_account_and_key(
        tmp_path: Path, suite: SignatureSuite, passphrase: str | None) -> None:
    path = tmp_path / "service.key"
    made = KeyFile.create(path, passphrase, suite, ANNA, strength=QUICK)
    account, key = KeyFile.open(path, passphrase)
    assert (account, key.public, key.suite) == (ANNA, made.public, suite)
    verify(suite, made.public, b"m", key.sign(b"m"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_says_in_its_first_line_whether_it_is_encrypted(tmp_path: Path) -> None:
    clear, sealed = tmp_path / "clear", tmp_path / "sealed"
    KeyFile.create(clear, None, SignatureSuite.ED25519, ANNA)
    KeyFile.create(sealed, "p", SignatureSuite.ED25519, ANNA, strength=QUICK)
    assert clear.read_bytes().split(b"\n")[0] \
        == b"xinglin key 1, NOT ENCRYPTED: whoever reads this file can sign"
    assert sealed.read_bytes().split(b"\n")[0] == b"xinglin key 1, sealed with a passphrase"
    assert (KeyFile.is_sealed(clear), KeyFile.is_sealed(sealed)) == (False, True)


def test_a_sealed_key_file_needs_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "k"
    KeyFile.create(path, "p", SignatureSuite.ED25519, ANNA, strength=QUICK)
    assert code_of(KeyFile.open, path) is ClientCode.PASSPHRASE_NEEDED
    assert code_of(KeyFile.open, path, "q") is ClientCode.PASSPHRASE_WRONG


def test_a_key_file_in_clear_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k"
    KeyFile.create(path, None, SignatureSuite.ED25519, ANNA)
    path.chmod(0o644)
    assert code_of(KeyFile.open, path) is ClientCode.WALLET_PERMISSIONS


def test_a_sealed_file_does_not_pass_for_one_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "k"
    KeyFile.create(path, "p", SignatureSuite.ED25519, ANNA, strength=QUICK)
    _, _, body = path.read_bytes()[:-32].partition(b"\n")
    from xinglin.client.key_file import CLEAR_LINE
    path.write_bytes(with_checksum(CLEAR_LINE + body))
    assert code_of(KeyFile.open, path) is ClientCode.WALLET_NOT_UNDERSTOOD


def test_a_damaged_key_file_is_refused_whatever_bit_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "k"
    KeyFile.create(path, None, SignatureSuite.ED25519, ANNA)
    data = path.read_bytes()
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        assert code_of(KeyFile.open, path) in (
            ClientCode.WALLET_DAMAGED, ClientCode.WALLET_NOT_UNDERSTOOD)


def test_a_key_that_cannot_sign_here_or_an_odd_account_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "k"
    with pytest.raises(KeyInvalid):
        KeyFile.create(path, None, SignatureSuite.WEBAUTHN_P256, ANNA)
    assert code_of(KeyFile.create, path, None, SignatureSuite.ED25519, b"short") \
        is ClientCode.WALLET_NOT_UNDERSTOOD
    assert not path.exists()


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "k"
    KeyFile.create(path, None, SignatureSuite.ED25519, ANNA)
    before = path.read_bytes()
    assert code_of(KeyFile.create, path, None, SignatureSuite.ED25519, BORIS) \
        is ClientCode.WALLET_ALREADY_EXISTS
    assert path.read_bytes() == before


def test_two_key_files_never_hold_the_same_key(tmp_path: Path) -> None:
    keys = {KeyFile.create(tmp_path / str(n), None, SignatureSuite.ED25519, os.urandom(16)).public
            for n in range(50)}
    assert len(keys) == 50
