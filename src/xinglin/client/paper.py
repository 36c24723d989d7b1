"""A seed as it is written on paper: hex digits in groups, with a check, so that a slip of the pen shows."""

from hashlib import sha256

from xinglin.base.check import NotUnderstood
from xinglin.base.crypto import SEED_BYTES
from xinglin.client.codes import ClientCode

CHECK_BYTES = 2
GROUP = 4                          # digits; 17 groups


def written(seed: bytes) -> str:
    digits = (seed + _check(seed)).hex()
    return " ".join(digits[at:at + GROUP] for at in range(0, len(digits), GROUP))


def read(text: str) -> bytes:
    """The seed of what `written` gave, however it is spaced.

    Errors  NotUnderstood SEED_NOT_VALID.
    """
    try:
        data = bytes.fromhex("".join(text.replace("-", " ").split()))
    except ValueError:
        raise NotUnderstood(ClientCode.SEED_NOT_VALID, "hexadecimal digits alone") from None
    seed, check = data[:SEED_BYTES], data[SEED_BYTES:]
    if len(data) != SEED_BYTES + CHECK_BYTES:
        raise NotUnderstood(ClientCode.SEED_NOT_VALID, f"{2 * (SEED_BYTES + CHECK_BYTES)} digits")
    if check != _check(seed):
        raise NotUnderstood(ClientCode.SEED_NOT_VALID, "a digit is wrong")
    return seed


def _check(seed: bytes) -> bytes:
    return sha256(b"xinglin/paper/1" + seed).digest()[:CHECK_BYTES]
