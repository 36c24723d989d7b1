// Ed25519: the accept set of docs/spec/crypto.md.

import { createPublicKey, verify } from "node:crypto";

const P = (1n << 255n) - 19n;
const little = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);

// y of the points of order 1, 2, 4 and 8. Both signs of x are of the set.
const SMALL_ORDER = new Set([
  0n, 1n, P - 1n,
  little(Buffer.from("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "hex")),
  little(Buffer.from("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "hex")),
]);

// Canonical, and not of small order in any encoding.
function plainPoint(point) {
  const raw = Buffer.from(point);
  raw[31] &= 0x7f;
  const y = little(raw);
  return y < P && !SMALL_ORDER.has(y);
}

// What libsodium accepts: OpenSSL alone takes keys of small order and encodings that are not canonical.
export function verifyEd25519(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64) return false;
  if (!plainPoint(key) || !plainPoint(signature.subarray(0, 32))) return false;
  const jwk = { kty: "OKP", crv: "Ed25519", x: Buffer.from(key).toString("base64url") };
  try {
    return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
  } catch {
    return false; // no point of the curve
  }
}

// -- keys that may be registered

const ORDER = (1n << 252n) + 27742317777372353535851937790883648493n;
const mod = (a) => ((a % P) + P) % P;
const mul = (a, b) => (a * b) % P;

function power(base, exponent) {
  let found = 1n;
  for (const bit of exponent.toString(2)) {
    found = mul(found, found);
    if (bit === "1") found = mul(found, base);
  }
  return found;
}

const D = mul(mod(-121665n), power(121666n, P - 2n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);
const judged = new Map(); // each key is judged once

// A canonical point of the subgroup of prime order, as every key of a policy has to be.
export function primeOrder(key) {
  const name = Buffer.from(key).toString("hex");
  if (!judged.has(name)) judged.set(name, key.length === 32 && plainPoint(key) && judgePoint(key));
  return judged.get(name);
}

function judgePoint(key) {
  const raw = Buffer.from(key);
  raw[31] &= 0x7f;
  const y = little(raw);
  const x = root(mul(mod(y * y - 1n), power(mod(D * mul(y, y) + 1n), P - 2n)));
  if (x === null) return false; // not on the curve
  // Of which sign x is, is all one: a point and its negative have the same order.
  let sum = [0n, 1n, 1n];
  for (const bit of ORDER.toString(2)) {
    sum = addPoints(sum, sum);
    if (bit === "1") sum = addPoints(sum, [x, y, 1n]);
  }
  return sum[0] === 0n && sum[1] === sum[2];
}

function root(square) {
  const found = power(square, (P + 3n) / 8n);
  return [found, mul(found, ROOT_OF_MINUS_ONE)].find((one) => mul(one, one) === square) ?? null;
}

// Of -x² + y² = 1 + dx²y² in projective coordinates: complete, so doubling is no other case.
function addPoints([x1, y1, z1], [x2, y2, z2]) {
  const a = mul(z1, z2);
  const [b, c, d] = [mul(a, a), mul(x1, x2), mul(y1, y2)];
  const e = mul(D, mul(c, d));
  const [f, g] = [mod(b - e), mod(b + e)];
  const cross = mod((x1 + y1) * (x2 + y2) - c - d);
  return [mul(a, mul(f, cross)), mul(a, mul(g, mod(c + d))), mul(f, g)];
}
