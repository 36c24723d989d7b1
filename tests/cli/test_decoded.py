import re
from typing import Any, get_args, get_origin

import msgspec
import pytest

from xinglin.cli import decoded
from xinglin.kernel.module import Event
from xinglin.modules import MODULES, access, consent

HAN = re.compile(r"[\u4e00-\u9fff]")
EVENTS = [event for module in MODULES for event in module.events]


def made(event: type[Event]) -> Event:
    """Some event of its class, of zeros."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(event):
        kind: Any = get_args(field.type)[0] if get_origin(field.type) else field.type
        while hasattr(kind, "__metadata__"):
            kind = kind.__origin__
        values[field.name] = bytes(32) if kind is bytes else kind(0)
    return event(**values)


def test_every_event_of_every_module_has_a_sentence_and_no_other() -> None:
    assert set(decoded.SENTENCES) == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_a_sentence_is_filled_in_both_languages(event: type[Event]) -> None:
    zh, en = (decoded.sentence(made(event), lang, lambda _: "X") for lang in ("zh", "en"))
    assert HAN.search(zh) and not HAN.search(en)
    assert "{" not in zh + en and "None" not in zh + en
    assert set(decoded.fields(made(event))) == set(event.__struct_fields__)


def test_a_request_says_why_the_ledger_denied_it_and_nothing_while_it_is_open() -> None:
    asked = made(access.Requested)
    assert not re.search(r"XL-|denied", decoded.sentence(asked, "en", lambda _: "X"))
    denied = msgspec.structs.replace(asked, denied=consent.Refusal.GRANT_EXPIRED.value)
    assert decoded.sentence(denied, "en", lambda _: "X").endswith("denied, XL-0205 The consent has expired")
    assert decoded.sentence(denied, "zh", lambda _: "X").endswith("已拒绝，XL-0205 授权已过期")
