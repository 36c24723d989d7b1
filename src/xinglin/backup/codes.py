"""What can be wrong with a backup: 8560 to 8589."""

from xinglin.base.check import Code


class BackupCode(Code):
    BACKUP_INCOMPLETE = 8560
    BACKUP_NOT_UNDERSTOOD = 8561
    BACKUP_ALTERED = 8562
    BACKUP_NOT_WRITTEN = 8563
