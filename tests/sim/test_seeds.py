"""Whole networks from seeds (safety.md, SIM): what each rule and promise says holds after every step."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from cli.command import Shell
from rows import Span
from xinglin.holder import release
from xinglin.sim import run as simulation
from xinglin.sim.run import STEPS, run

RELEASE_STEPS = 5_000
COUNTED = ("steps", "blocks", "transactions", "accepted", "pages", "permits", "denials", "breaches", "crashes",
           "restarts")


@pytest.mark.row("SIM")
def test_seeds_hold(
        span: Span, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Before a release, for longer."""
    steps = RELEASE_STEPS if request.config.getoption("--release") else STEPS
    met = [run(seed, steps) for seed in span]
    for figures in met:
        assert figures.steps == steps and figures.rounds <= simulation.ROUNDS_MAX
    for name in COUNTED:
        record_property(name, sum(getattr(figures, name) for figures in met))


def test_a_seed_is_the_same_run_again_to_the_last_byte() -> None:
    """Or a failure could not be repeated. Its beginning is that of a longer run too."""
    assert run(7, 150) == run(7, 150)
    assert run(7, 150).app_hash != run(8, 150).app_hash


def test_the_workload_meets_what_it_is_to_meet() -> None:
    """Else a seed that holds says little."""
    met = [run(seed) for seed in range(6)]

    def of_each(name: str) -> int:
        return sum(getattr(figures, name) for figures in met) // len(met)
    assert of_each("pages") > 15 and of_each("permits") > 8 and of_each("denials") > 15 and of_each("breaches") > 15
    assert of_each("crashes") >= 1 and of_each("transactions") > 350
    assert of_each("transactions") - of_each("accepted") > 30


def test_the_command_says_the_figures_or_what_was_broken_and_how_to_see_it_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path)
    done = shell.run("sim", "--seed", 5, "--steps", 60, "--json")
    assert done.code == 0 and done.json == asdict(run(5, 60))
    monkeypatch.setattr(release, "_check_live", lambda holder, subject, permit: None)
    broken = shell.run("sim", "--seed", 5)
    assert broken.code == 5 and "XL-8800 PROMISE_BROKEN" in broken.err
    again = broken.err.partition("xinglin sim --seed 5 --steps ")[2].split(")")[0]
    assert shell.run("sim", "--seed", 5, "--steps", again).err == broken.err
    assert shell.run("sim", "--seed", 5, "--steps", int(again) - 1).code == 0
