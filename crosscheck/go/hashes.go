package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// docs/spec/crypto.md, history.md, state-tree.md.

type digest func([]byte) []byte

var suites = map[string]digest{"sha-256": sha256Of, "sm3": sm3Of}

func sha256Of(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

func tagged(h digest, domain string, parts ...[]byte) []byte {
	data := append([]byte{byte(len(domain))}, domain...)
	for _, part := range parts {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return h(data)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// -- the history tree: RFC 9162 2.1.3.2

// inclusionRoot is the root that a path leads to.
func inclusionRoot(h digest, leaf []byte, index, size uint64, path [][]byte) []byte {
	if index >= size {
		refuse("no such leaf in a tree of this size")
	}
	at, last, found := index, size-1, h(join([]byte{0}, leaf))
	for _, step := range path {
		if last == 0 {
			refuse("path too long")
		}
		if at&1 == 1 || at == last {
			found = h(join([]byte{1}, step, found))
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			found = h(join([]byte{1}, found, step))
		}
		at, last = at>>1, last>>1
	}
	if last != 0 {
		refuse("path too short")
	}
	return found
}

// -- the state tree

var empty = make([]byte, 32)

func verifyState(h digest, root []byte, name string, key, row []byte, siblings [][]byte, other [][]byte) {
	width := []byte{byte(len(key) >> 8), byte(len(key))}
	path := h(join([]byte{2, byte(len(name))}, []byte(name), width, key))
	var found []byte
	switch {
	case row != nil && other != nil:
		refuse("a proof of presence names another leaf")
	case row != nil:
		found = h(join([]byte{3}, path, h(row)))
	case other == nil:
		found = empty
	default:
		if bytes.Equal(other[0], path) {
			refuse("the other leaf is the row itself")
		}
		for at := range siblings {
			if bit(other[0], at) != bit(path, at) {
				refuse("the other leaf does not stand on the path")
			}
		}
		found = h(join([]byte{3}, other[0], other[1]))
	}
	if len(siblings) > 0 && bytes.Equal(siblings[len(siblings)-1], empty) {
		refuse("the last sibling is empty")
	}
	for at := len(siblings) - 1; at >= 0; at-- {
		if bit(path, at) == 1 {
			found = h(join([]byte{4}, siblings[at], found))
		} else {
			found = h(join([]byte{4}, found, siblings[at]))
		}
	}
	if !bytes.Equal(found, root) {
		refuse("the proof does not lead to this root")
	}
}

func bit(path []byte, depth int) byte { return path[depth>>3] >> (7 - depth&7) & 1 }

// -- SM3: GB/T 32905-2016. Go's standard library has none.

func sm3Of(data []byte) []byte {
	state := [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}
	padded := append(append([]byte{}, data...), 0x80)
	for len(padded)%64 != 56 {
		padded = append(padded, 0)
	}
	padded = binary.BigEndian.AppendUint64(padded, uint64(len(data))*8)
	for at := 0; at < len(padded); at += 64 {
		sm3Block(&state, padded[at:at+64])
	}
	out := []byte{}
	for _, word := range state {
		out = binary.BigEndian.AppendUint32(out, word)
	}
	return out
}

func sm3Block(state *[8]uint32, block []byte) {
	var w [68]uint32
	for at := 0; at < 16; at++ {
		w[at] = binary.BigEndian.Uint32(block[4*at:])
	}
	for at := 16; at < 68; at++ {
		x := w[at-16] ^ w[at-9] ^ bits.RotateLeft32(w[at-3], 15)
		w[at] = x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23) ^ bits.RotateLeft32(w[at-13], 7) ^ w[at-6]
	}
	a, b, c, d, e, f, g, h := state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
	for at := 0; at < 64; at++ {
		t, ff, gg := uint32(0x79cc4519), a^b^c, e^f^g
		if at >= 16 {
			t, ff, gg = 0x7a879d8a, a&b|a&c|b&c, e&f|^e&g
		}
		ss1 := bits.RotateLeft32(bits.RotateLeft32(a, 12)+e+bits.RotateLeft32(t, at%32), 7)
		tt1 := ff + d + (ss1 ^ bits.RotateLeft32(a, 12)) + (w[at] ^ w[at+4])
		tt2 := gg + h + ss1 + w[at]
		a, b, c, d = tt1, a, bits.RotateLeft32(b, 9), c
		e, f, g, h = tt2^bits.RotateLeft32(tt2, 9)^bits.RotateLeft32(tt2, 17), e, bits.RotateLeft32(f, 19), g
	}
	for at, word := range [8]uint32{a, b, c, d, e, f, g, h} {
		state[at] ^= word
	}
}
