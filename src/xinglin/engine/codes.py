"""What can be wrong in the engine's room: 8000 to 8099."""

from xinglin.base.check import Code


class EngineCode(Code):
    # -- the store and the state tree, to 8019
    STORE_IN_USE = 8000
    STORE_CORRUPT = 8001
    DISK_FULL = 8002
    STORE_NOT_USABLE = 8003

    # -- ledger and engine, from 8020
    HOME_NOT_EMPTY = 8020
    NO_LEDGER_HERE = 8021
    MODULES_DIFFER = 8022
    CLOCK_BEHIND_TIP = 8023
    TIP_BEHIND_ACKNOWLEDGED = 8024
    QUEUE_FULL = 8025
    ENGINE_STOPPED = 8026
    HELPER_ENDED = 8027
    TIME_ONLY_GROWS = 8028
    CLOCK_FILE_NOT_UNDERSTOOD = 8029
    LANE_USED_UP = 8030
    SECOND_USED_UP = 8031
    SUBJECT_SHARE_USED_UP = 8032
    PATIENTS_SHARE_USED_UP = 8033
    TIME_ENDS = 8034

    # -- publishing, from 8062
    NOTHING_TO_PUBLISH = 8062
    NEEDS_SHA256 = 8063

    # -- keeping: scrubbing and pruning, from 8064
    SCRUB_ALARM = 8064
    PRUNE_TOO_RECENT = 8065
    ALARM_STANDS = 8066
