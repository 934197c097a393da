package approval

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"github.com/shopspring/decimal"
)

// Bounds of an expression. Evaluation cannot be interrupted, so what it may cost
// is bounded before it begins: nodes, nesting of predicates (two), memory, and the rows
// of a form (maxRows). The time is a last resort.
const (
	maxNodes   = 300
	maxMemory  = 20_000
	maxFormula = 4096 // bytes
	maxTime    = 2 * time.Second
	maxRows    = 500
)

// allowed are the built-in functions that rules may use: none of them reads a
// clock, makes floats, or makes much out of little. Those that could are our own (bounds).
func allowed() []string {
	return []string{
		"len", "trim", "trimPrefix", "trimSuffix", "upper", "lower", "hasPrefix", "hasSuffix", "indexOf", "int",
		"all", "any", "none", "one", "count", "filter", "map", "find", "first", "last",
	}
}

// amount is an exact number in an expression. It has no methods but its text,
// because an expression may call every method there is.
type amount struct{ value decimal.Decimal }

// String is the digits.
func (a amount) String() string { return a.value.String() }

// line is a row of a table in an expression.
type line struct {
	Number int                    `expr:"number"` // from 1
	Value  func(id string) string `expr:"value"`
}

// scope is all that an expression sees. Texts are empty where nothing was
// filled in.
type scope struct {
	Originator string                                        `expr:"originator"`
	Department string                                        `expr:"department"`
	Title      string                                        `expr:"title"`
	Business   string                                        `expr:"business_id"`
	Instance   string                                        `expr:"instance"`
	Created    string                                        `expr:"created"`  // yyyy-MM-dd in UTC+8
	Finished   string                                        `expr:"finished"` // likewise
	Value      func(id string) string                        `expr:"value"`
	Cell       func(id string) string                        `expr:"cell"`  // of the row at hand; of the form where there is none
	Rows       func(id string) ([]line, error)               `expr:"rows"`  // of a table
	Total      func(table, cell string) (amount, error)      `expr:"total"` // sum of a column; empty cells are zero
	Word       func(dictionary, word string) (string, error) `expr:"word"`
}

// formula is a compiled expression.
type formula struct {
	text    string
	program *vm.Program
	truth   bool
}

var errFormula = errors.New("approval: an expression")

// compileFormula compiles text; truth wants a yes or no.
func compileFormula(text string, truth bool) (*formula, error) {
	if len(text) > maxFormula {
		return nil, fmt.Errorf("%w has %d bytes, at most %d", errFormula, len(text), maxFormula)
	}
	options := append([]expr.Option{
		expr.Env(scope{}), expr.MaxNodes(maxNodes), expr.Optimize(false), expr.DisableAllBuiltins(),
	}, append(arithmetic(), bounds()...)...)
	for _, name := range allowed() {
		options = append(options, expr.EnableBuiltin(name))
	}
	if truth {
		options = append(options, expr.AsBool())
	}
	program, err := expr.Compile(text, options...)
	if place, ok := errors.AsType[*file.Error](err); ok { // it prints a drawing of several lines
		return nil, fmt.Errorf("%w: %s, at column %d", errFormula, place.Message, place.Column+1)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFormula, err)
	}
	if name := forbidden(program.Node()); name != "" {
		return nil, fmt.Errorf("%w uses %s, which rules may not", errFormula, name)
	}
	if loose(program.Node()) {
		return nil, fmt.Errorf("%w adds what is not known to be a text or a number; say which with string(…) or dec(…)", errFormula)
	}
	if tooDeep(program.Node()) {
		return nil, fmt.Errorf("%w nests more than two predicates", errFormula)
	}
	if kind := program.Node().Type(); kind != nil && !fits(kind, truth) {
		return nil, fmt.Errorf("%w gives %s; wanted is %s", errFormula, kind, wanted(truth))
	}
	return &formula{text, program, truth}, nil
}

func wanted(truth bool) string {
	if truth {
		return "true or false"
	}
	return "a text, a whole number, dec(…), true or false; there are no floats"
}

// fits says whether a value of this type can stand in a bill. What is known only
// when it is evaluated is judged then.
func fits(t reflect.Type, truth bool) bool {
	switch {
	case t.Kind() == reflect.Interface || t.Kind() == reflect.Bool:
		return true
	case truth:
		return false
	}
	return t.Kind() == reflect.String || t.Kind() == reflect.Int || t == reflect.TypeFor[amount]()
}

// forbidden names a function that is not allowed, or the variable that holds
// everything. The library's own switch leaves functions over lists on.
func forbidden(node ast.Node) string {
	may := allowed()
	found := ast.Find(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BuiltinNode:
			return !slices.Contains(may, n.Name)
		case *ast.IdentifierNode:
			return n.Value == "$env"
		}
		return false
	})
	switch n := found.(type) {
	case *ast.BuiltinNode:
		return n.Name
	case *ast.IdentifierNode:
		return n.Value
	}
	return ""
}

// tooDeep finds a predicate within a predicate within a predicate.
func tooDeep(node ast.Node) bool {
	for _, outer := range predicates(node) {
		for _, middle := range predicates(outer.Node) {
			if len(predicates(middle.Node)) > 0 {
				return true
			}
		}
	}
	return false
}

type predicateFinder struct{ found []*ast.PredicateNode }

// Visit implements ast.Visitor.
func (f *predicateFinder) Visit(node *ast.Node) {
	if p, ok := (*node).(*ast.PredicateNode); ok {
		f.found = append(f.found, p)
	}
}

func predicates(node ast.Node) []*ast.PredicateNode {
	f := &predicateFinder{}
	ast.Walk(&node, f)
	return f.found
}

// arithmetic gives expressions exact numbers: dec makes them, operators compute
// and compare them, and only div and round lose digits, as many as they say.
func arithmetic() []expr.Option {
	two := func(name string, f func(a, b amount) amount) expr.Option {
		return expr.Function(name, func(p ...any) (any, error) { return sized(f(p[0].(amount), p[1].(amount))) }, f) //nolint:forcetypeassert // typed below
	}
	compare := func(name string, holds func(sign int) bool) expr.Option {
		f := func(a, b amount) bool { return holds(a.value.Cmp(b.value)) }
		return expr.Function(name, func(p ...any) (any, error) { return f(p[0].(amount), p[1].(amount)), nil }, f) //nolint:forcetypeassert // as above
	}
	options := []expr.Option{
		expr.Function("dec", toAmount, new(func(string) amount), new(func(int) amount)),
		expr.Function("div", divide, new(func(amount, amount, int) amount)),
		expr.Function("round", round, new(func(amount, int) amount)),
		two("decAdd", func(a, b amount) amount { return amount{a.value.Add(b.value)} }),
		two("decSub", func(a, b amount) amount { return amount{a.value.Sub(b.value)} }),
		two("decMul", func(a, b amount) amount { return amount{a.value.Mul(b.value)} }),
		compare("decEq", func(sign int) bool { return sign == 0 }), compare("decNe", func(sign int) bool { return sign != 0 }),
		compare("decLt", func(sign int) bool { return sign < 0 }), compare("decLe", func(sign int) bool { return sign <= 0 }),
		compare("decGt", func(sign int) bool { return sign > 0 }), compare("decGe", func(sign int) bool { return sign >= 0 }),
	}
	for operator, name := range map[string]string{
		"-": "decSub", "*": "decMul", "==": "decEq", "!=": "decNe", "<": "decLt", "<=": "decLe", ">": "decGt", ">=": "decGe",
	} {
		options = append(options, expr.Operator(operator, name))
	}
	return options
}

func toAmount(p ...any) (any, error) {
	if n, ok := p[0].(int); ok {
		return amount{decimal.NewFromInt(int64(n))}, nil
	}
	text, _ := p[0].(string)
	if text == "" {
		return amount{}, nil
	}
	d, err := exact(text)
	return amount{d}, err
}

// mostPlaces bounds rounding; Kingdee keeps ten.
const mostPlaces = 10

func divide(p ...any) (any, error) {
	a, b, places := p[0].(amount), p[1].(amount), p[2].(int) //nolint:forcetypeassert // the checker knows the types
	if b.value.IsZero() || places < 0 || places > mostPlaces {
		return nil, fmt.Errorf("%w: div by zero or to other than 0 to %d places", errFormula, mostPlaces)
	}
	return amount{a.value.DivRound(b.value, int32(places))}, nil //nolint:gosec // bounded above
}

func round(p ...any) (any, error) {
	a, places := p[0].(amount), p[1].(int) //nolint:forcetypeassert // as above
	if places < 0 || places > mostPlaces {
		return nil, fmt.Errorf("%w: round to other than 0 to %d places", errFormula, mostPlaces)
	}
	return amount{a.value.Round(int32(places))}, nil //nolint:gosec // as above
}

// evaluate gives the value of f, never a float.
func (f *formula) evaluate(s scope) (any, error) {
	type outcome struct {
		value any
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		machine := vm.VM{MemoryBudget: maxMemory}
		value, err := machine.Run(f.program, s)
		done <- outcome{value, err}
	}()
	timer := time.NewTimer(maxTime)
	defer timer.Stop()
	var got outcome
	select {
	case got = <-done:
	case <-timer.C:
		return nil, fmt.Errorf("%w takes too long: %s", errFormula, f.text)
	}
	if place, ok := errors.AsType[*file.Error](got.err); ok && place.Unwrap() == nil {
		return nil, fmt.Errorf("%w: %s", errFormula, place.Message)
	} else if ok {
		return nil, fmt.Errorf("%w: %w", errFormula, place.Unwrap())
	}
	if got.err != nil {
		return nil, fmt.Errorf("%w: %w", errFormula, got.err)
	}
	if got.value == nil || !fits(reflect.TypeOf(got.value), f.truth) {
		return nil, fmt.Errorf("%w gives %T; wanted is %s", errFormula, got.value, wanted(f.truth))
	}
	return got.value, nil
}

// holds evaluates a condition; none always holds.
func (f *formula) holds(s scope) (bool, error) {
	if f == nil {
		return true, nil
	}
	value, err := f.evaluate(s)
	yes, _ := value.(bool)
	return yes, err
}

// words is the value of f as a text.
func (f *formula) words(s scope) (string, error) {
	value, err := f.evaluate(s)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(value), nil
}
