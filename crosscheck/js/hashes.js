// docs/spec/crypto.md, history.md, state-tree.md.

import { createHash } from "node:crypto";
import { refuse } from "./msgpack.js";

const SUITES = { "sha-256": "sha256", sm3: "sm3" };

export function suite(name) {
  const known = SUITES[name];
  if (!known) refuse("its hash suite is unknown");
  return (...parts) => parts.reduce((hash, part) => hash.update(part), createHash(known)).digest();
}

export const sha256 = suite("sha-256");

const u32 = (number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
};

export function tagged(hash, domain, ...parts) {
  const lengths = parts.flatMap((part) => [u32(part.length), part]);
  return hash(Buffer.from([domain.length]), Buffer.from(domain), ...lengths);
}

const byte = (one) => Buffer.from([one]);

// RFC 9162 2.1.3.2: the root that a path leads to.
export function inclusionRoot(hash, leaf, index, size, path) {
  if (index >= size) refuse("no such leaf in a tree of this size");
  let [at, last, found] = [index, size - 1n, hash(byte(0), leaf)];
  for (const step of path) {
    if (last === 0n) refuse("path too long");
    if (at & 1n || at === last) {
      found = hash(byte(1), step, found);
      while (!(at & 1n) && at !== 0n) [at, last] = [at >> 1n, last >> 1n];
    } else {
      found = hash(byte(1), found, step);
    }
    [at, last] = [at >> 1n, last >> 1n];
  }
  if (last !== 0n) refuse("path too short");
  return found;
}

export const EMPTY = Buffer.alloc(32);

// `row` and `other` are null where there is none.
export function verifyState(hash, root, table, key, row, siblings, other) {
  const width = Buffer.from([key.length >> 8, key.length & 255]);
  const path = hash(byte(2), byte(table.length), Buffer.from(table), width, key);
  const bit = (of, depth) => (of[depth >> 3] >> (7 - (depth & 7))) & 1;
  let found = EMPTY;
  if (row !== null) {
    if (other !== null) refuse("a proof of presence names another leaf");
    found = hash(byte(3), path, hash(row));
  } else if (other !== null) {
    if (other[0].equals(path)) refuse("the other leaf is the row itself");
    if (siblings.some((_, at) => bit(other[0], at) !== bit(path, at))) refuse("the other leaf is not on the path");
    found = hash(byte(3), other[0], other[1]);
  }
  if (siblings.length && siblings.at(-1).equals(EMPTY)) refuse("the last sibling is empty");
  for (let at = siblings.length - 1; at >= 0; at--) {
    found = bit(path, at) ? hash(byte(4), siblings[at], found) : hash(byte(4), found, siblings[at]);
  }
  if (!found.equals(root)) refuse("the proof does not lead to this root");
}
