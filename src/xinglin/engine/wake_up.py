"""What ends the sleep of a thread in `select`."""

import os
import threading


class WakeUp:
    """A pipe that ends a `select`, from any thread, also after it was closed."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._lock = threading.Lock()     # or a number closed and used again could be written to
        self._open = True

    def fileno(self) -> int:
        return self._read

    def send(self) -> None:
        with self._lock:
            if self._open:
                try:
                    os.write(self._write, b"w")
                except BlockingIOError:
                    pass                  # the pipe is full of wake-ups already

    def receive(self) -> None:
        os.read(self._read, 4096)

    def close(self) -> None:
        with self._lock:
            self._open = False
            os.close(self._read)
            os.close(self._write)
