// A second verifier of Xinglin's files, from docs/spec and Go's standard library alone.
//
//	go run . [-schema FILE] [-policy FILE] FILE NETWORK_ID      what the file proves; status 5 when it does not hold
//	go run . [-schema FILE] -cases FOLDER                       a verdict a line for each of the folder's cases
//	go run . -policies FILE                                     what is read from each of a JSON list of policies in base64
//	go run . -ed25519 FILE                                      the cases of ed25519_accept.json
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	schemaFile := flag.String("schema", "../schema.json", "crosscheck/schema.json")
	policyFile := flag.String("policy", "", "a trust policy")
	cases := flag.String("cases", "", "a folder of cases")
	policies := flag.String("policies", "", "a JSON list of policies in base64")
	ed := flag.String("ed25519", "", "ed25519_accept.json")
	flag.Parse()
	if *ed != "" {
		must(0, ed25519Cases(*ed))
		return
	}
	if *policies != "" {
		must(0, readPolicies(*policies))
		return
	}
	schema := must(loadSchema(*schemaFile))
	if *cases != "" {
		must(0, run(schema, *cases))
		return
	}
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: [-schema FILE] [-policy FILE] FILE NETWORK_ID")
		os.Exit(2)
	}
	data := must(os.ReadFile(flag.Arg(0)))
	v := &verifier{schema: schema, pinned: must(hex.DecodeString(flag.Arg(1)))}
	var facts map[string]any
	var err error
	if *policyFile != "" {
		v.policy, err = readPolicy(must(os.ReadFile(*policyFile)))
	}
	if err == nil {
		facts, err = v.verify(data)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "does not hold:", err)
		os.Exit(5)
	}
	os.Stdout.Write(line(facts))
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func line(facts any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	must(0, encoder.Encode(facts))
	return out.Bytes()
}

// run reads network, *.policy and cases.jsonl, each line {"file": base64, "policy": name or null, "network": hex or null}.
func run(schema *Schema, folder string) error {
	pinned := must(hex.DecodeString(strings.TrimSpace(string(must(os.ReadFile(filepath.Join(folder, "network")))))))
	policies := map[string]*policy{}
	for _, file := range must(filepath.Glob(filepath.Join(folder, "*.policy"))) {
		name := strings.TrimSuffix(filepath.Base(file), ".policy")
		policies[name] = must(readPolicy(must(os.ReadFile(file))))
	}
	input := bufio.NewReader(must(os.Open(filepath.Join(folder, "cases.jsonl"))))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	decoder := json.NewDecoder(input)
	for decoder.More() {
		var one struct {
			File    []byte
			Policy  *string
			Network *string
		}
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		v := &verifier{schema: schema, pinned: pinned}
		if one.Network != nil {
			v.pinned = must(hex.DecodeString(*one.Network))
		}
		if one.Policy != nil {
			v.policy = policies[*one.Policy]
		}
		facts, err := v.verify(one.File)
		if err != nil {
			facts = map[string]any{"refused": err.Error()}
		}
		out.Write(line(facts))
	}
	return nil
}

func readPolicies(file string) error {
	var texts [][]byte
	if err := json.Unmarshal(must(os.ReadFile(file)), &texts); err != nil {
		return err
	}
	for _, text := range texts {
		p, err := readPolicy(text)
		said := map[string]any{}
		if err != nil {
			said["refused"] = err.Error()
		} else {
			said = p.told()
		}
		os.Stdout.Write(line(said))
	}
	return nil
}

func ed25519Cases(file string) error {
	var raw struct {
		Cases []struct {
			Key, Message, Signature string
		}
	}
	if err := json.Unmarshal(must(os.ReadFile(file)), &raw); err != nil {
		return err
	}
	for _, one := range raw.Cases {
		key, message, signature := must(hex.DecodeString(one.Key)), must(hex.DecodeString(one.Message)), must(hex.DecodeString(one.Signature))
		fmt.Println(verifyEd25519(key, message, signature))
	}
	return nil
}
