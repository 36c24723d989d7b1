"""A domain module for tests alone: it calls the kernel's functions on accounts in ways that no real one does yet."""

from xinglin.base.crypto import SignatureSuite
from xinglin.base.ids import AccountId
from xinglin.kernel.accounts import Custody, end_keys, enrol_key
from xinglin.kernel.genesis import PublicKey
from xinglin.kernel.module import Code, Event, Message, Module
from xinglin.kernel.state import Context
from xinglin.modules import MODULES


class Refusal(Code):
    NEVER = 9999


class EnrolKey(Message, tag="probe.enrol_key/1"):
    signer: AccountId
    account: AccountId
    suite: SignatureSuite
    key: PublicKey


class EndKeys(Message, tag="probe.end_keys/1"):
    signer: AccountId
    account: AccountId


class Changed(Event, tag="probe.changed/1"):
    account: AccountId

    about = ("account",)


def enrol(ctx: Context, msg: EnrolKey) -> Event:
    enrol_key(ctx, msg.account, msg.suite, msg.key, Custody.OWN)
    return Changed(account=msg.account)


def end(ctx: Context, msg: EndKeys) -> Event:
    end_keys(ctx, msg.account)
    return Changed(account=msg.account)


MODULE = Module(
    name="probe",
    version=1,
    codes=Refusal,
    tables=(),
    rules={EnrolKey: enrol, EndKeys: end},
    signed_by={EnrolKey: "signer", EndKeys: "signer"},
    events=(Changed,),
)

WITH_PROBE = (*MODULES, MODULE)
