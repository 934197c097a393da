package dingtalk

import (
	"context"
	"time"
)

var (
	opSendResult = operation{
		name: "sendresult", host: oldHost, path: "/topapi/message/corpconversation/getsendresult", quota: true, class: ClassMessage,
	}
	opSendProgress = operation{
		name: "sendprogress", host: oldHost, path: "/topapi/message/corpconversation/getsendprogress", quota: true, class: ClassMessage,
	}
	opRecall = operation{
		name: "recall", host: oldHost, path: "/topapi/message/corpconversation/recall", quota: true, class: ClassMessage,
	}
)

// ResultLife is how long DingTalk remembers what became of a task.
const ResultLife = 24 * time.Hour

// DropCode is DingTalk's reason for giving a person nothing (reference 8.1).
type DropCode int64

// The reasons.
const (
	DropAppMinute   DropCode = 143103 // the application sent too much this minute
	DropOrgMinute   DropCode = 143104 // the organisation did
	DropDayLimit    DropCode = 143105 // the person had the day's most from the application
	DropSame        DropCode = 143106 // the person had this very content today
	DropNobody      DropCode = 1430000
	DropRefused     DropCode = 1430001
	DropWords       DropCode = 1430002 // words that DingTalk does not let pass
	DropSystem      DropCode = 1430003 // DingTalk protects itself
	DropExecutive   DropCode = 1430004 // the person is protected from notifications
	DropInvalid     DropCode = -1      // no such userid, or not in the application's range
	DropFailed      DropCode = -2      // DingTalk says it failed, without a reason
	DropUnexplained DropCode = -3      // held back, without a reason
)

// dropCode takes the codes of third-party applications, 143203 to 143206, for those
// of the organisation's own, which they repeat.
func dropCode(code number) DropCode {
	if code >= 143203 && code <= 143206 {
		code -= 100
	}
	return DropCode(code)
}

// Passing reports whether the reason goes by itself within minutes.
func (d DropCode) Passing() bool {
	return d == DropAppMinute || d == DropOrgMinute || d == DropSystem || d == DropFailed
}

// String says the reason in a few words.
func (d DropCode) String() string {
	if words, ok := map[DropCode]string{
		DropAppMinute: "too many messages of the application in one minute",
		DropOrgMinute: "too many messages of the organisation in one minute",
		DropDayLimit:  "the person has had the day's most",
		DropSame:      "the person has had the same content today",
		DropNobody:    "no recipient",
		DropRefused:   "refused",
		DropWords:     "words that DingTalk does not let pass",
		DropSystem:    "DingTalk protects itself",
		DropExecutive: "the person is protected from notifications",
		DropInvalid:   "no such person, or outside the application's range",
		DropFailed:    "failed, without a reason",
	}[d]; ok {
		return words
	}
	return "held back, without a reason"
}

// SendResult is what became of a task, person by person. Somebody who is in
// neither map has not been decided about yet.
type SendResult struct {
	Got                map[string]bool // userid: whether it was read
	Dropped            map[string]DropCode
	InvalidDepartments []int64
}

// SendResult asks what became of a task of at most MaxMessageUsers people, within
// ResultLife. The call costs monthly quota.
func (c *Client) SendResult(ctx context.Context, task int64) (SendResult, error) {
	agent, err := c.agent()
	if err != nil {
		return SendResult{}, err
	}
	var out struct {
		Result *sendResultRecord `json:"send_result"`
	}
	if err := c.ask(ctx, opSendResult, map[string]any{"agent_id": agent, "task_id": task}, &out); err != nil {
		return SendResult{}, err
	}
	if out.Result == nil {
		return SendResult{}, c.nonsense(opSendResult, "send_result")
	}
	return out.Result.read(), nil
}

// sendResultRecord is the answer as it comes.
type sendResultRecord struct {
	Invalid      listOf[string] `json:"invalid_user_id_list"`
	Forbidden    listOf[string] `json:"forbidden_user_id_list"`
	Failed       listOf[string] `json:"failed_user_id_list"`
	Read         listOf[string] `json:"read_user_id_list"`
	Unread       listOf[string] `json:"unread_user_id_list"`
	InvalidDepts listOf[number] `json:"invalid_dept_id_list"`
	Drops        listOf[struct {
		Code   number `json:"code"`
		UserID string `json:"userid"`
	}] `json:"forbidden_list"`
}

// read puts everybody in one place. Who got it stands above who did not: a list
// may name a person twice, and a message that was seen has come.
func (r *sendResultRecord) read() SendResult {
	out := SendResult{Got: map[string]bool{}, Dropped: map[string]DropCode{}}
	for code, list := range map[DropCode]listOf[string]{DropFailed: r.Failed, DropInvalid: r.Invalid, DropUnexplained: r.Forbidden} {
		for _, userid := range list {
			out.Dropped[userid] = code
		}
	}
	for _, one := range r.Drops {
		if one.UserID != "" {
			out.Dropped[one.UserID] = dropCode(one.Code)
		}
	}
	for _, userid := range r.Unread {
		out.Got[userid] = false
	}
	for _, userid := range r.Read {
		out.Got[userid] = true
	}
	for userid := range out.Got {
		delete(out.Dropped, userid)
	}
	for _, id := range r.InvalidDepts {
		out.InvalidDepartments = append(out.InvalidDepartments, int64(id))
	}
	return out
}

// SendDone reports whether DingTalk has finished with a task.
func (c *Client) SendDone(ctx context.Context, task int64) (bool, error) {
	agent, err := c.agent()
	if err != nil {
		return false, err
	}
	var out struct {
		Progress *struct {
			Status number `json:"status"`
		} `json:"progress"`
	}
	if err := c.ask(ctx, opSendProgress, map[string]any{"agent_id": agent, "task_id": task}, &out); err != nil {
		return false, err
	}
	if out.Progress == nil {
		return false, c.nonsense(opSendProgress, "progress")
	}
	return out.Progress.Status == 2, nil
}

// Recall takes a notification back, within ResultLife.
func (c *Client) Recall(ctx context.Context, task int64) error {
	agent, err := c.agent()
	if err != nil {
		return err
	}
	return c.ask(ctx, opRecall, map[string]any{"agent_id": agent, "msg_task_id": task}, nil)
}
