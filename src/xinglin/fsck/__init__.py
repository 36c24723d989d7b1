"""Fsck: reads a ledger's store with code of its own, and says where it first lies.

It imports the store's scans, and of on-chain code the types that say what a message, a row or an event is; never the
ledger, the trees or the indexes that wrote what it checks (`.importlinter`). Why: docs/adr/0030-trust-what-is-stored.md
"""

from xinglin.fsck.codes import FsckCode, Lie
from xinglin.fsck.ledger import Report, check
from xinglin.fsck.replay import Replayed, replay

__all__ = ["FsckCode", "Lie", "Replayed", "Report", "check", "replay"]
