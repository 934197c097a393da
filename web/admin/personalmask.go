package admin

import (
	"bytes"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/lazyregexp"
)

var (
	// chineseMobile is a mobile number, whatever it stands in; a longer run of
	// digits is none.
	chineseMobile = lazyregexp.New(`(^|[^0-9])((?:\+?86[ -]?)?1[3-9][0-9]{9})([^0-9]|$)`)
	// mobileMember is a member that says so of itself, of any country.
	mobileMember = lazyregexp.New(`(?i)("[a-z_]*(?:mobile|phone|tel)"\s*:\s*")([^"\\]*)(")`)
)

// withoutMobiles gives the items as whoever only audits sees them: of a mobile
// number the end, which is enough to recognise one's own (T99).
func withoutMobiles(items []any, userid string) ([]any, error) {
	hidden := make([]any, 0, len(items))
	for _, item := range items {
		text, err := written(item)
		if err != nil {
			return nil, err
		}
		text = hideMobiles(mobileMember(), text, "")
		text = hideMobiles(chineseMobile(), text, userid)
		hidden = append(hidden, jsontext.Value(hideMobiles(chineseMobile(), text, userid))) // of two side by side one match takes what parts them
	}
	return hidden, nil
}

// hideMobiles hides the second of three groups, unless it is what is spared.
func hideMobiles(pattern *regexp.Regexp, text []byte, spared string) []byte {
	return pattern.ReplaceAllFunc(text, func(match []byte) []byte {
		parts := pattern.FindSubmatch(match)
		if spared != "" && string(parts[2]) == spared {
			return match
		}
		return bytes.Join([][]byte{parts[1], hideDigits(parts[2]), parts[3]}, nil)
	})
}

// hideDigits leaves the last two digits.
func hideDigits(number []byte) []byte {
	hidden := bytes.Clone(number)
	for i, left := len(hidden)-1, 2; i >= 0; i-- {
		switch {
		case hidden[i] < '0' || hidden[i] > '9':
		case left > 0:
			left--
		default:
			hidden[i] = '*'
		}
	}
	return hidden
}
