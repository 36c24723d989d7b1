"""Runs a table: what people say, in order, and what comes of it. The tables are the *.txt files beside this.

    == a sentence: a section, which is a test of its own in a world of its own
    world furnished            who is there: founders A, B, C, and what World.furnished() adds; or name=value
    who message fields -> ok Event field=value
    | who message ...          lines with a bar are in one block
    who message + who message  one transaction of two messages, all or nothing
    at 23h59m                  the next block's time, from the start; else each block is a second after the last
    clock +31d -> Event        a block without transactions: what the timers do, nothing unless it is written
    ... -> Event then ok ...   timers that come to pass at the start of a block with transactions
    x16 who message ...        sixteen times, each in a block of its own
    ? live mei B g1 -> ...     what holder and node are told when they ask

`who` signs, one for each field that signs: A.service,mei; `mei!thief` signs for mei with thief's key. Fields come
in the order of FORMS, or by name; a key that a message brings apart signs behind all of them. key:x is the id of x's
key. +24h counts from the block's time, #x is a commitment called x, - is none.
`{...}` before the arrow spoils the transaction. XL-0202 is an executed refusal: it has a leaf, and nothing else has
changed. `never XL-0004`: it was no transaction, and nothing at all has changed.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import inspect as types

from odd_keys import MixedOrderKey, PortalKey
from worlds import STARTED_MS, Result, Signing, World, content, key_named, named
from xinglin.base import codec
from xinglin.base.crypto import SignatureSuite
from xinglin.base.units import MS_PER_HOUR
from xinglin.kernel.module import Message, Module
from xinglin.kernel.tx import NotIncludable, Transaction
from xinglin.modules import access, consent, members

HERE = Path(__file__).resolve().parent
MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": MS_PER_HOUR, "d": 24 * MS_PER_HOUR}
CODE = re.compile(r"XL-(\d{4}) ([A-Z_0-9]+)")

# message -> its fields in the order in which they are said, after those that sign
FORMS = {
    "members.invite/1": ("kind", "suite", "key", "card"),
    "members.propose/1": ("motion", "member"),
    "members.vote/1": ("motion", "member"),
    "members.enrol_staff/1": ("role", "custody", "suite", "key", "card"),
    "members.enrol_service/1": ("suite", "key"),
    "members.end_staff/1": ("account",),
    "members.rotate_key/1": ("key", "old_until_ms", "suite"),
    "members.replace_key/1": ("member", "key", "suite"),
    "members.retire_key/1": ("member", "key"),
    "members.vote_key/1": ("motion", "proposer", "member", "key"),
    "subjects.rotate_key/1": ("key", "old_until_ms", "suite"),
    "subjects.register/1": ("subject",),
    "subjects.claim/1": ("suite", "key"),
    "consent.grant/1": ("grantee", "grant_id", "until_h", "body"),
    "consent.revoke/1": ("grantee", "grant_id"),
    "records.batch/1": ("owner", "number", "count", "root"),
    "access.request/1": ("subject", "grant_id", "body", "key_hash"),
    "access.answer/1": ("subject", "number", "decision", "grant_id", "epoch", "expires_at_ms", "parts_root",
                        "inputs", "opening"),
    "access.anchor/1": ("count", "running"),
    "probe.enrol_key/1": ("account", "suite", "key"),
    "probe.end_keys/1": ("account",),
}
DEFAULTS = {
    "kind": "pharmacy", "suite": "ed25519", "card": "#card", "role": "physician", "custody": "own", "count": "1",
    "root": "#root", "body": "#body", "key_hash": "#key", "grant_id": "-", "epoch": "0", "expires_at_ms": "0",
    "old_until_ms": "0", "parts_root": "-", "inputs": "#inputs", "opening": "#opening",
}


class Section(NamedTuple):
    title: str
    file: str
    lines: list[tuple[int, str]]


def sections(modules: dict[str, tuple[Module, ...]]) -> Iterator[Any]:
    """Every section of the tables named in `modules`, in order."""
    for name in modules:
        found: Section | None = None
        for number, line in enumerate((HERE / f"{name}.txt").read_text("utf-8").splitlines(), 1):
            text = line.partition("# ")[0].strip() if not line.startswith("#") else ""
            if text.startswith("== "):
                if found:
                    yield found
                found = Section(text[3:], name, [])
            elif text and found:
                found.lines.append((number, text))
        if found:
            yield found


def run(section: Section, modules: tuple[Module, ...]) -> None:
    """Raises AssertionError that names the table's line."""
    told = Told(modules)
    waiting: list[tuple[int, str]] = []
    for number, text in [*section.lines, (0, "")]:
        if waiting and not text.startswith("|"):
            told.block(waiting)
            waiting = []
        if text.startswith("|"):
            waiting.append((number, text[1:].strip()))
        elif text:
            told.line(number, text)


class Told:
    """A world, and the lines told so far."""

    def __init__(self, modules: tuple[Module, ...]):
        self.modules = modules
        self.world = World(modules=modules)
        self.at_ms = 0                          # of the next block, when a line gave it
        self.last = b""

    @property
    def next_ms(self) -> int:
        return self.at_ms or self.world.time_ms + 1_000

    def line(self, number: int, text: str) -> None:
        word, _, rest = text.partition(" ")
        said, _, expected = text.partition(" -> ")
        match word:
            case "world":
                self.furnish(rest.split())
            case "at":
                self.at_ms = STARTED_MS + duration(rest)
            case "clock":
                self.at_ms = self.world.time_ms + duration(said.split()[1])
                self.check(number, expected, self.results())
            case _ if re.fullmatch(r"x\d+", word):
                for _ in range(int(word[1:])):
                    self.block([(number, rest)])
            case "?":
                answer = self.ask(said.split()[1:])
                assert answer == expected.strip(), f"line {number}: {text}: the answer is {answer}"
            case _:
                self.block([(number, text)])

    def furnish(self, words: list[str]) -> None:
        options = dict(word.split("=") for word in words if "=" in word)
        self.world = World(founders=options.get("founders", "A,B,C").split(","), modules=self.modules,
                           units_per_second=int(options.get("units", "1000000")),
                           answer_ms=duration(options.get("answer", "+60s")))
        if "furnished" in words:
            self.world.furnished()
        if "admitted" in options:
            self.world.plant(members.TALLY, (), members.TallyRow(
                active=len(self.world.manifest.founders), admitted=int(options["admitted"])))
        if "invited" in options:
            self.world.plant(members.INVITED, (named("A"),), members.InvitedRow(open=int(options["invited"])))
        if "asked" in options:
            self.world.plant(access.ASKED, (named("mei"), named("B")), access.AskedRow(
                day=self.world.ledger.time_ms // MS["d"], requests=int(options["asked"]), denied=0, open=0))

    def block(self, lines: list[tuple[int, str]]) -> None:
        """Lines of one block; those that are no transaction stay outside it."""
        raws: list[bytes] = []
        told: list[tuple[int, str]] = []
        before = (self.world.domain_rows(), dict(self.world.ledger.rows), self.world.ledger.app_hash)
        for number, text in lines:
            said, arrow, expected = (part.strip() for part in text.partition("->"))
            assert arrow, f"line {number}: no result is expected"
            raw = self.transaction(said)
            self.last = raw
            try:
                self.world.includable(raw, self.next_ms)
                never = ""
            except NotIncludable as error:
                never = f"never {error.code.shown} {error.code.name}"
            if never or expected.startswith("never"):
                assert never == expected, f"line {number}: {text}: {never or 'it is a transaction'}"
                continue
            raws.append(raw)
            told.append((number, expected))
        if not raws:
            assert (self.world.ledger.rows, self.world.ledger.app_hash) == before[1:]
            self.at_ms = 0
            return
        results = self.results(*raws)
        timers = [result for result in results if result.outcome.tx is None]
        found = results[len(timers):]
        for (number, expected), result in zip(told, found, strict=True):
            first, _, expected = expected.rpartition(" then ")
            self.check(number, first, timers)
            self.check(number, expected, [result])
            timers = []
        if all(result.code for result in found) and len(found) == len(results):
            assert self.world.domain_rows() == before[0], f"line {lines[0][0]}: a refusal changed something"

    def results(self, *raws: bytes) -> list[Result]:
        applied = self.world.block(*raws, after_ms=self.next_ms - self.world.time_ms)
        self.at_ms = 0
        return self.world.results(applied)

    # -- transactions

    def transaction(self, said: str) -> bytes:
        said, _, spoiled = (part.strip() for part in said.partition("{"))
        spoil = dict(part.partition("=")[::2] for part in spoiled.rstrip("}").split())
        if said == "again":
            return self.last
        messages: list[Message] = []
        keys: dict[bytes, Signing] = {}
        for part in said.split(" + "):
            who, tag, *fields = part.split()
            messages.append(self.message(who.split(","), f"{tag}/1", fields))
            for one in who.split(","):
                account, _, key = one.partition("!")
                keys[named(account)] = key_named(key) if key else self.world.key(account)
        raw = self.world.transaction(*messages, keys=keys, expires_at_ms=self.next_ms + duration(
            spoil.get("expires", "+60s")))
        return spoilt(raw, spoil)

    def message(self, who: list[str], tag: str, said: list[str]) -> Message:
        kind, spec = next((kind, spec) for kind, spec in self.world.modules.messages.items() if spec.tag == tag)
        words = dict(zip(spec.signed_by, [one.partition("!")[0] for one in who], strict=True))
        names = iter(FORMS[tag])
        for word in said:
            name, equals, value = word.partition("=")
            words.update({name: value} if equals else {next(names): word})
        if spec.introduces:
            account = words[spec.introduces.account]
            brought = key_of(words.setdefault("key", account), words.get("suite", DEFAULTS["suite"]))
            if spec.introduces.apart:
                self.world.brought[brought.public] = brought
            else:
                self.world.keys.setdefault(named(account), brought)
        words = DEFAULTS | words
        return kind(**{field.name: self.value(field.type, words[field.name], words["suite"])
                       for field in fields_of(kind)})

    def value(self, kind: types.Type, word: str, suite: str = "") -> Any:
        """What a word means in a field of this type."""
        match kind:
            case types.EnumType(cls=cls):
                return cls[word.upper()]
            case types.BytesType(min_length=16):
                return named(word)
            case types.BytesType(min_length=32, max_length=32) if word.startswith("key:"):
                return self.world.key_id(word.removeprefix("key:"))
            case types.BytesType(min_length=32, max_length=32):
                return content(word.removeprefix("#"))
            case types.BytesType():
                return key_of(word, suite).public
            case types.IntType(le=most) if word.startswith("+"):
                in_hours = most is not None and most < 2**63 - 1
                return (self.next_ms // MS_PER_HOUR + duration(word) // MS_PER_HOUR if in_hours
                        else self.next_ms + duration(word))
            case types.IntType() if word.isupper():
                return next(code.value for code in self.world.modules.codes.values() if code.name == word)
            case _:
                return {"yes": True, "no": False}[word] if isinstance(kind, types.BoolType) else int(word)

    # -- what came of it

    def check(self, number: int, expected: str, results: list[Result]) -> None:
        """`expected` names every event, and of each the fields that matter."""
        where = f"line {number}"
        found = CODE.fullmatch(expected.strip())
        if found:
            (result,) = results
            code = self.world.code(result.code) if result.code else None
            assert code and (code.shown, code.name) == (f"XL-{found[1]}", found[2]), f"{where}: it was {code!r}"
            return
        assert not any(result.code for result in results), f"{where}: {[self.world.code(r.code) for r in results]!r}"
        events = [event for result in results for event in result.events]
        wanted = [part.split() for part in expected.strip().removeprefix("ok ").split(", ") if part]
        assert [type(event).__name__ for event in events] == [name for name, *_ in wanted], f"{where}: {events}"
        for event, (_, *fields) in zip(events, wanted, strict=True):
            kinds = {field.name: field.type for field in fields_of(type(event))}
            for field in fields:
                name, _, word = field.partition("=")
                self.at_ms = self.world.time_ms          # +60s counts from the block that has just been
                meant = self.value(kinds[name], word)
                self.at_ms = 0
                assert getattr(event, name) == meant, f"{where}: {name} is {getattr(event, name)!r}"

    def ask(self, words: list[str]) -> str:
        ctx = self.world.reading()
        match words:
            case ["live", subject, grantee, grant]:
                given = consent.live(ctx, named(subject), named(grantee), named(grant))
                return given.name if isinstance(given, consent.Refusal) else f"yes epoch={given.epoch}"
            case ["any", subject, grantee]:
                return str(len(consent.any_live(ctx, named(subject), named(grantee))))
        raise ValueError(f"nobody can be asked {words}")


def fields_of(kind: Any) -> tuple[types.Field, ...]:
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    return info.fields


def duration(text: str) -> int:
    """Milliseconds of 1d, +2h30m, -1ms."""
    parts = re.findall(r"(\d+)(ms|d|h|m|s)", text)
    assert parts and "".join(number + unit for number, unit in parts) == text.lstrip("+-"), f"no duration: {text}"
    return sum(int(number) * MS[unit] for number, unit in parts) * (-1 if text.startswith("-") else 1)


def key_of(word: str, suite: str) -> Signing:
    if word == "mixed-order":
        return MixedOrderKey()
    if suite == "webauthn_p256":
        return PortalKey()
    return key_named(word, SignatureSuite[suite.upper()])


def spoilt(raw: bytes, how: dict[str, str]) -> bytes:
    """What somebody between the signer and the network may do to the bytes."""
    outer = codec.decode(raw, Transaction)
    body, signatures = outer.body, outer.signatures
    match how:
        case {"signature": "dropped"}:
            signatures = signatures[:-1] or (b"",)
        case {"signature": "added"}:
            signatures = (*signatures, signatures[0])
        case {"signature": "swapped"}:
            signatures = signatures[::-1]
        case {"signature": "altered"}:
            signatures = (bytes([signatures[0][0] ^ 1]) + signatures[0][1:], *signatures[1:])
        case {"body": "altered"}:
            body = body[:-1] + bytes([body[-1] ^ 1])
        case {"body": "cut"}:
            body = body[:-1]
        case {"body": "huge"}:
            body = body + bytes(65_536)
        case {"body": part}:
            body = reworded(body, part)
    return codec.encode(Transaction(body=body, signatures=signatures))


def reworded(body: bytes, how: str) -> bytes:
    """Another network or other signers under the same signatures."""
    fields = codec.decoder(Any).decode(body)
    signers = fields[3]
    match how:
        case "other-network":
            fields[0] = content("another network")
        case "signers-swapped":
            fields[3] = signers[::-1]
        case "signer-dropped":
            fields[3] = signers[:-1]
        case "signer-added":
            fields[3] = [*signers, [named("thief"), content("key")]]
        case _:
            raise ValueError(how)
    return codec.encode(fields)
