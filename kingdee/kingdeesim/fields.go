package kingdeesim

import (
	"strings"
	"time"

	"kdgate/kingdee/kingdeesim/internal/filter"
	"kdgate/kingdee/kingdeesim/internal/loose"
)

// fields reads the fields of one Model and collects what is wrong with them, so
// that a record is refused with every reason at once (K64).
type fields struct {
	caller
	form    *form
	model   loose.Object
	only    map[string]bool // NeedUpDateFields, lower case, fields of entries beside their entry; nil means every field
	fresh   bool            // the record is new
	lenient bool            // Draft, or ValidateFlag false: nothing is required
	verify  bool            // IsVerifyBaseDataField: a reference that leads nowhere is an error, not blank
	replace bool            // IsDeleteEntry: entries that were not sent go
	prefix  string          // of the field names in errors, for entries
	errors  []entryError
}

func (f *fields) fail(key, format string, args ...any) {
	f.errors = append(f.errors, entryError{FieldName: f.prefix + key, Message: failed(0, format, args...).text})
}

// given is the value of a field that is to be written.
func (f *fields) given(key string) (any, bool) {
	if f.only != nil && !f.only[strings.ToLower(key)] {
		return nil, false
	}
	return f.model.Get(key)
}

func (f *fields) require(key string, missing bool) {
	if missing && !f.lenient {
		f.fail(key, "字段[%s]是必录字段", key)
	}
}

// text reads a text, or a multi-language text of which the first counts.
func (f *fields) text(key string, into *string, must bool) {
	if value, ok := f.given(key); ok {
		*into = textOf(value)
	}
	f.require(key, must && *into == "")
}

func textOf(value any) string {
	if list, ok := value.([]any); ok && len(list) > 0 {
		if one, ok := list[0].(loose.Object); ok {
			return one.Text("Value")
		}
	}
	return loose.Text(value)
}

func (f *fields) flag(key string, into *bool) {
	if value, ok := f.given(key); ok {
		text := loose.Text(value)
		*into = text == "1" || strings.EqualFold(text, "true")
	}
}

// moments are the ways a date may be written.
func parseMoment(text string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// date reads a date and keeps it as 2020-01-31T00:00:00.
func (f *fields) date(key string, into *string, must bool) {
	if value, ok := f.given(key); ok {
		text := loose.Text(value)
		at, ok := parseMoment(text)
		switch {
		case text == "":
			*into = ""
		case !ok:
			f.fail(key, "字段[%s]的值“%s”不是有效的日期", key, text)
		default:
			*into = at.Format(momentLayout)
		}
	}
	f.require(key, must && *into == "")
}

const momentLayout = "2006-01-02T15:04:05"

// decimal reads an exact number; more than ten places are refused, as the
// vendor's columns have no more.
func (f *fields) decimal(key string, into *filter.Number, must bool) {
	if value, ok := f.given(key); ok {
		text := loose.Text(value)
		if text != "" && !isDecimal(text) {
			f.fail(key, "字段[%s]的值“%s”不是有效的数值", key, text)
			return
		}
		*into = filter.Number(text)
	}
	f.require(key, must && *into == "")
}

func isDecimal(text string) bool {
	whole, places, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := func(s string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	}
	return whole != "" && digits(whole) && digits(places) && len(whole) <= 18 && len(places) <= 10
}

// ref reads a reference to a record of another form: {"FNumber":…}, a number
// under another name that the form knows, or the internal id.
func (f *fields) ref(key, target string, into *int64, must bool) {
	if value, ok := f.given(key); ok {
		*into = f.follow(key, target, value)
	}
	f.require(key, must && *into == 0)
}

func (f *fields) follow(key, target string, value any) int64 {
	want, shown := wantedBy(value)
	if shown == "" || shown == "0" {
		return 0
	}
	other := f.server.forms[strings.ToLower(target)]
	row, found, ok := f.locate(other, want)
	switch {
	case ok && other.status != nil && *other.status(f.centre, row) == Forbidden:
		f.fail(key, "字段[%s]引用的基础资料“%s”已禁用", key, shown)
	case ok:
		return found.id
	case f.verify:
		f.fail(key, "字段[%s]引用的基础资料“%s”不存在", key, shown)
	}
	return 0
}

// wantedBy reads a reference, and gives the text that stands for it in errors.
func wantedBy(value any) (wanted, string) {
	o, ok := value.(loose.Object)
	if !ok {
		id := loose.Text(value)
		return wanted{id: id}, id
	}
	for _, name := range []string{"FNumber", "FStaffNumber", "FUserAccount"} {
		if number := o.Text(name); number != "" {
			return wanted{number: number}, number
		}
	}
	for _, name := range []string{"FID", "Id", "FUserID"} {
		if id := o.Text(name); id != "" {
			return wanted{id: id}, id
		}
	}
	return wanted{}, ""
}

// entry is the rows of an entry that are to be written; ok is false when it was
// not sent.
func (f *fields) entry(key string) (rows []loose.Object, ok bool) {
	value, ok := f.given(key)
	list, isList := value.([]any)
	if !ok || !isList {
		return nil, false
	}
	for _, one := range list {
		if o, ok := one.(loose.Object); ok {
			rows = append(rows, o)
		}
	}
	return rows, true
}

// inside reads the fields of one row of an entry.
func (f *fields) inside(row loose.Object, prefix string, fresh bool) *fields {
	in := *f
	in.model, in.prefix, in.fresh, in.errors = row, prefix, fresh, nil
	return &in
}
