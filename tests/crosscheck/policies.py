"""Policies: good ones, ones that break one rule each, and mutants; and what is read from them, in all languages."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crosscheck.languages import Language
from crosscheck.proof_files import policy_texts
from mutations import mutated
from worlds import key_named
from xinglin.base.check import NotUnderstood
from xinglin.base.limits import POLICY_BYTES_MAX, POLICY_LINES_MAX
from xinglin.base.note import KeyUse, NoteKey
from xinglin.base.policy import read_policy


def key(name: str, use: KeyUse = KeyUse.WITNESS, of: str | None = None) -> str:
    return NoteKey(name, use, key_named(of or name).public).text()


A, B, C = (f"witness {name} {key(name)}\n" for name in "abc")
LOG = f"log {key('l', KeyUse.LOG)}\n"
ONE = A + "quorum a\n"


def good() -> dict[str, bytes]:
    odd = f"witness __proto__ {key('p')}\nwitness constructor {key('q')}\n"
    texts = policy_texts() | {
        "spaces and tabs": "  \t\n" + A.replace(" ", " \t ") + "\tquorum  a \t\n",
        "a comment": " # x\n" + ONE,
        "no witness": "quorum none\n",
        "with an address": A.replace("\n", " http://a/ \n") + "quorum a\n",
        "a log line with a name": LOG.replace("\n", " name\n") + ONE,
        "groups of groups": A + B + C + "group x any a b\ngroup y all x c\nquorum y\n",
        "a key as log and as witness": f"log {key('a', KeyUse.LOG)}\n" + ONE,
        "names that JavaScript knows": odd + "group toString 1 __proto__ constructor\nquorum toString\n",
        "a quorum before its end": ONE + B,
        "the most lines": ONE + "#\n" * (POLICY_LINES_MAX - 2),
        "the most bytes": ONE + "#" * (POLICY_BYTES_MAX - len(ONE) - 1) + "\n",
        "spaces of Unicode in a name": f"witness a\u00a0\u0085 {key('x')}\nquorum a\u00a0\u0085\n"}
    no_utf8 = f"witness \xff {key('x')}\nwitness \xfe {key('y')}\nquorum \xfe\n".encode("latin-1")
    return {name: text.encode() for name, text in texts.items()} | {"names that are no UTF-8": no_utf8}


def crooked() -> dict[str, bytes]:
    """Each breaks one rule, but for which it could be read."""
    ab = A + B
    texts = {
        "none of two": ab + "group g 0 a b\nquorum g\n",
        "three of two": ab + "group g 3 a b\nquorum g\n",
        "two of a, a": ab + "group g 2 a a\nquorum g\n",
        "a group of nobody": A + "group g any\nquorum a\n",
        "a group of itself": A + "group g any g\nquorum g\n",
        "a member named none": A + "group g any a none\nquorum g\n",
        "a member that comes later": A + "group g any a b\n" + B + "quorum g\n",
        "in two groups": ab + "group g any a\ngroup h any a b\nquorum h\n",
        "two groups of a name": ab + "group g any a\ngroup g any b\nquorum g\n",
        "a group named none": A + "group none any a\nquorum none\n",
        "a group named as a witness": A + "group a any a\nquorum a\n",
        "a witness named none": f"witness none {key('a')}\nquorum none\n",
        "two of one name": A + f"witness a {key('b')}\nquorum a\n",
        "one key under two names": A + f"witness b {key('a')}\ngroup g all a b\nquorum g\n",
        "one key under two key names": A + f"witness b {key('b', of='a')}\nquorum a\n",
        "a witness without a key": "witness a\nquorum none\n",
        "a witness of five words": A[:-1] + " x y\nquorum a\n",
        "more after the quorum's name": A + "quorum none a\n",
        "a comment after words": "quorum none # nobody\n",
        "a quorum without a name": A + "quorum\n",
        "a quorum of nobody": A + "quorum b\n",
        "a quorum that comes later": "quorum a\n" + A,
        "two quorums": ONE + "quorum a\n",
        "no quorum": A,
        "nothing": "",
        "a log without a key": "log\n" + ONE,
        "a log of four words": LOG[:-1] + " x y\n" + ONE,
        "a log twice": LOG + LOG + ONE,
        "a log's key twice": LOG + f"log {key('m', KeyUse.LOG, 'l')}\n" + ONE,
        "a log's key as a witness": f"witness a {key('a', KeyUse.LOG)}\nquorum a\n",
        "a witness's key as a log": f"log {key('a')}\nquorum none\n",
        "another line": ONE + "threshold 1\n",
        "a line without an end": ONE[:-1],
        "a carriage return": ONE.replace("\n", "\r\n"),
        "a form feed": ONE.replace(" ", "\f"),
        "a zero": "#\x00\n" + ONE,
        "a delete": "#\x7f\n" + ONE,
        "a space of Unicode": ONE.replace("quorum ", "quorum\u00a0"),
        "too many lines": ONE + "#\n" * (POLICY_LINES_MAX - 1),
        "too many bytes": ONE + "#" * (POLICY_BYTES_MAX - len(ONE)) + "\n",
        "another hash": ONE.replace(key("a"), key("a", of="b").replace("+", "+0", 1)),
        "a hash in capitals": _capital_hash(),
        "a key with padding": ONE.replace(key("a"), key("a") + "=")}
    texts |= {f"a group of {least}": ab + f"group g {least} a b\nquorum g\n" for least in (
        "01", "+1", "1.0", "1e0", "0x1", "1_0", "-1", "ALL", "constructor", "__proto__", "10000", "9" * 20, "\u0661")}
    texts |= {f"a key {name}": f"witness a {NoteKey('a', KeyUse.WITNESS, raw).text()}\nquorum a\n"
              for name, raw in _keys_that_are_none().items()}
    return {name: text.encode() for name, text in texts.items()}


def _capital_hash() -> str:
    name, hashed, rest = key("a").split("+", 2)
    assert hashed.upper() != hashed
    return f"witness a {name}+{hashed.upper()}+{rest}\nquorum a\n"


def _keys_that_are_none() -> dict[str, bytes]:
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
        root = pow(square, (prime + 3) // 8, prime)
        both = (root, root * pow(2, (prime - 1) // 4, prime) % prime)
        return next((one for one in both if one * one % prime == square), None)

    torsion = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    y1, y2 = int.from_bytes(key_named("a").public, "little") % 2**255, int.from_bytes(torsion, "little")
    x1, x2 = x_of(y1), x_of(y2)
    assert x1 is not None and x2 is not None
    cross = d * x1 * x2 * y1 * y2 % prime
    x3 = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, prime) % prime
    y3 = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, prime) % prime
    off = next(y for y in range(2, 99) if x_of(y) is None)
    mixed = y3 | (x3 & 1) << 255       # a good key, and the point of order 8 added to it
    return {"off the curve": off.to_bytes(32, "little"), "of mixed order": mixed.to_bytes(32, "little"),
            "of order 8": torsion, "not below the field's prime": (prime + 3).to_bytes(32, "little")}


PIECES = (b"0", b"1", b"2", b"all", b"any", b"none", b"a", b"b", b"\t", b" ", b"\n", b"\r", b"#", b"\xc2\xa0", b"\xff",
          b"\x7f", b"quorum ", b"group g any ", b"witness ", b"log ", b"+", b"=", b"__proto__")


def mutants(first: int, count: int) -> Iterator[bytes]:
    seeds = [text for text in good().values() if len(text) < 2_000]
    for number in range(first, first + count):
        yield mutant(random.Random(f"policy text {number}"), seeds)


def mutant(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of `seeds` with bytes, words or lines of it changed, left out, doubled or brought from another."""
    text = chance.choice(seeds)
    for _ in range(chance.randint(1, 2)):
        between = chance.choice((b"\n", b"\n", b" "))
        parts, others = text.split(between), chance.choice(seeds).split(between)
        at = chance.randrange(len(parts))
        match chance.randrange(6):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, chance.choice(parts))
            case 2:
                parts[at] = chance.choice(others)
            case 3:
                parts.insert(at, chance.choice(others))
            case 4:
                parts[at] = chance.choice(PIECES)
            case 5:
                parts = mutated(chance, [text]).split(between)
        text = between.join(parts)
    return text


def ours(text: bytes) -> dict[str, Any] | None:
    """What we read from it, in the words of the others; None when it is refused."""
    try:
        policy = read_policy(text)
    except NotUnderstood:
        return None

    def labels(keys: tuple[NoteKey, ...]) -> list[str]:
        return [f"{one.name}+{one.id.hex()}" for one in keys]

    def spelled(name: str) -> str:
        return name.encode("latin-1").hex()
    return {"logs": labels(policy.logs), "witnesses": labels(policy.witness_keys),
            "names": [spelled(one.name) for one in policy.witnesses],
            "groups": [" ".join([spelled(one.name), str(one.least), *map(spelled, one.members)])
                       for one in policy.groups],
            "quorum": spelled(policy.quorum)}


def theirs(language: Language, folder: Path, texts: list[bytes]) -> list[dict[str, Any] | None]:
    file = folder / "policies.json"
    file.write_text(json.dumps([base64.b64encode(text).decode() for text in texts]))
    said = [json.loads(line) for line in language.lines("--policies", str(file))]
    return [None if "refused" in one else one for one in said]


__all__ = ["crooked", "good", "mutant", "mutants", "ours", "theirs"]
