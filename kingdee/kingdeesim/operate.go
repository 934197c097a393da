package kingdeesim

import (
	"strconv"
	"strings"

	"kdgate/kingdee/kingdeesim/internal/loose"
)

// executeOperation answers Forbid, Enable, and Disable for users (K71).
func executeOperation(c caller, args arguments) (any, *opError) {
	data, err := args.object(2, "data")
	if err != nil || data == nil {
		return nil, failed(codeBadArgument, "data 数据包格式不正确")
	}
	if t, ok := namedStep(args.text(1, "opNumber")); ok {
		return c.runStep(t, args.text(0, "formid"), data)
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
	if !c.mayRead(f) || !c.mayWrite(f) {
		return nil, failed(codeNoRight, "您没有该功能的操作权限")
	}
	wanted := wantedRecords(data)
	if len(wanted) == 0 {
		return nil, failed(codeBadArgument, "data 数据包中的参数 Numbers 和 Ids 的值不能同时为空")
	}
	return c.setStatus(f, to, wanted)
}

// namedStep is a step of a document's life under its name as an operation.
func namedStep(op string) (transition, bool) {
	switch strings.ToLower(op) {
	case "submit":
		return submitStep(), true
	case "audit":
		return auditStep(), true
	case "unaudit":
		return reviewStep(), true
	case "cancelassign":
		return cancelStep(), true
	case "delete":
		return deleteStep(), true
	default:
		return transition{}, false
	}
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

func (w wanted) equals(f *form) map[string]any {
	if w.number != "" {
		return map[string]any{"fnumber": w.number}
	}
	return map[string]any{f.key: w.id}
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
			if f.write != nil {
				f.write.touch(c.centre, row)
			}
			done = append(done, entity{c.server.idValue(shown.id), shown.number, i})
		}
	}
	if len(bad) > 0 {
		return nil, &opError{code: codeInoperable, text: "操作失败", errors: bad, done: done}
	}
	return envelope{statusResult{c.server.goodStatus(done...)}}, nil
}

// locate finds a record by number or, without one, by id.
func (c caller) locate(f *form, want wanted) (int, card, bool) {
	for _, row := range f.candidates(c.centre, want.equals(f)) {
		shown := f.card(c.centre, row)
		if want.number != "" && shown.number == want.number || want.number == "" && strconv.FormatInt(shown.id, 10) == want.id {
			return row, shown, true
		}
	}
	return 0, card{}, false
}
