package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// docs/spec/published.md; C2SP tlog-policy.

const (
	policyBytesMax = 64 << 10
	policyLinesMax = 1000
	noQuorum       = "none"
)

var policyNumber = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)

type group struct {
	name    string
	least   int
	members []string
}

type policy struct {
	logs      []noteKey
	witnesses []noteKey
	names     []string // of witnesses, in step
	groups    []group
	quorum    string
	free      map[string]bool // every name, and whether it is in no group yet
}

func readPolicy(data []byte) (p *policy, err error) {
	err = held(func() {
		p = &policy{free: map[string]bool{}}
		p.read(data)
	})
	return p, err
}

func (p *policy) read(data []byte) {
	if len(data) > policyBytesMax {
		refuse("policy: too long")
	}
	for _, one := range data {
		if one < 0x20 && one != '\t' && one != '\n' || one == 0x7f {
			refuse("policy: a control character")
		}
	}
	lines := strings.Split(string(data), "\n")
	if lines[len(lines)-1] != "" || len(lines)-1 > policyLinesMax {
		refuse("policy: the last line has no end, or there are too many")
	}
	for _, line := range lines {
		words := strings.FieldsFunc(line, func(one rune) bool { return one == ' ' || one == '\t' })
		if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			p.line(words)
		}
	}
	if p.quorum == "" {
		refuse("policy: no quorum")
	}
}

func (p *policy) line(words []string) {
	count := len(words)
	switch {
	case words[0] == "log" && (count == 2 || count == 3):
		p.logs = append(p.logs, another(p.logs, readKey(words[1], useLog)))
	case words[0] == "witness" && (count == 3 || count == 4):
		p.newName(words[1])
		p.names = append(p.names, words[1])
		p.witnesses = append(p.witnesses, another(p.witnesses, readKey(words[2], useWitness)))
	case words[0] == "group" && count >= 4:
		p.group(words[1], words[2], words[3:])
	case words[0] == "quorum" && count == 2 && p.quorum == "" && (words[1] == noQuorum || p.knows(words[1])):
		p.quorum = words[1]
	default:
		refuse("policy: %q", words[0])
	}
}

func (p *policy) knows(name string) bool {
	_, known := p.free[name]
	return known
}

func (p *policy) newName(name string) {
	if name == noQuorum || p.knows(name) {
		refuse("policy: a name twice: %q", name)
	}
	p.free[name] = true
}

// another is the key, if none before it is the same or is named the same.
func another(before []noteKey, key noteKey) noteKey {
	for _, one := range before {
		if one.key == key.key || one.label() == key.label() {
			refuse("policy: a key twice: %s", key.name)
		}
	}
	return key
}

func (p *policy) group(name, least string, members []string) {
	for _, member := range members {
		if !p.free[member] {
			refuse("policy: %q has a member that is not known before it, or is in a group already", name)
		}
		p.free[member] = false
	}
	count := len(members)
	switch {
	case least == "any":
		count = 1
	case policyNumber.MatchString(least):
		count, _ = strconv.Atoi(least)
	case least != "all":
		refuse("policy: %q of %q", least, name)
	}
	if count > len(members) {
		refuse("policy: %d of %d in %q", count, len(members), name)
	}
	p.newName(name)
	p.groups = append(p.groups, group{name, count, members})
}

// told is what was read, for comparing. Names are bytes, and need not be UTF-8.
func (p *policy) told() map[string]any {
	labels := func(keys []noteKey) []string {
		found := []string{}
		for _, key := range keys {
			found = append(found, key.label())
		}
		return found
	}
	names, groups := []string{}, []string{}
	for _, name := range p.names {
		names = append(names, hexOf(name))
	}
	for _, one := range p.groups {
		members := ""
		for _, member := range one.members {
			members += " " + hexOf(member)
		}
		groups = append(groups, fmt.Sprintf("%s %d%s", hexOf(one.name), one.least, members))
	}
	return map[string]any{"logs": labels(p.logs), "witnesses": labels(p.witnesses), "names": names, "groups": groups,
		"quorum": hexOf(p.quorum)}
}

func hexOf(name string) string { return fmt.Sprintf("%x", name) }

// met says whether these witnesses are a quorum.
func (p *policy) met(cosigned []noteKey) bool {
	holds := map[string]bool{noQuorum: true}
	for at, name := range p.names {
		for _, one := range cosigned {
			holds[name] = holds[name] || one.key == p.witnesses[at].key
		}
	}
	for _, one := range p.groups {
		count := 0
		for _, member := range one.members {
			if holds[member] {
				count++
			}
		}
		holds[one.name] = count >= one.least
	}
	return holds[p.quorum]
}
