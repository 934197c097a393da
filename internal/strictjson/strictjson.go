// Package strictjson decodes JSON that a stranger may have written: vendor
// answers and browser bodies. Names match case-exactly; an object that names a
// member twice, also in another case, is refused, because whoever can add one
// key to a body would otherwise pick the identity (T5). Unknown members are
// allowed, since vendors add them; DecodeClosed refuses them too.
package strictjson

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/cases"
)

// ErrAmbiguous is an object with two members whose names fold to the same text.
var ErrAmbiguous = errors.New("strictjson: ambiguous member name")

// Decode reads exactly one JSON value from data into v, ignoring unknown members.
func Decode(data []byte, v any) error {
	return decode(data, v, json.RejectUnknownMembers(false))
}

// DecodeClosed is Decode that refuses unknown members, for bodies we define ourselves.
func DecodeClosed(data []byte, v any) error {
	return decode(data, v, json.RejectUnknownMembers(true))
}

func decode(data []byte, v any, opts ...json.Options) error {
	if err := checkNames(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v, opts...); err != nil {
		return fmt.Errorf("strictjson: %w", err)
	}
	return nil
}

// checkNames walks the tokens once and refuses objects with folding twins.
// The decoder itself refuses exact duplicates and invalid UTF-8.
func checkNames(data []byte) error {
	dec := jsontext.NewDecoder(strings.NewReader(string(data)))
	fold := cases.Fold()
	var seen []map[string]struct{} // one set for each open object, nil for an array
	for {
		name := expectsName(dec)
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("strictjson: %w", err)
		}
		switch token.Kind() {
		case '{':
			seen = append(seen, map[string]struct{}{})
		case '[':
			seen = append(seen, nil)
		case '}', ']':
			seen = seen[:len(seen)-1]
		case '"':
			if !name {
				continue
			}
			folded := fold.String(token.String())
			if _, twice := seen[len(seen)-1][folded]; twice {
				return fmt.Errorf("%w: %q", ErrAmbiguous, token.String())
			}
			seen[len(seen)-1][folded] = struct{}{}
		}
	}
}

// expectsName reports whether the next string is a member name.
func expectsName(dec *jsontext.Decoder) bool {
	kind, length := dec.StackIndex(dec.StackDepth())
	return kind == '{' && length%2 == 0
}
