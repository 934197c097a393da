// Package loose reads JSON the way Kingdee's server does: names may stand
// without quotes, strings may stand in single quotes, and of two members with
// one name the last wins. It refuses text after the value, and nesting deeper
// than a link or a request ever needs.
package loose

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nesting, so that hostile text cannot exhaust the stack.
const maxDepth = 64

// ErrSyntax is text that is not even loose JSON; ErrTrailing is text after the value.
var (
	ErrSyntax   = errors.New("loose: not JSON")
	ErrTrailing = errors.New("loose: additional text found after the value")
)

// Number is a number as it was written.
type Number string

// Member is one name and its value.
type Member struct {
	Name  string
	Value any
}

// Object keeps members in the order they were written.
type Object []Member

// Get returns the value of a member, whatever its letter case. A name spelt
// exactly so is preferred, and of equals the last one wins.
func (o Object) Get(name string) (any, bool) {
	at := -1
	exact := false
	for i, m := range o {
		switch {
		case m.Name == name:
			at, exact = i, true
		case !exact && strings.EqualFold(m.Name, name):
			at = i
		}
	}
	if at < 0 {
		return nil, false
	}
	return o[at].Value, true
}

// Text returns a member as text: a string, a number as written, a boolean as
// "true" or "false", and "" for null or a missing member.
func (o Object) Text(name string) string {
	value, _ := o.Get(name)
	return Text(value)
}

// Text is a scalar as text; objects and arrays give "".
func Text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	default:
		return ""
	}
}

// Parse reads exactly one value: nil, bool, string, Number, []any or Object.
func Parse(text string) (any, error) {
	r := &reader{text: text}
	value, err := r.value(0)
	if err != nil {
		return nil, err
	}
	r.space()
	if r.at < len(r.text) {
		return nil, fmt.Errorf("%w at %d", ErrTrailing, r.at)
	}
	return value, nil
}

type reader struct {
	text string
	at   int
}

func (r *reader) fail(what string) error {
	return fmt.Errorf("%w: %s at %d", ErrSyntax, what, r.at)
}

func (r *reader) space() {
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
}

func (r *reader) peek() byte {
	r.space()
	if r.at >= len(r.text) {
		return 0
	}
	return r.text[r.at]
}

func (r *reader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, r.fail("nested too deep")
	}
	switch c := r.peek(); {
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.array(depth)
	case c == '"' || c == '\'':
		return r.quoted()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	default:
		return r.keyword()
	}
}

func (r *reader) object(depth int) (any, error) {
	r.at++
	out := Object{}
	if r.peek() == '}' {
		r.at++
		return out, nil
	}
	for {
		name, err := r.name()
		if err != nil {
			return nil, err
		}
		if r.peek() != ':' {
			return nil, r.fail("want a colon")
		}
		r.at++
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, Member{Name: name, Value: value})
		done, err := r.next('}')
		if done || err != nil {
			return out, err
		}
	}
}

func (r *reader) array(depth int) (any, error) {
	r.at++
	out := []any{}
	if r.peek() == ']' {
		r.at++
		return out, nil
	}
	for {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
		done, err := r.next(']')
		if done || err != nil {
			return out, err
		}
	}
}

// next steps over a comma, or over the closing byte, which ends the list.
func (r *reader) next(closing byte) (done bool, err error) {
	switch r.peek() {
	case ',':
		r.at++
		return false, nil
	case closing:
		r.at++
		return true, nil
	default:
		return false, r.fail("want a comma or the end")
	}
}

func (r *reader) name() (string, error) {
	if c := r.peek(); c == '"' || c == '\'' {
		return r.quoted()
	}
	start := r.at
	for r.at < len(r.text) && isNameByte(r.text[r.at]) {
		r.at++
	}
	if r.at == start {
		return "", r.fail("want a name")
	}
	return r.text[start:r.at], nil
}

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (r *reader) number() (any, error) {
	start := r.at
	for r.at < len(r.text) && strings.IndexByte("+-.eE0123456789", r.text[r.at]) >= 0 {
		r.at++
	}
	word := r.text[start:r.at]
	if _, err := strconv.ParseFloat(word, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, r.fail("bad number")
	}
	return Number(word), nil
}

func (r *reader) keyword() (any, error) {
	for word, value := range map[string]any{"null": nil, "true": true, "false": false} {
		rest := r.text[min(r.at, len(r.text)):]
		if strings.HasPrefix(rest, word) && (len(rest) == len(word) || !isNameByte(rest[len(word)])) {
			r.at += len(word)
			return value, nil
		}
	}
	return nil, r.fail("want a value")
}

func (r *reader) quoted() (string, error) {
	quote := r.text[r.at]
	r.at++
	var out strings.Builder
	for r.at < len(r.text) {
		c := r.text[r.at]
		switch {
		case c == quote:
			r.at++
			return out.String(), nil
		case c == '\\':
			if err := r.escape(&out); err != nil {
				return "", err
			}
		default:
			_, size := utf8.DecodeRuneInString(r.text[r.at:])
			out.WriteString(r.text[r.at : r.at+size])
			r.at += size
		}
	}
	return "", r.fail("string without an end")
}

func (r *reader) escape(out *strings.Builder) error {
	if r.at+1 >= len(r.text) {
		return r.fail("string without an end")
	}
	c := r.text[r.at+1]
	if c == 'u' {
		return r.unicode(out)
	}
	plain := strings.IndexByte(`"'\/bfnrt`, c)
	if plain < 0 {
		return r.fail("bad escape")
	}
	out.WriteByte("\"'\\/\b\f\n\r\t"[plain])
	r.at += 2
	return nil
}

// unicode reads one \uXXXX, and its second half when it is a surrogate pair.
func (r *reader) unicode(out *strings.Builder) error {
	first, err := r.unit(r.at)
	if err != nil {
		return err
	}
	r.at += 6
	if utf16.IsSurrogate(first) {
		if second, err := r.unit(r.at); err == nil {
			if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
				r.at += 6
				out.WriteRune(pair)
				return nil
			}
		}
	}
	out.WriteRune(first) // a lone surrogate becomes U+FFFD
	return nil
}

func (r *reader) unit(at int) (rune, error) {
	if at+6 > len(r.text) || r.text[at] != '\\' || r.text[at+1] != 'u' {
		return 0, r.fail("bad \\u escape")
	}
	n, err := strconv.ParseUint(r.text[at+2:at+6], 16, 16)
	if err != nil {
		return 0, r.fail("bad \\u escape")
	}
	return rune(n), nil
}

// Format writes a value in one canonical way, so that two texts of the same
// value can be told to be the same.
func Format(value any) string {
	var out strings.Builder
	format(&out, value)
	return out.String()
}

func format(out *strings.Builder, value any) {
	switch v := value.(type) {
	case nil:
		out.WriteString("null")
	case string:
		out.WriteString(strconv.Quote(v))
	case Number:
		out.WriteString(string(v))
	case bool:
		out.WriteString(strconv.FormatBool(v))
	case []any:
		out.WriteByte('[')
		for _, one := range v {
			format(out, one)
			out.WriteByte(',')
		}
		out.WriteByte(']')
	case Object:
		out.WriteByte('{')
		for _, m := range v {
			out.WriteString(strconv.Quote(m.Name))
			out.WriteByte(':')
			format(out, m.Value)
			out.WriteByte(',')
		}
		out.WriteByte('}')
	}
}
