"""Prints the app hash of every block of a fixed scenario of 500 transactions and more, and the module set's hash.

`test_determinism.py` runs it under other hash seeds, locales, time zones, flags and Pythons: all must print the same.
"""

import sys

from models.pair import Pair, play

SEED, BLOCKS, PER_BLOCK = 42, 75, 20


def main() -> None:
    pair = Pair()
    for number in play(pair, SEED, BLOCKS, PER_BLOCK):
        sys.stdout.write(f"{number} {pair.world.ledger.height} {pair.world.ledger.app_hash.hex()}\n")
    executed = sum(pair.codes.values())
    sys.stdout.write(f"{executed} executed, {pair.world.ledger.state_root.hex()}, "
                     f"modules {pair.world.manifest.module_set.hex()}\n")


if __name__ == "__main__":
    main()
