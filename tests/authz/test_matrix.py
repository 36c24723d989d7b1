"""AUTHZ: every cell of everybody x message x state agrees with rules that were written apart; the page says so."""

import functools
from collections import Counter

import pytest

from authz import matrix
from authz.matrix import ACTORS, MESSAGES, STATES, Cell
from authz.oracle import Answer, answer
from authz.test_doors import doors_page
from worlds import World
from xinglin.modules import module_set
from xinglin.modules.members import Role


@functools.cache
def tried() -> tuple[Cell, ...]:
    return tuple(matrix.cells())


def expected(cell: Cell) -> Answer:
    """A forged one is no transaction, unless it is no forgery: the rightful one, by a live key."""
    if cell.forged and cell.actor.account != cell.said.rightful:
        return "never"
    return answer(cell.actor.person, cell.said.tag, cell.state.facts)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.en)
def test_every_cell_is_as_the_rules_that_were_written_apart_have_it(state: matrix.State) -> None:
    wrong = [(cell.actor.en, cell.said.tag, "forged" if cell.forged else "own", cell.found, expected(cell))
             for cell in tried() if cell.state is state and cell.found != expected(cell)]
    assert wrong == []


def test_every_cell_was_tried() -> None:
    assert len(tried()) == len(ACTORS) * len(MESSAGES) * len(STATES) * 2
    assert len({(cell.state.en, cell.said.tag, cell.actor.en, cell.forged) for cell in tried()}) == len(tried())


def test_every_message_of_every_module_is_in_the_matrix() -> None:
    assert {said.tag.split()[0] for said in MESSAGES} == {
        spec.tag.partition("/")[0] for spec in module_set().messages.values()}


def test_every_role_and_every_kind_of_account_is_in_the_matrix() -> None:
    staff = {f"B.{role.name.lower()}" for role in Role if role is not Role.SERVICE}
    assert {actor.account for actor in ACTORS} >= staff
    assert {actor.person.kind for actor in ACTORS} == {"member", "staff", "service", "subject", "nobody"}


def test_each_message_takes_effect_for_somebody_and_not_for_everybody() -> None:
    """Else a cell says nothing: what can never be done is refused by whatever rule."""
    for said in MESSAGES:
        found = Counter(cell.found for cell in tried() if cell.said is said and not cell.forged)
        assert found["done"] > 0 and found["never"] > 0 and found["refused"] > 0, said.tag


def test_the_page_is_what_the_kernel_does() -> None:
    made = matrix.page(list(tried())) + "\n" + doors_page()
    assert matrix.PAGE.read_text("utf-8") == made, "python -m authz.matrix writes it"


@pytest.mark.parametrize(("rule", "tag"), [
    ("Register", "subjects.register"), ("Answer", "access.answer deny"), ("Request", "access.request")])
def test_a_rule_that_asks_too_little_is_found(monkeypatch: pytest.MonkeyPatch, rule: str, tag: str) -> None:
    """A planted hole: whoever signs passes for a service, or for staff, of A."""
    from xinglin.modules import members

    monkeypatch.setattr(members, "service_of", lambda ctx, account: matrix.named("A"))
    monkeypatch.setattr(members, "staff_of", lambda ctx, account: members.StaffRow(
        member=matrix.named("B"), role=Role.PHYSICIAN, active=True, card=bytes(32)))
    state = next(state for state in STATES if state.en == "a request is open")
    world: World = matrix.reached(state)
    said = next(said for said in MESSAGES if said.tag == tag)
    found = [Cell(state, said, actor, False, matrix.tried(world, said, actor, False)) for actor in ACTORS]
    assert [cell for cell in found if cell.found != expected(cell)] != []
