package mapping

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of the fields, in characters.
const (
	maxID   = 64
	maxNote = 500

	maxSkeleton = 200 // bytes; compatibility forms may unfold to many characters
)

// checkKey holds a row's key to what may be stored at all.
func checkKey(k Key) error {
	if err := checkToken("data_centre", k.DataCentre, "._-"); err != nil {
		return err
	}
	if err := checkToken("corp", k.Corp, "._-"); err != nil {
		return err
	}
	return CheckUserID(k.UserID)
}

// CheckUserID refuses userids that could pass for another one (T16). What it
// passes is compared as exact bytes ever after (T15).
func CheckUserID(s string) error { return checkName("userid", s) }

// CheckLoginUser is the same rule for Kingdee login users: Chinese, full-width
// brackets and inner spaces are good, and kept byte for byte.
func CheckLoginUser(s string) error { return checkName("login_user", s) }

// CheckStaffNumber holds staff numbers to characters that cannot end a literal
// in a Kingdee filter (T27).
func CheckStaffNumber(s string) error { return checkToken("staff_number", s, "_-") }

func checkToken(field, s, extra string) error {
	switch {
	case s == "":
		return invalid(field, ReasonEmpty)
	case len(s) > maxID:
		return invalid(field, ReasonTooLong)
	}
	for i := range len(s) {
		if c := s[i]; !isASCIIAlnum(c) && strings.IndexByte(extra, c) < 0 {
			return invalid(field, ReasonCharset)
		}
	}
	return nil
}

func isASCIIAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// checkName is the one documented validation of free ids (T15, T16).
func checkName(field, s string) error {
	switch {
	case s == "":
		return invalid(field, ReasonEmpty)
	case !utf8.ValidString(s):
		return invalid(field, ReasonNotText)
	case utf8.RuneCountInString(s) > maxID:
		return invalid(field, ReasonTooLong)
	case strings.TrimSpace(s) != s:
		return invalid(field, ReasonSpaceAtEdge)
	}
	for i, r := range s {
		if reason := checkRune(r, i == 0); reason != "" {
			return invalid(field, reason)
		}
	}
	if mixedScripts(s) {
		return invalid(field, ReasonMixedScripts)
	}
	if len(skeleton(s)) > maxSkeleton {
		return invalid(field, ReasonTooLong)
	}
	return nil
}

// checkRune says why r may not stand in an id, empty when it may.
func checkRune(r rune, first bool) Reason {
	switch {
	case ' ' < r && r < 0x7f, r == ' ', r == '\u3000': // the ideographic space folds to a plain one
		return ""
	case unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector), r == '\u2800':
		return ReasonInvisible
	case unicode.In(r, unicode.Zs):
		return ReasonInvisible // other widths of nothing
	case !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S):
		return ReasonControl
	case first && unicode.Is(unicode.M, r):
		return ReasonControl // would join whatever stands before it on the screen
	}
	return ""
}

// checkNote holds a note to one line of text that stands in the order in which it
// was written: a character that turns the writing direction would let a note say
// one thing to who approves it and another to who reads the file (T102).
func checkNote(s string) error {
	if !utf8.ValidString(s) {
		return invalid("note", ReasonNotText)
	}
	if utf8.RuneCountInString(s) > maxNote {
		return invalid("note", ReasonTooLong)
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) {
			return invalid("note", ReasonControl)
		}
		if unicode.Is(unicode.Bidi_Control, r) {
			return invalid("note", ReasonInvisible)
		}
	}
	return nil
}

// skeleton is the NFKC case fold of an id: two ids with one skeleton look or
// fold alike. Unicode promises that it never changes for assigned characters,
// and checkName refuses the others, so indexes may be keyed by it.
func skeleton(s string) string {
	if plain, ok := lowerASCII(s); ok {
		return plain
	}
	fold := cases.Fold()
	for range 3 { // one round is enough for all but a few characters; a fixed point is needed
		next := norm.NFKC.String(fold.String(norm.NFKC.String(s)))
		if next == s {
			break
		}
		s = next
	}
	return s
}

func lowerASCII(s string) (string, bool) {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// eastAsian are the scripts that people here write side by side, and with Latin.
func eastAsian(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul)
}

// mixedScripts reports letters of scripts that have no business in one id:
// anything but one script alone, or East Asian scripts with or without Latin
// (the "highly restrictive" level of UTS 39).
func mixedScripts(s string) bool {
	var latin, asian bool
	other := ""
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			latin = latin || r > '9' && isASCIIAlnum(byte(r))
		case unicode.In(r, unicode.Common, unicode.Inherited):
		case unicode.Is(unicode.Latin, r):
			latin = true
		case eastAsian(r):
			asian = true
		default:
			name := scriptOf(r)
			if other != "" && other != name {
				return true
			}
			other = name
		}
	}
	return other != "" && (latin || asian)
}

func scriptOf(r rune) string {
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return "unknown"
}

// digitsOnly reports a login user made of ASCII digits alone (T33).
func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
