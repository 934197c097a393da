package kingdeesim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kdgate/kingdee/kingdeesim/internal/loose"
)

// card is one record as View shows it: by property name, not by field key.
type card struct {
	id           int64
	number, name string
	more         []member
}

// member is one property; a BaseData value is shown as a nested record.
type member struct {
	name  string
	value any
}

// date is a point in time in View (K61).
type date string

// translated is a multi-language text.
type translated struct {
	Key   int
	Value string
}

// view answers View by Number or by Id; neither is an error (K61).
func view(c caller, args arguments) (any, *opError) {
	data, err := args.object(1, "data")
	if err != nil || data == nil {
		return nil, failed(codeBadArgument, "data 数据包格式不正确")
	}
	c.centre.mu.RLock()
	defer c.centre.mu.RUnlock()
	f, bad := c.form(args.text(0, "formid"))
	if bad != nil {
		return nil, bad
	}
	if !c.mayRead(f) {
		return nil, failed(codeNoRight, "您没有该功能的操作权限")
	}
	row, bad := c.pick(f, data)
	if bad != nil {
		return nil, bad
	}
	type result struct {
		ResponseStatus responseStatus
		Result         members
	}
	return envelope{result{c.server.goodStatus(), c.show(f.card(c.centre, row))}}, nil
}

func (c caller) pick(f *form, data loose.Object) (int, *opError) {
	number, id := data.Text("Number"), data.Text("Id")
	if number == "" && (id == "" || id == "0") {
		return 0, failed(codeBadArgument, "data 数据包中的参数 Number 和 Id 的值不能同时为空")
	}
	for row := range f.rows(c.centre) {
		shown := f.card(c.centre, row)
		if number != "" && shown.number == number || number == "" && strconv.FormatInt(shown.id, 10) == id {
			return row, nil
		}
	}
	return 0, failed(codeNoData, "没有符合条件的数据")
}

// members is an object that keeps its order.
type members []member

// MarshalJSON writes the members in their order.
func (m members) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	out.WriteByte('{')
	for i, one := range m {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := errors.Join(enc.Encode(one.name), out.WriteByte(':'), enc.Encode(one.value)); err != nil {
			return nil, fmt.Errorf("member %s: %w", one.name, err)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func (c caller) show(record card) members {
	out := members{
		{"Id", c.server.idValue(record.id)}, {"msterID", c.server.idValue(record.id)},
		{"Number", record.number}, {"Name", []translated{{2052, record.name}}},
	}
	for _, one := range record.more {
		switch v := one.value.(type) {
		case BaseData:
			if v.ID == 0 {
				one.value = nil
				out = append(out, member{one.name + "_Id", c.server.idValue(0)}, one)
				continue
			}
			out = append(out, member{one.name + "_Id", c.server.idValue(v.ID)},
				member{one.name, c.show(card{id: v.ID, number: v.Number, name: v.Name})})
		case date:
			out = append(out, member{one.name, c.dateValue(v)})
		default:
			out = append(out, one)
		}
	}
	return out
}

// dateValue is a date as ISO text, or as /Date(ms)/ on demand.
func (c caller) dateValue(d date) any {
	at, err := time.Parse("2006-01-02T15:04:05", string(d))
	if err != nil {
		return nil
	}
	if c.server.Switches().SlashDates {
		return "/Date(" + strconv.FormatInt(at.UnixMilli(), 10) + ")/"
	}
	return string(d)
}

// executeOperation answers Forbid, Enable, and Disable for users (K71).
func executeOperation(c caller, args arguments) (any, *opError) {
	data, err := args.object(2, "data")
	if err != nil || data == nil {
		return nil, failed(codeBadArgument, "data 数据包格式不正确")
	}
	c.centre.mu.Lock()
	defer c.centre.mu.Unlock()
	f, bad := c.form(args.text(0, "formid"))
	if bad != nil {
		return nil, bad
	}
	to, bad := operationTarget(f, args.text(1, "opNumber"))
	if bad != nil {
		return nil, bad
	}
	if !c.mayRead(f) {
		return nil, failed(codeNoRight, "您没有该功能的操作权限")
	}
	wanted := wantedRecords(data)
	if len(wanted) == 0 {
		return nil, failed(codeBadArgument, "data 数据包中的参数 Numbers 和 Ids 的值不能同时为空")
	}
	return c.setStatus(f, to, wanted)
}

// operationTarget is the FForbidStatus an operation leads to.
func operationTarget(f *form, op string) (string, *opError) {
	lower := strings.ToLower(op)
	switch {
	case op == "":
		return "", failed(codeNoOperation, "操作标识不能为空")
	case f.status == nil:
	case lower == "forbid", lower == "disable" && f.id == "SEC_User":
		return Forbidden, nil
	case lower == "enable":
		return Enabled, nil
	}
	return "", failed(codeException, "标识为“%s”的操作不存在", op)
}

// wanted is one record that an operation names, by number or by id.
type wanted struct {
	number string
	id     string
}

func wantedRecords(data loose.Object) []wanted {
	var out []wanted
	for _, n := range textList(data, "Numbers") {
		out = append(out, wanted{number: n})
	}
	for _, id := range textList(data, "Ids") {
		out = append(out, wanted{id: id})
	}
	return out
}

// textList is a member that is an array, or text with commas.
func textList(data loose.Object, name string) []string {
	value, _ := data.Get(name)
	var out []string
	if list, ok := value.([]any); ok {
		for _, one := range list {
			out = append(out, loose.Text(one))
		}
		return out
	}
	for one := range strings.SplitSeq(loose.Text(value), ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

// setStatus changes what can be changed; the rest are errors beside it. A
// record that is in that state already is an error without effect.
func (c caller) setStatus(f *form, to string, list []wanted) (any, *opError) {
	var done []entity
	var bad []entryError
	for i, want := range list {
		row, shown, ok := c.locate(f, want)
		switch {
		case !ok:
			bad = append(bad, entryError{nil, "编码为“" + want.number + want.id + "”的数据不存在", i})
		case *f.status(c.centre, row) == to:
			bad = append(bad, entryError{nil, "编码为“" + shown.number + "”的数据状态不允许此操作", i})
		default:
			*f.status(c.centre, row) = to
			done = append(done, entity{c.server.idValue(shown.id), shown.number, i})
		}
	}
	if len(bad) > 0 {
		return nil, &opError{code: codeInoperable, text: "操作失败", errors: bad, done: done}
	}
	return envelope{statusResult{c.server.goodStatus(done...)}}, nil
}

func (c caller) locate(f *form, want wanted) (int, card, bool) {
	for row := range f.rows(c.centre) {
		shown := f.card(c.centre, row)
		if want.number != "" && shown.number == want.number || want.number == "" && strconv.FormatInt(shown.id, 10) == want.id {
			return row, shown, true
		}
	}
	return 0, card{}, false
}
