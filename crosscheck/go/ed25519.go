package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
)

// Ed25519: the accept set of docs/spec/crypto.md.

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

// -- keys that may be registered

var (
	curveD = func() *big.Int { // -121665 / 121666
		d := new(big.Int).ModInverse(big.NewInt(121666), fieldPrime)
		return d.Mul(d, big.NewInt(-121665)).Mod(d, fieldPrime)
	}()
	groupOrder, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	known25519    = map[string]bool{} // each key is judged once
)

// primeOrder: a canonical point of the subgroup of prime order, as every key of a policy has to be.
func primeOrder(key []byte) bool {
	judged, ok := known25519[string(key)]
	if !ok {
		judged = judgePoint(key)
		known25519[string(key)] = judged
	}
	return judged
}

func judgePoint(key []byte) bool {
	if len(key) != 32 || !plainPoint(key) {
		return false
	}
	raw := append([]byte{}, key...)
	raw[31] &= 0x7f
	y := little(raw)
	square := mul(y, y)
	over := new(big.Int).ModInverse(add(mul(curveD, square), big.NewInt(1)), fieldPrime)
	x := new(big.Int).ModSqrt(mul(add(square, big.NewInt(-1)), over), fieldPrime)
	if x == nil {
		return false // not on the curve
	}
	// Of which sign x is, is all one: a point and its negative have the same order.
	start, sum := [3]*big.Int{x, y, big.NewInt(1)}, [3]*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(1)}
	for at := groupOrder.BitLen() - 1; at >= 0; at-- {
		sum = addPoints(sum, sum)
		if groupOrder.Bit(at) == 1 {
			sum = addPoints(sum, start)
		}
	}
	return sum[0].Sign() == 0 && sum[1].Cmp(sum[2]) == 0
}

// addPoints of -x² + y² = 1 + dx²y² in projective coordinates: complete, so doubling is no other case.
func addPoints(p, q [3]*big.Int) [3]*big.Int {
	a := mul(p[2], q[2])
	b, c, d := mul(a, a), mul(p[0], q[0]), mul(p[1], q[1])
	e := mul(curveD, mul(c, d))
	f, g := add(b, new(big.Int).Neg(e)), add(b, e)
	cross := add(mul(add(p[0], p[1]), add(q[0], q[1])), new(big.Int).Neg(add(c, d)))
	return [3]*big.Int{mul(a, mul(f, cross)), mul(a, mul(g, add(c, d))), mul(f, g)}
}

func mul(a, b *big.Int) *big.Int {
	product := new(big.Int).Mul(a, b)
	return product.Mod(product, fieldPrime)
}

func add(a, b *big.Int) *big.Int {
	sum := new(big.Int).Add(a, b)
	return sum.Mod(sum, fieldPrime)
}
