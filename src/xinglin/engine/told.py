"""How far a long piece of work is, for whoever watches: its steps call `told` as they go."""

from collections.abc import Callable

Told = Callable[[str, int, int], None]      # what is under way, done, of how many


def untold(_: str, __: int, ___: int) -> None:
    """For whoever does not want to hear it."""
