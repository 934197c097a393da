package dingtalk

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/strictjson"
)

// A member that is null is a member that is absent: the vendor leaves out what is
// empty (reference 5.3), and what must be there is read through a pointer.

// number is an integer that the vendor's examples also print in quotes.
// Identities never use it: a userid is text or the answer is refused.
type number int64

// UnmarshalJSONFrom accepts 7200, "7200" and, but for the elements of a list, null.
func (n *number) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if within, _ := dec.StackIndex(dec.StackDepth()); within != '[' && dec.PeekKind() == 'n' {
		*n = 0
		return dec.SkipValue()
	}
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	return n.read(value)
}

func (n *number) read(data []byte) error {
	v, err := strconv.ParseInt(string(unquoted(data)), 10, 64)
	if err != nil {
		return fmt.Errorf("not a whole number: %w", err)
	}
	*n = number(v)
	return nil
}

// flag is a boolean that the vendor's examples also print in quotes.
type flag bool

// UnmarshalJSON accepts true, "true" and null.
func (f *flag) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*f = false
		return nil
	}
	switch string(unquoted(data)) {
	case "true":
		*f = true
	case "false":
		*f = false
	default:
		return fmt.Errorf("not a boolean")
	}
	return nil
}

func unquoted(data []byte) []byte {
	data = bytes.TrimSpace(data)
	if len(data) >= 2 && data[0] == '"' && data[len(data)-1] == '"' {
		return data[1 : len(data)-1]
	}
	return data
}

// listOf is an array that the vendor's examples also print as its one element,
// or as a text with the array inside.
type listOf[T any] []T

// UnmarshalJSONFrom accepts [1,2], {"a":1}, "[1,2]" and null, which is nothing told.
func (l *listOf[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch kind := dec.PeekKind(); kind {
	case 'n':
		*l = nil
		return dec.SkipValue()
	case '[':
		list := []T(*l)[:0]
		if list == nil {
			list = []T{} // empty is not absent
		}
		if err := json.UnmarshalDecode(dec, &list); err != nil {
			return err
		}
		*l = list
		return nil
	case '{':
		var one T
		if err := json.UnmarshalDecode(dec, &one); err != nil {
			return err
		}
		*l = listOf[T]{one}
		return nil
	case '"':
		var inner string
		if err := json.UnmarshalDecode(dec, &inner); err != nil {
			return err
		}
		list := []T{}
		if err := strictjson.Decode([]byte(inner), &list); err != nil {
			return err
		}
		*l = list
		return nil
	default:
		return fmt.Errorf("not a list but %v", kind)
	}
}

// ids is a listOf[number] for records of which there are many: it is read number
// by number, without asking for a decoder of its own.
type ids []int64

// UnmarshalJSONFrom accepts what listOf does.
func (l *ids) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '[' {
		var other listOf[number]
		if err := other.UnmarshalJSONFrom(dec); err != nil {
			return err
		}
		for _, n := range other {
			*l = append(*l, int64(n))
		}
		return nil
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		var n number
		if err := n.read(value); err != nil {
			return err
		}
		*l = append(*l, int64(n))
	}
	_, err := dec.ReadToken()
	return err
}
