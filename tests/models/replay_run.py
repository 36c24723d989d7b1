"""`python -m models.replay_run CHAIN [FOLDER]` executes a chain's blocks and prints the app hash after each.

In memory, or on disk in a new folder. `test_determinism.py` runs it under every configuration there is.
"""

import json
import sys
from pathlib import Path
from typing import Any

from memory_ledger import MemoryLedger
from xinglin.base import codec
from xinglin.engine.ledger import Ledger
from xinglin.kernel.genesis import Manifest, hash_suite, network_id
from xinglin.kernel.tx import Reader
from xinglin.modules import module_set


def main(file: str, folder: str | None = None) -> None:
    chain: dict[str, Any] = json.loads(Path(file).read_text())
    manifest = codec.decode(bytes.fromhex(chain["manifest"]), Manifest)
    modules = module_set()
    reader = Reader(network_id(manifest), hash_suite(manifest), modules)
    disk = Ledger.create(Path(folder), manifest, modules) if folder else None
    memory = MemoryLedger(manifest, modules)
    for block in chain["blocks"]:
        txs = [reader.read(bytes.fromhex(raw)) for raw in block["transactions"]]
        if disk:
            disk.write(disk.executor.apply(disk, disk.height + 1, block["time_ms"], txs), b"")
            sys.stdout.write(disk.app_hash.hex() + "\n")
        else:
            memory.apply(block["time_ms"], txs)
            sys.stdout.write(memory.app_hash.hex() + "\n")
    if disk:
        disk.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
