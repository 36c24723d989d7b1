"""What nobody here wrote reads what a node exports: Tessera's client, Go's checksum database, go-cose.

The libraries are pinned by go.mod and go.sum in crosscheck/go/others; without Go, or without them, this is skipped.
"""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from crosscheck.languages import CROSSCHECK, SECONDS_MAX, tool
from homes import home
from xinglin.base.crypto import SHA256
from xinglin.base.policy import Policy
from xinglin.kernel.receipt import origin
from xinglin.witness.kept import Witness
from xinglin.witness.protocol import write_request

OTHERS = CROSSCHECK / "go" / "others"
BLOCKS = (1, 60, 60, 130, 200)      # registrations in each; with closing leaves, over one full tile


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles, written twice while the log grew, and what stands beside them."""
    folder = tmp_path_factory.mktemp("others")
    tiles = folder / "tiles"
    with home(folder / "home") as made:
        node = made.node
        made.furnished()
        old, _ = node.publish(Policy())
        _write(tiles, dict(node.tiles()))
        for number, count in enumerate(BLOCKS):
            for at in range(count):
                made.done(made.world.register("A.service", f"{number} {at}"))
        node.advance(1_000)
        node.publish(Policy())
        _write(tiles, dict(node.tiles(old.checkpoint.size)))
        made.done(made.world.register("A.service", "later than the checkpoint"))
        leaves = node.ask(lambda ledger: [leaf for height in range(1, ledger.height + 1) for leaf in (
            *ledger.block(height).leaves, ledger.block(height).closing)])
        witness = Witness.open(folder / "witness", lambda: node.now_ms() // 1_000, "west.example/w")
        witness.follow(node.checkpoint_key, origin(node.chain), SHA256)
        cosigned = old.note + witness.answer(write_request(0, [], old.note)).body
        witness.close()
        first = node.ask(lambda ledger: ledger.block(1).checkpoint)
        (folder / "receipt.cose").write_bytes(node.cose_receipt_at(1, 0))
        beside = {"origin": origin(node.chain).encode(), "vkey": node.checkpoint_key.text().encode(), "old": old.note,
                  "cosigned": cosigned, "witness": witness.verifier_key.text().encode(), "block": first,
                  "leaves": b"".join(base64.b64encode(leaf) + b"\n" for leaf in leaves)}
    _write(tiles, beside)
    return folder


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def go(*words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([tool("go"), *words], cwd=OTHERS, env=os.environ | {"GOTOOLCHAIN": "local"} | env,
                          capture_output=True, text=True, timeout=SECONDS_MAX, check=False)


@pytest.fixture(scope="module")
def libraries() -> None:
    done = go("mod", "download")
    if done.returncode:
        pytest.skip(f"the libraries of crosscheck/go/others are not to be had here: {done.stderr.strip()[-300:]}")


def test_verifiers_that_nobody_here_wrote_take_our_tiles_and_receipts(libraries: None, export: Path) -> None:
    done = go("test", "-count=1", "-v", "-mod=readonly", ".", XINGLIN_TILES=str(export / "tiles"),
              XINGLIN_COSE=str(export / "receipt.cose"))
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    for name in ("TestTesseraProvesEveryLeafFromTheTiles", "TestTesseraProvesThatTheLogHasOnlyGrown",
                 "TestGosChecksumDatabaseReadsTheTiles", "TestAChangedTileIsRefused",
                 "TestACosignatureOfOursIsOneOfTheirs", "TestGoCoseVerifiesTheReceiptOverTheRecomputedRoot"):
        assert f"--- PASS: {name}" in done.stdout
    assert "SKIP" not in done.stdout


def test_they_refuse_a_tile_that_was_changed(libraries: None, export: Path) -> None:
    tile = export / "tiles" / "tile" / "0" / "000"
    good = tile.read_bytes()
    tile.write_bytes(good[:100] + bytes((good[100] ^ 1,)) + good[101:])
    try:
        done = go("test", "-count=1", "-v", "-mod=readonly", "-run", "TestTesseraProvesEveryLeaf", ".",
                  XINGLIN_TILES=str(export / "tiles"))
    finally:
        tile.write_bytes(good)
    assert done.returncode == 1 and "--- FAIL: TestTesseraProvesEveryLeafFromTheTiles" in done.stdout, done.stdout
    assert "calculated root" in done.stdout and "does not match expected root" in done.stdout, "not for another reason"
