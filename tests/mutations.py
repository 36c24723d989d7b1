"""Spoiling bytes, by a seed: what a network, a disk or an enemy may do to them."""

import random
from collections.abc import Iterator, Sequence

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
