package strictjson

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/cases"
)

const (
	// deepest is the nesting that the decoder accepts; what is deeper is left
	// to it to refuse.
	deepest = 10_000
	// few is how many names of one object are compared one by one; more go
	// into a map, so that a body of nothing but names costs no more than others.
	few = 32
)

// names walks a JSON text byte by byte and refuses objects with folding twins.
// It trusts no syntax: where it meets something that is not JSON it stops
// without an opinion, because the decoder refuses the text anyway. A walk over
// bytes costs a fraction of one over tokens, and every answer of a vendor goes
// through it.
type names struct {
	open []object
	list []name // of all open objects, the innermost last
	fold *cases.Caser
}

// object is an open object, or an array, whose members have no names.
type object struct {
	array bool
	first int                 // where its names begin in the list
	bits  uint64              // one for each of those names, by hash
	many  map[string]struct{} // folded names, once there are more than few
}

// name is a member name; text is ASCII as written, or folded.
type name struct {
	hash uint64
	text []byte
}

// checkNames refuses data in which one object has two members whose names are
// the same, or the same but for case.
func checkNames(data []byte) error {
	n := names{}
	expected := false // a string here is a name
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if len(n.open) == deepest {
				return nil
			}
			expected = data[i] == '{'
			n.open = append(n.open, object{array: !expected, first: len(n.list)})
		case '}', ']':
			if len(n.open) == 0 {
				return nil
			}
			n.list = n.list[:n.open[len(n.open)-1].first]
			n.open, expected = n.open[:len(n.open)-1], false
		case ',':
			expected = len(n.open) > 0 && !n.open[len(n.open)-1].array
		case '"':
			end := endOfString(data, i+1)
			if end < 0 {
				return nil
			}
			if expected {
				if err := n.add(data[i : end+1]); err != nil {
					return err
				}
			}
			i, expected = end, false
		}
	}
	return nil
}

// endOfString finds the quote that ends a string, or -1: the first one with an
// even number of backslashes before it.
func endOfString(data []byte, from int) int {
	for i := from; ; i++ {
		length := bytes.IndexByte(data[i:], '"')
		if length < 0 {
			return -1
		}
		i += length
		escapes := 0
		for i-escapes > from && data[i-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// add notes a name of the innermost object, given with its quotes.
func (n *names) add(quoted []byte) error {
	one, ok := n.read(quoted)
	if !ok {
		return nil // no text at all: the decoder refuses it
	}
	o := &n.open[len(n.open)-1]
	if len(n.list)-o.first == few && o.many == nil {
		o.many = make(map[string]struct{}, 2*few)
		for _, seen := range n.list[o.first:] {
			o.many[string(lower(seen.text))] = struct{}{}
		}
	}
	if o.many != nil {
		key := string(lower(one.text))
		if _, twice := o.many[key]; twice {
			return fmt.Errorf("%w: %q", ErrAmbiguous, quoted)
		}
		o.many[key] = struct{}{}
		return nil
	}
	bit := uint64(1) << (one.hash >> 58)
	if o.bits&bit == 0 { // most names: nothing before had this one's bit
		o.bits |= bit
		n.list = append(n.list, one)
		return nil
	}
	for _, seen := range n.list[o.first:] {
		if seen.hash == one.hash && bytes.Equal(lower(seen.text), lower(one.text)) {
			return fmt.Errorf("%w: %q", ErrAmbiguous, quoted)
		}
	}
	n.list = append(n.list, one)
	return nil
}

// read takes the name out of its quotes. Names that are not plain ASCII are
// folded here; for the others the hash folds.
func (n *names) read(quoted []byte) (name, bool) {
	text := quoted[1 : len(quoted)-1]
	hash, ascii := hashOf(text)
	if ascii && bytes.IndexByte(text, '\\') < 0 {
		return name{hash, text}, true
	}
	unquoted, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return name{}, false
	}
	if n.fold == nil {
		fold := cases.Fold()
		n.fold = &fold
	}
	text = n.fold.Bytes(unquoted)
	hash, _ = hashOf(text)
	return name{hash, text}, true
}

// hashOf is FNV-1a over the bytes with ASCII letters made small. It only
// spares comparisons: equal hashes are looked at again.
func hashOf(text []byte) (hash uint64, ascii bool) {
	hash = 14695981039346656037
	var all byte
	for _, b := range text {
		all |= b
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return hash, all < 0x80
}

// lower makes ASCII letters small; text that has none is given back as it is.
func lower(text []byte) []byte {
	for _, b := range text {
		if 'A' <= b && b <= 'Z' {
			return asciiLower(text)
		}
	}
	return text
}

func asciiLower(text []byte) []byte {
	small := bytes.Clone(text)
	for i, b := range small {
		if 'A' <= b && b <= 'Z' {
			small[i] = b + 'a' - 'A'
		}
	}
	return small
}
