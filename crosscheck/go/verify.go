package main

import (
	"bytes"
	"encoding/hex"
	"strconv"
)

// docs/spec/receipt.md and receipt-cose.md, step by step.

const (
	fileBytesMax = 64 << 20
	leafTx       = 0
	leafTimer    = 1
	leafClosing  = 2
	noneFailed   = 255
	msPerHour    = 3_600_000
	revoked      = 3
)

type network struct {
	manifest Struct
	id       []byte
	chain    string
	hash     digest
}

type signers struct {
	logs, witnesses []noteKey
	byQuorum        bool
}

type verifier struct {
	schema *Schema
	pinned []byte
	policy *policy
}

// verify says what the file proves.
func (v *verifier) verify(data []byte) (facts map[string]any, err error) {
	err = held(func() { facts = v.read(data) })
	return facts, err
}

func (v *verifier) read(data []byte) map[string]any {
	if len(data) > fileBytesMax {
		refuse("too large")
	}
	if bytes.HasPrefix(data, []byte{0xd2, 0x84}) {
		return v.cose(data)
	}
	for tag, form := range v.schema.Files {
		// No tag is longer than 31 bytes: an array of a few fields, then the text's head.
		if len(data) > 1 && bytes.HasPrefix(data[1:], append([]byte{0xa0 + byte(len(tag))}, tag...)) {
			file := v.schema.decode(data, form).(Struct)
			switch tag {
			case "xinglin.receipt/1":
				return v.receipt(file)
			case "xinglin.state-proof/1":
				return v.state(file)
			case "xinglin.completeness/1":
				return v.completeness(file)
			}
		}
	}
	refuse("no file of ours")
	return nil
}

// -- steps for every file

func (v *verifier) network(manifest []byte) network {
	read := v.schema.decode(manifest, v.schema.Manifest).(Struct)
	hash, ok := suites[read.text("hash_suite")]
	if !ok {
		refuse("its hash suite is unknown")
	}
	id := tagged(hash, "xinglin/network/1", manifest)
	if !bytes.Equal(id, v.pinned) {
		refuse("the file is of another network")
	}
	chain := read.text("name")
	if read.Fields["simulated"].(bool) {
		chain += "-sim"
	}
	return network{read, id, chain + "-" + hex.EncodeToString(id[:8]), hash}
}

func (v *verifier) logKeys(net network) []noteKey {
	if v.policy != nil && len(v.policy.logs) > 0 {
		return v.policy.logs
	}
	var keys []noteKey
	for _, one := range net.manifest.list("checkpoint_keys") {
		key := one.(Struct)
		keys = append(keys, noteKey{key.text("name"), useLog, string(key.bytes("key"))})
	}
	return keys
}

func (v *verifier) checkpoint(net network, note []byte) (checkpoint, signers) {
	keys := v.logKeys(net)
	if v.policy != nil {
		keys = append(append([]noteKey{}, keys...), v.policy.witnesses...)
	}
	found, logs, witnesses := openCheckpoint(note, keys)
	if found.origin != "xinglin/"+net.chain {
		refuse("it is of another log")
	}
	return found, v.judge(logs, witnesses)
}

func (v *verifier) judge(logs, witnesses []noteKey) signers {
	if len(logs) == 0 {
		refuse("signed by nobody who signs for this network")
	}
	if v.policy != nil && !v.policy.met(witnesses) {
		refuse("cosigned by %d of %d", len(witnesses), len(v.policy.witnesses))
	}
	return signers{logs, witnesses, v.policy != nil && v.policy.quorum != noQuorum}
}

func inHistory(net network, at checkpoint, place Struct) {
	root := inclusionRoot(net.hash, place.bytes("leaf"), place.number("index"), at.size, hashesOf(place.list("path")))
	if !bytes.Equal(root, at.root) {
		refuse("not in the history")
	}
}

func (v *verifier) closing(net network, place Struct) Struct {
	closing := v.schema.decode(place.bytes("leaf"), v.schema.Closing).(Struct)
	if closing.number("kind") != leafClosing {
		refuse("the leaf does not close a block")
	}
	if !bytes.Equal(closing.bytes("module_set"), net.manifest.bytes("module_set")) {
		refuse("its block was made under other rules than its manifest's")
	}
	return closing
}

// -- receipts

func (v *verifier) receipt(file Struct) map[string]any {
	net := v.network(file.bytes("manifest"))
	at, by := v.checkpoint(net, file.bytes("checkpoint"))
	outcome, closing := file.Fields["outcome"].(Struct), file.Fields["closing"].(Struct)
	inHistory(net, at, outcome)
	inHistory(net, at, closing)
	return v.outcome("receipt", net, by, outcome, closing, file.bytes("events"))
}

func (v *verifier) outcome(kind string, net network, by signers, place, closed Struct, told []byte) map[string]any {
	leaf := v.schema.decode(place.bytes("leaf"), v.schema.Leaf).(Struct)
	closing := v.closing(net, closed)
	if leaf.number("kind") == leafClosing {
		refuse("the leaf is not of an outcome")
	}
	if leaf.number("height") != closing.number("height") || place.number("index") >= closed.number("index") {
		refuse("the closing leaf is of another block")
	}
	if !bytes.Equal(leaf.bytes("events_hash"), tagged(net.hash, "xinglin/events/1", told)) {
		refuse("the events are not those of the leaf")
	}
	events := v.schema.decode(told, v.schema.Events).([]any)
	facts := report(kind, net, by, closing)
	facts["code"], facts["index"] = count(leaf.number("code")), count(leaf.number("index"))
	facts["events"] = count(uint64(len(events) - 1))
	tellsTheSame(leaf, events, facts)
	return facts
}

func tellsTheSame(leaf Struct, events []any, facts map[string]any) {
	for _, later := range events[1:] {
		if tag := later.(Struct).Tag; tag == "kernel.envelope/1" || tag == "kernel.timer/1" {
			refuse("a second envelope")
		}
	}
	first, code := events[0].(Struct), leaf.number("code")
	switch first.Tag {
	case "kernel.timer/1":
		if leaf.number("kind") != leafTimer || code != 0 {
			refuse("a timer's envelope on another leaf")
		}
		facts["timer"], facts["due_ms"] = first.text("table"), count(first.number("due_ms"))
		return
	case "kernel.envelope/1":
		tags, names := first.list("tags"), first.list("signers")
		expected := 1
		if code == 0 {
			expected = 1 + len(tags)
		}
		if leaf.number("kind") != leafTx || first.number("code") != code || len(names) != len(first.list("custody")) ||
			len(events) != expected || code == 0 && first.number("failed") != noneFailed {
			refuse("the envelope says something else than the leaf")
		}
		facts["tx"], facts["tags"] = hex.EncodeToString(first.bytes("tx_id")), tags
		accounts := []any{}
		for _, one := range names {
			accounts = append(accounts, hex.EncodeToString(one.([]byte)))
		}
		facts["signers"] = accounts
		return
	}
	refuse("the events do not begin with an envelope")
}

// -- state proofs and completeness

type provedRow struct {
	net     network
	by      signers
	closing Struct
	table   string
	key     []byte
	row     *Struct // nil where there is none
}

func (v *verifier) row(file Struct) provedRow {
	net := v.network(file.bytes("manifest"))
	at, by := v.checkpoint(net, file.bytes("checkpoint"))
	place := file.Fields["closing"].(Struct)
	inHistory(net, at, place)
	closing := v.closing(net, place)
	name, key := file.text("table"), file.bytes("key")
	form, ok := v.schema.Tables[name]
	if !ok || len(key) != form.Width {
		refuse("not a table we know, or not a key of it")
	}
	proof := file.Fields["proof"].(Struct)
	var other [][]byte
	if proof.Fields["other"] != nil {
		other = hashesOf(proof.Fields["other"].([]any))
	}
	var raw []byte
	if file.Fields["row"] != nil {
		raw = append([]byte{}, file.bytes("row")...) // not nil, though it may be empty
	}
	verifyState(net.hash, closing.bytes("state_root"), name, key, raw, hashesOf(proof.list("siblings")), other)
	found := provedRow{net, by, closing, name, key, nil}
	if raw != nil {
		row := v.schema.decode(raw, form.Row).(Struct)
		found.row = &row
	}
	return found
}

func (v *verifier) state(file Struct) map[string]any {
	found := v.row(file)
	facts := report("state-proof", found.net, found.by, found.closing)
	facts["table"], facts["present"], facts["key"] = found.table, found.row != nil, hex.EncodeToString(found.key)
	if found.table == "consent/grants" {
		facts["subject"], facts["grantee"] = hex.EncodeToString(found.key[:16]), hex.EncodeToString(found.key[16:])
		facts["live_grants"] = count(live(found.row, found.closing.number("time_ms")))
	}
	return facts
}

func live(row *Struct, timeMs uint64) uint64 {
	found := uint64(0)
	if row != nil {
		for _, one := range row.list("grants") {
			given := one.(Struct)
			if given.number("status") != revoked && given.number("until_h") > timeMs/msPerHour {
				found++
			}
		}
	}
	return found
}

func (v *verifier) completeness(file Struct) map[string]any {
	log := v.row(file.Fields["log"].(Struct))
	if log.table != "access/log" {
		refuse("the proof is not of an access log")
	}
	running, entries := empty, file.list("entries")
	for at, raw := range entries {
		entry := v.schema.decode(raw.([]byte), v.schema.Entry).(Struct)
		if !bytes.Equal(entry.bytes("subject"), log.key) || entry.number("number") != uint64(at+1) {
			refuse("an entry is not the one that was ordered")
		}
		one := tagged(log.net.hash, "xinglin/event/1", raw.([]byte))
		running = tagged(log.net.hash, "xinglin/access-log/1", running, one)
	}
	expected, of := empty, uint64(0)
	if log.row != nil {
		expected, of = log.row.bytes("running"), log.row.number("count")
	}
	if of != uint64(len(entries)) || !bytes.Equal(running, expected) {
		refuse("the list is not complete")
	}
	facts := report("completeness", log.net, log.by, log.closing)
	facts["subject"], facts["entries"] = hex.EncodeToString(log.key), count(uint64(len(entries)))
	return facts
}

// -- facts

func report(kind string, net network, by signers, closing Struct) map[string]any {
	logs, witnesses, keys := []any{}, []any{}, map[string]bool{}
	for _, one := range by.logs {
		logs = append(logs, one.name)
		keys[one.key] = true
	}
	for _, one := range by.witnesses {
		witnesses = append(witnesses, one.name)
	}
	return map[string]any{
		"kind": kind, "network": hex.EncodeToString(net.id), "chain": net.chain, "signed_by": logs,
		"cosigned_by": witnesses, "single_operator": !by.byQuorum && len(keys) <= 1,
		"time_ms": count(closing.number("time_ms")), "height": count(closing.number("height"))}
}

// count writes a number as text: JSON readers lose those over 2^53.
func count(n uint64) string { return strconv.FormatUint(n, 10) }

func (s Struct) bytes(name string) []byte  { return s.Fields[name].([]byte) }
func (s Struct) text(name string) string   { return s.Fields[name].(string) }
func (s Struct) number(name string) uint64 { return s.Fields[name].(uint64) }
func (s Struct) list(name string) []any    { return s.Fields[name].([]any) }

func hashesOf(values []any) [][]byte {
	found := make([][]byte, len(values))
	for at, value := range values {
		found[at] = value.([]byte)
	}
	return found
}
