// Package strictjson decodes JSON that a stranger may have written: vendor
// answers and browser bodies. Names match case-exactly; an object that names a
// member twice, also in another case, is refused, because whoever can add one
// key to a body would otherwise pick the identity (T5). Unknown members are
// allowed, since vendors add them; DecodeClosed refuses them too.
package strictjson

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrAmbiguous is an object with two members whose names fold to the same text.
var ErrAmbiguous = errors.New("strictjson: ambiguous member name")

// Text is a JSON text whose names have been looked at, to be decoded as often
// as needed. The zero value is the empty text.
type Text struct{ data []byte }

// Check looks at the names of every object in data. It does not look at the
// syntax: decoding does. The text keeps data.
func Check(data []byte) (Text, error) {
	if err := checkNames(data); err != nil {
		return Text{}, err
	}
	return Text{data}, nil
}

// Decode reads exactly one JSON value from the text into v, ignoring unknown members.
func (t Text) Decode(v any) error { return t.decode(v, false) }

func (t Text) decode(v any, closed bool) error {
	// Check has refused twins of every kind, exact ones among them; the decoder
	// need not keep a second book of names.
	err := json.Unmarshal(t.data, v, json.RejectUnknownMembers(closed), jsontext.AllowDuplicateNames(true))
	if err != nil {
		return fmt.Errorf("strictjson: %w", err)
	}
	return nil
}

// Decode reads exactly one JSON value from data into v, ignoring unknown members.
func Decode(data []byte, v any) error {
	t, err := Check(data)
	if err != nil {
		return err
	}
	return t.decode(v, false)
}

// DecodeClosed is Decode that refuses unknown members, for bodies we define ourselves.
func DecodeClosed(data []byte, v any) error {
	t, err := Check(data)
	if err != nil {
		return err
	}
	return t.decode(v, true)
}
