// docs/spec/encoding.md: MessagePack of which each value has one encoding; types come from schema.json.
// Values are null, true, false, BigInt, Buffer, text, arrays, and Struct.

import { readFileSync } from "node:fs";

// What any function throws when a file does not hold.
export class Refused extends Error {}

export function refuse(why) {
  throw new Refused(why);
}

export class Struct {
  constructor(tag, fields) {
    this.tag = tag;
    Object.assign(this, fields);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function textOf(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    return refuse("not UTF-8");
  }
}

const FORMS = new Map([
  [0xc4, ["bytes", 1, 0n]], [0xc5, ["bytes", 2, 1n << 8n]], [0xc6, ["bytes", 4, 1n << 16n]],
  [0xcc, ["int", 1, 0x80n]], [0xcd, ["int", 2, 1n << 8n]], [0xce, ["int", 4, 1n << 16n]], [0xcf, ["int", 8, 1n << 32n]],
  [0xd9, ["text", 1, 32n]], [0xda, ["text", 2, 1n << 8n]], [0xdb, ["text", 4, 1n << 16n]],
  [0xdc, ["array", 2, 16n]], [0xdd, ["array", 4, 1n << 16n]],
]);

export class Schema {
  constructor(path) {
    Object.assign(this, JSON.parse(readFileSync(path, "utf8")));
  }

  // The value whose only encoding is `data`.
  decode(data, type) {
    const reader = new Reader(this, data);
    const value = reader.value(type);
    if (reader.at !== data.length) refuse("bytes behind the value");
    return value;
  }
}

class Reader {
  constructor(schema, data) {
    this.schema = schema;
    this.data = data;
    this.at = 0;
  }

  take(length) {
    if (length > this.data.length - this.at) refuse("cut off");
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  // [kind, number or length] of the next value. Only the shortest form passes.
  head() {
    const first = this.take(1)[0];
    if (first < 0x80) return ["int", BigInt(first)];
    if (first >= 0x90 && first < 0xa0) return ["array", BigInt(first - 0x90)];
    if (first >= 0xa0 && first < 0xc0) return ["text", BigInt(first - 0xa0)];
    if (first === 0xc0) return ["nil", 0n];
    if (first === 0xc2 || first === 0xc3) return ["bool", BigInt(first - 0xc2)];
    const [kind, width, least] = FORMS.get(first) ?? refuse("a value that is not used");
    const number = BigInt(`0x${this.take(width).toString("hex")}`);
    if (number < least) refuse("a longer head than needed");
    return [kind, number];
  }

  need(kind) {
    const [found, number] = this.head();
    if (found !== kind) refuse(`${found} where ${kind} belongs`);
    return number;
  }

  piece(kind) {
    return this.take(Number(this.need(kind)));
  }

  value(type) {
    const [kind, ...rest] = type;
    switch (kind) {
      case "nil":
        this.need("nil");
        return null;
      case "bool":
        return this.need("bool") === 1n;
      case "int":
        return this.number((one) => one >= BigInt(rest[0]) && one <= BigInt(rest[1]));
      case "enum":
        return this.number((one) => rest[0].includes(String(one)));
      case "bytes":
        return within(this.piece("bytes"), rest);
      case "text":
        return this.text(rest);
      case "list": {
        const count = Number(this.need("array"));
        within({ length: count }, rest);
        const values = [];
        for (let at = 0; at < count; at++) values.push(this.value(rest[2]));
        return values;
      }
      case "tuple":
        if (this.need("array") !== BigInt(rest[0].length)) refuse("another number of parts");
        return rest[0].map((part) => this.value(part));
      case "union":
        return this.union(rest[0]);
      case "struct":
        return this.struct(this.schema.structs[rest[0]]);
    }
    throw new TypeError(`schema: ${kind}`);
  }

  number(allowed) {
    const number = this.need("int");
    if (!allowed(number)) refuse("a number out of its bounds");
    return number;
  }

  text([low, high, pattern]) {
    const text = textOf(this.piece("text"));
    within([...text], [low, high]);
    if (pattern && !new RegExp(pattern.replace("\\Z", "$")).test(text)) refuse("text of another form");
    return text;
  }

  // The one alternative that the next bytes can be: nil, the struct of their tag, or the only other.
  union(parts) {
    const start = this.at;
    const [kind] = this.head();
    const tag = kind === "array" ? this.tag() : null;
    this.at = start;
    for (const part of parts) {
      const struct = part[0] === "struct" ? this.schema.structs[part[1]] : null;
      const fits = kind === "nil" ? part[0] === "nil" : struct ? tag !== null && struct.tag === tag : part[0] !== "nil";
      if (fits) return this.value(part);
    }
    return refuse("none of the alternatives");
  }

  tag() {
    const next = this.data[this.at];
    const isText = (next >= 0xa0 && next < 0xc0) || next === 0xd9;
    return isText ? this.piece("text").toString("latin1") : null;
  }

  struct(form) {
    const tagged = form.tag === null ? 0 : 1;
    if (this.need("array") !== BigInt(form.fields.length + tagged)) refuse("another number of fields");
    if (tagged && this.piece("text").toString("latin1") !== form.tag) refuse("another tag");
    const fields = {};
    for (const [name, type] of form.fields) fields[name] = this.value(type);
    return new Struct(form.tag, fields);
  }
}

function within(value, [low, high]) {
  if (value.length < low || value.length > high) refuse("a length out of its bounds");
  return value;
}
