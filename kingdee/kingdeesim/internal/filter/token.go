package filter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	end kind = iota
	word
	text
	number
	symbol
)

type token struct {
	kind kind
	text string
}

// is tells whether the token is this keyword or symbol.
func (t token) is(what string) bool {
	return (t.kind == word || t.kind == symbol) && strings.EqualFold(t.text, what)
}

// scan splits the text form into tokens. Comments vanish, as they do in SQL:
// an injected "--" must really cut off what follows.
func scan(in string) ([]token, error) {
	var out []token
	for {
		in = strings.TrimLeft(in, " \t\r\n\u00a0")
		if in == "" {
			return out, nil
		}
		if rest, ok := comment(in); ok {
			in = rest
			continue
		}
		tok, rest, err := one(in)
		if err != nil {
			return nil, err
		}
		out = append(out, tok)
		in = rest
	}
}

func comment(in string) (rest string, ok bool) {
	switch {
	case strings.HasPrefix(in, "--"):
		_, rest, _ = strings.Cut(in, "\n")
		return rest, true
	case strings.HasPrefix(in, "/*"):
		_, rest, _ = strings.Cut(in[2:], "*/")
		return rest, true
	default:
		return in, false
	}
}

func one(in string) (token, string, error) {
	c := in[0]
	switch {
	case c == '\'':
		return quoted(in[1:])
	case strings.HasPrefix(in, "N'"), strings.HasPrefix(in, "n'"):
		return quoted(in[2:])
	case isDigit(rune(c)):
		n := span(in, func(r rune) bool { return isDigit(r) || r == '.' })
		return token{number, in[:n]}, in[n:], nil
	case strings.IndexByte("()=<>!,-+", c) >= 0:
		n := 1
		if len(in) > 1 && strings.Contains(" <> <= >= != ", " "+in[:2]+" ") {
			n = 2
		}
		return token{symbol, in[:n]}, in[n:], nil
	}
	n := span(in, isWordRune)
	if n == 0 {
		r, _ := utf8.DecodeRuneInString(in)
		return token{}, "", fmt.Errorf("%w: unexpected %q", ErrSyntax, r)
	}
	return token{word, in[:n]}, in[n:], nil
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isWordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '.'
}

func span(in string, keep func(rune) bool) int {
	for i, r := range in {
		if !keep(r) {
			return i
		}
	}
	return len(in)
}

// quoted reads up to the closing quote; two quotes in a row stand for one.
func quoted(in string) (token, string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(in, "'")
		if !found {
			return token{}, "", fmt.Errorf("%w: quote without an end", ErrSyntax)
		}
		out.WriteString(before)
		if !strings.HasPrefix(after, "'") {
			return token{text, out.String()}, after, nil
		}
		out.WriteByte('\'')
		in = after[1:]
	}
}
