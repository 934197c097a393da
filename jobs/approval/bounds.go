package approval

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
)

// Bounds of the values that an expression makes on its way. The library counts
// elements only, and each text and number may be made of itself again and again:
// thirty times doubled, one of a few bytes fills the machine.
const (
	maxText   = 16 << 10 // bytes
	maxDigits = 200      // of a number, before and behind its point
	maxParts  = 1000     // of a text that is split
)

// bounds are the operations that can make much out of little, each held to the
// bounds, in the place of the library's own.
func bounds() []expr.Option {
	return []expr.Option{
		expr.Function("textAdd", func(p ...any) (any, error) {
			return text(p[0].(string), p[1].(string)) //nolint:forcetypeassert // typed below
		}, new(func(a, b string) string)),
		expr.Operator("+", "decAdd", "textAdd"),
		expr.Function("join", join, new(func([]string, string) string), new(func([]string) string), new(func([]any, string) string), new(func([]any) string)),
		expr.Function("split", split, new(func(string, string) []string), new(func(string, string, int) []string)),
		expr.Function("string", words, new(func(any) string)),
	}
}

// text joins parts, no further than the bound.
func text(parts ...string) (string, error) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if size > maxText {
		return "", fmt.Errorf("%w makes a text of %d bytes, at most %d", errFormula, size, maxText)
	}
	return strings.Join(parts, ""), nil
}

func join(p ...any) (any, error) {
	glue := ""
	if len(p) == 2 {
		glue, _ = p[1].(string)
	}
	var parts []string
	add := func(part string) {
		if len(parts) > 0 {
			parts = append(parts, glue)
		}
		parts = append(parts, part)
	}
	switch list := p[0].(type) {
	case []string:
		for _, part := range list {
			add(part)
		}
	case []any:
		for _, part := range list {
			word, ok := part.(string)
			if !ok {
				return nil, fmt.Errorf("%w joins %T; wanted are texts", errFormula, part)
			}
			add(word)
		}
	}
	return text(parts...)
}

func split(p ...any) (any, error) {
	whole, _ := p[0].(string)
	separator, _ := p[1].(string)
	most := -1
	if len(p) == 3 {
		most, _ = p[2].(int)
	}
	if most < 0 || most > maxParts {
		if parts := strings.SplitN(whole, separator, maxParts+1); len(parts) <= maxParts {
			return parts, nil
		}
		return nil, fmt.Errorf("%w splits a text into more than %d parts", errFormula, maxParts)
	}
	return strings.SplitN(whole, separator, most), nil
}

// words is the text of one value; lists and rows have none.
func words(p ...any) (any, error) {
	switch value := p[0].(type) {
	case string, int, bool, amount:
		return fmt.Sprint(value), nil
	default:
		return nil, fmt.Errorf("%w wants the text of %T", errFormula, value)
	}
}

// sized holds a number to the bound.
func sized(a amount) (any, error) {
	if a.value.NumDigits() > maxDigits || a.value.Exponent() < -maxDigits {
		return nil, fmt.Errorf("%w makes a number of more than %d digits", errFormula, maxDigits)
	}
	return a, nil
}

// loose reports a + whose operands are not known before it is evaluated: it
// could be one of texts, which only the library would make.
func loose(node ast.Node) bool {
	return ast.Find(node, func(n ast.Node) bool {
		sum, ok := n.(*ast.BinaryNode)
		return ok && sum.Operator == "+" && !(isWhole(sum.Left.Type()) && isWhole(sum.Right.Type()))
	}) != nil
}

func isWhole(t reflect.Type) bool { return t != nil && t.Kind() == reflect.Int }
