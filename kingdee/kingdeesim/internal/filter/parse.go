// Package filter reads and evaluates Kingdee's FilterString: the SQL-like text
// form and the array form. It is an honest little evaluator, so that an
// injected condition widens the result as it would on a real server.
package filter

import (
	"errors"
	"fmt"
)

// ErrSyntax is a filter the server's expression reader refuses.
var ErrSyntax = errors.New("filter: GetRealExpress error")

// maxDepth bounds nested parentheses and NOTs.
const maxDepth = 200

// Filter is a read filter. A nil root matches every row.
type Filter struct {
	root   node
	fields []*operand
}

// Parse reads the text form. Empty text matches everything.
func Parse(in string) (*Filter, error) {
	tokens, err := scan(in)
	if err != nil {
		return nil, err
	}
	return build(tokens)
}

func build(tokens []token) (*Filter, error) {
	f := &Filter{}
	if len(tokens) == 0 {
		return f, nil
	}
	p := &parser{tokens: tokens, filter: f}
	root, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.peek().kind != end {
		return nil, p.fail()
	}
	f.root = root
	return f, nil
}

type parser struct {
	tokens []token
	filter *Filter
}

func (p *parser) peek() token {
	if len(p.tokens) == 0 {
		return token{}
	}
	return p.tokens[0]
}

func (p *parser) take() token {
	t := p.peek()
	if len(p.tokens) > 0 {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept steps over the token when it is the wanted one.
func (p *parser) accept(what string) bool {
	if p.peek().is(what) {
		p.take()
		return true
	}
	return false
}

func (p *parser) fail() error {
	if p.peek().kind == end {
		return fmt.Errorf("%w: unexpected end", ErrSyntax)
	}
	return fmt.Errorf("%w: unexpected %q", ErrSyntax, p.peek().text)
}

func (p *parser) or(depth int) (node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested too deep", ErrSyntax)
	}
	left, err := p.and(depth)
	for err == nil && p.accept("or") {
		var right node
		right, err = p.and(depth)
		left = &either{left, right}
	}
	if err != nil {
		return left, err
	}
	return gather(left), nil
}

func (p *parser) and(depth int) (node, error) {
	left, err := p.not(depth)
	for err == nil && p.accept("and") {
		var right node
		right, err = p.not(depth)
		left = &both{left, right}
	}
	return left, err
}

func (p *parser) not(depth int) (node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested too deep", ErrSyntax)
	}
	if p.accept("not") {
		inner, err := p.not(depth + 1)
		return &negation{inner}, err
	}
	if !p.accept("(") {
		return p.predicate()
	}
	inner, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.accept(")") {
		return nil, p.fail()
	}
	return inner, nil
}

func (p *parser) predicate() (node, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	if p.accept("is") {
		negative := p.accept("not")
		if !p.accept("null") {
			return nil, p.fail()
		}
		return negate(negative, &isNull{left}), nil
	}
	negative := p.accept("not")
	switch {
	case p.accept("like"):
		right, err := p.operand()
		return negate(negative, &like{left, right}), err
	case p.accept("in"):
		list, err := p.list()
		if err != nil {
			return nil, err
		}
		return negate(negative, newOneOf(left, list)), nil
	case p.accept("between"):
		inner, err := p.between(left)
		return negate(negative, inner), err
	case negative:
		return nil, p.fail()
	}
	return p.comparison(left)
}

func (p *parser) comparison(left *operand) (node, error) {
	for _, op := range []string{"=", "<>", "!=", "<=", ">=", "<", ">"} {
		if p.accept(op) {
			right, err := p.operand()
			return &comparison{op, left, right}, err
		}
	}
	return nil, p.fail()
}

func (p *parser) between(left *operand) (node, error) {
	low, err := p.operand()
	if err != nil {
		return nil, err
	}
	if !p.accept("and") {
		return nil, p.fail()
	}
	high, err := p.operand()
	return &both{&comparison{">=", left, low}, &comparison{"<=", left, high}}, err
}

func (p *parser) list() ([]*operand, error) {
	if !p.accept("(") {
		return nil, p.fail()
	}
	var out []*operand
	for {
		item, err := p.operand()
		if err != nil {
			return nil, err
		}
		out = append(out, item)
		if p.accept(")") {
			return out, nil
		}
		if !p.accept(",") {
			return nil, p.fail()
		}
	}
}

func (p *parser) operand() (*operand, error) {
	sign := ""
	if p.accept("-") {
		sign = "-"
	} else {
		p.accept("+")
	}
	t := p.peek()
	switch {
	case t.kind == number:
		p.take()
		return &operand{value: Number(sign + t.text)}, nil
	case sign != "":
		return nil, p.fail()
	case t.kind == text:
		p.take()
		return &operand{value: t.text}, nil
	case t.kind == word && !reserved(t):
		p.take()
		if t.is("null") {
			return &operand{}, nil
		}
		field := &operand{name: t.text}
		p.filter.fields = append(p.filter.fields, field)
		return field, nil
	default:
		return nil, p.fail()
	}
}

func reserved(t token) bool {
	for _, w := range []string{"and", "or", "not", "in", "is", "like", "between"} {
		if t.is(w) {
			return true
		}
	}
	return false
}
