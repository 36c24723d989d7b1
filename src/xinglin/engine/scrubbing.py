"""The scrubber in a running node: a thread that asks the engine for a step now and then."""

import threading

from xinglin.base.check import Failed, NotVerified
from xinglin.engine.embedded import Embedded
from xinglin.engine.scrub import Scrubber


class Scrubbing:
    """Until closed. An alarm stops the engine."""

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
        except NotVerified as alarm:
            self._engine.raise_alarm(alarm)
        except Failed:                     # it was closed, or has stopped for a reason of its own
            return

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
