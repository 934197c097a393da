package kingdeesim

import "kdgate/kingdee/kingdeesim/internal/loose"

// The document states (K70).
const (
	Temporary = "Z" // 暂存
	Created   = "A" // 创建
	InAudit   = "B" // 审核中
	Reaudit   = "D" // 重新审核
)

// transition is one step of a document's life: from some states to one.
//
//	Z ─Save→ A ─Submit→ B ─Audit→ C ─UnAudit→ D ─Submit→ B
//	              ▲──CancelAssign──┘
type transition struct {
	from map[string]bool
	to   string
	name string
}

func submitStep() transition {
	return transition{map[string]bool{Created: true, Reaudit: true}, InAudit, "提交"}
}

func auditStep() transition { return transition{map[string]bool{InAudit: true}, Audited, "审核"} }

func reviewStep() transition { return transition{map[string]bool{Audited: true}, Reaudit, "反审核"} }

func cancelStep() transition { return transition{map[string]bool{InAudit: true}, Created, "撤销"} }

// deleteStep leads nowhere: the record goes.
func deleteStep() transition {
	return transition{map[string]bool{Created: true, Temporary: true, Reaudit: true}, "", "删除"}
}

// step answers Submit, Audit, UnAudit, CancelAssign and Delete.
func step(t transition) operation {
	return func(c caller, args arguments) (any, *opError) {
		data, err := args.object(1, "data")
		if err != nil || data == nil {
			return nil, failed(codeBadArgument, "data 数据包格式不正确")
		}
		return c.runStep(t, args.text(0, "formid"), data)
	}
}

func (c caller) runStep(t transition, formID string, data loose.Object) (any, *opError) {
	c.centre.mu.Lock()
	defer c.centre.mu.Unlock()
	f, bad := c.writable(formID)
	if bad != nil {
		return nil, bad
	}
	if f.write == nil || f.write.state == nil {
		return nil, failed(codeInoperable, "业务对象“%s”不允许%s", f.id, t.name)
	}
	wanted := wantedRecords(data)
	if len(wanted) == 0 {
		return nil, failed(codeBadArgument, "data 数据包中的参数 Numbers 和 Ids 的值不能同时为空")
	}
	all := tally{}
	for i, want := range wanted {
		row, shown, ok := c.locate(f, want)
		if !ok {
			all.add(i, entity{}, failed(codeNoData, "编码为“%s”的数据不存在", want.number+want.id))
			continue
		}
		bad := c.move(f, row, t, shown.number)
		all.add(i, entity{c.server.idValue(shown.id), shown.number, 0}, bad)
	}
	if all.code != 0 {
		return nil, all.failure()
	}
	return envelope{statusResult{c.server.goodStatus(all.done...)}}, nil
}

// move takes one record one step. In the wrong state nothing changes (K70).
func (c caller) move(f *form, row int, t transition, number string) *opError {
	if bad := c.held(f, number); bad != nil {
		return bad
	}
	state := f.write.state(c.centre, row)
	if !t.from[*state] {
		return failed(codeInoperable, "单据“%s”的状态为“%s”，不允许%s", number, stateName(*state), t.name)
	}
	if t.to == "" {
		f.write.remove(c.centre, row)
		return nil
	}
	*state = t.to
	f.write.touch(c.centre, row)
	return nil
}

func stateName(state string) string {
	switch state {
	case Temporary:
		return "暂存"
	case Created:
		return "创建"
	case InAudit:
		return "审核中"
	case Audited:
		return "已审核"
	case Reaudit:
		return "重新审核"
	default:
		return state
	}
}
