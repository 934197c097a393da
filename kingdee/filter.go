package kingdee

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"kdgate/identity"
)

// Filter is what a query is narrowed by: all conditions must hold. It is made of
// the functions below only, so that no text from outside ever reaches the
// parser of the text form unread (T27). The zero Filter admits every record.
type Filter struct {
	all []rule
}

// rule is one condition, in both forms that Kingdee knows.
type rule struct {
	conditions []condition // array form; nil where its compare codes are not published
	text       string      // text form
	err        error
}

// Where joins conditions: all must hold.
func Where(filters ...Filter) Filter {
	var out Filter
	for _, f := range filters {
		out.all = append(out.all, f.all...)
	}
	return out
}

// Equals compares a field with one text.
func Equals(key, value string) Filter { return OneOf(key, value) }

// OneOf admits the records whose field is one of 1 to 200 values. A value is
// text of at most 128 bytes without quotes, backslashes, semicolons and control
// characters; anything else is refused when the query is made.
func OneOf(key string, values ...string) Filter {
	r := rule{err: checkKey(key)}
	if len(values) == 0 || len(values) > mostValues {
		r.err = refusedFilter("%s is compared with %d values, 1 to 200 can be asked for", key, len(values))
	}
	quoted := make([]string, 0, len(values))
	for i, value := range values {
		if !filterText(value) {
			r.err = refusedFilter("a value for %s cannot be asked for safely: quotes, backslashes, semicolons and control characters are refused", key)
		}
		one := equals(key, value)
		if i < len(values)-1 {
			one.Logic = "1"
		}
		r.conditions = append(r.conditions, one)
		quoted = append(quoted, "'"+value+"'")
	}
	if n := len(r.conditions); n > 1 {
		r.conditions[0].Left, r.conditions[n-1].Right = "(", ")"
	}
	r.text = key + " in (" + strings.Join(quoted, ",") + ")"
	if len(values) == 1 {
		r.text = key + "=" + quoted[0]
	}
	return Filter{[]rule{r}}
}

// Is is OneOf for a field of whatever type, such as a status or a check box. Code 67
// of the array form is known of texts and base data only; public clients send other
// codes for choices. So values of [0-9A-Za-z_-], which are harmless in it, go in the
// text form, and other values, which only texts have, as OneOf sends them.
func Is(key string, values ...string) Filter {
	f := OneOf(key, values...)
	if f.all[0].err == nil && !slices.ContainsFunc(values, func(value string) bool { return !cleanToken(value) }) {
		f.all[0].conditions = nil
	}
	return f
}

// mostValues bounds the values of one OneOf.
const mostValues = 200

// Contains admits the records whose field holds token somewhere. The token is
// [0-9A-Za-z_-]{1,64}; an underscore matches any character at Kingdee, so that
// the caller looks at the field again.
func Contains(key, token string) Filter {
	r := rule{err: checkKey(key), text: key + " like '%" + token + "%'"}
	if !cleanToken(token) {
		r.err = refusedFilter("a part of %s may hold letters, digits, _ and - only (1 to 64)", key)
	}
	return Filter{[]rule{r}}
}

// Since admits the records whose date field is not before t.
func Since(key string, t time.Time) Filter {
	return compared(key, ">=", "'"+t.In(Beijing()).Format(momentLayout)+"'")
}

// Before admits the records whose date field is before t.
func Before(key string, t time.Time) Filter {
	return compared(key, "<", "'"+t.In(Beijing()).Format(momentLayout)+"'")
}

// Below admits the records whose number field is less than limit.
func Below(key string, limit Decimal) Filter { return number(key, "<", limit) }

// NotBelow admits the records whose number field is at least limit.
func NotBelow(key string, limit Decimal) Filter { return number(key, ">=", limit) }

// Above admits the records whose number field is more than limit.
func Above(key string, limit Decimal) Filter { return number(key, ">", limit) }

func number(key, operator string, limit Decimal) Filter {
	f := compared(key, operator, string(limit))
	if !limit.Valid() {
		f.all[0].err = refusedFilter("%s is compared with what is no number", key)
	}
	return f
}

// compared has no array form: its codes are not published.
func compared(key, operator, literal string) Filter {
	return Filter{[]rule{{text: key + operator + literal, err: checkKey(key)}}}
}

// wire is the FilterString: the array form wherever there is one (T27).
func (f Filter) wire() (json.RawMessage, error) {
	conditions, texts, array := []condition{}, []string{}, true
	for _, r := range f.all {
		if r.err != nil {
			return nil, r.err
		}
		array = array && r.conditions != nil
		conditions, texts = append(conditions, r.conditions...), append(texts, r.text)
	}
	var value any = conditions
	if !array {
		value = strings.Join(texts, " and ")
	}
	out, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("kingdee: filter: %w", err)
	}
	return out, nil
}

func checkKey(key string) error {
	if formKey(key) {
		return nil
	}
	return refusedFilter("%q is not a field key", key)
}

func refusedFilter(format string, args ...any) error {
	return identity.Fail(identity.Invalid, identity.CodeKingdeeSetup, "kingdee: filter: "+format, args...)
}

// filterText is what may stand between the quotes of the text form. Two dashes
// begin a comment in SQL, and have no business in a number or a name.
func filterText(s string) bool {
	return plainText(s, 128) && !strings.ContainsFunc(s, func(r rune) bool {
		return strings.ContainsRune("'\"`\\;%", r) || unicode.Is(unicode.Cf, r)
	}) && !strings.Contains(s, "--") && !strings.Contains(s, "/*")
}
