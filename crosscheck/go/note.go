package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// docs/spec/receipt.md; C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy.

const (
	useLog     = 1
	useWitness = 4
	sizeMax    = 1<<63 - 1
)

// -- Ed25519: the accept set of docs/spec/crypto.md

var fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// smallOrder holds y of the points of order 1, 2, 4 and 8. Both signs of x are of the set.
var smallOrder = func() map[string]bool {
	found := map[string]bool{}
	minusOne := new(big.Int).Sub(fieldPrime, big.NewInt(1))
	for _, y := range []*big.Int{big.NewInt(0), big.NewInt(1), minusOne} {
		found[y.String()] = true
	}
	for _, digits := range []string{ // order 8, little-endian
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"} {
		raw, _ := hex.DecodeString(digits)
		found[little(raw).String()] = true
	}
	return found
}()

func little(data []byte) *big.Int {
	turned := make([]byte, len(data))
	for at, one := range data {
		turned[len(data)-1-at] = one
	}
	return new(big.Int).SetBytes(turned)
}

// plainPoint is canonical, and not of small order in any encoding.
func plainPoint(point []byte) bool {
	raw := append([]byte{}, point...)
	raw[31] &= 0x7f
	y := little(raw)
	return y.Cmp(fieldPrime) < 0 && !smallOrder[y.String()]
}

// verifyEd25519 accepts what libsodium does: Go alone takes keys of small order and encodings that are not canonical.
func verifyEd25519(key, message, signature []byte) bool {
	return len(key) == 32 && len(signature) == 64 && plainPoint(key) && plainPoint(signature[:32]) &&
		ed25519.Verify(key, message, signature)
}

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
	if !ok || len(raw) != 33 || raw[0] != use || !plainPoint(raw[1:]) {
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

// -- policies

type group struct {
	name    string
	least   int
	members []string
}

type policy struct {
	logs      []noteKey
	witnesses []noteKey
	names     []string // of witnesses, in step
	groups    []group
	quorum    string
}

func readPolicy(data string) *policy {
	p := &policy{}
	lines := strings.Split(data, "\n")
	for _, line := range lines {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "log" && len(words) >= 2:
			p.logs = append(p.logs, readKey(words[1], useLog))
		case words[0] == "witness" && len(words) >= 3:
			p.names = append(p.names, words[1])
			p.witnesses = append(p.witnesses, readKey(words[2], useWitness))
		case words[0] == "group" && len(words) >= 4:
			members := words[3:]
			least := map[string]int{"any": 1, "all": len(members)}[words[2]]
			if least == 0 {
				least, _ = strconv.Atoi(words[2])
			}
			p.groups = append(p.groups, group{words[1], least, members})
		case words[0] == "quorum" && len(words) == 2 && p.quorum == "":
			p.quorum = words[1]
		default:
			refuse("policy: %s", line)
		}
	}
	if p.quorum == "" {
		refuse("policy: no quorum")
	}
	return p
}

// met says whether these witnesses are a quorum.
func (p *policy) met(cosigned []noteKey) bool {
	holds := map[string]bool{"none": true}
	for at, name := range p.names {
		for _, one := range cosigned {
			holds[name] = holds[name] || one.key == p.witnesses[at].key
		}
	}
	for _, one := range p.groups {
		count := 0
		for _, member := range one.members {
			if holds[member] {
				count++
			}
		}
		holds[one.name] = one.least > 0 && count >= one.least
	}
	return holds[p.quorum]
}
