package checkup

import (
	"context"
	"errors"

	"kdgate/dingtalk"
	"kdgate/identity"
)

// useItems tests what the application is used for beside sign-ins, and only that: a
// permission that nothing needs is nobody's fault.
func useItems(ctx context.Context, client Uses, app App) []Item {
	var items []Item
	if app.Events == "stream" {
		items = append(items, streamItem(client.ProbeStream(ctx)))
	}
	if app.Directory {
		items = append(items,
			dingtalkItem(checkOf("qyapi_get_department_list", client.ProbeDepartments(ctx))),
			dingtalkItem(checkOf("qyapi_get_department_member", client.ProbeMembers(ctx))))
	}
	for _, process := range app.Approvals {
		items = append(items, processItem(process, client.ProbeApprovals(ctx, process)))
	}
	if app.Comments {
		items = append(items, dingtalkItem(checkOf("Workflow.Instance.Write", client.ProbeComments(ctx))))
	}
	for _, form := range app.Yida {
		items = append(items, about(dingtalkItem(checkOf(form.Permission, form.Test(ctx))), form.Form))
	}
	if app.Notices {
		items = append(items, noticeItem(client.ProbeAgent(ctx)))
	}
	for _, robot := range app.Robots {
		items = append(items, Item{Check: "robot " + robot, Status: Unknown, Cause: "dingtalk-robot", Values: map[string]string{"robot": robot}})
	}
	return items
}

// about says which of several things a test that passed was about.
func about(item Item, what string) Item {
	if item.Detail == "" {
		item.Detail = what
	}
	return item
}

// streamItem: a ticket that is refused although the token call takes the same pair is
// a matter of how the application gets its events.
func streamItem(err error) Item {
	item := about(dingtalkItem(checkOf("stream", err)), "a connection would be opened; none was")
	if item.Cause == "dingtalk-answer" {
		item.Cause = "dingtalk-stream"
	}
	return item
}

// processItem: a code that DingTalk does not know is a mistake in the rule, and no
// missing permission.
func processItem(process string, err error) Item {
	item := about(dingtalkItem(checkOf("Workflow.Instance.Read", err)), process)
	if call, ok := errors.AsType[*dingtalk.CallError](err); ok && call.WrongProcess() {
		item.Cause = "dingtalk-process"
	}
	if item.Cause != "" {
		item.Values["process"] = process
	}
	return item
}

// noticeItem: what no call proves is left to a person. That a message reaches people
// shows only when one is sent, so the best that comes out is Unknown.
func noticeItem(err error) Item {
	item := Item{Check: "notices", Status: Unknown, Cause: "dingtalk-notices"}
	if err == nil || errors.Is(err, dingtalk.ErrUntold) {
		return item
	}
	item = dingtalkItem(checkOf("notices", err))
	call, ok := errors.AsType[*dingtalk.CallError](err)
	if ok && call.WrongAgent() || !ok && identity.KindOf(err) == identity.Misconfigured {
		item.Cause = "dingtalk-agent"
	}
	return item
}
