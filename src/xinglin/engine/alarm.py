"""The alarm: a file beside the store that says how it lied. While it lies there nobody starts, nor makes a backup."""

from pathlib import Path
from typing import Any

from xinglin.base.check import Failed
from xinglin.engine import durable
from xinglin.engine.codes import EngineCode

ALARM_NAME = "alarm"


def write_alarm(folder: Path, error: Failed) -> None:
    """Errors  Failed DISK_FULL, STORE_NOT_USABLE."""
    durable.write(folder / ALARM_NAME, f"{error.code.shown} {error.code.name}: {error.detail}\n".encode())


def require_no_alarm(folder: Path) -> None:
    """Errors  Failed ALARM_STANDS, with what it says."""
    try:
        said: Any = (folder / ALARM_NAME).read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise durable.disk_failed(error, ALARM_NAME) from error
    raise Failed(EngineCode.ALARM_STANDS, said)
