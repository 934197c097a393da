package filter

import (
	"fmt"
	"strings"
)

// Condition is one entry of the array form.
type Condition struct {
	Left, FieldName, Compare, Value, Right, Logic string
}

// The comparison and logic codes that are known; others are refused.
const (
	codeEquals   = "67"
	codeContains = "17"
	codeAnd      = "0"
	codeOr       = "1"
)

// FromConditions reads the array form. Values are literals whatever they hold:
// this form cannot be injected into. Logic ties an entry to the one after it.
func FromConditions(list []Condition) (*Filter, error) {
	var tokens []token
	for i, c := range list {
		tokens = append(tokens, brackets(c.Left)...)
		tokens = append(tokens, token{word, c.FieldName})
		switch c.Compare {
		case codeEquals:
			tokens = append(tokens, token{symbol, "="}, token{text, c.Value})
		case codeContains:
			tokens = append(tokens, token{word, "like"}, token{text, "%" + c.Value + "%"})
		default:
			return nil, fmt.Errorf("%w: compare %q", ErrSyntax, c.Compare)
		}
		tokens = append(tokens, brackets(c.Right)...)
		if i == len(list)-1 {
			break
		}
		logic, err := logicWord(c.Logic)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token{word, logic})
	}
	return build(tokens)
}

func brackets(in string) []token {
	var out []token
	for _, r := range strings.ReplaceAll(in, " ", "") {
		out = append(out, token{symbol, string(r)})
	}
	return out
}

func logicWord(code string) (string, error) {
	switch code {
	case codeAnd, "":
		return "and", nil
	case codeOr:
		return "or", nil
	default:
		return "", fmt.Errorf("%w: logic %q", ErrSyntax, code)
	}
}
