"""Why bytes are not a transaction (1-29), why the kernel refuses one that is (30-59). Order is precedence."""

from xinglin.base.check import Code


class KernelCode(Code):
    OK = 0

    # Not includable: the transaction does not exist, has no leaf and burns no id.
    TX_TOO_LARGE = 1
    TX_NOT_UNDERSTOOD = 2
    WRONG_NETWORK = 3
    TX_EXPIRED = 4
    EXPIRY_TOO_FAR_AHEAD = 5
    SIGNERS_DO_NOT_MATCH = 6
    SIGNER_UNKNOWN = 7
    SIGNATURES_DO_NOT_MATCH = 8
    SIGNATURE_NOT_VALID = 9
    ALREADY_EXECUTED = 10
    PAYER_NOT_ACTIVE = 11

    # Executed and refused: evidence with a leaf.
    KEY_HAS_ENDED = 30
    ACCOUNT_SUSPENDED = 31
    PAYER_SUSPENDED = 32
    QUOTA_EXHAUSTED = 33
    LANE_EXHAUSTED = 34
    ACCOUNT_EXISTS = 35
    ACCOUNT_NOT_FOUND = 36
    KEY_EXISTS = 37
    TOO_MANY_KEYS = 38
    KEY_NOT_ACCEPTED = 39
    KEY_IS_ENDING = 40
    OVERLAP_TOO_LONG = 41
    KEY_NOT_ENROLLED = 42

    # Receipts and proof files.
    FILE_NOT_UNDERSTOOD = 50
    OTHER_NETWORK = 51
    NETWORK_NOT_PINNED = 52
    MANIFEST_NOT_VALID = 53
    CHECKPOINT_NOT_VALID = 54
    EVENTS_DO_NOT_MATCH = 55
    NOT_IN_HISTORY = 56
    NOT_IN_STATE = 57
    LIST_NOT_COMPLETE = 58        # 59 was taken once, and stays free
