"""SIGKILL at any moment: each acknowledged transaction is there, once, and the ledger is one that could have been."""

import random
import time
from pathlib import Path

import pytest

import killed
from homes import Home, Replay
from worlds import World
from xinglin.kernel.codes import KernelCode
from xinglin.kernel.tx import NotIncludable


def kills(folder: Path, seed: int, times: int) -> int:
    """Kill a node `times` times, look at what it left, go on in the same home. Returns how many were acknowledged."""
    chance = random.Random(seed)
    replay = Replay(World())
    told: list[killed.Ack] = []
    Home(folder).furnished().node.close()
    for at in range(times):
        process, read = killed.start(folder, seed + at)
        if chance.randrange(3):           # well under way, however fast this machine is; else while it opens
            told += killed.acknowledged(read, most=chance.randrange(1, 5))
        time.sleep(chance.random() / 10)
        killed.kill(process)
        told += killed.acknowledged(read)
        read.close()
        look(folder, replay, told)
    return len(told)


def look(folder: Path, replay: Replay, told: list[killed.Ack]) -> None:
    home = Home(folder)
    try:
        home.node.ask(replay.follow)
        for ack in told:
            assert replay.at.get(ack.tx_id) == (ack.height, ack.index), "an acknowledged transaction was lost or moved"
            assert replay.leaves[ack.height, ack.index] == ack.leaf
        again = home.node.ask(lambda ledger: ledger.transactions(ledger.height))[0]
        with pytest.raises(NotIncludable) as refused:
            home.node.order(again)
        assert refused.value.code in (KernelCode.ALREADY_EXECUTED, KernelCode.TX_EXPIRED)
    finally:
        home.node.close()


def test_a_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    told = kills(tmp_path / "home", seed=7, times=100)
    print(f"{told} acknowledged over 100 kills")
    assert told > 1_000


@pytest.mark.release
@pytest.mark.parametrize("chunk", range(100))
def test_ten_thousand_kills_lose_and_double_nothing(tmp_path: Path, chunk: int) -> None:
    assert kills(tmp_path / "home", seed=1_000 * (chunk + 1), times=100) > 1_000
