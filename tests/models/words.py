"""Messages, events and rows as plain values, which the naive model speaks."""

from typing import Any

from models.naive import Said
from xinglin.base import codec
from xinglin.kernel.module import Event, Message


def spoken(value: Message | Event) -> Said:
    """Its tag, and its fields as plain values."""
    return codec.tag_of(type(value)), {name: plain(getattr(value, name)) for name in value.__struct_fields__}


def plain(value: Any) -> Any:
    """Without enums, structs and tuples."""
    if isinstance(value, bool | bytes | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return [plain(getattr(value, name)) for name in value.__struct_fields__]
