// docs/spec/receipt.md; C2SP signed-note, tlog-checkpoint, tlog-cosignature.

import { primeOrder, verifyEd25519 } from "./ed25519.js";
import { sha256 } from "./hashes.js";
import { refuse, textOf } from "./msgpack.js";

export const LOG = 1;
export const WITNESS = 4;
export const SIZE_MAX = (1n << 63n) - 1n;

// -- keys

export class NoteKey {
  constructor(name, use, key) {
    Object.assign(this, { name, use, key });
    this.id = sha256(Buffer.from(`${name}\n`), Buffer.from([use]), key).subarray(0, 4).toString("hex");
    this.label = `${name}+${this.id}`; // how a COSE receipt names the key
  }
}

export function fromBase64(text) {
  const raw = Buffer.from(text, "base64");
  return raw.toString("base64") === text ? raw : null;
}

export function readKey(text, use) {
  const [, name, id, encoded] = text.match(/^([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/) ?? refuse(`no key: ${text}`);
  const raw = fromBase64(encoded);
  if (!raw || raw.length !== 33 || raw[0] !== use || !primeOrder(raw.subarray(1))) refuse(`another key: ${text}`);
  const key = new NoteKey(name, use, raw.subarray(1));
  return key.id === id ? key : refuse(`the hash of another key: ${text}`);
}

// -- checkpoints

// Who of `keys` signed; a bad signature by one of them is refused.
export function openCheckpoint(note, keys) {
  const gap = note.indexOf("\n\n");
  const lines = note.subarray(gap + 2);
  if (gap < 0 || lines.at(-1) !== 0x0a) refuse("not a signed note");
  const text = note.subarray(0, gap + 1);
  const known = new Map(keys.map((key) => [key.label, key]));
  const [signed, cosigned, seen] = [[], [], new Set()];
  for (const line of splitLines(lines.subarray(0, -1))) {
    const [name, raw] = signatureLine(textOf(line));
    const key = known.get(`${name}+${raw.subarray(0, 4).toString("hex")}`);
    if (!key) continue;
    if (seen.has(key)) refuse("two signatures by one key");
    seen.add(key);
    if (key.use === LOG) {
      if (!verifyEd25519(key.key, text, raw.subarray(4))) refuse("a signature does not hold");
      signed.push(key);
    } else {
      verifyCosignature(key, text, raw.subarray(4));
      cosigned.push(key);
    }
  }
  return { ...parse(textOf(text)), signed, cosigned };
}

function splitLines(bytes) {
  const lines = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) return [...lines, bytes.subarray(at)];
    lines.push(bytes.subarray(at, end));
    at = end + 1;
  }
}

function verifyCosignature(key, text, signature) {
  if (signature.length !== 72 || signature[0] >= 0x80) refuse("a cosignature of another form");
  const message = Buffer.concat([Buffer.from(`cosignature/v1\ntime ${signature.readBigUInt64BE()}\n`), text]);
  if (!verifyEd25519(key.key, message, signature.subarray(8))) refuse("a cosignature does not hold");
}

function signatureLine(line) {
  const parts = line.split(" ");
  const raw = parts.length === 3 ? fromBase64(parts[2]) : null;
  if (!raw || raw.length < 5 || parts[0] !== "—" || parts[1] === "") refuse("a signature line is malformed");
  return [parts[1], raw];
}

function parse(text) {
  const lines = text.split("\n");
  if (lines.length !== 4 || lines[3] !== "" || !/^(0|[1-9][0-9]*)$/.test(lines[1])) refuse("the checkpoint has another form");
  const [size, root] = [BigInt(lines[1]), fromBase64(lines[2])];
  if (size > SIZE_MAX || root?.length !== 32) refuse("the checkpoint has another form");
  return { origin: lines[0], size, root };
}
