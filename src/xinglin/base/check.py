"""The three kinds of error, and `require`, which `-O` does not strip.

Refused          the rules say no       -> leaf, receipt with a code; the chain goes on
InvariantBroken  we have a bug          -> the node stops before it commits
Failed           outside word is wrong  -> an error to whoever asked
  NotUnderstood | NotAuthorised | Busy | NotFound | NotVerified
"""

from enum import IntEnum


class Code(IntEnum):
    """Numbers of one room; members are permanent and shown as XL-0204."""

    @property
    def shown(self) -> str:
        return f"XL-{self.value:04d}"


class Refused(Exception):
    """The rules say no. `facts` are enumerated values, ids and numbers, never words of a person."""

    def __init__(self, code: Code, **facts: int | bytes | str):
        super().__init__(code.name)
        self.code = code
        self.facts = facts


class InvariantBroken(Exception):
    """A bug of ours. Nothing may be committed after it."""


class Failed(Exception):
    """Something from outside is wrong. Carries a code, which `errors.toml` puts into words."""

    def __init__(self, code: Code, detail: str = "", **facts: object):
        super().__init__(f"{code.shown} {code.name}" + (f": {detail}" if detail else ""))
        self.code = code
        self.detail = detail
        self.facts = facts


class NotUnderstood(Failed):
    """The input is not what it should be: broken bytes, a wrong form, an unknown value."""


class NotAuthorised(Failed):
    """Denied, or not there: the same words for both."""


class Busy(Failed):
    """Full for now; the same call may succeed later."""


class NotFound(Failed):
    """A public thing that does not exist."""


class NotVerified(Failed):
    """A proof or signature does not hold."""


class BaseCode(Code):
    """What can be wrong with bytes, proofs and signatures: kernel's hundred, 70 to 89."""

    BYTES_NOT_CANONICAL = 70
    BYTES_NOT_UNDERSTOOD = 71
    SIGNATURE_NOT_VALID = 75
    KEY_NOT_VALID = 76
    PROOF_NOT_VALID = 77
    POLICY_NOT_UNDERSTOOD = 90
    NOT_COSIGNED = 91


class SignatureInvalid(NotVerified):
    def __init__(self, detail: str = ""):
        super().__init__(BaseCode.SIGNATURE_NOT_VALID, detail)


class KeyInvalid(NotVerified):
    def __init__(self, detail: str = ""):
        super().__init__(BaseCode.KEY_NOT_VALID, detail)


class ProofInvalid(NotVerified):
    def __init__(self, detail: str = ""):
        super().__init__(BaseCode.PROOF_NOT_VALID, detail)


def require(holds: bool, code: Code, detail: str = "") -> None:
    """Raise NotUnderstood unless `holds`."""
    if not holds:
        raise NotUnderstood(code, detail)


def invariant(holds: bool, fact: str) -> None:
    """Raise InvariantBroken unless `holds`; `fact` says what should have held."""
    if not holds:
        raise InvariantBroken(fact)
