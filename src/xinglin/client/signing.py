"""Making transactions: messages in, signed bytes out. Nothing is sent here."""

import secrets
from collections.abc import Mapping, Sequence

from xinglin.base import codec
from xinglin.base.crypto import HashSuite, SigningKey, key_hash
from xinglin.base.ids import AccountId, NetworkId
from xinglin.kernel.module import Message, ModuleSet
from xinglin.kernel.tx import SIGN_DOMAIN, Body, Signer, Transaction, needed_signers, tx_id

EXPIRES_IN_MS = 60_000             # what the SDK signs for; wallets draw theirs at random


def sign(network: NetworkId, hashes: HashSuite, modules: ModuleSet, messages: Sequence[Message],
         keys: Mapping[AccountId, SigningKey], expires_at_ms: int,
         apart: Sequence[SigningKey] = ()) -> tuple[bytes, bytes]:
    """(transaction bytes, transaction id) of `messages`, signed by every account they need.

    `apart` are the keys that messages bring to accounts which have others, in the messages' order.
    Errors  KeyError when `keys` lacks one of them; ValueError when `apart` does.
    """
    specs = tuple(modules.messages[type(message)] for message in messages)
    accounts = needed_signers(tuple(messages), specs)
    own = len(accounts) - len(apart)
    signing = list(zip(accounts, [*[keys[account] for account in accounts[:own]], *apart], strict=True))
    signers = tuple(Signer(account=account, key=key_hash(hashes, key.suite, key.public)) for account, key in signing)
    body = codec.encode(Body(network=network, expires_at_ms=expires_at_ms, nonce=secrets.token_bytes(16),
                             signers=signers, messages=tuple(messages)))
    signatures = tuple(key.sign(SIGN_DOMAIN + body) for _, key in signing)
    return codec.encode(Transaction(body=body, signatures=signatures)), tx_id(hashes, body)
