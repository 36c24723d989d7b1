package main

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// docs/spec/receipt-cose.md: one shape of CBOR, in its deterministic encoding.

type cbor struct {
	data []byte
	at   int
}

func (c *cbor) take(n uint64) []byte {
	if n > uint64(len(c.data)-c.at) {
		refuse("cut off")
	}
	piece := c.data[c.at : c.at+int(n)]
	c.at += int(n)
	return piece
}

func (c *cbor) exactly(expected ...byte) {
	if !bytes.Equal(c.take(uint64(len(expected))), expected) {
		refuse("another form")
	}
}

func (c *cbor) head(major byte) uint64 {
	first := c.take(1)[0]
	if first>>5 != major {
		refuse("another kind of value")
	}
	n := uint64(first & 31)
	if n < 24 {
		return n
	}
	if n > 27 {
		refuse("a head without a number")
	}
	width := 1 << (n - 24)
	raw := make([]byte, 8)
	copy(raw[8-width:], c.take(uint64(width)))
	n = binary.BigEndian.Uint64(raw)
	if least := [4]uint64{24, 1 << 8, 1 << 16, 1 << 32}[first&31-24]; n < least {
		refuse("a longer head than needed")
	}
	return n
}

func (c *cbor) uint() uint64 {
	n := c.head(0)
	if n > sizeMax {
		refuse("a number of 64 bits")
	}
	return n
}

func (c *cbor) string(major byte, most uint64) []byte {
	n := c.head(major)
	if n > most {
		refuse("too long")
	}
	return c.take(n)
}

func (c *cbor) end() {
	if c.at != len(c.data) {
		refuse("something stands behind the value")
	}
}

func cborString(major byte, data []byte) []byte {
	n := uint64(len(data))
	switch {
	case n < 24:
		return append([]byte{major<<5 | byte(n)}, data...)
	case n < 1<<8:
		return append([]byte{major<<5 | 24, byte(n)}, data...)
	}
	return append([]byte{major<<5 | 25, byte(n >> 8), byte(n)}, data...)
}

func (v *verifier) cose(data []byte) map[string]any {
	c := &cbor{data, 0}
	c.exactly(0xd2, 0x84)
	protected := c.string(2, 1024)
	c.exactly(0xa4, 0x19, 0x01, 0x8c, 0xa1, 0x20, 0x82) // 396: {-1: [two proofs]}
	proofs := [2]proof{readProof(c.string(2, 64*40)), readProof(c.string(2, 64*40))}
	c.exactly(0x3a, 0x00, 0x01, 0x00, 0x01)
	manifest := c.string(2, 1<<20)
	c.exactly(0x3a, 0x00, 0x01, 0x00, 0x02, 0x82)
	leaves := [2][]byte{c.string(2, 1024), c.string(2, 1024)}
	c.exactly(0x3a, 0x00, 0x01, 0x00, 0x03)
	events := c.string(2, 64<<10)
	c.exactly(0xf6)
	signature := c.string(2, 64)
	c.end()
	label, issuer, size := readProtected(protected)

	net := v.network(manifest)
	if net.manifest.text("hash_suite") != "sha-256" {
		refuse("this form is for networks on SHA-256")
	}
	var roots [2][]byte
	var places [2]Struct
	for at, one := range proofs {
		if one.size != size {
			refuse("a proof is of another size than the one signed")
		}
		roots[at] = inclusionRoot(net.hash, leaves[at], one.index, size, one.path)
		places[at] = Struct{Fields: map[string]any{"leaf": leaves[at], "index": one.index}}
	}
	if !bytes.Equal(roots[0], roots[1]) || issuer != "xinglin/"+net.chain {
		refuse("two roots, or another log")
	}
	signed := join([]byte{0x84}, cborString(3, []byte("Signature1")), cborString(2, protected), []byte{0x40},
		cborString(2, roots[0]))
	for _, key := range v.logKeys(net) {
		if key.label() == label {
			if !verifyEd25519([]byte(key.key), signed, signature) {
				refuse("its signature does not hold")
			}
			return v.outcome("cose-receipt", net, v.judge([]noteKey{key}, nil), places[0], places[1], events)
		}
	}
	refuse("signed by nobody who signs for this network")
	return nil
}

type proof struct {
	size, index uint64
	path        [][]byte
}

func readProof(data []byte) proof {
	c := &cbor{data, 0}
	c.exactly(0x83)
	found := proof{size: c.uint(), index: c.uint()}
	steps := c.head(4)
	if steps == 0 || steps > 64 {
		refuse("a path without steps, or with too many")
	}
	for ; steps > 0; steps-- {
		step := c.string(2, 32)
		if len(step) != 32 {
			refuse("a step has 32 bytes")
		}
		found.path = append(found.path, step)
	}
	c.end()
	return found
}

// readProtected gives the key's label, the issuer and the size.
func readProtected(data []byte) (string, string, uint64) {
	c := &cbor{data, 0}
	c.exactly(0xa5, 0x01, 0x27, 0x04)
	label := c.string(2, 128)
	c.exactly(0x0f, 0xa1, 0x01)
	issuer := c.string(3, 128)
	c.exactly(0x19, 0x01, 0x8b, 0x01, 0x3a, 0x00, 0x01, 0x00, 0x00)
	size := c.uint()
	c.end()
	if !utf8.Valid(issuer) {
		refuse("not UTF-8")
	}
	return string(label), string(issuer), size
}
