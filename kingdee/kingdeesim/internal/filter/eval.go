package filter

import (
	"cmp"
	"math/big"
	"strconv"
	"strings"
)

// Number is a number literal as it was written.
type Number string

// Column gives the value of one field in one row: nil, string, bool, int64 or Number.
type Column func(row int) any

// truth is SQL's three-valued logic.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

type node interface{ eval(row int) truth }

// operand is a field, a literal, or null.
type operand struct {
	name   string
	column Column
	value  any
}

func (o *operand) at(row int) any {
	if o.column != nil {
		return o.column(row)
	}
	return o.value
}

type (
	either   struct{ left, right node }
	both     struct{ left, right node }
	negation struct{ inner node }
	isNull   struct{ of *operand }
	like     struct{ left, pattern *operand }
	oneOf    struct {
		left *operand
		list []*operand
	}
	comparison struct {
		op          string
		left, right *operand
	}
)

func negate(yes bool, inner node) node {
	if yes {
		return &negation{inner}
	}
	return inner
}

func (n *either) eval(row int) truth   { return max(n.left.eval(row), n.right.eval(row)) }
func (n *both) eval(row int) truth     { return min(n.left.eval(row), n.right.eval(row)) }
func (n *negation) eval(row int) truth { return yes - n.inner.eval(row) }
func (n *isNull) eval(row int) truth   { return truthOf(n.of.at(row) == nil) }

func (n *like) eval(row int) truth {
	left, pattern := n.left.at(row), n.pattern.at(row)
	if left == nil || pattern == nil {
		return unknown
	}
	return truthOf(wildcard([]rune(plain(left)), []rune(plain(pattern))))
}

func (n *oneOf) eval(row int) truth {
	out := no
	for _, item := range n.list {
		out = max(out, (&comparison{"=", n.left, item}).eval(row))
	}
	return out
}

func (n *comparison) eval(row int) truth {
	left, right := n.left.at(row), n.right.at(row)
	if left == nil || right == nil {
		return unknown
	}
	c := Compare(left, right)
	switch n.op {
	case "=":
		return truthOf(c == 0)
	case "<>", "!=":
		return truthOf(c != 0)
	case "<":
		return truthOf(c < 0)
	case "<=":
		return truthOf(c <= 0)
	case ">":
		return truthOf(c > 0)
	default:
		return truthOf(c >= 0)
	}
}

// Compare orders two values: as numbers when one of them is a number and both
// can be read so, else as text. nil comes first.
func Compare(a, b any) int {
	if a == nil || b == nil {
		return cmp.Compare(rank(a), rank(b))
	}
	at, bt := plain(a), plain(b)
	if isNumber(a) || isNumber(b) {
		ai, aerr := strconv.ParseInt(at, 10, 64)
		bi, berr := strconv.ParseInt(bt, 10, 64)
		if aerr == nil && berr == nil {
			return cmp.Compare(ai, bi)
		}
		ar, aok := exact(at)
		br, bok := exact(bt)
		if aok && bok {
			return ar.Cmp(br)
		}
	}
	return strings.Compare(dated(at), dated(bt))
}

// exact reads a number without an exponent, so that a short text cannot become a
// huge one.
func exact(s string) (*big.Rat, bool) {
	if len(s) > 64 || strings.ContainsAny(s, "eEpP/_xX") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// dated makes the two ways to write a point in time, and a day alone, comparable.
func dated(s string) string {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return s
	}
	if len(s) == 10 {
		return s + " 00:00:00"
	}
	return s[:10] + " " + s[11:]
}

func rank(v any) int {
	if v == nil {
		return 0
	}
	return 1
}

func isNumber(v any) bool {
	switch v.(type) {
	case int64, Number:
		return true
	default:
		return false
	}
}

// plain is a value as the text SQL would compare: a flag is 1 or 0.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Number:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		if v {
			return "1"
		}
		return "0"
	default:
		return ""
	}
}

// wildcard matches SQL's % and _ in linear space, going back only to the last %.
func wildcard(s, pattern []rune) bool {
	at, p, star, mark := 0, 0, -1, 0
	for at < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '%':
			star, mark = p, at
			p++
		case p < len(pattern) && (pattern[p] == '_' || pattern[p] == s[at]):
			at++
			p++
		case star >= 0:
			mark++
			at, p = mark, star+1
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '%' {
		p++
	}
	return p == len(pattern)
}

// Bind ties every field of the filter to a column. The first name that resolve
// refuses is returned as its error.
func (f *Filter) Bind(resolve func(name string) (Column, error)) error {
	for _, field := range f.fields {
		column, err := resolve(field.name)
		if err != nil {
			return err
		}
		field.column = column
	}
	return nil
}

// Match tells whether a row satisfies the bound filter.
func (f *Filter) Match(row int) bool {
	return f.root == nil || f.root.eval(row) == yes
}

// Equals returns the conditions "field = literal" that every match must satisfy,
// by lower-case field name, so that a caller can use an index. A literal is a
// string or a Number.
func (f *Filter) Equals() map[string]any {
	out := map[string]any{}
	collect(f.root, out)
	return out
}

func collect(n node, out map[string]any) {
	switch n := n.(type) {
	case *both:
		collect(n.left, out)
		collect(n.right, out)
	case *comparison:
		if n.op == "=" && n.left.name != "" && n.right.name == "" && n.right.value != nil {
			out[strings.ToLower(n.left.name)] = n.right.value
		}
	}
}

// Pieces returns, by lower-case field name, the longest piece of text that the
// field must hold in every match, from conditions "field like '%piece%'".
func (f *Filter) Pieces() map[string]string {
	out := map[string]string{}
	pieces(f.root, out)
	return out
}

func pieces(n node, out map[string]string) {
	switch n := n.(type) {
	case *both:
		pieces(n.left, out)
		pieces(n.right, out)
	case *like:
		pattern, ok := n.pattern.value.(string)
		if n.left.name == "" || n.pattern.name != "" || !ok {
			return
		}
		key := strings.ToLower(n.left.name)
		for piece := range strings.FieldsFuncSeq(pattern, func(r rune) bool { return r == '%' || r == '_' }) {
			if len(piece) > len(out[key]) {
				out[key] = piece
			}
		}
	}
}
