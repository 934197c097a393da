package dingtalksim

import "slices"

// taskParam finds the task that the caller's application sent.
func (c *call) taskParam(name string) (*sendTask, answer, bool) {
	if bad, ok := c.ownAgent(); !ok {
		return nil, bad, false
	}
	id, present, err := c.params.integer(name)
	if !present || err != nil {
		return nil, c.badParam(name + "不能为空"), false
	}
	c.s.messages.mu.Lock()
	task := c.s.messages.tasks[id]
	c.s.messages.mu.Unlock()
	if task == nil || task.app != c.app.key {
		return nil, c.badParam(name + "不存在"), false
	}
	if c.started.Sub(task.at) > resultLife {
		return nil, c.refuse(-1, "系统繁忙"), false // SIM-D102
	}
	return task, answer{}, true
}

// dropCount is one line of forbidden_list.
type dropCount struct {
	Code   int    `json:"code"`
	Count  int    `json:"count"`
	UserID string `json:"userid"`
}

// sendResultBody is what getsendresult tells.
type sendResultBody struct {
	Invalid      []string    `json:"invalid_user_id_list"`
	Forbidden    []string    `json:"forbidden_user_id_list"`
	Failed       []string    `json:"failed_user_id_list"`
	Read         []string    `json:"read_user_id_list"`
	Unread       []string    `json:"unread_user_id_list"`
	InvalidDepts []int64     `json:"invalid_dept_id_list"`
	Drops        []dropCount `json:"forbidden_list"`
}

// sendResult is POST /topapi/message/corpconversation/getsendresult: the only
// place where a silent drop shows (SIM-D101).
func (c *call) sendResult() answer {
	task, bad, ok := c.taskParam("task_id")
	if !ok {
		return bad
	}
	if task.recipients > mostResult {
		return c.refuse(-1, "系统繁忙") // SIM-D102
	}
	c.s.messages.mu.Lock()
	body := task.result()
	c.s.messages.mu.Unlock()
	return c.old("0", struct {
		ErrCode   int            `json:"errcode"`
		ErrMsg    string         `json:"errmsg"`
		Result    sendResultBody `json:"send_result"`
		RequestID string         `json:"request_id"`
	}{0, "ok", body, c.requestID()})
}

func (t *sendTask) result() sendResultBody {
	b := sendResultBody{
		Invalid: append([]string{}, t.invalid...), InvalidDepts: append([]int64{}, t.noDepts...),
		Forbidden: []string{}, Failed: []string{}, Read: []string{}, Unread: []string{}, Drops: []dropCount{},
	}
	for _, m := range t.sent {
		switch {
		case m.State == messageDropped:
			b.Forbidden = append(b.Forbidden, m.UserID)
			b.Drops = append(b.Drops, dropCount{m.Dropped, 1, m.UserID})
		case m.Read:
			b.Read = append(b.Read, m.UserID)
		default:
			b.Unread = append(b.Unread, m.UserID)
		}
	}
	return b
}

// sendProgress is POST /topapi/message/corpconversation/getsendprogress. This
// vendor is quick: whoever asks finds the sending done.
func (c *call) sendProgress() answer {
	if _, bad, ok := c.taskParam("task_id"); !ok {
		return bad
	}
	type progress struct {
		Percent int `json:"progress_in_percent"`
		Status  int `json:"status"`
	}
	return c.old("0", struct {
		ErrCode   int      `json:"errcode"`
		ErrMsg    string   `json:"errmsg"`
		Progress  progress `json:"progress"`
		RequestID string   `json:"request_id"`
	}{0, "ok", progress{100, 2}, c.requestID()})
}

// recallWork is POST /topapi/message/corpconversation/recall.
func (c *call) recallWork() answer {
	task, bad, ok := c.taskParam("msg_task_id")
	if !ok {
		return bad
	}
	c.s.messages.mu.Lock()
	defer c.s.messages.mu.Unlock()
	for _, m := range task.sent {
		if m.State == messageReceived {
			m.State = messageRecalled
		}
	}
	return c.old("0", oldOK{ErrMsg: "ok", RequestID: c.requestID()})
}

// messageEndpoints are the APIs of section 8.1; each counts against the month.
func messageEndpoints() map[string]endpoint {
	list := map[string]endpoint{}
	for name, run := range map[string]func(*call) answer{
		"asyncsend_v2": (*call).sendWork, "getsendresult": (*call).sendResult,
		"getsendprogress": (*call).sendProgress, "recall": (*call).recallWork,
	} {
		list["/topapi/message/corpconversation/"+name] = endpoint{method: "POST", access: accessApp, perm: permBase, counted: true, run: run}
	}
	return list
}

// readAll marks what a person has received as read, as opening the client does.
func (s *Server) readAll(corp, userid string) int {
	read := s.inbox(corp, userid)
	return len(slices.DeleteFunc(read, func(m Message) bool { return !m.Read }))
}
