"""The command line's codes, 9000 to 9499. Permanent."""

from xinglin.base.check import Code, NotUnderstood


class CliCode(Code):
    NOT_EXPECTED = 9000
    USAGE = 9001
    CHOICE_NOT_KNOWN = 9002
    ID_AMBIGUOUS = 9003
    SAY_WHICH = 9004
    NOT_CONFIRMED = 9005
    CODE_NOT_KNOWN = 9006
    NOTHING_IMPORTED = 9007
    GRANT_IS_LIVE = 9008
    FILE_EXISTS = 9009
    FILE_NOT_WRITTEN = 9010
    FILE_NOT_READ = 9011
    RECORD_NOT_FOUND = 9012
    HASH_NOT_UNDERSTOOD = 9013
    PASSPHRASES_DIFFER = 9014
    REASON_NOT_VALID = 9015


class Usage(NotUnderstood):
    """The command line itself is wrong, before anything was tried."""
