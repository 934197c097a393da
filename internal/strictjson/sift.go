package strictjson

import "bytes"

// Sift takes out of data those elements of an array that drop says. The array
// stands where the names of path lead, from the outermost object inwards, and
// holds objects only. Where there is no such array, ok is false, nothing is asked
// of drop, and left is data.
//
// As long as drop names no element but a whole JSON object without ambiguous
// names, left is JSON without ambiguous names exactly when data is: whoever has
// checked and decoded an element once, and knows it again by its bytes, need not
// do either again. Elements that are kept are not looked at here.
func Sift(data []byte, drop func(element []byte) bool, path ...string) (left []byte, ok bool) {
	at, ok := arrayAt(data, path)
	if !ok {
		return data, false
	}
	elements, end, ok := objects(data, at)
	if !ok {
		return data, false
	}
	kept := make([]span, 0, len(elements))
	for _, one := range elements {
		if !drop(data[one.begin:one.end]) {
			kept = append(kept, one)
		}
	}
	if len(kept) == len(elements) {
		return data, true
	}
	return with(data, at, end, kept), true
}

// span is a part of a text.
type span struct{ begin, end int }

// with is data with only these elements in the array whose inside is from at to end.
func with(data []byte, at, end int, kept []span) []byte {
	size := at + len(data) - end
	for _, one := range kept {
		size += one.end - one.begin + 1
	}
	left := append(make([]byte, 0, size), data[:at]...)
	for i, one := range kept {
		if i > 0 {
			left = append(left, ',')
		}
		left = append(left, data[one.begin:one.end]...)
	}
	return append(left, data[end:]...)
}

// arrayAt finds the array at a path and gives where its first element may begin.
func arrayAt(data []byte, path []string) (at int, ok bool) {
	for _, name := range path {
		if at = space(data, at); !is(data, at, '{') {
			return 0, false
		}
		if at, ok = member(data, at+1, name); !ok {
			return 0, false
		}
	}
	at = space(data, at)
	return at + 1, is(data, at, '[')
}

// member finds the value of the first member of this name in the object whose
// inside begins at at. The name is plain: one that is written with escapes is
// another one here, and a twin to the decoder.
func member(data []byte, at int, name string) (value int, ok bool) {
	for {
		if at = space(data, at); !is(data, at, '"') {
			return 0, false
		}
		end := endOfString(data, at+1)
		if end < 0 {
			return 0, false
		}
		found := string(data[at+1:end]) == name
		if at = space(data, end+1); !is(data, at, ':') {
			return 0, false
		}
		if at++; found {
			return at, true
		}
		if at = behind(data, at); !is(data, at, ',') {
			return 0, false
		}
		at++
	}
}

// behind finds the comma or bracket behind the value that begins at at.
func behind(data []byte, at int) int {
	for depth := 0; at < len(data); at++ {
		switch data[at] {
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return at
			}
			if data[at] != ',' {
				depth--
			}
		case '"':
			end := endOfString(data, at+1)
			if end < 0 {
				return len(data)
			}
			at = end
		}
	}
	return at
}

// objects gives the elements of the array whose inside begins at at, and where
// it ends. Between them stand a comma and white space and nothing else.
func objects(data []byte, at int) (list []span, end int, ok bool) {
	list = make([]span, 0, 100)
	for {
		if at = space(data, at); !is(data, at, '{') {
			return nil, 0, false
		}
		next := endOfObject(data, at)
		if next < 0 {
			return nil, 0, false
		}
		list = append(list, span{at, next})
		at = space(data, next)
		switch {
		case is(data, at, ']'):
			return list, at, true
		case !is(data, at, ','):
			return nil, 0, false
		}
		at++
	}
}

// endOfObject is the place behind the brace that closes the object at at, -1
// where none does.
func endOfObject(data []byte, at int) int {
	for depth := 0; at < len(data); at++ {
		switch data[at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		case '"':
			end := endOfString(data, at+1)
			if end < 0 {
				return -1
			}
			at = end
		}
	}
	return -1
}

// space skips white space (RFC 8259, section 2).
func space(data []byte, at int) int {
	for at < len(data) && bytes.IndexByte([]byte(" \t\r\n"), data[at]) >= 0 {
		at++
	}
	return at
}

func is(data []byte, at int, c byte) bool { return at < len(data) && data[at] == c }
