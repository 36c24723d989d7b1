import re
from typing import Any, get_args, get_origin

import msgspec
import pytest

from xinglin.cli import decoded
from xinglin.kernel.module import Event
from xinglin.modules import MODULES

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
