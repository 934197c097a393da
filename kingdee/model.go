package kingdee

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Model is the record of a Save, as an ordered list: for Kingdee the order of
// fields is the order of typing, so that a field which another one fills in must
// come first (reference 3.2).
type Model []Field

// Field is one field of a Model. Value is a string, bool, int64 or int, Decimal,
// Day, Moment, Ref, a nested Model, or []Model for entry rows. Floats are
// refused: an amount is a Decimal.
type Field struct {
	Key   string
	Value any
}

// Set puts a value behind the fields there are, or in the place of the field
// with this key, and gives the model back.
func (m Model) Set(key string, value any) Model {
	for i := range m {
		if strings.EqualFold(m[i].Key, key) {
			m[i].Value = value
			return m
		}
	}
	return append(m, Field{key, value})
}

// keys are the field keys in order, each once, with those of entries and sub-heads:
// a change of such a field is written only where both are named.
func (m Model) keys() []string {
	out := make([]string, 0, len(m))
	add := func(keys ...string) {
		for _, key := range keys {
			if !slices.Contains(out, key) {
				out = append(out, key)
			}
		}
	}
	for _, f := range m {
		add(f.Key)
		switch v := f.Value.(type) {
		case Model:
			add(v.keys()...)
		case []Model:
			for _, row := range v {
				add(row.keys()...)
			}
		}
	}
	return out
}

// ErrValue is a field that cannot be sent as it is.
var ErrValue = errors.New("kingdee: a field holds a value that cannot be sent")

// MarshalJSON writes the fields in their order.
func (m Model) MarshalJSON() ([]byte, error) { return m.append(nil) }

// append writes the whole record in one go: encoders inside encoders would look
// at the innermost text once for each of them.
func (m Model) append(out []byte) ([]byte, error) {
	out = append(out, '{')
	for i, field := range m {
		if !entryKey(field.Key) {
			return nil, fmt.Errorf("%w: %q is not a field key", ErrValue, field.Key)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(strconv.AppendQuote(out, field.Key), ':')
		var err error
		if out, err = field.append(out); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// entryKey is a field key; the dimension keys of vouchers hold two underscores.
func entryKey(key string) bool { return formKey(key) && !strings.Contains(key, ".") }

// append writes the value.
func (f Field) append(out []byte) ([]byte, error) {
	switch v := f.Value.(type) {
	case string:
		if !plainLines(v) {
			return nil, fmt.Errorf("%w: %s holds control characters", ErrValue, f.Key)
		}
		return appendText(out, v)
	case Ref:
		return Model{{v.Key, v.Value}}.append(out)
	case Model:
		return v.append(out)
	case []Model:
		return appendRows(out, v)
	case nil, bool, int, int64, Decimal, Day, Moment:
	default:
		return nil, fmt.Errorf("%w: %s is a %T", ErrValue, f.Key, v)
	}
	value, err := json.Marshal(f.Value)
	if err != nil {
		return nil, fmt.Errorf("kingdee: field %s: %w", f.Key, err)
	}
	return append(out, value...), nil
}

func appendRows(out []byte, rows []Model) (_ []byte, err error) {
	if rows == nil {
		return append(out, "null"...), nil
	}
	out = append(out, '[')
	for i, row := range rows {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = row.append(out); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

// appendText writes plain lines as json.Marshal does, which has to be asked only
// where something is escaped.
func appendText(out []byte, s string) ([]byte, error) {
	if strings.ContainsAny(s, "\"\\<>&\r\n\t") || strings.Contains(s, "\u2028") || strings.Contains(s, "\u2029") {
		text, err := json.Marshal(s)
		return append(out, text...), err
	}
	return append(append(append(out, '"'), s...), '"'), nil
}

// plainLines is text without control characters other than line ends and tabs.
func plainLines(s string) bool {
	if strings.ContainsAny(s, "\n\r\t") {
		s = strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(s)
	}
	return s == "" || plainText(s, len(s))
}

// Decimal is an exact number as text, "1234.50": amounts are never floats.
type Decimal string

// MarshalJSON writes the digits as a JSON number, none added and none lost.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("%w: %q is not a decimal number", ErrValue, string(d))
	}
	return []byte(d), nil
}

// Valid reports whether d is [-]digits[.digits], at most 40 characters, as JSON
// writes a number without an exponent.
func (d Decimal) Valid() bool {
	whole, part, dot := strings.Cut(strings.TrimPrefix(string(d), "-"), ".")
	switch {
	case len(d) > 40 || !digits(whole) || len(whole) > 1 && whole[0] == '0':
		return false
	default:
		return !dot || digits(part)
	}
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// Ref names another record by one of its fields.
type Ref struct{ Key, Value string }

// Number refers to base data by its number, {"FNumber":"…"}.
func Number(number string) Ref { return Ref{"FNumber", number} }

// StaffNumber refers to an employee on a bill, {"FSTAFFNUMBER":"…"}.
func StaffNumber(number string) Ref { return Ref{"FSTAFFNUMBER", number} }

// UserAccount refers to a login user by 用户账号, {"FUSERACCOUNT":"…"}.
func UserAccount(account string) Ref { return Ref{"FUSERACCOUNT", account} }

// MarshalJSON writes {"KEY":"value"}.
func (r Ref) MarshalJSON() ([]byte, error) {
	return Model{{r.Key, r.Value}}.MarshalJSON()
}

// Beijing is the time zone of every date at Kingdee: UTC+8, without daylight
// saving since 1991.
func Beijing() *time.Location { return time.FixedZone("UTC+8", 8*60*60) }

const (
	dayLayout    = "2006-01-02"
	momentLayout = "2006-01-02 15:04:05"
)

// Day is a date as Kingdee reads it: yyyy-MM-dd in UTC+8.
type Day time.Time

// MarshalJSON writes the day; the zero time is null.
func (d Day) MarshalJSON() ([]byte, error) { return marshalTime(time.Time(d), dayLayout) }

// Moment is a point in time: yyyy-MM-dd HH:mm:ss in UTC+8.
type Moment time.Time

// MarshalJSON writes the moment; the zero time is null.
func (m Moment) MarshalJSON() ([]byte, error) { return marshalTime(time.Time(m), momentLayout) }

func marshalTime(t time.Time, layout string) ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.In(Beijing()).Format(layout) + `"`), nil
}
