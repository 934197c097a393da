package store

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// checkKey holds keys to what both engines store, sort and print the same way.
func checkKey(key string) error {
	if key == "" {
		return fmt.Errorf("%w: empty key", ErrInvalid)
	}
	return checkText("key", key)
}

// checkText is checkKey for a prefix or a page mark, which may be empty.
func checkText(what, text string) error {
	if len(text) > MaxKey {
		return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrInvalid, what, len(text), MaxKey)
	}
	if isPlain(text) {
		return nil
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: %s %q is not UTF-8", ErrInvalid, what, text)
	}
	for _, r := range text {
		// Control covers C0, DEL and C1; line and paragraph separators and the
		// bidirectional marks (Cf) would let a key lie in a log.
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("%w: %s %q holds a control character", ErrInvalid, what, text)
		}
	}
	return nil
}

// isPlain reports printable ASCII, as nearly every key is.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// checkOps refuses a commit that is empty, too large or contradicts itself.
func checkOps(ops []Op) error {
	if len(ops) == 0 || len(ops) > MaxOps {
		return fmt.Errorf("%w: commit of %d ops, 1 to %d allowed", ErrInvalid, len(ops), MaxOps)
	}
	for i, op := range ops {
		if err := op.check(); err != nil {
			return err
		}
		for _, other := range ops[:i] {
			if other.Key == op.Key {
				return fmt.Errorf("%w: %q twice in one commit", ErrInvalid, op.Key)
			}
		}
	}
	return nil
}

// check looks at one op by itself.
func (op Op) check() error {
	if err := checkKey(op.Key); err != nil {
		return err
	}
	switch {
	case op.Expect > maxVersion:
		return fmt.Errorf("%w: %q expected at version %d, which no entry has", ErrInvalid, op.Key, op.Expect)
	case op.Absent && op.Expect != 0:
		return fmt.Errorf("%w: %q expected to be there and absent", ErrInvalid, op.Key)
	case op.Kind == OpPut:
		return op.checkPut()
	case op.Lifetime != 0 || op.Value != nil || op.Told != nil:
		return fmt.Errorf("%w: value, lifetime or question for the version without a put of %q", ErrInvalid, op.Key)
	}
	return op.checkBare()
}

// checkBare looks at an op without a value.
func (op Op) checkBare() error {
	switch {
	case op.Kind == OpDelete && op.Absent:
		return fmt.Errorf("%w: delete of %q, expected absent", ErrInvalid, op.Key)
	case op.Kind == OpCheck && !op.Absent && op.Expect == 0:
		return fmt.Errorf("%w: check of %q expects nothing", ErrInvalid, op.Key)
	case op.Kind != OpDelete && op.Kind != OpCheck:
		return fmt.Errorf("%w: unknown kind of op %d", ErrInvalid, op.Kind)
	}
	return nil
}

func (op Op) checkPut() error {
	if op.Lifetime < 0 {
		return fmt.Errorf("%w: negative lifetime of %q", ErrInvalid, op.Key)
	}
	if len(op.Value) > MaxValue {
		return fmt.Errorf("%w: value of %q has %d bytes, at most %d", ErrInvalid, op.Key, len(op.Value), MaxValue)
	}
	return nil
}
