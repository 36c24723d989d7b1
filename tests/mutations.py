"""Spoiling bytes, by a seed: what a network, a disk or an enemy may do to them."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import DecodeError, msgpack

# What MessagePack values may begin with, and what none does (0xC1).
HEADS = (0x00, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xC4, 0xC6, 0xCF, 0xD9, 0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0xFF)


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds`, altered in one to three ways; rarely still the same."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(9):
            case 0 | 1 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 2 if data:
                data[at % len(data)] = chance.choice((*HEADS, chance.randrange(256)))
            case 3:
                data[at:at] = chance.randbytes(chance.randint(1, 9))
            case 4:
                del data[at:at + chance.randint(1, 9)]
            case 5:
                del data[at:]
            case 6:
                other = chance.choice(seeds)
                data[at:] = other[chance.randrange(len(other) + 1):]
            case 7:
                data[at:at] = data[chance.randrange(len(data) + 1):][:chance.randint(1, 64)]
            case 8 if data:
                data[at % len(data):at % len(data) + 1] = longer(data[at % len(data)])
    return bytes(data)


def longer(head: int) -> bytes:
    """The same head of a MessagePack value, or the same small number, in more bytes than it needs."""
    if head < 0x80:
        return bytes((0xCC, head))
    if 0x90 <= head < 0xA0:
        return bytes((0xDC, 0, head & 15))
    if 0xA0 <= head < 0xC0:
        return bytes((0xD9, head & 31))
    wider = {0xC4: (0xC5, 0), 0xCC: (0xCD, 0), 0xCD: (0xCE, 0, 0), 0xCE: (0xCF, 0, 0, 0, 0), 0xD9: (0xDA, 0)}
    return bytes(wider.get(head, (head,)))


def single_bit_flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(bit, bytes) for every bit of `data`."""
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        yield bit, bytes(flipped)


# -- files of values: changed inside, and encoded as our encoder would, so that it is not the form that gives them away

def proof_mutants(seeds: Sequence[bytes], first: int, count: int) -> Iterator[bytes]:
    """Mutant `first` and those after it. Each has a seed of its own, so that any can be made alone."""
    for number in range(first, first + count):
        chance = random.Random(f"proof {number}")
        yield mutated(chance, seeds) if number % 2 else restructured(chance, seeds)


def restructured(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds` with one of its values altered; byte strings are often arrays again, and are looked into."""
    data = chance.choice(seeds)
    value = _plain(data)
    if value is None:                  # another kind of file
        return mutated(chance, [data])
    return msgpack.encode(altered(chance, value, [one for one in map(_plain, seeds) if one is not None]))


def altered(chance: random.Random, value: Any, others: Sequence[Any] = ()) -> Any:
    """The value with a change at one place, which may be deep inside."""
    match value:
        case [_, *_] if chance.random() < 0.8:
            at = chance.randrange(len(value))
            return [*value[:at], altered(chance, value[at], others), *value[at + 1:]]
        case list():
            return _other_list(chance, value, others)
        case bytes():
            inner = _plain(value) if len(value) > 32 else None
            if inner is not None and chance.random() < 0.7:
                return msgpack.encode(altered(chance, inner, others))
            return mutated(chance, [value, *[one for other in others for one in other if isinstance(one, bytes)]])
        case bool():
            return chance.choice((not value, int(value), None))
        case int():
            return chance.choice((value + 1, max(value - 1, 0), 0, 1, 2, 255, 2**31, 2**32, 2**63 - 1, 2**63, -1))
        case str():
            return chance.choice((value + "x", value[:-1], value.upper(), "", "consent/grants", "é" * 70))
    return chance.choice((b"", 0, [], bytes(32), None))


def _other_list(chance: random.Random, value: list[Any], others: Sequence[Any]) -> list[Any]:
    more: list[Any] = [bytes(32), None, 0, *value]
    at = chance.randrange(len(value) + 1)
    match chance.randrange(4):
        case 0:
            return [*value[:at], *value[at + 1:]]
        case 1:
            return [*value[:at], chance.choice(more), *value[at:]]
        case 2:
            return [*reversed(value)]
    lists = [one for other in others for one in other if isinstance(one, list)]
    return chance.choice(lists) if lists else []


def _plain(data: bytes) -> list[Any] | None:
    try:
        value = msgpack.decode(data)
    except (DecodeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and value else None
