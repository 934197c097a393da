package dingtalksim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits of the approval APIs (SIM-D95, SIM-D96).
const (
	listMaxResults  = 20
	listMaxIDs      = 10_000
	listMaxSpan     = 120 * 24 * time.Hour
	listOldest      = 365 * 24 * time.Hour
	listMaxUsers    = 10
	commentMaxText  = 1024
	commentMaxFiles = 20
	instanceTime    = "2006-01-02T15:04Z"
	permInstRead    = "Workflow.Instance.Read"
	permInstWrite   = "Workflow.Instance.Write"
	pathInstance    = "/v1.0/workflow/processInstances"
	pathInstanceIDs = "/v1.0/workflow/processes/instanceIds/query"
	pathComment     = "/v1.0/workflow/processInstances/comments"
)

// approvalEndpoints are the APIs about approvals; all of them cost quota.
func approvalEndpoints() map[string]endpoint {
	closed := endpoint{ // SIM-D99: applications created "new" cannot get it any more
		method: http.MethodPost, access: accessApp, perm: "", run: func(c *call) answer { return c.noPermission("qyapi_process_read") },
	}
	return map[string]endpoint{
		pathInstance:                      {method: http.MethodGet, access: accessApp, perm: permInstRead, counted: true, run: (*call).instanceGet},
		pathInstanceIDs:                   {method: http.MethodPost, access: accessApp, perm: permInstRead, counted: true, run: (*call).instanceIDs},
		pathComment:                       {method: http.MethodPost, access: accessApp, perm: permInstWrite, counted: true, run: (*call).comment},
		pathFileURL:                       {method: http.MethodPost, access: accessApp, perm: permInstWrite, counted: true, run: (*call).fileURL},
		"/topapi/processinstance/get":     closed,
		"/topapi/processinstance/listids": closed,
	}
}

type operationRecord struct {
	UserID   string `json:"userId"`
	Date     string `json:"date"`
	Type     string `json:"type"`
	Result   string `json:"result"`
	Remark   string `json:"remark,omitempty"`
	ShowName string `json:"showName,omitempty"`

	Attachments []fileValue `json:"attachments,omitempty"`

	at time.Time
}

type componentValue struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Value string `json:"value"`
	Ext   string `json:"extValue,omitempty"`
	Type  string `json:"componentType"`
	Alias string `json:"bizAlias,omitempty"`
}

type taskRecord struct {
	TaskID     int64  `json:"taskId"`
	UserID     string `json:"userId"`
	Status     string `json:"status"`
	Result     string `json:"result"`
	CreateTime string `json:"createTime"`
	FinishTime string `json:"finishTime,omitempty"`
	MobileURL  string `json:"mobileUrl"`
	ActivityID string `json:"activityId"`
}

// instanceDetail holds neither the process code nor the id (SIM-D90).
type instanceDetail struct {
	Title      string            `json:"title"`
	BusinessID string            `json:"businessId"`
	Status     string            `json:"status"`
	Result     string            `json:"result"` // empty while it runs (oddity 6)
	CreateTime string            `json:"createTime"`
	FinishTime string            `json:"finishTime,omitempty"`
	Originator string            `json:"originatorUserId"`
	Department string            `json:"originatorDeptId"`
	DeptName   string            `json:"originatorDeptName"`
	Approvers  []string          `json:"approverUserIds,omitempty"`
	BizAction  string            `json:"bizAction"`
	Main       string            `json:"mainProcessInstanceId,omitempty"`
	Attached   []string          `json:"attachedProcessInstanceIds"`
	Records    []operationRecord `json:"operationRecords"`
	Tasks      []taskRecord      `json:"tasks"`
	Components []componentValue  `json:"formComponentValues"`
}

// succeeded is the new host's workflow envelope; success is a boolean, or by
// switch the text "true" (SIM-D90).
func (c *call) succeeded(result any) answer {
	var success any = true
	if c.s.sw().SuccessText {
		success = "true"
	}
	return c.ok(struct {
		Result  any `json:"result"`
		Success any `json:"success"`
	}{result, success})
}

// instanceGet is GET processInstances (SIM-D90 to D94).
func (c *call) instanceGet() answer {
	id := c.params.text("processInstanceId")
	if id == "" {
		return c.fail(http.StatusBadRequest, "invalidParameter", "参数不合法")
	}
	in, ok := c.instance(id)
	if !ok {
		return c.fail(http.StatusBadRequest, "processInstanceNotExist", "审批实例不存在")
	}
	return c.succeeded(c.detail(in))
}

// instance is one of the caller's organisation.
func (c *call) instance(id string) (Instance, bool) {
	c.s.approvals.mu.Lock()
	defer c.s.approvals.mu.Unlock()
	in := c.s.approvals.byID[id]
	if in == nil || in.Corp != c.app.corp.id {
		return Instance{}, false
	}
	return in.copied(), true
}

func (c *call) detail(in Instance) instanceDetail {
	d := instanceDetail{
		Title: in.Title, BusinessID: in.BusinessID, Status: in.Status, Result: in.Result,
		CreateTime: c.instanceTime(in.Created), Originator: in.Originator, Department: "-1", DeptName: c.app.corp.name,
		BizAction: in.BizAction, Main: in.Main, Attached: in.Attached, Components: components(in.Form), Tasks: []taskRecord{c.task(in)},
	}
	if p := c.app.corp.dir.person(in.Originator); p != nil && len(p.Departments) > 0 && p.Departments[0] != 1 {
		d.Department = strconv.FormatInt(p.Departments[0], 10)
	}
	if d.Attached == nil {
		d.Attached = []string{}
	}
	if !in.Finished.IsZero() {
		d.FinishTime = c.instanceTime(in.Finished)
	}
	for _, r := range in.records {
		r.Date = c.instanceTime(r.at)
		d.Records = append(d.Records, r)
	}
	return d
}

// task is the one approver's. Its address has no scheme (oddity 8), its time is
// a second off the instance's (oddity 9).
func (c *call) task(in Instance) taskRecord {
	t := taskRecord{
		TaskID: in.Created.Unix(), UserID: in.Originator, Status: approvalRunning, Result: "NONE",
		CreateTime: c.instanceTime(in.Created.Add(time.Second)), MobileURL: "aflow.dingtalk.com?procInsId=" + in.ID, ActivityID: "b7e1_6a22",
	}
	switch {
	case in.Status == approvalTerminated:
		t.Status = "CANCELED"
	case in.Status == approvalCompleted:
		t.Status, t.Result = approvalCompleted, map[string]string{resultAgree: "AGREE", resultRefuse: "REFUSE"}[in.Result]
		t.FinishTime = c.instanceTime(in.Finished.Add(-time.Second))
	}
	return t
}

// instanceTime has minutes and a Z behind the organisation's own time, or by
// switch behind real UTC (SIM-D91).
func (c *call) instanceTime(t time.Time) string {
	if c.s.sw().ApprovalUTC {
		return t.UTC().Format(instanceTime)
	}
	return beijing(t).Format(instanceTime)
}

// components are the form's values, with the oddities of real ones (SIM-D93, D94).
func components(form []FormValue) []componentValue {
	list := make([]componentValue, 0, len(form))
	for _, f := range form {
		v := componentValue{ID: f.ID, Name: f.Name, Type: f.Type, Alias: f.Alias, Value: valueText(f.Value)}
		if v.ID == "" {
			v.ID = f.Name // oddity 7
		}
		if f.Ext != nil {
			v.Ext = valueText(f.Ext)
		}
		if f.Type == "TableField" && f.Value == nil {
			v.Value, v.Ext = tableText(v.ID, f.Rows)
		}
		list = append(list, v)
	}
	return list
}

type tableRow struct {
	Cells  []map[string]any `json:"rowValue"`
	Number string           `json:"rowNumber,omitempty"`
}

// tableText is a table's value and extension. An untouched one holds its own
// schema (oddity 2); every second row lacks its number and empty cells are not
// there (oddity 3).
func tableText(id string, rows [][]FormValue) (value, ext string) {
	if len(rows) == 0 {
		return string(encode([]any{map[string]any{
			"componentName": "MoneyField", "componentType": "MoneyField", "props": map[string]any{"id": "MoneyField_0", "label": "金额", "required": true},
		}})), ""
	}
	list := make([]tableRow, 0, len(rows))
	for i, row := range rows {
		out := tableRow{Cells: []map[string]any{}}
		if i%2 == 0 {
			out.Number = id + "_" + strconv.FormatInt(int64(i)+1_000_000, 36)
		}
		for _, cell := range row {
			if cell.Value == nil {
				continue
			}
			m := map[string]any{"componentType": cell.Type, "label": cell.Name, "key": cell.ID, "value": valueText(cell.Value)}
			if cell.Alias != "" {
				m["bizAlias"] = cell.Alias
			}
			if cell.Ext != nil {
				m["extendValue"] = cell.Ext // an object here, under another name (oddity 4)
			}
			out.Cells = append(out.Cells, m)
		}
		list = append(list, out)
	}
	return string(encode(list)), `{"statValue":[],"componentName":"TableField"}`
}

// instanceIDs is processes/instanceIds/query (SIM-D95).
func (c *call) instanceIDs() answer {
	refuse := func(code string) answer { return c.fail(http.StatusBadRequest, code, "参数不合法") }
	code := c.params.text("processCode")
	if code == "" {
		return refuse("invalidProcessCode")
	}
	size, given, err := c.params.integer("maxResults")
	if err != nil || !given || size < 1 || size > listMaxResults {
		return refuse("invalidMaxResults")
	}
	from, _, err := c.params.integer("nextToken")
	if err != nil || from < 0 || from >= listMaxIDs {
		return refuse("invalidNextToken")
	}
	start, end, bad := c.listSpan()
	if bad != "" {
		return refuse(bad)
	}
	wanted, bad := c.wantedInstances()
	if bad != "" {
		return refuse(bad)
	}
	ids := c.s.approvals.between(c.app.corp.id, code, start, end, wanted)
	lo := min(int(from), len(ids))
	hi := min(lo+int(size), len(ids), listMaxIDs)
	page := struct {
		List []string `json:"list"`
		Next string   `json:"nextToken,omitempty"`
	}{List: ids[lo:hi]}
	if hi < min(len(ids), listMaxIDs) {
		page.Next = strconv.Itoa(hi)
	}
	return c.succeeded(page)
}

// wantedInstances reads which of them a listing is about, and says what is wrong.
func (c *call) wantedInstances() (wanted func(*Instance) bool, bad string) {
	var statuses, users []string
	if raw := c.params["statuses"]; len(raw) > 0 && json.Unmarshal(raw, &statuses) != nil {
		return nil, "invalidParameter"
	}
	if raw := c.params["userIds"]; len(raw) > 0 && json.Unmarshal(raw, &users) != nil || len(users) > listMaxUsers {
		return nil, "invalidUserIds"
	}
	return func(in *Instance) bool {
		return (len(statuses) == 0 || slices.Contains(statuses, in.Status)) && (len(users) == 0 || slices.Contains(users, in.Originator))
	}, ""
}

// listSpan reads the times of a listing and says what is wrong with them.
func (c *call) listSpan() (start, end time.Time, bad string) {
	ms, given, err := c.params.integer("startTime")
	if err != nil || !given || ms <= 0 {
		return start, end, "invalidInstanceListIdsStartTime"
	}
	start, end = time.UnixMilli(ms), c.started
	if ms, given, err = c.params.integer("endTime"); err != nil {
		return start, end, "invalidEndTime"
	} else if given {
		end = time.UnixMilli(ms)
	}
	if end.After(c.started) || end.Before(start) || end.Sub(start) > listMaxSpan || c.started.Sub(start) > listOldest {
		return start, end, "invalidEndTime"
	}
	return start, end, ""
}

// between lists those created within [start, end] that are wanted.
func (a *approvals) between(corp, code string, start, end time.Time, wanted func(*Instance) bool) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := []string{}
	for _, in := range a.list {
		created := in.Created.Truncate(time.Millisecond)
		if in.Corp == corp && in.ProcessCode == code && !created.Before(start) && !created.After(end) && wanted(in) {
			ids = append(ids, in.ID)
		}
	}
	return ids
}

// comment is processInstances/comments (SIM-D96): every one is kept, also the
// same one twice.
func (c *call) comment() answer {
	refuse := func(code, text string) answer { return c.fail(http.StatusBadRequest, code, text) }
	text, user, id := c.params.text("text"), c.params.text("commentUserId"), c.params.text("processInstanceId")
	switch {
	case id == "":
		return refuse("invalidInstanceId", "审批实例ID不能为空")
	case text == "":
		return refuse("invalidInstanceCommentText", "评论内容不能为空")
	case utf8.RuneCountInString(text) > commentMaxText:
		return refuse("invalidParameter", "评论内容过长")
	case !c.commentFiles():
		return refuse("invalidParameter", "附件不合法或超过20个")
	case user == "":
		return refuse("invalidInstanceCommentUserId", "评论人不能为空")
	case c.app.corp.dir.employee(user) == nil:
		return refuse("userNotExist", "用户不存在")
	}
	c.s.approvals.mu.Lock()
	defer c.s.approvals.mu.Unlock()
	in := c.s.approvals.byID[id]
	if in == nil || in.Corp != c.app.corp.id {
		return refuse("aflowProcessInstNotExist", "审批实例不存在")
	}
	in.Comments = append(in.Comments, Comment{Instance: id, UserID: user, Text: text, At: c.started})
	in.records = append(in.records, operationRecord{UserID: user, Type: "ADD_REMARK", Result: "NONE", Remark: text, at: c.started})
	return c.succeeded(true)
}

// commentFiles reports whether the files of a comment are as the vendor has them:
// looked at, not kept.
func (c *call) commentFiles() bool {
	var file struct {
		Photos      []string          `json:"photos"`
		Attachments []json.RawMessage `json:"attachments"`
	}
	raw := c.params["file"]
	return len(raw) == 0 || exact(raw, &file) == nil && len(file.Attachments) <= commentMaxFiles
}
