"""transitions.txt holds for every state, message and sender; a refused one has changed nothing (see `cell`)."""

import re

import pytest

from tables import transitions

AGREED = (transitions.HERE / "transitions.txt").read_text("utf-8").split("\n\n")


@pytest.mark.parametrize("machine", transitions.MACHINES, ids=lambda machine: machine.title)
def test_every_cell_of_the_transition_table_holds(machine: transitions.Machine) -> None:
    agreed = next(part for part in AGREED if part.startswith(f"== {machine.title}\n"))
    assert transitions.as_text([machine]).strip() == agreed.strip()


def test_every_message_of_every_module_stands_in_a_transition_table() -> None:
    said = {name.split()[0] for machine in transitions.MACHINES for name in machine.messages}
    made = transitions.world()
    assert said == {spec.tag.partition("/")[0] for spec in made.modules.messages.values()}


def test_1_398_of_1_452_cells_are_refusals() -> None:
    """Counted by hand once more, so that a table that was written anew is looked at too."""
    cells = [cell for part in AGREED for cell in cells_of(part.strip().splitlines()[1:])]
    assert len(cells) == 1_452
    assert len([cell for cell in cells if not cell.strip("()").isdigit()]) == 54


def cells_of(lines: list[str]) -> list[str]:
    starts = [found.start() for found in re.finditer(r"\S+", lines[0])]
    return [line[start:end].strip() for line in lines[1:]
            for start, end in zip(starts, [*starts[1:], None], strict=True)]
