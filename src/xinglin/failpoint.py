"""Named places between two writes, where a test may end the process or make a call fail.

    failpoint.hit("synced")

Nothing happens there unless a test of the same process has armed the name. No environment variable, option or
file arms one, so nobody outside can. One is hit once a block, a file or a synced write, never once a row.
"""

from collections.abc import Callable

# In the order in which a writer passes them.
NAMES = (
    # a block, and whoever waits for it
    "block.write", "block.written", "sync", "synced", "acknowledge", "acknowledged", "deliver", "delivered",
    # a file that replaces another: the tree's snapshot, the clock, a key, a blob
    "file.write", "file.written", "file.synced", "file.renamed",
    # after the snapshot, when the journal loses what it covers
    "journal.cut",
    # the keystore: a slot, the slots of one mirror
    "slot.write", "slot.written", "slots.synced",
    # the cabinet
    "cabinet.commit", "cabinet.committed",
)

_armed: dict[str, Callable[[], None]] = {}


def hit(name: str) -> None:
    """Call what was armed under the name, if anything was."""
    if _armed:
        act = _armed.get(name)
        if act is not None:
            act()


def arm(name: str, act: Callable[[], None]) -> None:
    """For tests: from now on `act` is called at every hit. Errors  ValueError when there is no such place."""
    if name not in NAMES:
        raise ValueError(f"no failpoint is called {name}")
    _armed[name] = act


def disarm() -> None:
    _armed.clear()


__all__ = ["NAMES", "arm", "disarm", "hit"]
