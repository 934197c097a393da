package kingdee

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"kdgate/identity"
)

// Fault is one failed exchange with Kingdee, in the terms of the vendor's
// decision table, for the operator: errors.As finds it behind every error of a
// Client. It holds no secret, session id or link; Text is masked.
type Fault struct {
	Row       int    // of the decision table (reference 3.5); 0 for faults on our own side
	Name      string // short name, also the metric label
	Operation string // login, logout, or query of a form
	Text      string // Kingdee's own words, shortened and masked; for row 30 the shape only
	Advice    string // what an administrator is to do

	symptom   symptom
	ambiguous bool          // a write that may have taken effect
	wait      time.Duration // that Kingdee asks for; 0: it has named none
	cause     error         // of the transport, may be nil
}

func newFault(s symptom, where, text string) *Fault {
	d := decisions[s]
	return &Fault{Row: d.row, Name: d.name, Operation: where, Text: text, Advice: d.advice, symptom: s}
}

// causedFault is newFault with the transport's or the context's error.
func causedFault(s symptom, where string, cause error) *Fault {
	f := newFault(s, where, "")
	f.cause = cause
	return f
}

func (f *Fault) Error() string {
	text := fmt.Sprintf("kingdee: %s: %s", f.Operation, f.Name)
	if f.Row > 0 {
		text += fmt.Sprintf(" (row %d)", f.Row)
	}
	if f.Text != "" {
		text += ": " + f.Text
	}
	if f.cause != nil {
		text += ": " + f.cause.Error()
	}
	return text
}

// Unwrap gives the transport's error, if there was one.
func (f *Fault) Unwrap() error { return f.cause }

// Is makes errors.Is(err, ErrAmbiguous) tell a write of unknown outcome.
func (f *Fault) Is(target error) bool { return f.ambiguous && target == ErrAmbiguous }

func (f *Fault) decision() decision { return decisions[f.symptom] }

// public is the fault with the kind and short code that people see.
func (f *Fault) public() error {
	d := f.decision()
	return &identity.Error{Kind: d.kind, Code: d.code, Err: f}
}

// mask makes Kingdee's words fit for a log: one line, bounded, and without
// anything that has the form of a secret. Texts may echo a session id, a digest
// or Base64, so long runs of such characters that hold a digit go.
func mask(text string, secret identity.Secret) string {
	const longest, tokenLength = 200, 24
	if !secret.IsZero() {
		text = strings.ReplaceAll(text, secret.Reveal(), "[secret]")
	}
	var out strings.Builder
	runes := []rune(text)
	for i := 0; i < len(runes) && i < longest; {
		end, digit := i, false
		for end < len(runes) && secretRune(runes[end]) {
			digit = digit || unicode.IsDigit(runes[end])
			end++
		}
		switch {
		case end-i >= tokenLength && digit:
			out.WriteString("[…]")
		case end > i:
			out.WriteString(string(runes[i:end]))
		default:
			out.WriteRune(printable(runes[i]))
			end = i + 1
		}
		i = end
	}
	return out.String()
}

func secretRune(r rune) bool { return tokenRune(r) || r == '+' || r == '/' || r == '=' }

// printable replaces what could forge or hide part of a log line (T113).
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return ' '
}
