package dingtalksim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
)

// The process and the form that an approval has when the control door is told
// none: an expense reimbursement.
const (
	SampleProcess = "PROC-REIMBURSE"
	sampleTitle   = "费用报销"
)

// SampleForm is a filled-in reimbursement, one row for each amount.
func SampleForm(reason string, amounts ...string) []FormValue {
	rows := make([][]FormValue, 0, len(amounts))
	for _, a := range amounts {
		rows = append(rows, []FormValue{
			{ID: "DDSelectField_item", Name: "费用类型", Type: "DDSelectField", Alias: "item", Value: "差旅", Ext: map[string]string{"label": "差旅", "key": "option_0"}},
			{ID: "MoneyField_amount", Name: "金额（元）", Type: "MoneyField", Alias: "amount", Value: a},
			{ID: "TextField_note", Name: "备注", Type: "TextField", Alias: "note"},
		})
	}
	return []FormValue{
		{ID: "TextareaField_reason", Name: "报销事由", Type: "TextareaField", Alias: "reason", Value: reason},
		{ID: "TableField_details", Name: "报销明细", Type: "TableField", Alias: "details", Rows: rows},
		{ID: "DDAttachment_files", Name: "附件", Type: typeFiles},
	}
}

// members are those of an object without regard to case and underscores, so that
// the vendor's names (originatorUserId, formComponentValues) and ours both do.
type members map[string]json.RawMessage

func readMembers(raw []byte) (members, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, fmt.Errorf("dingtalksim: %w: %w", ErrInvalid, err)
	}
	m := members{}
	for name, value := range given {
		m[strings.ToLower(strings.ReplaceAll(name, "_", ""))] = value
	}
	return m, nil
}

// text is the first of the names that holds a text or a number.
func (m members) text(names ...string) string {
	for _, name := range names {
		if text := params(m).text(name); text != "" {
			return text
		}
	}
	return ""
}

// first is the first of the names that is there.
func (m members) first(names ...string) json.RawMessage {
	for _, name := range names {
		if raw, ok := m[name]; ok {
			return raw
		}
	}
	return nil
}

// readApproval reads what the control door is told of a new instance. Without a
// form it is the sample's, over "reason" and "amounts"; without an originator the
// first person's of the organisation.
func (s *Server) readApproval(body []byte) (a Approval, finish string, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	m, err := readMembers(body)
	if err != nil {
		return a, "", err
	}
	a = Approval{
		Corp: m.text("corp", "corpid"), ProcessCode: cmp.Or(m.text("processcode"), SampleProcess), Title: cmp.Or(m.text("title"), sampleTitle),
		Originator: m.text("originator", "originatoruserid", "userid"), BizAction: m.text("bizaction"), Main: m.text("main", "mainprocessinstanceid"),
	}
	if raw, ok := m["created"]; ok {
		if err := json.Unmarshal(raw, &a.Created); err != nil {
			return a, "", fmt.Errorf("dingtalksim: %w: created: %w", ErrInvalid, err)
		}
	}
	if a.Originator == "" {
		a.Originator = s.anybody(a.Corp)
	}
	if form := m.first("form", "formcomponentvalues"); form != nil {
		a.Form, err = readForm(form)
		return a, m.text("finish"), err
	}
	amounts := []string{cmp.Or(m.text("amount"), "100.00")}
	if raw, ok := m["amounts"]; ok {
		if err := json.Unmarshal(raw, &amounts); err != nil {
			return a, "", fmt.Errorf("dingtalksim: %w: amounts: a list of texts: %w", ErrInvalid, err)
		}
	}
	a.Form = SampleForm(cmp.Or(m.text("reason"), "出差"), amounts...)
	if raw, ok := m["files"]; ok {
		if err := json.Unmarshal(raw, &a.Form[len(a.Form)-1].Files); err != nil {
			return a, "", fmt.Errorf("dingtalksim: %w: files: a list of names and contents in Base64: %w", ErrInvalid, err)
		}
	}
	return a, m.text("finish"), nil
}

// anybody is an employee of an organisation.
func (s *Server) anybody(corp string) string {
	c, err := s.corpNamed(corp)
	if err != nil {
		return ""
	}
	for _, p := range c.dir.everybody() {
		if p.Left.IsZero() && !p.External && !p.OutOfRange {
			return p.UserID
		}
	}
	return ""
}

// readForm reads components, under our names or under those by which the vendor
// creates instances: a table's value is then a list of lists, also in a text.
func readForm(raw []byte) ([]FormValue, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("dingtalksim: %w: form: %w", ErrInvalid, err)
	}
	form := make([]FormValue, 0, len(list))
	for _, one := range list {
		m, err := readMembers(one)
		if err != nil {
			return nil, err
		}
		f := FormValue{
			ID: m.text("id", "key"), Name: m.text("name", "label"), Type: m.text("componenttype", "componentname", "type"), Alias: m.text("bizalias", "alias"),
			Value: anyOf(m["value"]), Ext: anyOf(m.first("extvalue", "extendvalue")),
		}
		if raw, ok := m["files"]; ok {
			if err := json.Unmarshal(raw, &f.Files); err != nil {
				return nil, fmt.Errorf("dingtalksim: %w: files: %w", ErrInvalid, err)
			}
			f.Type = cmp.Or(f.Type, typeFiles)
		}
		if f.Rows, err = readTable(m.first("rows", "value")); err != nil {
			return nil, err
		}
		if f.Rows != nil {
			f.Value = nil
			f.Type = cmp.Or(f.Type, "TableField")
		}
		f.Type = cmp.Or(f.Type, "TextField")
		form = append(form, f)
	}
	return form, nil
}

// readTable reads the rows of a table; nil for what is none.
func readTable(raw json.RawMessage) ([][]FormValue, error) {
	var out [][]FormValue
	for _, row := range listOfLists(raw) {
		cells, err := readForm(row)
		if err != nil {
			return nil, err
		}
		out = append(out, cells)
	}
	return out, nil
}

// listOfLists are the elements of a list, also in a text; none where any of them
// is no list.
func listOfLists(raw json.RawMessage) []json.RawMessage {
	var inner string
	if json.Unmarshal(raw, &inner) == nil {
		raw = json.RawMessage(inner)
	}
	var rows []json.RawMessage
	if json.Unmarshal(raw, &rows) != nil {
		return nil
	}
	for i := range rows {
		if rows[i] = bytes.TrimSpace(rows[i]); rows[i][0] != '[' {
			return nil
		}
	}
	return rows
}

// anyOf is a value with the digits that it was written with.
func anyOf(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}
