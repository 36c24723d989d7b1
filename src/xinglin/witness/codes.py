"""The witness's numbers, 8900 to 8999. Permanent."""

from xinglin.base.check import Code


class WitnessCode(Code):
    REQUEST_NOT_UNDERSTOOD = 8900
    WITNESS_KEY_NOT_USABLE = 8901
    LOGS_NOT_UNDERSTOOD = 8902
    WITNESS_IN_USE = 8903
    WITNESS_NOT_WRITTEN = 8904
    ADDRESS_NOT_USABLE = 8905
    WITNESS_STATE_DAMAGED = 8906
