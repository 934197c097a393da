package dingtalksim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// States and outcomes of an approval instance (reference 7.1).
const (
	approvalRunning    = "RUNNING"
	approvalCompleted  = "COMPLETED"
	approvalTerminated = "TERMINATED"

	resultAgree     = "agree"
	resultRefuse    = "refuse"
	resultTerminate = "terminate" // of the control door only: the originator revokes
)

// FormValue is one component of a form as somebody filled it in.
type FormValue struct {
	ID    string        `json:"id"` // Name when empty (oddity 7)
	Name  string        `json:"name"`
	Type  string        `json:"component_type"`      // TextField, MoneyField, TableField, …
	Alias string        `json:"biz_alias,omitempty"` // bizAlias
	Value any           `json:"value,omitempty"`     // text as it is; anything else becomes JSON in a text; nil: "null"
	Ext   any           `json:"ext_value,omitempty"` // likewise; nil: absent
	Rows  [][]FormValue `json:"rows,omitempty"`      // of a TableField; none: the table was never touched
	Files []FormFile    `json:"files,omitempty"`     // of a DDAttachment; its value is made of them
}

// Approval is an instance to be.
type Approval struct {
	Corp        string      `json:"corp"` // the first organisation when empty
	ProcessCode string      `json:"process_code"`
	Title       string      `json:"title"`
	Originator  string      `json:"originator"` // userid
	Created     time.Time   `json:"created,omitzero"`
	BizAction   string      `json:"biz_action"` // NONE, MODIFY or REVOKE (SIM-D97)
	Main        string      `json:"main"`       // whom MODIFY and REVOKE are about
	Form        []FormValue `json:"form"`
}

// Instance is an approval as the control door shows it.
type Instance struct {
	ID         string `json:"id"`
	BusinessID string `json:"business_id"`
	Approval
	Status   string    `json:"status"`
	Result   string    `json:"result"`
	Finished time.Time `json:"finished,omitzero"`
	Attached []string  `json:"attached,omitempty"`
	Comments []Comment `json:"comments,omitempty"`

	records []operationRecord
	files   []FormFile
}

// Comment is one comment on an instance.
type Comment struct {
	Instance string    `json:"instance"`
	UserID   string    `json:"userid"`
	Text     string    `json:"text"`
	At       time.Time `json:"at"`
}

// approvals are the instances of every organisation.
type approvals struct {
	mu   sync.Mutex
	list []*Instance // by creation
	byID map[string]*Instance
}

// StartApproval makes an instance that runs, and tells so by event (SIM-D78).
func (s *Server) StartApproval(a Approval) (Instance, error) {
	c, err := s.corpNamed(a.Corp)
	if err != nil {
		return Instance{}, err
	}
	if a.ProcessCode == "" || c.dir.person(a.Originator) == nil {
		return Instance{}, fmt.Errorf("dingtalksim: %w: an approval needs a process code and an originator of the organisation", ErrInvalid)
	}
	a.Corp = c.id
	if a.Created.IsZero() {
		a.Created = s.clock.now()
	}
	if a.BizAction == "" {
		a.BizAction = "NONE"
	}
	a.Form = slices.Clone(a.Form)
	in := &Instance{
		files: s.takeFiles(a.Form),
		ID:    s.instanceID(a.Created), BusinessID: s.businessID(a.Created), Approval: a, Status: approvalRunning,
		records: []operationRecord{{UserID: a.Originator, Type: "START_PROCESS_INSTANCE", Result: "NONE", at: a.Created}},
	}
	made := in.copied()
	if err := s.approvals.keep(in); err != nil {
		return Instance{}, err
	}
	return made, s.tellInstance(&made, "start")
}

// keep files an instance and attaches it to the one it is about.
func (a *approvals) keep(in *Instance) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in.Main != "" {
		first := a.byID[in.Main]
		if first == nil || first.Corp != in.Corp {
			return fmt.Errorf("dingtalksim: instance %q: %w", in.Main, ErrNotFound)
		}
		first.Attached = append(first.Attached, in.ID)
	}
	if a.byID == nil {
		a.byID = map[string]*Instance{}
	}
	a.byID[in.ID] = in
	at, _ := slices.BinarySearchFunc(a.list, in, func(x, y *Instance) int {
		if n := x.Created.Compare(y.Created); n != 0 {
			return n
		}
		return -1 // behind those of the same moment
	})
	a.list = slices.Insert(a.list, at, in)
	return nil
}

// FinishApproval ends a running instance: agree, refuse, or terminate.
func (s *Server) FinishApproval(id, result string) (Instance, error) {
	change := "finish"
	s.approvals.mu.Lock()
	in := s.approvals.byID[id]
	var err error
	switch {
	case in == nil:
		err = fmt.Errorf("dingtalksim: instance %q: %w", id, ErrNotFound)
	case in.Status != approvalRunning:
		err = fmt.Errorf("dingtalksim: instance %q is %s: %w", id, in.Status, ErrExists)
	case result == resultTerminate:
		change, in.Status = "terminate", approvalTerminated
	case result == resultAgree || result == resultRefuse:
		in.Status, in.Result = approvalCompleted, result
	default:
		err = fmt.Errorf("dingtalksim: %w: result %q: want agree, refuse or terminate", ErrInvalid, result)
	}
	if err != nil {
		s.approvals.mu.Unlock()
		return Instance{}, err
	}
	in.Finished = s.clock.now()
	in.end()
	told := in.copied()
	s.approvals.mu.Unlock()
	return told, s.tellInstance(&told, change)
}

// DeleteApproval takes an instance away, whatever its state, and tells so by an
// event whose type is in no manual: the page on these events says that deleting
// tells, and not how (SIM-D79).
func (s *Server) DeleteApproval(id string) error {
	s.approvals.mu.Lock()
	in := s.approvals.byID[id]
	if in == nil {
		s.approvals.mu.Unlock()
		return fmt.Errorf("dingtalksim: instance %q: %w", id, ErrNotFound)
	}
	delete(s.approvals.byID, id)
	s.approvals.list = slices.DeleteFunc(s.approvals.list, func(one *Instance) bool { return one == in })
	told := in.copied()
	s.approvals.mu.Unlock()
	if told.Finished.IsZero() {
		told.Finished = s.clock.now()
	}
	return s.tellInstance(&told, "delete")
}

// end adds what the records of an ended instance hold; a PROCESS_CC comes more
// than once (oddity 9).
func (in *Instance) end() {
	if in.Status == approvalTerminated {
		in.records = append(in.records, operationRecord{UserID: in.Originator, Type: "TERMINATE_PROCESS_INSTANCE", Result: "NONE", at: in.Finished})
		return
	}
	result := map[string]string{resultAgree: "AGREE", resultRefuse: "REFUSE"}[in.Result]
	in.records = append(in.records,
		operationRecord{UserID: in.Originator, Type: "EXECUTE_TASK_AUTO", Result: result, ShowName: "审批人", at: in.Finished},
		operationRecord{UserID: in.Originator, Type: "PROCESS_CC", Result: "NONE", at: in.Finished},
		operationRecord{UserID: in.Originator, Type: "PROCESS_CC", Result: "NONE", at: in.Finished},
	)
}

// AmendApproval changes the form of an instance, whatever its state: what an
// event said and what is read later need not agree (T67).
func (s *Server) AmendApproval(id string, change func(form []FormValue)) error {
	s.approvals.mu.Lock()
	defer s.approvals.mu.Unlock()
	in := s.approvals.byID[id]
	if in == nil {
		return fmt.Errorf("dingtalksim: instance %q: %w", id, ErrNotFound)
	}
	in.Form = slices.Clone(in.Form)
	change(in.Form)
	return nil
}

// Approvals lists every instance, oldest first.
func (s *Server) Approvals() []Instance {
	s.approvals.mu.Lock()
	defer s.approvals.mu.Unlock()
	out := make([]Instance, 0, len(s.approvals.list))
	for _, in := range s.approvals.list {
		out = append(out, in.copied())
	}
	return out
}

// Comments lists the comments on an instance, of OA or of Yida, or with an empty
// id all of them.
func (s *Server) Comments(id string) []Comment {
	list := []Comment{}
	for _, in := range s.Approvals() {
		if id == "" || in.ID == id {
			list = append(list, in.Comments...)
		}
	}
	for _, in := range s.Yida() {
		if id == "" || in.ID == id {
			list = append(list, in.Remarks...)
		}
	}
	return list
}

func (in *Instance) copied() Instance {
	c := *in
	c.Attached, c.Comments, c.records = slices.Clone(in.Attached), slices.Clone(in.Comments), slices.Clone(in.records)
	c.files = slices.Clone(in.files)
	return c
}

// tellInstance emits bpms_instance_change (6.5): no result on start and
// terminate, and an address whose equals sign is escaped once too often.
func (s *Server) tellInstance(in *Instance, change string) error {
	fields := map[string]any{
		"processInstanceId": in.ID, "processCode": in.ProcessCode, "businessId": in.BusinessID, "bizCategoryId": "", "businessType": "",
		"title": in.Title, "type": change, "staffId": in.Originator, "createTime": in.Created.UnixMilli(),
		"url": "https://aflow.dingtalk.com/dingtalk/mobile/homepage.htm?corpid\\u003d" + in.Corp + "&procInstId\\u003d" + in.ID,
	}
	if change != "start" {
		fields["finishTime"] = in.Finished.UnixMilli()
	}
	if change == "finish" {
		fields["result"] = in.Result
	}
	_, err := s.Emit(in.Corp, "bpms_instance_change", fields)
	return err
}

// instanceID ends in the seconds of its creation, as newer ones do (7.2).
func (s *Server) instanceID(at time.Time) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	b := s.rand.bytes(22)
	for i := range b {
		b[i] = alphabet[b[i]%64]
	}
	return string(b) + "0089" + strconv.FormatInt(at.Unix(), 10)
}

// businessID is Beijing's minute, three zeroes, the seconds and four digits
// (SIM-D92).
func (s *Server) businessID(at time.Time) string {
	b := s.rand.bytes(2)
	return beijing(at).Format("200601021504") + "000" + beijing(at).Format("05") + fmt.Sprintf("%04d", (int(b[0])<<8|int(b[1]))%10000)
}

// valueText is a value as the vendor returns it: always a text, "null" for
// nothing (oddity 1), JSON in a text for what is no text.
func valueText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return string(encode(v)) // nil is the text null
	}
}
