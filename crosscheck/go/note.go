package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// docs/spec/receipt.md; C2SP signed-note, tlog-checkpoint, tlog-cosignature.

const (
	useLog     = 1
	useWitness = 4
	sizeMax    = 1<<63 - 1
)

// -- keys

type noteKey struct {
	name string
	use  byte
	key  string
}

func (k noteKey) id() string {
	return string(sha256Of([]byte(k.name + "\n" + string([]byte{k.use}) + k.key))[:4])
}

// label is how a COSE receipt names the key.
func (k noteKey) label() string { return fmt.Sprintf("%s+%x", k.name, k.id()) }

var vkey = regexp.MustCompile(`^([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$`)

func readKey(text string, use byte) noteKey {
	parts := vkey.FindStringSubmatch(text)
	if parts == nil {
		refuse("not a verifier key: %s", text)
	}
	raw, ok := fromBase64(parts[3])
	if !ok || len(raw) != 33 || raw[0] != use || !primeOrder(raw[1:]) {
		refuse("not a verifier key of this use: %s", text)
	}
	key := noteKey{parts[1], use, string(raw[1:])}
	if fmt.Sprintf("%x", key.id()) != parts[2] {
		refuse("the verifier key's hash is of another: %s", text)
	}
	return key
}

// fromBase64 takes the one encoding of its bytes.
func fromBase64(text string) ([]byte, bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	return raw, err == nil && base64.StdEncoding.EncodeToString(raw) == text
}

// -- checkpoints

type checkpoint struct {
	origin string
	size   uint64
	root   []byte
}

// openCheckpoint says which of the keys signed; a bad signature by one of them is refused.
func openCheckpoint(note []byte, keys []noteKey) (checkpoint, []noteKey, []noteKey) {
	body, lines, ok := bytes.Cut(note, []byte("\n\n"))
	if !ok || !bytes.HasSuffix(lines, []byte("\n")) {
		refuse("not a signed note")
	}
	text := join(body, []byte("\n"))
	var signed, cosigned []noteKey
	seen := map[noteKey]bool{}
	for _, line := range bytes.Split(lines[:len(lines)-1], []byte("\n")) {
		name, raw := signatureLine(line)
		key := known(keys, name, string(raw[:4]))
		if key == nil {
			continue
		}
		if seen[*key] {
			refuse("two signatures by one key")
		}
		seen[*key] = true
		if key.use == useLog {
			if !verifyEd25519([]byte(key.key), text, raw[4:]) {
				refuse("a signature does not hold")
			}
			signed = append(signed, *key)
		} else {
			verifyCosignature(*key, text, raw[4:])
			cosigned = append(cosigned, *key)
		}
	}
	return parse(string(text)), signed, cosigned
}

// known finds the last such key, as a table of them would.
func known(keys []noteKey, name, id string) *noteKey {
	for at := len(keys) - 1; at >= 0; at-- {
		if keys[at].name == name && keys[at].id() == id {
			return &keys[at]
		}
	}
	return nil
}

func verifyCosignature(key noteKey, text, signature []byte) {
	if len(signature) != 72 || signature[0] >= 0x80 {
		refuse("a cosignature of another form")
	}
	seconds := new(big.Int).SetBytes(signature[:8]).String()
	message := join([]byte("cosignature/v1\ntime "+seconds+"\n"), text)
	if !verifyEd25519([]byte(key.key), message, signature[8:]) {
		refuse("a cosignature does not hold")
	}
}

func signatureLine(line []byte) (string, []byte) {
	parts := strings.Split(string(line), " ")
	if !utf8.Valid(line) || len(parts) != 3 || parts[0] != "—" || parts[1] == "" {
		refuse("a signature line is malformed")
	}
	raw, ok := fromBase64(parts[2])
	if !ok || len(raw) < 5 {
		refuse("a signature line is malformed")
	}
	return parts[1], raw
}

func parse(text string) checkpoint {
	lines := strings.Split(text, "\n")
	if !utf8.ValidString(text) || len(lines) != 4 || lines[3] != "" {
		refuse("the checkpoint has another form")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	root, ok := fromBase64(lines[2])
	if err != nil || strconv.FormatUint(size, 10) != lines[1] || !ok || len(root) != 32 {
		refuse("the checkpoint has another form")
	}
	return checkpoint{lines[0], size, root}
}
