"""The command line's codes, 9000 to 9499. Permanent."""

from xinglin.base.check import Code, Failed, NotUnderstood


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
    IMPORT_INTERRUPTED = 9016
    SOME_NOT_IMPORTED = 9017
    NETWORK_ID_NEEDED = 9018
    NOTHING_TO_TAKE_BACK = 9019
    FILE_NOT_PERMITTED = 9020
    NOT_AN_ID = 9021
    KEY_NOT_FOUND = 9046
    WHOSE_KEY = 9047


class Usage(NotUnderstood):
    """The command line itself is wrong, before anything was tried."""


class Partly(Failed):
    """Done but for what could not be, as the user said to."""


class Interrupted(Failed):
    """The user stopped a command that had changed something by then."""
