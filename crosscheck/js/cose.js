// docs/spec/receipt-cose.md: one shape of CBOR, in its deterministic encoding.

import { refuse, textOf } from "./msgpack.js";
import { SIZE_MAX } from "./note.js";

const [UINT, BYTES, TEXT, ARRAY] = [0, 2, 3, 4];
const LEAST = [24n, 1n << 8n, 1n << 16n, 1n << 32n];

class Cbor {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  take(length) {
    if (length > this.data.length - this.at) refuse("cut off");
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  exactly(hex) {
    if (this.take(hex.length / 2).toString("hex") !== hex) refuse("another form");
  }

  head(major) {
    const first = this.take(1)[0];
    if (first >> 5 !== major) refuse("another kind of value");
    const small = first & 31;
    if (small < 24) return BigInt(small);
    if (small > 27) refuse("a head without a number");
    const number = BigInt(`0x${this.take(1 << (small - 24)).toString("hex")}`);
    if (number < LEAST[small - 24]) refuse("a longer head than needed");
    return number;
  }

  uint() {
    const number = this.head(UINT);
    return number > SIZE_MAX ? refuse("a number of 64 bits") : number;
  }

  string(major, most) {
    const length = this.head(major);
    return length > BigInt(most) ? refuse("too long") : this.take(Number(length));
  }

  end() {
    if (this.at !== this.data.length) refuse("something stands behind the value");
  }
}

export function readCose(data) {
  const file = new Cbor(data);
  file.exactly("d284");
  const protectedHeader = file.string(BYTES, 1024);
  file.exactly("a419018ca12082"); // 396: {-1: [two proofs]}
  const proofs = [0, 1].map(() => readProof(file.string(BYTES, 64 * 40)));
  file.exactly("3a00010001");
  const manifest = file.string(BYTES, 1 << 20);
  file.exactly("3a0001000282");
  const leaves = [0, 1].map(() => file.string(BYTES, 1024));
  file.exactly("3a00010003");
  const events = file.string(BYTES, 64 << 10);
  file.exactly("f6");
  const signature = file.string(BYTES, 64);
  file.end();
  const places = proofs.map((proof, at) => ({ ...proof, leaf: leaves[at] }));
  return { protectedHeader, ...readProtected(protectedHeader), places, manifest, events, signature };
}

function readProof(data) {
  const proof = new Cbor(data);
  proof.exactly("83");
  const [size, index, steps] = [proof.uint(), proof.uint(), Number(proof.head(ARRAY))];
  if (steps === 0 || steps > 64) refuse("a path without steps, or with too many");
  const path = Array.from({ length: steps }, () => proof.string(BYTES, 32));
  if (path.some((step) => step.length !== 32)) refuse("a step has 32 bytes");
  proof.end();
  return { size, index, path };
}

function readProtected(data) {
  const header = new Cbor(data);
  header.exactly("a5012704");
  const label = header.string(BYTES, 128).toString("latin1");
  header.exactly("0fa101");
  const issuer = textOf(header.string(TEXT, 128));
  header.exactly("19018b013a00010000");
  const size = header.uint();
  header.end();
  return { label, issuer, size };
}

function encoded(major, data) {
  const length = data.length;
  const head = length < 24 ? [(major << 5) | length] : length < 256 ? [(major << 5) | 24, length]
    : [(major << 5) | 25, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), data]);
}

export function toBeSigned(protectedHeader, root) {
  return Buffer.concat([Buffer.from([0x84]), encoded(TEXT, Buffer.from("Signature1")), encoded(BYTES, protectedHeader),
    Buffer.from([0x40]), encoded(BYTES, root)]);
}
