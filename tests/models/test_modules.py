"""The ledger against the naive model: outcomes, events, rows, queries (safety.md, DIFF)."""

import functools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from models.pair import STEPS_MS, Pair, furnish, play

SEEDS, BLOCKS, PER_BLOCK = 10, 100, 20       # 20,000 transactions


class Machine(RuleBasedStateMachine):
    """Hypothesis chooses, and makes what fails small."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    @initialize()
    def people(self) -> None:
        furnish(self.pair)

    @rule(data=st.data(), after_ms=st.sampled_from(STEPS_MS))
    def transaction(self, data: st.DataObject, after_ms: int) -> None:
        self.pair.block([self.pair.transaction(lambda options: data.draw(st.sampled_from(list(options))))], after_ms)

    @rule(data=st.data())
    def several_in_one_block(self, data: st.DataObject) -> None:
        self.pair.block([self.pair.transaction(lambda options: data.draw(st.sampled_from(list(options))))
                         for _ in range(3)], 1_000)

    @rule(after_ms=st.sampled_from(STEPS_MS))
    def nothing(self, after_ms: int) -> None:
        self.pair.block([], after_ms)

    @invariant()
    def both_agree(self) -> None:
        self.pair.compare()


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True)
TestTheLedgerAgreesWithTheNaiveModel = Machine.TestCase


@functools.cache
def run(seed: int, blocks: int = BLOCKS) -> Pair:
    pair = Pair()
    for number in play(pair, seed, blocks, PER_BLOCK):
        if number % 10 == 9:
            pair.compare()
    return pair


@pytest.mark.parametrize("seed", range(SEEDS))
def test_two_thousand_transactions_of_a_seed_agree_with_the_naive_model(seed: int) -> None:
    pair = run(seed)
    assert sum(pair.codes.values()) > 1_000 and pair.codes[0] > 150


def test_the_workload_meets_most_refusals() -> None:
    """Else agreement says little. What is left out needs a table: limits, odd keys, a full lane."""
    met = {code for seed in range(SEEDS) for code in run(seed).codes}
    assert met >= {30, 31, 32, 35, 100, 101, 103, 104, 105, 106, 107, 108, 109, 111, 200, 201, 202, 203, 204,
                   205, 207, 300, 301, 302, 303, 400, 401, 402, 500, 501, 502, 503, 504, 505, 506, 507}


def test_the_same_blocks_lead_to_the_same_roots() -> None:
    one, two = run(1, 30), run.__wrapped__(1, 30)
    assert one.world.ledger.app_hash == two.world.ledger.app_hash
    assert one.world.ledger.rows == two.world.ledger.rows
