"""Backups of a home: a copy without anything that signs or opens, its list of hashes, and a way back.

Sits above the home: it knows where the node's store and the holders' cabinets and ciphertext lie. Why it is an
allow-list: docs/adr/0030-trust-what-is-stored.md
"""

from xinglin.backup.codes import BackupCode
from xinglin.backup.contents import Contents
from xinglin.backup.make import of_closed
from xinglin.backup.restore import Restored, restore

__all__ = ["BackupCode", "Contents", "Restored", "of_closed", "restore"]
