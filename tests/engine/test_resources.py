"""What a node takes and gives back: threads, processes, descriptors, memory."""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import killed
from homes import Home, home

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[int]:
    """Processes that this one started and has not taken leave of."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def resident_kib() -> int:
    """Memory of this process's own, without pages of files."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


def busy(one: Home, count: int) -> None:
    for first in range(0, count, 1_000):    # a member may have some two thousand waiting
        raws = [one.raw(one.world.request("B.doctor", "mei")) for _ in range(min(count - first, 1_000))]
        for future in [one.node.submit(raw) for raw in raws]:
            future.result()


def test_opening_and_closing_fifty_times_leaves_nothing_behind(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        one.furnished()
        one.reopen()
        one.node.close()
        gc.collect()
        before = threading.active_count(), descriptors(), children()
        for turn in range(50):
            one.node = one._open()
            busy(one, 6 if turn % 2 else 0)     # with and without a helper process
            one.node.close()
        assert (threading.active_count(), descriptors(), children()) == before


def test_refused_starts_leave_nothing_behind(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        one.furnished()
        one.node.close()
        (one.folder / "acknowledged").write_bytes((99).to_bytes(8, "big"))
        before = threading.active_count(), descriptors(), children()
        for _ in range(20):
            with pytest.raises(Exception, match="TIP_BEHIND_ACKNOWLEDGED"):
                one._open()
        gc.collect()
        assert (threading.active_count(), descriptors(), children()) == before


def test_closing_in_the_middle_of_work_leaves_nothing_behind(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        one.furnished().node.close()
        before = threading.active_count(), descriptors(), children()
        for _ in range(5):
            one.node = one._open()
            raws = [one.raw(one.world.request("B.doctor", "mei")) for _ in range(200)]
            futures = [one.node.submit(raw) for raw in raws]
            one.node.close()
            assert all(future.done() for future in futures)
        assert (threading.active_count(), descriptors(), children()) == before


def helpers_of(pid: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "pid=,ppid=,args=", "-e"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in found.splitlines()
            if "xinglin.engine.signatures" in line and line.split()[1] == str(pid)]


def test_a_killed_node_leaves_no_helper_behind(tmp_path: Path) -> None:
    Home(tmp_path / "home").furnished().node.close()
    process, read = killed.start(tmp_path / "home", seed=2)
    assert process.pid is not None
    helpers: list[str] = []
    for _ in range(200):
        helpers = helpers_of(process.pid)
        if helpers:
            break
        time.sleep(0.05)
    assert len(helpers) == 1
    killed.kill(process)
    read.close()
    for _ in range(200):
        if not Path(f"/proc/{helpers[0]}").exists():
            return
        time.sleep(0.05)
    pytest.fail("the helper outlived its node")


def test_an_interrupt_at_the_terminal_reaches_the_node_and_not_its_helper(tmp_path: Path) -> None:
    with home(tmp_path / "home") as one:
        busy(one.furnished(), 60)
        helper = one.node.engine._helper
        assert helper is not None
        assert os.getsid(helper.pid) != os.getsid(0)


def test_a_process_that_ends_without_closing_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    program = ("import sys; from pathlib import Path; from homes import Home\n"
               "one = Home(Path(sys.argv[1])).furnished()\n"
               "print(one.done(one.world.register('A.service', 's')).height)\n")
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "home"], capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True, timeout=60)
    with home(tmp_path / "home") as one:
        assert one.node.engine.synced_height == int(ended.stdout)


def memory_after(tmp_path: Path, transactions: int) -> tuple[int, int]:
    """KiB after a fifth of so many transactions, and after all of them."""
    with home(tmp_path / "home", units_per_second=2**32 - 1) as one:
        one.furnished()
        first = 0
        for turn in range(10):
            busy(one, transactions // 10)
            one.node.advance(120_000)       # so that ids of executed transactions go, as they do in time
            if turn == 1:
                gc.collect()
                first = resident_kib()
        gc.collect()
        return first, resident_kib()


def test_twenty_thousand_transactions_take_no_memory_that_stays(tmp_path: Path) -> None:
    first, last = memory_after(tmp_path, 20_000)
    print(f"resident: {first / 1024:.0f} MiB after 4,000 transactions, {last / 1024:.0f} MiB after 20,000")
    # The store's own write buffer may fill meanwhile; what grows with history would be some 20 MiB on top.
    assert last - first < 48 * 1024


@pytest.mark.release
def test_two_hundred_thousand_transactions_take_no_memory_that_stays(tmp_path: Path) -> None:
    first, last = memory_after(tmp_path, 200_000)
    print(f"resident: {first / 1024:.0f} MiB after 40,000 transactions, {last / 1024:.0f} MiB after 200,000")
    assert last - first < 64 * 1024
