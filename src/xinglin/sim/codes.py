"""What the simulation may find: 8800 to 8899."""

from xinglin.base.check import Code, NotVerified


class SimCode(Code):
    PROMISE_BROKEN = 8800


class Broken(NotVerified):
    """An invariant or promise of safety.md, by its id, did not hold."""

    def __init__(self, promise: str, what: str):
        super().__init__(SimCode.PROMISE_BROKEN, f"{promise}: {what}")
        self.promise = promise


def hold(holds: bool, promise: str, what: str) -> None:
    """Errors  Broken. Where `what` takes work to say, test first and call this with False."""
    if not holds:
        raise Broken(promise, what)
