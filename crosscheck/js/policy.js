// docs/spec/published.md; C2SP tlog-policy.

import { refuse } from "./msgpack.js";
import { LOG, WITNESS, readKey } from "./note.js";

const BYTES_MAX = 64 * 1024;
const LINES_MAX = 1000;
const NONE = "none";
const hex = (name) => Buffer.from(name, "latin1").toString("hex");

export class Policy {
  #free = new Map(); // every name, and whether it is in no group yet

  constructor(data) {
    Object.assign(this, { logs: [], witnesses: [], groups: [], quorum: null });
    const text = data.toString("latin1"); // names are compared as bytes, and need not be UTF-8
    if (data.length > BYTES_MAX || !/^[\t\n\x20-\x7e\x80-\xff]*$/.test(text)) refuse("policy: too long, or a control character");
    const lines = text.split("\n");
    if (lines.pop() !== "" || lines.length > LINES_MAX) refuse("policy: the last line has no end, or there are too many");
    for (const line of lines) {
      const words = line.split(/[ \t]+/).filter(Boolean);
      if (words.length && !words[0].startsWith("#")) this.#line(words);
    }
    if (this.quorum === null) refuse("policy: no quorum");
  }

  #line(words) {
    const [what, name, ...rest] = words;
    const count = words.length;
    if (what === "log" && (count === 2 || count === 3)) this.logs.push(another(this.logs, readKey(name, LOG)));
    else if (what === "witness" && (count === 3 || count === 4)) {
      this.#newName(name);
      this.witnesses.push({ name, key: another(this.keys, readKey(rest[0], WITNESS)) });
    } else if (what === "group" && count >= 4) this.#group(name, rest[0], rest.slice(1));
    else if (what === "quorum" && count === 2 && this.quorum === null && (name === NONE || this.#free.has(name))) this.quorum = name;
    else refuse(`policy: ${what}`);
  }

  #newName(name) {
    if (name === NONE || this.#free.has(name)) refuse(`policy: a name twice: ${name}`);
    this.#free.set(name, true);
  }

  #group(name, least, members) {
    for (const member of members) {
      if (!this.#free.get(member)) refuse(`policy: ${name} has a member that is not known before it, or is in a group already`);
      this.#free.set(member, false);
    }
    if (least !== "all" && least !== "any" && !/^[1-9][0-9]{0,3}$/.test(least)) refuse(`policy: ${least} of ${name}`);
    const count = least === "all" ? members.length : least === "any" ? 1 : Number(least);
    if (count > members.length) refuse(`policy: ${count} of ${members.length} in ${name}`);
    this.#newName(name);
    this.groups.push({ name, least: count, members });
  }

  get keys() {
    return this.witnesses.map((one) => one.key);
  }

  // What was read, for comparing.
  told() {
    return {
      logs: this.logs.map((key) => key.label), witnesses: this.keys.map((key) => key.label),
      names: this.witnesses.map(({ name }) => hex(name)),
      groups: this.groups.map(({ name, least, members }) => [hex(name), least, ...members.map(hex)].join(" ")),
      quorum: hex(this.quorum),
    };
  }

  isMetBy(cosigned) {
    const there = new Set(cosigned.map((key) => key.key.toString("hex")));
    const holds = new Map([[NONE, true], ...this.witnesses.map(({ name, key }) => [name, there.has(key.key.toString("hex"))])]);
    for (const { name, least, members } of this.groups) {
      holds.set(name, members.filter((member) => holds.get(member)).length >= least);
    }
    return holds.get(this.quorum);
  }
}

// The key, if none before it is the same or is named the same.
function another(before, key) {
  if (before.some((one) => one.key.equals(key.key) || one.label === key.label)) refuse(`policy: a key twice: ${key.name}`);
  return key;
}
