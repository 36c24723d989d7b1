"""Everything that reads bytes or words from outside, each with good inputs to start from.

A parser takes bytes and returns; what it may raise is Failed (or what its docstring names). Whatever it takes it must
give back as the same bytes, where it has a writer: that is asked here too.
"""

import contextlib
import io
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import inspect as types
from typer import Abort, Exit, TyperException

from crosscheck import policies
from holder import test_fhir_fuzz as fhir_fuzz
from mutations import mutated
from passkeys import Passkey
from proofs.spoil import Archive
from witness.logs import ORIGIN, GrowingLog
from worlds import CHECKPOINT, CHECKPOINT_KEY, content, key_named
from xinglin.backup import contents
from xinglin.base import codec, crypto, note
from xinglin.base.check import Failed, SignatureInvalid
from xinglin.base.crypto import SHA256, SignatureSuite
from xinglin.base.history import Frontier, FrontierRow
from xinglin.base.policy import read_policy
from xinglin.cli import parser
from xinglin.cli.call import Call
from xinglin.client import key_file, paper, pins, sealed_file, verify_file, wallet
from xinglin.client.door import ClaimRequest, SignedChallenge, SignedConsent, Words
from xinglin.engine import tree_snapshot
from xinglin.engine.acknowledged import Acknowledged
from xinglin.engine.ledger import BlockRow, TipRow
from xinglin.holder import fhir
from xinglin.holder.answer import Openings, Permit
from xinglin.holder.claim_codes import ClaimBody, Code
from xinglin.holder.deliveries import Delivered, WaitingRow
from xinglin.holder.fhir import Head, PatientCard, json_text
from xinglin.holder.read_log import Read
from xinglin.holder.release import Page, PageKeys
from xinglin.holder.shelf import ShelvedBatch
from xinglin.kernel import receipt_cose
from xinglin.kernel.genesis import Manifest, check_manifest
from xinglin.kernel.outcome import Closing, Leaf
from xinglin.kernel.receipt import open_network
from xinglin.kernel.tx import Reader, Transaction
from xinglin.modules.decision import ConsentBody, Inputs, Opened, Opening, RequestBody
from xinglin.vault.seal import open_sealed, seal
from xinglin.vault.slots import SlotFile
from xinglin.vault.wrap import RecipientKey, wrap
from xinglin.witness import kept, protocol

Mutate = Callable[[random.Random, list[bytes]], bytes]


class Parser(NamedTuple):
    seeds: list[bytes]
    parse: Callable[[bytes], object]
    mutate: Mutate = mutated
    documented: tuple[type[BaseException], ...] = (Failed,)


# -- good values of any type that may be signed, stored or sent

def sample(kind: Any, chance: random.Random) -> bytes:
    return codec.encode(codec.decode(codec.encode(_value(types.type_info(kind), chance)), kind))


def _value(info: types.Type, chance: random.Random) -> Any:
    match info:
        case types.IntType(ge=low, le=high):
            return chance.choice((low or 0, high or 0, min(high or 0, (low or 0) + chance.randrange(300))))
        case types.BytesType(min_length=low, max_length=high):
            return chance.randbytes(chance.choice((low or 0, min(high or 0, (low or 0) + 40))))
        case types.StrType(pattern=pattern) if pattern:
            return "sha-256"
        case types.StrType(min_length=low, max_length=high):
            return "x" * chance.choice((max(low or 0, 1), min(high or 0, 9)))
        case types.BoolType():
            return chance.random() < 0.5
        case types.NoneType():
            return None
        case types.EnumType(cls=cls):
            return chance.choice([*cls])
        case types.TupleType(item_types=parts):
            return tuple(_value(part, chance) for part in parts)
        case types.VarTupleType(item_type=item, min_length=low, max_length=high):
            few = chance.choice((low or 0, min(high or 0, 3)))
            return tuple(_value(item, chance) for _ in range(few))
        case types.UnionType(types=parts):
            return _value(chance.choice(parts), chance)
        case types.StructType(cls=cls, fields=fields):
            return cls(**{field.name: _value(field.type, chance) for field in fields})
    raise TypeError(info)


def of_types(*kinds: Any) -> Parser:
    """Decoders of these types: what they take is the one encoding of its value."""
    chance = random.Random(1)
    seeds = [sample(kind, chance) for kind in kinds for _ in range(4)]
    tags = {codec.encode(tag): kind for kind in kinds
            if isinstance(tag := getattr(kind, "__struct_config__", Transaction.__struct_config__).tag, str)}
    untagged = [kind for kind in kinds if kind not in tags.values()] or [*kinds]
    turn = iter(range(2**62))

    def parse(data: bytes) -> None:
        """As the kind that its tag says, where it has one."""
        said = next((kind for tag, kind in tags.items() if data.startswith(tag, 1)), None)
        value = codec.decode(data, said or untagged[next(turn) % len(untagged)])
        assert codec.encode(value) == data, "two encodings of one value"
    return Parser(seeds, parse)


# -- text

PIECES = [b"", b" ", b"-", b"--", b"--home", b"--json", b"--lang", b"zh", b"=", b"\x00", b"\xff", b"\xe2\x80\xae",
          b"\n", b"[", b"{", b"]", b"}", b'"', b"\\", b"1e999", b"NaN", b"-1", b"9" * 400, b"\xf0\x9f\x8f\xa5",
          b"\\ud800", b"../", b"/dev/null", b"%s", b"null", b"true", b"a" * 3_000]


def reworded(chance: random.Random, seeds: list[bytes]) -> bytes:
    if chance.random() < 0.4:
        return mutated(chance, seeds)
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        data[at:at + chance.choice((0, 0, 1, 5))] = chance.choice(PIECES)
    return bytes(data)


# -- the parsers

def all_parsers(folder: Path) -> dict[str, Callable[[], Parser]]:
    archive = Archive(founders=("A", "B", "C"))
    archive.eventful()
    raws = [result.outcome.tx.raw for result in archive.history if result.outcome.tx]
    receipts, rows, logs = ([codec.encode(file) for file in some[-40:]]
                            for some in (archive.receipts, archive.rows, archive.complete))
    verify = partial(verify_file, pinned=archive.network, modules=archive.modules)
    return {
        "codec": lambda: of_types(*archive.modules.messages, *archive.modules.events, Leaf, Closing, FrontierRow,
                                  *[table.value for table in archive.modules.tables.values()], Transaction),
        "transaction": lambda: Parser(raws, Reader(archive.network, SHA256, archive.modules).read),
        "receipt": lambda: Parser(receipts, verify),
        "state proof": lambda: Parser(rows, verify),
        "completeness file": lambda: Parser(logs, verify),
        "signed note": lambda: Parser([file.checkpoint for file in archive.receipts], lambda data: note.open_checkpoint(
            data, [CHECKPOINT_KEY]), reworded),
        "COSE receipt": lambda: Parser(
            [receipt_cose.write(file, CHECKPOINT_KEY, CHECKPOINT.sign) for file in archive.receipts[-20:]],
            lambda data: (receipt_cose.read(data), receipt_cose.verify_cose(data, archive.network, archive.modules))),
        "verifier key": lambda: _verifier_key(),
        "trust policy": lambda: _policy(),
        "witness's request": lambda: _witness_request(),
        "witness's list of logs": lambda: _witness_logs(),
        "backup's list": lambda: _backup_list(folder / "backup"),
        "genesis manifest": lambda: Parser([codec.encode(archive.manifest)], lambda data: (
            check_manifest(codec.decode(data, Manifest)), open_network(data, archive.network))),
        "history frontier": lambda: Parser([codec.encode(archive.ledger.frontier.to_row())], lambda data:
                                           Frontier.from_row(codec.decode(data, FrontierRow)),
                                           documented=(Failed, ValueError)),
        "wallet file": lambda: _sealed(wallet.FIRST_LINE, wallet.WalletContent),
        "key file": lambda: _key_file(),
        "seed on paper": lambda: Parser([paper.written(bytes(range(32))).encode()],
                                        lambda data: paper.read(data.decode("utf-8", "replace")), reworded),
        "pins": lambda: _file(folder / "networks.json", [json.dumps({"a-0000": "00" * 32, "b": "ff" * 32}).encode()],
                              lambda file: pins.read(file.parent), reworded),
        "claim code": lambda: of_types(ClaimRequest, ClaimBody, Code),
        "cabinet values": lambda: of_types(Openings, Permit, Delivered, WaitingRow, PatientCard, ShelvedBatch, Read,
                                           Opened, BlockRow, TipRow),
        "release page and openings": lambda: of_types(Page, PageKeys, Opening, Opened, Inputs, Head),
        "door messages": lambda: of_types(SignedChallenge, SignedConsent, Words, ConsentBody, RequestBody),
        "sealed bytes": lambda: Parser([seal(bytes(32), b"context", b"x" * size) for size in (0, 5, 70_000)],
                                       partial(open_sealed, bytes(32), b"context")),
        "wrapped keys": lambda: _wrapped(),
        "WebAuthn assertion": lambda: _passkey(),
        "signatures and keys": lambda: _signatures(),
        "tree snapshot": lambda: _snapshot(folder / "tree"),
        "acknowledged file": lambda: _file(folder / "acknowledged", [bytes(8), (7).to_bytes(8, "big")],
                                           lambda file: Acknowledged(file).close()),
        "slots of the key store": lambda: _slots(folder / "keys"),
        "argv": lambda: _argv(folder),
        "FHIR bundle": lambda: Parser(fhir_fuzz.bundles(), partial(_fhir, name="fuzz.json"),
                                      lambda chance, seeds: fhir_fuzz.mutated(chance.choice(seeds), chance)),
        "FHIR NDJSON": lambda: _ndjson(),
    }


SLOW = ("FHIR bundle", "FHIR NDJSON", "argv", "backup's list")


def _verifier_key() -> Parser:
    seeds = [note.NoteKey(f"{name}.example/w", use, key_named(name).public).text().encode()
             for name in ("east", "west") for use in note.KeyUse]

    def parse(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")         # as a word of argv is
        assert note.read_key(text).text() == text, "two texts of one key"
    return Parser(seeds, parse, reworded)


def _policy() -> Parser:
    def mutate(chance: random.Random, seeds: list[bytes]) -> bytes:
        return chance.choice((policies.mutant, reworded))(chance, seeds)
    return Parser([text for text in policies.good().values() if len(text) < 2_000], read_policy, mutate)


def _witness_request() -> Parser:
    """What a witness is sent, and what it answers with 409."""
    log = GrowingLog()
    requests = [log.to(size).request(old) for old, size in ((0, 1), (0, 9), (5, 9), (64, 200), (199, 200))]

    def parse(data: bytes) -> None:
        if len(data) < 25:
            assert b"%d" % protocol.read_size(data) == data, "two spellings of one size"
            return
        request = protocol.read_request(data)
        assert protocol.write_request(*request) == data, "two spellings of one request"
    return Parser([*requests, *[b"%d" % size for size in (0, 7, 10**9, 2**63 - 1)]], parse, reworded)


def _witness_logs() -> Parser:
    """As `follow` writes them, and with a comment."""
    keys = [GrowingLog(key=key_named(name)).named.text() for name in ("a", "b")]
    seeds = [f"log {keys[0]} {ORIGIN}\n", f"log {keys[0]} {ORIGIN} sm3\nlog {keys[1]} {ORIGIN} sm3\n",
             f"# two\nlog {keys[0]} {ORIGIN}\n\nlog {keys[1]} xinglin/other\n"]
    return Parser([seed.encode() for seed in seeds], kept.read_logs, reworded)


def _backup_list(folder: Path) -> Parser:
    found = contents.Contents(
        network="0f" * 32, chain="xinglin-0f0f0f0f", made_ms=1_700_000_000_000, height=7, time_ms=9, app_hash="a0" * 32,
        files={"ledger/clock": contents.Filed(8, "11" * 32), "organisations/e/card.json": contents.Filed(0, "22" * 32)},
        apart=("ledger/checkpoint.key",))
    deep = b"[" * 100_000

    def mutate(chance: random.Random, seeds: list[bytes]) -> bytes:
        return deep if chance.random() < 0.01 else reworded(chance, seeds)
    return _file(folder / contents.LIST_NAME, [found.encoded()], lambda file: contents.read(file.parent), mutate)


def _sealed(line: bytes, kind: Any) -> Parser:
    """With a good checksum half the time, and past the seal a quarter: a wallet given away with its passphrase."""
    chance = random.Random(3)
    envelopes = [sample(sealed_file.Envelope, chance) for _ in range(4)]
    contents = [sample(kind, chance) for _ in range(4)]

    def parse(data: bytes) -> None:
        if data[:1] >= b"\xc0":
            sealed_file.decode(data, kind)
            return
        _, body = sealed_file.split(sealed_file.with_checksum(data) if sum(data[-4:]) % 4 else data, (line,))
        sealed_file.decode(body, sealed_file.Envelope)
    return Parser([*[line + envelope for envelope in envelopes], *contents], parse)


def _key_file() -> Parser:
    chance = random.Random(4)
    seeds = [key_file.CLEAR_LINE + sample(key_file.KeyContent, chance) for _ in range(6)]

    def parse(data: bytes) -> None:
        line, body = sealed_file.split(sealed_file.with_checksum(data) if sum(data[-4:]) % 4 else data,
                                       (key_file.SEALED_LINE, key_file.CLEAR_LINE))
        assert line
        content = sealed_file.decode(body, key_file.KeyContent)
        crypto.SigningKey.from_seed(content.suite, content.seed)
    return Parser(seeds, parse)


def _file(path: Path, seeds: list[bytes], read: Callable[[Path], object], mutate: Mutate = mutated) -> Parser:
    path.parent.mkdir(parents=True, exist_ok=True)

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        path.chmod(0o600)
        read(path)
    return Parser(seeds, parse, mutate)


def _wrapped() -> Parser:
    key = RecipientKey.from_private(bytes(range(96)))
    return Parser([wrap(key.public, b"info", b"secret" * 9)], partial(key.unwrap, b"info"))


def _passkey() -> Parser:
    passkey = Passkey()
    seeds = [passkey.sign(b"message"), passkey.public]

    def parse(data: bytes) -> None:
        try:
            crypto.verify(SignatureSuite.WEBAUTHN_P256, passkey.public, b"message", data)
        except SignatureInvalid:
            crypto.check_key(SignatureSuite.WEBAUTHN_P256, data)
    return Parser(seeds, parse)


def _signatures() -> Parser:
    """Of every suite: junk is refused with one kind of error, as a signature and as a key."""
    suites = (SignatureSuite.ED25519, SignatureSuite.ED25519_ML_DSA_65)
    keys = [key_named("fuzz", suite) for suite in suites]
    signatures = [key.sign(b"message") for key in keys]
    turn = iter(range(2**62))

    def parse(data: bytes) -> None:
        at = next(turn) % len(keys)
        try:
            crypto.verify(suites[at], keys[at].public, b"message", data)
            assert data in signatures or suites[at] is not SignatureSuite.ED25519, "a second signature"
        except SignatureInvalid:
            crypto.check_key(suites[at], data)
    return Parser([*signatures, *[key.public for key in keys]], parse)


def _snapshot(path: Path) -> Parser:
    header = tree_snapshot.Header(suite=SHA256.name, height=7, places=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    tree_snapshot.write(path, SHA256, header, bytearray(content("heap") * 6), bytearray(6))

    def read(file: Path) -> None:
        found = tree_snapshot.read(file, SHA256)
        assert found is None or len(found[1]) == 64 * found[0].places
    return _file(path, [path.read_bytes()], read)


def _slots(path: Path) -> Parser:
    made = SlotFile(path, b"magic", 128)
    for at in range(3):
        made.write(made.take(), bytes([at]) * 96)
    made.close()

    def read(file: Path) -> None:
        opened = SlotFile(file, b"magic", 128)
        try:
            for _ in opened.load():
                pass
        finally:
            opened.close()
    return _file(path, [path.read_bytes()[:512]], read)


def _fhir(data: bytes, name: str) -> None:
    plan = fhir_fuzz.planned(list(fhir.read_bytes(data, name)))
    for batch in (plan.directory, *plan.patients):
        for record in batch:
            assert json_text.parse(record.rest)["id"] == record.head.id


def _ndjson() -> Parser:
    seeds = [b"\n".join(json.dumps(entry["resource"]).encode() for entry in json.loads(data)["entry"]) + b"\n"
             for data in fhir_fuzz.bundles()]

    def mutate(chance: random.Random, some: list[bytes]) -> bytes:
        lines = chance.choice(some).split(b"\n")
        at = chance.randrange(len(lines))
        if chance.random() < 0.5 and lines[at]:
            lines[at] = fhir_fuzz.mutated(lines[at], chance)
        return b"\n".join(lines) if chance.random() < 0.7 else reworded(chance, [b"\n".join(lines)])
    return Parser(seeds, partial(_fhir, name="fuzz.ndjson"), mutate)


def _argv(folder: Path) -> Parser:
    """The line of every command, up to where the command would begin: what it is given fits what it declares."""
    top = parser.build("en")
    lines = []
    for path, command in parser.commands(top):
        if command is not top and command.callback is not None:
            command.callback = lambda **said: None
        options = [word for parameter in command.params for word in (parameter.opts[0], "x")]
        lines.append("\x00".join([*path.split(), *options]).encode())
        lines.append("\x00".join([*path.split(), *["x" for one in command.params
                                                   if one.param_type_name == "argument"]]).encode())

    def parse(data: bytes) -> None:
        words = data.decode("utf-8", "replace").split("\x00")
        call = Call.new("zh" if len(data) % 2 else "en")
        call.home = folder / "nowhere"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            top.main(words, prog_name="xinglin", standalone_mode=False, obj=call)
    return Parser(lines, parse, reworded, documented=(Failed, TyperException, Exit, Abort))
