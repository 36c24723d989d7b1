"""A question about the ledger, and the future of its answer."""

from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, TypeVar

from xinglin.base.check import Failed
from xinglin.engine.ledger import Ledger

T = TypeVar("T")


class Asked(Generic[T]):
    """Answered once, or stopped; whoever asked may have given up meanwhile."""

    def __init__(self, question: Callable[[Ledger], T]):
        self.question = question
        self.answer: Future[T] = Future()

    def answer_from(self, ledger: Ledger) -> None:
        if self.answer.set_running_or_notify_cancel():
            with self:
                self.answer.set_result(self.question(ledger))

    def stop(self, error: Failed) -> None:
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> bool:
        """Whatever a question raises is for who asked it: reading has done the ledger no harm."""
        if error is not None:
            self.answer.set_exception(error)
        return True
