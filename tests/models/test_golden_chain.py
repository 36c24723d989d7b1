"""Old chains replay to the same roots, for ever."""

import json
from pathlib import Path

import pytest

from models import golden_chain
from xinglin.base import codec
from xinglin.base.crypto import SHA256
from xinglin.kernel.genesis import Manifest, network_id
from xinglin.modules import module_set

CHAINS = sorted(golden_chain.FILE.parent.glob("*.json"))


def test_there_is_a_golden_chain() -> None:
    assert golden_chain.FILE in CHAINS


@pytest.mark.parametrize("path", CHAINS, ids=lambda path: path.stem)
def test_an_old_chain_replays_to_the_same_roots(path: Path) -> None:
    chain = json.loads(path.read_text())
    manifest = codec.decode(bytes.fromhex(chain["manifest"]), Manifest)
    assert network_id(manifest).hex() == chain["network"]
    assert manifest.module_set == module_set().hash(SHA256)
    for now, then in zip(golden_chain.replay(chain, module_set()), chain["blocks"], strict=True):
        assert now == then


def test_a_golden_chain_holds_what_it_is_to_hold() -> None:
    """Every message that was executed well, and refusals of the kernel and of each module."""
    chain = json.loads(golden_chain.FILE.read_text())
    raws = [bytes.fromhex(raw) for block in chain["blocks"] for raw in block["transactions"]]
    codes = {code for block in chain["blocks"] for code in block["codes"]}
    assert len(raws) > 120 and max(len(raw) for raw in raws) > 3_309
    assert {code // 100 for code in codes} == {0, 1, 2, 3, 4, 5}
    assert all(any(spec.tag.encode() in raw for raw in raws) for spec in module_set().messages.values())
