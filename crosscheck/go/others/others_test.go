// What nobody here wrote reads what a node exports: Tessera's client and the Merkle library of transparency.dev, and
// Go's own checksum database client, over C2SP tiles; go-cose over a COSE receipt.
//
// Needs XINGLIN_TILES: a folder as `xinglin tiles -o` writes it, and beside the tiles `origin`, `vkey`, `leaves`
// (base64, one a line: the entries, which are no part of the export), `old` (an earlier checkpoint), `cosigned` (one with
// a cosignature by `witness`, a verifier key).
// And XINGLIN_COSE: a COSE receipt of leaf 0.
package others

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"github.com/veraison/go-cose"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type export struct {
	folder   string
	verifier note.Verifier
	origin   string
	leaves   [][]byte
	old, now *log.Checkpoint
}

func open(t *testing.T) export {
	t.Helper()
	folder := os.Getenv("XINGLIN_TILES")
	if folder == "" {
		t.Skip("XINGLIN_TILES names no folder")
	}
	e := export{folder: folder, origin: strings.TrimSpace(string(read(t, folder, "origin")))}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(t, folder, "vkey"))))
	check(t, err)
	e.verifier = verifier
	lines := bufio.NewScanner(bytes.NewReader(read(t, folder, "leaves")))
	for lines.Scan() {
		leaf, err := base64.StdEncoding.DecodeString(lines.Text())
		check(t, err)
		e.leaves = append(e.leaves, leaf)
	}
	e.old = e.parse(t, read(t, folder, "old"))
	e.now = e.parse(t, read(t, folder, "checkpoint"))
	return e
}

func (e export) parse(t *testing.T, raw []byte) *log.Checkpoint {
	found, _, _, err := log.ParseCheckpoint(raw, e.origin, e.verifier)
	check(t, err)
	return found
}

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	check(t, err)
	return data
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// -- Tessera's client, and the proofs of transparency-dev/merkle

func TestTesseraProvesEveryLeafFromTheTiles(t *testing.T) {
	e := open(t)
	files := client.FileFetcher{Root: e.folder}
	builder, err := client.NewProofBuilder(context.Background(), e.now.Size, files.ReadTile)
	check(t, err)
	if uint64(len(e.leaves)) < e.now.Size || e.now.Size < 257 {
		t.Fatalf("%d leaves of %d: too few to show anything", len(e.leaves), e.now.Size)
	}
	for at := uint64(0); at < e.now.Size; at++ {
		path, err := builder.InclusionProof(context.Background(), at)
		check(t, err)
		hash := rfc6962.DefaultHasher.HashLeaf(e.leaves[at])
		check(t, proof.VerifyInclusion(rfc6962.DefaultHasher, at, e.now.Size, hash, path, e.now.Hash))
		other := rfc6962.DefaultHasher.HashLeaf(append([]byte{0}, e.leaves[at]...))
		if proof.VerifyInclusion(rfc6962.DefaultHasher, at, e.now.Size, other, path, e.now.Hash) == nil {
			t.Fatal("another leaf is in the tree too")
		}
	}
}

func TestTesseraProvesThatTheLogHasOnlyGrown(t *testing.T) {
	e := open(t)
	files := client.FileFetcher{Root: e.folder}
	builder, err := client.NewProofBuilder(context.Background(), e.now.Size, files.ReadTile)
	check(t, err)
	for size := uint64(1); size <= e.now.Size; size++ {
		path, err := builder.ConsistencyProof(context.Background(), size, e.now.Size)
		check(t, err)
		root := rootOf(t, e, size)
		check(t, proof.VerifyConsistency(rfc6962.DefaultHasher, size, e.now.Size, path, root, e.now.Hash))
	}
	if !bytes.Equal(rootOf(t, e, e.old.Size), e.old.Hash) || e.old.Size >= e.now.Size {
		t.Fatal("the older checkpoint is of another log")
	}
}

// rootOf hashes the leaves with Go's checksum database code, which reads no tile.
func rootOf(t *testing.T, e export, size uint64) []byte {
	t.Helper()
	stored := hashes{}
	for at := uint64(0); at < size; at++ {
		more, err := tlog.StoredHashes(int64(at), e.leaves[at], stored)
		check(t, err)
		for _, one := range more {
			stored[int64(len(stored))] = one
		}
	}
	root, err := tlog.TreeHash(int64(size), stored)
	check(t, err)
	return root[:]
}

type hashes map[int64]tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		found[at] = h[index]
	}
	return found, nil
}

// -- the client of Go's checksum database

// tiles reads the folder for tlog, which writes tile/8/<level>/.. where C2SP writes tile/<level>/..
type tiles struct{ folder string }

func (tiles) Height() int                     { return 8 }
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tiles) ReadTiles(all []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(all))
	for at, tile := range all {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, err := os.ReadFile(filepath.Join(r.folder, path))
		if err != nil {
			return nil, err
		}
		found[at] = data
	}
	return found, nil
}

func TestGosChecksumDatabaseReadsTheTiles(t *testing.T) {
	e := open(t)
	tree := tlog.Tree{N: int64(e.now.Size), Hash: tlog.Hash(e.now.Hash)}
	reader := tlog.TileHashReader(tree, tiles{e.folder})
	for at := int64(0); at < tree.N; at += 7 {
		path, err := tlog.ProveRecord(tree.N, at, reader)
		check(t, err)
		check(t, tlog.CheckRecord(path, tree.N, tree.Hash, at, tlog.RecordHash(e.leaves[at])))
	}
	grown, err := tlog.ProveTree(tree.N, int64(e.old.Size), reader)
	check(t, err)
	check(t, tlog.CheckTree(grown, tree.N, tree.Hash, int64(e.old.Size), tlog.Hash(e.old.Hash)))
}

func TestAChangedTileIsRefused(t *testing.T) {
	e := open(t)
	tree := tlog.Tree{N: int64(e.now.Size), Hash: tlog.Hash(e.now.Hash)}
	reader := tlog.TileHashReader(tree, changed{tiles{e.folder}})
	if _, err := tlog.ProveRecord(tree.N, 3, reader); err == nil {
		t.Fatal("it was believed")
	}
}

type changed struct{ tiles }

func (r changed) ReadTiles(all []tlog.Tile) ([][]byte, error) {
	found, err := r.tiles.ReadTiles(all)
	for _, data := range found {
		data[5] ^= 1
	}
	return found, err
}

// -- the cosignatures of transparency-dev/formats

func TestACosignatureOfOursIsOneOfTheirs(t *testing.T) {
	e := open(t)
	witness, err := cosignature.NewVerifierForCosignatureV1(strings.TrimSpace(string(read(t, e.folder, "witness"))))
	check(t, err)
	signed, err := note.Open(read(t, e.folder, "cosigned"), note.VerifierList(e.verifier, witness))
	check(t, err)
	if len(signed.Sigs) != 2 || len(signed.UnverifiedSigs) != 0 {
		t.Fatalf("%d signatures are known", len(signed.Sigs))
	}
}

// -- go-cose

func TestGoCoseVerifiesTheReceiptOverTheRecomputedRoot(t *testing.T) {
	e := open(t)
	file := os.Getenv("XINGLIN_COSE")
	if file == "" {
		t.Skip("XINGLIN_COSE names no receipt")
	}
	var message cose.Sign1Message
	check(t, message.UnmarshalCBOR(read(t, file)))
	if message.Payload != nil || message.Headers.Protected[int64(395)] != int64(1) {
		t.Fatal("not a receipt with a detached root of RFC9162_SHA256")
	}
	proofs := message.Headers.Unprotected[int64(396)].(map[any]any)[int64(-1)].([]any)
	leaves := message.Headers.Unprotected[int64(-65539)].([]any)
	if len(proofs) != 2 || !bytes.Equal(leaves[0].([]byte), e.leaves[0]) {
		t.Fatal("not of the first leaf")
	}
	block := e.parse(t, read(t, e.folder, "block"))
	message.Payload = block.Hash
	verifier, err := cose.NewVerifier(cose.AlgorithmEdDSA, publicKey(t, e))
	check(t, err)
	check(t, message.Verify(nil, verifier))
	message.Payload[0] ^= 1
	if message.Verify(nil, verifier) == nil {
		t.Fatal("another root was believed")
	}
}

func publicKey(t *testing.T, e export) ed25519.PublicKey {
	t.Helper()
	parts := strings.SplitN(strings.TrimSpace(string(read(t, e.folder, "vkey"))), "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	check(t, err)
	return ed25519.PublicKey(raw[1:])
}
