package filter

import "strings"

// among is "field = 'a' or field = 'b' …", and "field in ('a', 'b' …)", as
// clients ask with hundreds of values: one look into a set in place of a
// comparison with each. Numbers compare in their own way, value by value.
type among struct {
	of   *operand
	each []node // the same as single comparisons
	set  map[string]bool
}

func (n *among) eval(row int) truth {
	value := n.of.at(row)
	switch {
	case value == nil:
		return unknown
	case !isNumber(value):
		return truthOf(n.set[dated(plain(value))])
	}
	out := no
	for _, one := range n.each {
		out = max(out, one.eval(row))
	}
	return out
}

// gather folds a chain of alternatives into one look-up, when all of them
// compare one field with texts; otherwise it gives the chain back.
func gather(n node) node {
	chain := alternatives(n, nil)
	if len(chain) < 2 {
		return n
	}
	folded := &among{each: chain, set: make(map[string]bool, len(chain))}
	for _, one := range chain {
		equal, ok := one.(*comparison)
		if !ok || equal.op != "=" || equal.left.name == "" || equal.right.name != "" {
			return n
		}
		literal, ok := equal.right.value.(string)
		if !ok || folded.of != nil && !strings.EqualFold(folded.of.name, equal.left.name) {
			return n
		}
		folded.of = equal.left
		folded.set[dated(literal)] = true
	}
	return folded
}

// alternatives are the parts of a chain of "or", from left to right.
func alternatives(n node, list []node) []node {
	if chain, ok := n.(*either); ok {
		return append(alternatives(chain.left, list), chain.right)
	}
	return append(list, n)
}

// newOneOf is "field in (…)".
func newOneOf(left *operand, list []*operand) node {
	if len(list) == 0 {
		return &oneOf{left, list}
	}
	var chain node = &comparison{"=", left, list[0]}
	for _, item := range list[1:] {
		chain = &either{chain, &comparison{"=", left, item}}
	}
	if folded, ok := gather(chain).(*among); ok {
		return folded
	}
	return &oneOf{left, list}
}
