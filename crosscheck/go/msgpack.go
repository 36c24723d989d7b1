package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Values are nil, bool, uint64, []byte, string, []any (a list or tuple) and Struct.
// docs/spec/encoding.md: MessagePack of which each value has one encoding; types come from schema.json.

// Struct is an array that a type of the schema gives names to.
type Struct struct {
	Type   string
	Tag    string
	Fields map[string]any
}

// Type is one node of the schema.
type Type struct {
	Kind    string
	Low     uint64
	High    uint64
	Pattern *regexp.Regexp
	Values  map[uint64]bool
	Parts   []*Type
	Struct  string
}

type structType struct {
	Tag    string
	Tagged bool
	Names  []string
	Types  []*Type
}

// Schema says what may stand where.
type Schema struct {
	Files    map[string]*Type
	Tables   map[string]table
	Manifest *Type
	Leaf     *Type
	Closing  *Type
	Events   *Type
	Entry    *Type
	structs  map[string]*structType
}

type table struct {
	Width int
	Row   *Type
}

// refused is what any function panics with when a file does not hold; held turns it into an error.
type refused struct{ why string }

func refuse(format string, args ...any) {
	panic(refused{fmt.Sprintf(format, args...)})
}

// held runs what may refuse. Only a refusal becomes an error: any other panic is a fault of ours, and is seen.
func held(run func()) (err error) {
	defer func() {
		if why := recover(); why != nil {
			known, ours := why.(refused)
			if !ours {
				panic(why)
			}
			err = errors.New(known.why)
		}
	}()
	run()
	return nil
}

// -- the schema

func loadSchema(path string) (*Schema, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var raw struct {
		Files    map[string]any
		Manifest any
		Leaf     any
		Closing  any
		Events   any
		Entry    any
		Tables   map[string]struct {
			Width int
			Row   any
		}
		Structs map[string]struct {
			Tag    *string
			Fields [][]any
		}
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	s := &Schema{
		Files: map[string]*Type{}, Tables: map[string]table{}, structs: map[string]*structType{},
		Manifest: typeOf(raw.Manifest), Leaf: typeOf(raw.Leaf), Closing: typeOf(raw.Closing),
		Events: typeOf(raw.Events), Entry: typeOf(raw.Entry),
	}
	for tag, one := range raw.Files {
		s.Files[tag] = typeOf(one)
	}
	for name, one := range raw.Tables {
		s.Tables[name] = table{one.Width, typeOf(one.Row)}
	}
	for name, one := range raw.Structs {
		made := &structType{Tagged: one.Tag != nil}
		if one.Tag != nil {
			made.Tag = *one.Tag
		}
		for _, field := range one.Fields {
			made.Names = append(made.Names, field[0].(string))
			made.Types = append(made.Types, typeOf(field[1]))
		}
		s.structs[name] = made
	}
	return s, nil
}

func typeOf(raw any) *Type {
	form := raw.([]any)
	t := &Type{Kind: form[0].(string)}
	switch t.Kind {
	case "int":
		t.Low, t.High = number(form[1]), number(form[2])
	case "bytes", "text", "list":
		t.Low, t.High = uint64(form[1].(float64)), uint64(form[2].(float64))
		if t.Kind == "list" {
			t.Parts = []*Type{typeOf(form[3])}
		} else if t.Kind == "text" && form[3] != "" {
			t.Pattern = regexp.MustCompile(strings.Replace(form[3].(string), `\Z`, `\z`, 1))
		}
	case "enum":
		t.Values = map[uint64]bool{}
		for _, one := range form[1].([]any) {
			t.Values[number(one)] = true
		}
	case "tuple", "union":
		for _, part := range form[1].([]any) {
			t.Parts = append(t.Parts, typeOf(part))
		}
	case "struct":
		t.Struct = form[1].(string)
	}
	return t
}

func number(raw any) uint64 {
	n, ok := new(big.Int).SetString(raw.(string), 10)
	if !ok || !n.IsUint64() {
		panic("schema: a number that no file holds: " + raw.(string))
	}
	return n.Uint64()
}

// -- decoding

type decoder struct {
	schema *Schema
	data   []byte
	at     int
}

// decode returns the value whose only encoding is data, or panics with refused.
func (s *Schema) decode(data []byte, t *Type) any {
	d := &decoder{s, data, 0}
	value := d.value(t)
	if d.at != len(data) {
		refuse("bytes behind the value")
	}
	return value
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.data)-d.at) {
		refuse("cut off")
	}
	piece := d.data[d.at : d.at+int(n)]
	d.at += int(n)
	return piece
}

// head reads the head of the next value: its kind, and its number or length. Only the shortest form passes.
func (d *decoder) head() (string, uint64) {
	first := d.take(1)[0]
	switch {
	case first < 0x80:
		return "int", uint64(first)
	case first >= 0x90 && first < 0xa0:
		return "array", uint64(first - 0x90)
	case first >= 0xa0 && first < 0xc0:
		return "text", uint64(first - 0xa0)
	case first == 0xc0:
		return "nil", 0
	case first == 0xc2 || first == 0xc3:
		return "bool", uint64(first - 0xc2)
	}
	form, ok := forms[first]
	if !ok {
		refuse("a value that is not used: %#x", first)
	}
	raw := make([]byte, 8)
	copy(raw[8-form.width:], d.take(uint64(form.width)))
	n := binary.BigEndian.Uint64(raw)
	if n < form.least {
		refuse("a longer head than needed")
	}
	return form.kind, n
}

var forms = map[byte]struct {
	kind  string
	width int
	least uint64
}{
	0xc4: {"bytes", 1, 0}, 0xc5: {"bytes", 2, 1 << 8}, 0xc6: {"bytes", 4, 1 << 16},
	0xcc: {"int", 1, 0x80}, 0xcd: {"int", 2, 1 << 8}, 0xce: {"int", 4, 1 << 16}, 0xcf: {"int", 8, 1 << 32},
	0xd9: {"text", 1, 32}, 0xda: {"text", 2, 1 << 8}, 0xdb: {"text", 4, 1 << 16},
	0xdc: {"array", 2, 16}, 0xdd: {"array", 4, 1 << 16},
}

func (d *decoder) need(kind string) uint64 {
	found, n := d.head()
	if found != kind {
		refuse("%s where %s belongs", found, kind)
	}
	return n
}

func (d *decoder) value(t *Type) any {
	switch t.Kind {
	case "nil":
		d.need("nil")
		return nil
	case "bool":
		return d.need("bool") == 1
	case "int", "enum":
		n := d.need("int")
		if t.Kind == "int" && (n < t.Low || n > t.High) || t.Kind == "enum" && !t.Values[n] {
			refuse("a number out of its bounds")
		}
		return n
	case "bytes":
		piece := d.take(d.need("bytes"))
		within(uint64(len(piece)), t)
		return piece
	case "text":
		return d.text(t)
	case "list":
		count := d.need("array")
		within(count, t)
		values := []any{}
		for ; count > 0; count-- {
			values = append(values, d.value(t.Parts[0]))
		}
		return values
	case "tuple":
		if d.need("array") != uint64(len(t.Parts)) {
			refuse("another number of parts")
		}
		values := []any{}
		for _, part := range t.Parts {
			values = append(values, d.value(part))
		}
		return values
	case "union":
		return d.union(t)
	case "struct":
		return d.structure(t)
	}
	panic("schema: " + t.Kind)
}

func within(n uint64, t *Type) {
	if n < t.Low || n > t.High {
		refuse("a length out of its bounds")
	}
}

func (d *decoder) text(t *Type) string {
	piece := d.take(d.need("text"))
	if !utf8.Valid(piece) {
		refuse("not UTF-8")
	}
	within(uint64(utf8.RuneCount(piece)), t)
	if t.Pattern != nil && !t.Pattern.Match(piece) {
		refuse("text of another form")
	}
	return string(piece)
}

// union tries the one alternative that the next bytes can be: nil, the struct of their tag, or the only other.
func (d *decoder) union(t *Type) any {
	start := d.at
	kind, _ := d.head()
	tag := ""
	if kind == "array" {
		if next, n := d.peekText(); next {
			tag = string(d.take(n))
		}
	}
	d.at = start
	for _, part := range t.Parts {
		one := d.schema.structs[part.Struct]
		switch {
		case kind == "nil" && part.Kind == "nil",
			kind != "nil" && part.Kind != "nil" && one == nil,
			one != nil && one.Tagged && one.Tag == tag && kind == "array":
			return d.value(part)
		}
	}
	refuse("none of the alternatives")
	return nil
}

func (d *decoder) peekText() (bool, uint64) {
	if d.at == len(d.data) || !(d.data[d.at] >= 0xa0 && d.data[d.at] < 0xc0 || d.data[d.at] == 0xd9) {
		return false, 0
	}
	_, n := d.head()
	return true, n
}

func (d *decoder) structure(t *Type) any {
	form := d.schema.structs[t.Struct]
	count := uint64(len(form.Names))
	if form.Tagged {
		count++
	}
	if d.need("array") != count {
		refuse("another number of fields")
	}
	if form.Tagged && string(d.take(d.need("text"))) != form.Tag {
		refuse("another tag")
	}
	made := Struct{t.Struct, form.Tag, map[string]any{}}
	for at, name := range form.Names {
		made.Fields[name] = d.value(form.Types[at])
	}
	return made
}
