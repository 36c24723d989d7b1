"""The scrubber in a running node: a thread that asks the engine for a step now and then."""

import threading

from xinglin.base.check import Failed, NotVerified
from xinglin.engine.codes import EngineCode
from xinglin.engine.embedded import Embedded
from xinglin.engine.scrub import Scrubber


class Scrubbing:
    """Until closed. Whatever goes wrong raises the alarm, which stops the engine: nothing would be scrubbed unseen."""

    def __init__(self, engine: Embedded, every_ms: int):
        self._engine = engine
        self._every_s = every_ms / 1000
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrubber", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            scrubber = self._engine.ask(lambda ledger: Scrubber(ledger)).result()
            while not self._closing.wait(self._every_s):
                self._engine.ask(lambda _: scrubber.step()).result()
        except Failed as error:
            if error.code is not EngineCode.ENGINE_STOPPED:     # closed, or stopped for a reason of its own
                self._engine.raise_alarm(error)
        except BaseException as error:    # a bug, or a lie that nobody thought of: with its traceback
            self._engine.raise_alarm(NotVerified(EngineCode.SCRUB_ALARM, f"{type(error).__name__}: {error}"))
            raise

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
