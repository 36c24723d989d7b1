// A third verifier of Xinglin's files, from docs/spec and Node's standard library alone.
//
//   node main.js [--schema FILE] [--policy FILE] FILE NETWORK_ID      what the file proves; status 5 when it does not hold
//   node main.js [--schema FILE] --cases FOLDER                       a verdict a line for each of the folder's cases
//   node main.js --policies FILE                                      what is read from each of a JSON list of policies in base64
//   node main.js --ed25519 FILE                                       the cases of ed25519_accept.json

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Refused, Schema } from "./msgpack.js";
import { verifyEd25519 } from "./ed25519.js";
import { Policy } from "./policy.js";
import { Verifier } from "./verify.js";

const text = (...path) => readFileSync(join(...path), "utf8");
const hex = (digits) => Buffer.from(digits, "hex");

function orRefused(judge) {
  try {
    return judge();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { refused: error.message };
  }
}

// network, *.policy and cases.jsonl, each line {"file": base64, "policy": name or null, "network": hex or null}
function run(schema, folder) {
  const pinned = hex(text(folder, "network").trim());
  const files = readdirSync(folder).filter((name) => name.endsWith(".policy"));
  const policies = new Map(files.map((name) => [name.slice(0, -".policy".length), new Policy(readFileSync(join(folder, name)))]));
  const verdicts = [];
  for (const line of text(folder, "cases.jsonl").split("\n")) {
    if (line === "") continue;
    const { file, policy, network } = JSON.parse(line);
    const verifier = new Verifier(schema, network === null ? pinned : hex(network), policy === null ? null : policies.get(policy));
    verdicts.push(orRefused(() => verifier.verify(Buffer.from(file, "base64"))));
  }
  process.stdout.write(verdicts.map((one) => `${JSON.stringify(one)}\n`).join(""));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    schema: { type: "string", default: join(import.meta.dirname ?? ".", "..", "schema.json") },
    policy: { type: "string" }, cases: { type: "string" }, policies: { type: "string" },
    ed25519: { type: "string" },
  },
});

if (values.ed25519) {
  for (const { key, message, signature } of JSON.parse(text(values.ed25519)).cases) {
    console.log(verifyEd25519(hex(key), hex(message), hex(signature)));
  }
} else if (values.policies) {
  for (const one of JSON.parse(text(values.policies))) {
    console.log(JSON.stringify(orRefused(() => new Policy(Buffer.from(one, "base64")).told())));
  }
} else if (values.cases) {
  run(new Schema(values.schema), values.cases);
} else if (positionals.length !== 2) {
  console.error("usage: [--schema FILE] [--policy FILE] FILE NETWORK_ID");
  process.exitCode = 2;
} else {
  const said = orRefused(() => {
    const policy = values.policy ? new Policy(readFileSync(values.policy)) : null;
    return new Verifier(new Schema(values.schema), hex(positionals[1]), policy).verify(readFileSync(positionals[0]));
  });
  if (said.refused === undefined) console.log(JSON.stringify(said));
  else {
    console.error(`does not hold: ${said.refused}`);
    process.exitCode = 5;
  }
}
