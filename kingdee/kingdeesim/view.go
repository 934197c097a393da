package kingdeesim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
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
		ResponseStatus any
		Result         members
	}
	out := result{c.server.goodStatus(), c.show(f.card(c.centre, row))}
	if c.server.Switches().NullStatus {
		out.ResponseStatus = nil
	}
	return envelope{out}, nil
}

func (c caller) pick(f *form, data loose.Object) (int, *opError) {
	number, id := data.Text("Number"), data.Text("Id")
	if number == "" && (id == "" || id == "0") {
		return 0, failed(codeBadArgument, "data 数据包中的参数 Number 和 Id 的值不能同时为空")
	}
	if row, _, ok := c.locate(f, wanted{number: number, id: id}); ok {
		return row, nil
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
		{"Id", c.server.idValue(record.id)},
		{"msterID", c.server.idValue(record.id)},
		{"Number", record.number},
		{"Name", []translated{{2052, record.name}}},
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
		case string:
			out = append(out, member{one.name, c.cell(v)})
		default:
			out = append(out, one)
		}
	}
	return out
}

// dateValue is a date as ISO text, or as /Date(ms)/ on demand: a moment in UTC+8
// either way, as everywhere at the vendor's server.
func (c caller) dateValue(d date) any {
	at, err := time.ParseInLocation(momentLayout, string(d), time.FixedZone("UTC+8", 8*60*60))
	if err != nil {
		return nil
	}
	if c.server.Switches().SlashDates {
		return "/Date(" + strconv.FormatInt(at.UnixMilli(), 10) + ")/"
	}
	return string(d)
}
