"""Reads that holder and node rely on, where no message could show what they say."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from worlds import World, named
from xinglin.base.check import Refused
from xinglin.kernel.state import Reading
from xinglin.modules import consent, members, subjects

MODULES = Path(members.__file__).parent


@pytest.mark.parametrize(("read", "code"), [
    (lambda ctx: members.service_of(ctx, named("A.service")), members.Refusal.SERVICE_NOT_ACTIVE),
    (lambda ctx: members.staff_of(ctx, named("A.doctor")), members.Refusal.STAFF_NOT_ACTIVE),
    (lambda ctx: members.service_of(ctx, named("B.doctor")), members.Refusal.SERVICE_NOT_ACTIVE),
    (lambda ctx: members.staff_of(ctx, named("C.doctor")), members.Refusal.MEMBER_NOT_ACTIVE),
    (lambda ctx: members.require_active(ctx, named("nobody")), members.Refusal.MEMBER_NOT_ACTIVE),
    (lambda ctx: subjects.find(ctx, named("B.doctor")), subjects.Refusal.SUBJECT_NOT_FOUND),
    (lambda ctx: subjects.require_subject(ctx, named("B.doctor")), subjects.Refusal.SUBJECT_NOT_FOUND),
])
def test_who_has_ended_or_never_was_is_nobody(read: Callable[[Reading], object], code: int) -> None:
    world = World().furnished()
    world.done(world.end_staff("A", "A.service"))
    world.done(world.end_staff("A", "A.doctor"))
    for one in ("A", "B", "C"):
        world.done(world.propose(one, "C", members.Motion.SUSPEND) if one == "A"
                   else world.vote(one, "C", members.Motion.SUSPEND))
    with pytest.raises(Refused) as caught:
        read(world.reading())
    assert caught.value.code == code


def test_who_is_there_is_found() -> None:
    world = World().furnished()
    ctx = world.reading()
    assert members.service_of(ctx, named("A.service")) == named("A")
    assert members.staff_of(ctx, named("B.doctor")).role is members.Role.PHYSICIAN
    assert subjects.find(ctx, named("mei")).holder == named("A")
    assert consent.any_live(ctx, named("mei"), named("B")) == ()


def test_no_module_takes_the_kernels_handle() -> None:
    """`ctx.kernel(...)` writes any table; it is for the kernel's own functions."""
    for path in MODULES.glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)]
        assert not [node.lineno for node in calls if node.attr == "kernel"], path.name
