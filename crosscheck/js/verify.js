// docs/spec/receipt.md and receipt-cose.md, step by step.

import { readCose, toBeSigned } from "./cose.js";
import { EMPTY, inclusionRoot, suite, tagged, verifyState } from "./hashes.js";
import { Struct, refuse } from "./msgpack.js";
import { verifyEd25519 } from "./ed25519.js";
import { LOG, NoteKey, openCheckpoint } from "./note.js";

const FILE_BYTES_MAX = 64 << 20;
const [TX, TIMER, CLOSING] = [0n, 1n, 2n];
const NONE_FAILED = 255n;
const REVOKED = 3n;
const MS_PER_HOUR = 3_600_000n;
const ENVELOPES = ["kernel.envelope/1", "kernel.timer/1"];

export class Verifier {
  constructor(schema, pinned, policy = null) {
    Object.assign(this, { schema, pinned, policy });
  }

  // What the file proves; throws Refused.
  verify(data) {
    if (data.length > FILE_BYTES_MAX) refuse("too large");
    if (data[0] === 0xd2 && data[1] === 0x84) return this.cose(data);
    for (const [tag, form] of Object.entries(this.schema.files)) {
      // No tag is longer than 31 bytes: an array of a few fields, then the text's head.
      const start = Buffer.concat([Buffer.from([0xa0 + tag.length]), Buffer.from(tag)]);
      if (!data.subarray(1, 1 + start.length).equals(start)) continue;
      const file = this.schema.decode(data, form);
      if (tag === "xinglin.receipt/1") return this.receipt(file);
      return tag === "xinglin.state-proof/1" ? this.state(file) : this.completeness(file);
    }
    return refuse("no file of ours");
  }

  // -- steps for every file

  network(bytes) {
    const manifest = this.schema.decode(bytes, this.schema.manifest);
    const hash = suite(manifest.hash_suite);
    const id = tagged(hash, "xinglin/network/1", bytes);
    if (!id.equals(this.pinned)) refuse("the file is of another network");
    const chain = `${manifest.name}${manifest.simulated ? "-sim" : ""}-${id.subarray(0, 8).toString("hex")}`;
    return { manifest, id, chain, hash };
  }

  logKeys(network) {
    if (this.policy?.logs.length) return this.policy.logs;
    return network.manifest.checkpoint_keys.map(({ name, key }) => new NoteKey(name, LOG, key));
  }

  checkpoint(network, note) {
    const found = openCheckpoint(note, [...this.logKeys(network), ...(this.policy?.keys ?? [])]);
    if (found.origin !== `xinglin/${network.chain}`) refuse("it is of another log");
    return { ...found, by: this.judge(found.signed, found.cosigned) };
  }

  judge(logs, witnesses) {
    if (!logs.length) refuse("signed by nobody who signs for this network");
    if (this.policy && !this.policy.isMetBy(witnesses)) refuse("too few have cosigned");
    return { logs, witnesses, byQuorum: this.policy !== null && this.policy.quorum !== "none" };
  }

  closing(network, place) {
    const closing = this.schema.decode(place.leaf, this.schema.closing);
    if (closing.kind !== CLOSING) refuse("the leaf does not close a block");
    if (!closing.module_set.equals(network.manifest.module_set)) refuse("its block was made under other rules than its manifest's");
    return closing;
  }

  // -- receipts

  receipt(file) {
    const network = this.network(file.manifest);
    const at = this.checkpoint(network, file.checkpoint);
    inHistory(network, at, file.outcome);
    inHistory(network, at, file.closing);
    return this.outcome("receipt", network, at.by, file.outcome, file.closing, file.events);
  }

  cose(data) {
    const file = readCose(data);
    const network = this.network(file.manifest);
    if (network.manifest.hash_suite !== "sha-256") refuse("this form is for networks on SHA-256");
    const [root, other] = file.places.map(({ leaf, index, size, path }) =>
      size === file.size ? inclusionRoot(network.hash, leaf, index, size, path) : refuse("a proof is of another size"));
    if (!root.equals(other) || file.issuer !== `xinglin/${network.chain}`) refuse("two roots, or another log");
    const key = this.logKeys(network).find((one) => one.label === file.label);
    if (!key) refuse("signed by nobody who signs for this network");
    if (!verifyEd25519(key.key, toBeSigned(file.protectedHeader, root), file.signature)) refuse("its signature does not hold");
    return this.outcome("cose-receipt", network, this.judge([key], []), ...file.places, file.events);
  }

  outcome(kind, network, by, place, closed, told) {
    const leaf = this.schema.decode(place.leaf, this.schema.leaf);
    const closing = this.closing(network, closed);
    if (leaf.kind === CLOSING) refuse("the leaf is not of an outcome");
    if (leaf.height !== closing.height || place.index >= closed.index) refuse("the closing leaf is of another block");
    if (!leaf.events_hash.equals(tagged(network.hash, "xinglin/events/1", told))) refuse("the events are not those of the leaf");
    const events = this.schema.decode(told, this.schema.events);
    return {
      ...report(kind, network, by, closing), code: String(leaf.code), index: String(leaf.index),
      events: String(events.length - 1), ...toldBy(leaf, events),
    };
  }

  // -- state proofs and completeness

  row(file) {
    const network = this.network(file.manifest);
    const at = this.checkpoint(network, file.checkpoint);
    inHistory(network, at, file.closing);
    const closing = this.closing(network, file.closing);
    const form = Object.hasOwn(this.schema.tables, file.table) ? this.schema.tables[file.table] : refuse("not a table we know");
    if (file.key.length !== form.width) refuse("not a key of its table");
    const { siblings, other } = file.proof;
    verifyState(network.hash, closing.state_root, file.table, file.key, file.row, siblings, other);
    return { network, by: at.by, closing, row: file.row === null ? null : this.schema.decode(file.row, form.row) };
  }

  state(file) {
    const { network, by, closing, row } = this.row(file);
    const [subject, grantee] = [file.key.subarray(0, 16), file.key.subarray(16)];
    const consent = file.table !== "consent/grants" ? {} : {
      subject: subject.toString("hex"), grantee: grantee.toString("hex"),
      live_grants: String((row?.grants ?? []).filter((one) => isLive(one, closing.time_ms)).length),
    };
    return {
      ...report("state-proof", network, by, closing), table: file.table, present: row !== null,
      key: file.key.toString("hex"), ...consent,
    };
  }

  completeness(file) {
    const { network, by, closing, row } = this.row(file.log);
    if (file.log.table !== "access/log") refuse("the proof is not of an access log");
    let running = EMPTY;
    file.entries.forEach((raw, at) => {
      const entry = this.schema.decode(raw, this.schema.entry);
      if (!entry.subject.equals(file.log.key) || entry.number !== BigInt(at + 1)) refuse("not the entry that was ordered");
      running = tagged(network.hash, "xinglin/access-log/1", running, tagged(network.hash, "xinglin/event/1", raw));
    });
    const expected = row ?? new Struct(null, { count: 0n, running: EMPTY });
    if (expected.count !== BigInt(file.entries.length) || !expected.running.equals(running)) refuse("the list is not complete");
    return {
      ...report("completeness", network, by, closing), subject: file.log.key.toString("hex"),
      entries: String(file.entries.length),
    };
  }
}

function inHistory(network, at, place) {
  const root = inclusionRoot(network.hash, place.leaf, place.index, at.size, place.path);
  if (!root.equals(at.root)) refuse("not in the history");
}

// The envelope is of the leaf's kind and code, stands first and alone, and a refusal has nothing behind it.
function toldBy(leaf, events) {
  const [first, ...later] = events;
  if (later.some((event) => ENVELOPES.includes(event.tag))) refuse("a second envelope");
  if (first.tag === "kernel.timer/1") {
    if (leaf.kind !== TIMER || leaf.code !== 0n) refuse("a timer's envelope on another leaf");
    return { timer: first.table, due_ms: String(first.due_ms) };
  }
  const expected = leaf.code === 0n ? first.tags?.length : 0;
  const same = first.tag === "kernel.envelope/1" && leaf.kind === TX && first.code === leaf.code
    && first.signers.length === first.custody.length && later.length === expected
    && (leaf.code !== 0n || first.failed === NONE_FAILED);
  if (!same) refuse("the envelope says something else than the leaf");
  return { tx: first.tx_id.toString("hex"), tags: first.tags, signers: first.signers.map((one) => one.toString("hex")) };
}

function isLive(given, timeMs) {
  return given.status !== REVOKED && given.until_h > timeMs / MS_PER_HOUR;
}

function report(kind, network, by, closing) {
  const keys = new Set(by.logs.map((one) => one.key.toString("hex")));
  return {
    kind, network: network.id.toString("hex"), chain: network.chain, signed_by: by.logs.map((one) => one.name),
    cosigned_by: by.witnesses.map((one) => one.name), single_operator: !by.byQuorum && keys.size <= 1,
    time_ms: String(closing.time_ms), height: String(closing.height),
  };
}
