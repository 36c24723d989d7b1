"""Trust policies: who must have cosigned."""

import itertools

import pytest

from worlds import key_named
from xinglin.base.check import BaseCode, NotUnderstood
from xinglin.base.limits import POLICY_BYTES_MAX, POLICY_LINES_MAX
from xinglin.base.note import KeyUse, NoteKey
from xinglin.base.policy import Policy, read_policy


def vkey(name: str, use: KeyUse = KeyUse.WITNESS) -> str:
    return NoteKey(name, use, key_named(name).public).text()


def read(*lines: str) -> Policy:
    return read_policy("".join(f"{line}\n" for line in lines).encode())


WITNESSES = [f"witness {name} {vkey(name)}" for name in ("x1", "x2", "x3", "y1", "y2", "y3")]


def test_the_example_of_the_format_asks_for_two_of_one_group_and_one_of_the_other() -> None:
    policy = read(f"log {vkey('log', KeyUse.LOG)} https://log.example/", "", "# two levels", *WITNESSES,
                  "group x 2 x1 x2 x3", "\tgroup  y any\ty1 y2 y3 ", "group both all x y", "quorum both")
    assert [key.name for key in policy.logs] == ["log"] and len(policy.witnesses) == 6
    for count in range(7):
        for names in itertools.combinations(("x1", "x2", "x3", "y1", "y2", "y3"), count):
            enough = sum(name[0] == "x" for name in names) >= 2 and any(name[0] == "y" for name in names)
            assert policy.is_met_by([key_named(name).public for name in names]) is enough, names


def test_a_single_witness_or_none_may_be_the_quorum() -> None:
    one = read(WITNESSES[0], "quorum x1")
    assert one.is_met_by([key_named("x1").public]) and not one.is_met_by([key_named("x2").public])
    assert read("quorum none").is_met_by([])


def test_a_witness_counts_once_however_often_it_signed() -> None:
    policy = read(*WITNESSES[:2], "group g 2 x1 x2", "quorum g")
    assert not policy.is_met_by([key_named("x1").public] * 2)


@pytest.mark.parametrize("lines", [
    (), (WITNESSES[0],), ("quorum x1",), ("quorum x1", WITNESSES[0]), ("quorum none", "quorum none"),
    (WITNESSES[0], WITNESSES[0], "quorum x1"), (WITNESSES[0], f"witness other {vkey('x1')}", "quorum x1"),
    (WITNESSES[0], f"witness x1 {vkey('x2')}", "quorum x1"), (f"witness none {vkey('x1')}", "quorum none"),
    (f"witness w {vkey('w', KeyUse.LOG)}", "quorum w"), (f"log {vkey('w')}", "quorum none"),
    (f"log {vkey('l', KeyUse.LOG)}", f"log {vkey('l', KeyUse.LOG)}", "quorum none"),
    (*WITNESSES[:2], "group g 3 x1 x2", "quorum g"), (*WITNESSES[:2], "group g 0 x1 x2", "quorum g"),
    (*WITNESSES[:2], "group g 1.0 x1 x2", "quorum g"), (*WITNESSES[:2], "group g all", "quorum g"),
    (*WITNESSES[:2], "group g 2 x1 x1", "quorum g"), (*WITNESSES[:2], "group g any x1 x9", "quorum g"),
    (*WITNESSES[:2], "group g any x1", "group h any x1", "quorum h"), (WITNESSES[0], "group g any g", "quorum g"),
    (WITNESSES[0], "group none any x1", "quorum none"), (WITNESSES[0], "group x1 any x1", "quorum x1"),
    ("witness x1 " + vkey("x1")[:-2], "quorum none"), ("grant everything", "quorum none"), ("quorum none x",),
    ("quorum none\r",), ("quorum \x00none",), ("witness x y z w v", "quorum none")])
def test_a_policy_that_could_mean_something_else_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read(*lines)
    assert caught.value.code is BaseCode.POLICY_NOT_UNDERSTOOD


@pytest.mark.parametrize("data", [b"quorum none", b"#" * POLICY_BYTES_MAX + b"\nquorum none\n",
                                  b"\n" * POLICY_LINES_MAX + b"quorum none\n"])
def test_a_policy_without_an_end_or_over_its_limits_is_refused(data: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_policy(data)
