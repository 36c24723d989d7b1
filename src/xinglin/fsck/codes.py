"""What a check of a ledger can find: 8530 to 8559. Each is one kind of lie; the detail says where."""

from xinglin.base.check import Code, NotVerified


class FsckCode(Code):
    STORE_UNREADABLE = 8530
    ROW_NOT_UNDERSTOOD = 8531
    TIP_LIES = 8532
    BLOCKS_LIE = 8533
    EVENTS_LIE = 8534
    HISTORY_LIES = 8535
    CHECKPOINT_LIES = 8536
    TRANSACTION_LIES = 8537
    SIGNATURE_LIES = 8538
    REPLAY_IDS_LIE = 8539
    INDEX_LIES = 8540
    TREE_LIES = 8541
    STATE_LIES = 8542
    INVARIANT_LIES = 8543
    ACCESS_LOG_LIES = 8544
    REPLAY_DIFFERS = 8545
    REPLAY_NOT_POSSIBLE = 8546
    SUCCESSORS_LIE = 8555
    SIGNER_NOT_KNOWN = 8556


class Lie(NotVerified):
    """The first thing in a store that is not so."""
