"""Vault: seals, wraps and stores what no block may carry, and holds the keys that open it.

seal      one key, one context, one plaintext -> bytes that open under that key and context alone
wrap      a short secret for one recipient (HPKE, post-quantum hybrid)
blobs     ciphertext by random name, in a folder or an S3-compatible store
keystore  one key per subject in fixed slots, mirrored; destroying one is erasure
cabinet   small sealed rows in one SQLite file

Bodies are opaque bytes here: the vault never knows why someone reads. It imports base and disk only.
"""

from xinglin.base.check import Code


class VaultCode(Code):
    """The vault's hundred, 8100 to 8199."""

    SEAL_NOT_VALID = 8100
    KEY_LENGTH_NOT_VALID = 8101

    RECIPIENT_KEY_NOT_VALID = 8110
    WRAP_NOT_VALID = 8111

    STORE_NOT_UNDERSTOOD = 8120
    BLOB_NAME_NOT_VALID = 8121
    BLOB_TOO_LARGE = 8122
    BLOB_NOT_FOUND = 8123
    BLOB_RANGE_NOT_THERE = 8124
    STORE_FAILED = 8125

    SUBJECT_ID_NOT_VALID = 8130
    KEY_NOT_FOUND = 8131
    KEY_DESTROYED = 8132
    KEY_ALREADY_EXISTS = 8133
    KEY_DAMAGED = 8134
    KEK_NOT_VALID = 8135
    KEK_READABLE_BY_OTHERS = 8136
    KEYSTORE_IN_USE = 8137
    KEYSTORE_NOT_UNDERSTOOD = 8138
    KEYSTORES_DIFFER = 8139
    MIRROR_FAILED = 8140
    TAG_NOT_VALID = 8141
    TAG_TAKEN = 8142
    KEK_LOST = 8143

    CABINET_NOT_UNDERSTOOD = 8150
    CABINET_DAMAGED = 8151
    CABINET_IN_USE = 8152
    CABINET_FAILED = 8153
    CELL_NAME_NOT_VALID = 8154
    CELL_TOO_LARGE = 8155


__all__ = ["VaultCode"]
