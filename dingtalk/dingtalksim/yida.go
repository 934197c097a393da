package dingtalksim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// resultDisagree is a refusal in Yida; OA says refuse (reference 7.6).
const resultDisagree = "disagree"

// The Yida application that an organisation has when it is told of none, and the
// forms that the control door uses then: one with a process and one without.
const (
	SampleYidaApp   = "APP_PBKT0MFBEBTDO8T7SLVP"
	SampleYidaToken = "hexSimulatedSystemToken0001"
	SampleYidaForm  = "FORM-REIMBURSE0YIDA"
	SampleYidaPlain = "FORM-PLAIN0YIDA"
)

// YidaApp is one Yida application of an organisation.
type YidaApp struct {
	App         string // appType
	SystemToken string
}

// YidaOrder is an instance to be.
type YidaOrder struct {
	Corp       string         `json:"corp"` // the first organisation when empty
	App        string         `json:"app"`  // SampleYidaApp when empty
	Form       string         `json:"form"` // formUuid
	Plain      bool           `json:"plain,omitempty"`
	Title      string         `json:"title"`
	Originator string         `json:"originator"` // userid
	Created    time.Time      `json:"created,omitzero"`
	Data       map[string]any `json:"data"` // by component id, as the vendor returns it
}

// YidaInstance is a submission as the control door shows it.
type YidaInstance struct {
	ID string `json:"id"`
	YidaOrder
	Status   string    `json:"status"`
	Result   string    `json:"result"`
	Modified time.Time `json:"modified"`
	Version  int64     `json:"version"`
	Remarks  []Comment `json:"remarks,omitempty"`
}

// yida are the submissions of every organisation.
type yida struct {
	mu   sync.Mutex
	list []*YidaInstance // by creation
	byID map[string]*YidaInstance
}

// StartYida makes an instance that runs; one of a plain form is complete at once,
// as it has nobody to agree. No event tells of it (reference 7.6).
func (s *Server) StartYida(o YidaOrder) (YidaInstance, error) {
	c, err := s.corpNamed(o.Corp)
	if err != nil {
		return YidaInstance{}, err
	}
	if o.App == "" {
		o.App = SampleYidaApp
	}
	if o.Form == "" || c.dir.person(o.Originator) == nil || c.yidaApp(o.App) == nil {
		return YidaInstance{}, fmt.Errorf("dingtalksim: %w: a submission needs a form, an application and an originator of the organisation", ErrInvalid)
	}
	o.Corp = c.id
	if o.Created.IsZero() {
		o.Created = s.clock.now()
	}
	in := &YidaInstance{ID: s.rand.uuid(), YidaOrder: o, Status: approvalRunning, Modified: o.Created, Version: 1}
	in.ID = strings.ToLower(in.ID)
	if o.Plain {
		in.ID, in.Status = "FINST-"+strings.ToUpper(strings.ReplaceAll(in.ID, "-", "")), approvalCompleted
	}
	s.yida.mu.Lock()
	defer s.yida.mu.Unlock()
	if s.yida.byID == nil {
		s.yida.byID = map[string]*YidaInstance{}
	}
	s.yida.byID[in.ID] = in
	at, _ := slices.BinarySearchFunc(s.yida.list, in, func(x, y *YidaInstance) int {
		if n := x.Created.Compare(y.Created); n != 0 {
			return n
		}
		return -1 // behind those of the same moment
	})
	s.yida.list = slices.Insert(s.yida.list, at, in)
	return in.copied(), nil
}

// changeYida does one thing to an instance, which then has a later time and a
// higher version.
func (s *Server) changeYida(id string, change func(in *YidaInstance) error) (YidaInstance, error) {
	s.yida.mu.Lock()
	defer s.yida.mu.Unlock()
	in := s.yida.byID[id]
	if in == nil {
		return YidaInstance{}, fmt.Errorf("dingtalksim: submission %q: %w", id, ErrNotFound)
	}
	if err := change(in); err != nil {
		return YidaInstance{}, err
	}
	in.Modified = s.clock.now()
	in.Version++
	return in.copied(), nil
}

// FinishYida ends a running instance: agree, disagree, or terminate. An ended one
// may still be terminated, as an administrator of the form may.
func (s *Server) FinishYida(id, result string) (YidaInstance, error) {
	return s.changeYida(id, func(in *YidaInstance) error {
		switch {
		case result == resultTerminate && in.Status != approvalTerminated:
			in.Status, in.Result = approvalTerminated, ""
		case in.Status != approvalRunning:
			return fmt.Errorf("dingtalksim: submission %q is %s: %w", id, in.Status, ErrExists)
		case result == resultAgree || result == resultDisagree:
			in.Status, in.Result = approvalCompleted, result
		default:
			return fmt.Errorf("dingtalksim: %w: result %q: want agree, disagree or terminate", ErrInvalid, result)
		}
		return nil
	})
}

// AmendYida changes some values of an instance, whatever its state; nil takes a
// value away.
func (s *Server) AmendYida(id string, data map[string]any) (YidaInstance, error) {
	return s.changeYida(id, func(in *YidaInstance) error {
		next := maps.Clone(in.Data)
		if next == nil {
			next = map[string]any{}
		}
		for key, value := range data {
			if next[key] = value; value == nil {
				delete(next, key)
			}
		}
		in.Data = next
		return nil
	})
}

// RemoveYida deletes an instance, as the administrator of a form may.
func (s *Server) RemoveYida(id string) error {
	s.yida.mu.Lock()
	defer s.yida.mu.Unlock()
	in := s.yida.byID[id]
	if in == nil {
		return fmt.Errorf("dingtalksim: submission %q: %w", id, ErrNotFound)
	}
	delete(s.yida.byID, id)
	s.yida.list = slices.DeleteFunc(s.yida.list, func(one *YidaInstance) bool { return one == in })
	return nil
}

// Yida lists every instance, oldest first.
func (s *Server) Yida() []YidaInstance {
	s.yida.mu.Lock()
	defer s.yida.mu.Unlock()
	out := make([]YidaInstance, 0, len(s.yida.list))
	for _, in := range s.yida.list {
		out = append(out, in.copied())
	}
	return out
}

// copied shares the data, which is replaced and never written into.
func (in *YidaInstance) copied() YidaInstance {
	c := *in
	c.Remarks = slices.Clone(in.Remarks)
	return c
}

// yidaApp is one of an organisation, nil when it has none such.
func (c *corp) yidaApp(app string) *YidaApp {
	at := slices.IndexFunc(c.yida, func(have YidaApp) bool { return have.App == app })
	if at < 0 {
		return nil
	}
	return &c.yida[at]
}

// SampleYidaData is a filled-in reimbursement of a Yida form, one row for each
// amount, with the values as Yida returns them: a number as a number and beside it
// as text, a person's name and beside it the userid.
func SampleYidaData(userid, name, reason string, amounts ...string) map[string]any {
	rows := make([]any, 0, len(amounts))
	for _, a := range amounts {
		rows = append(rows, map[string]any{
			"selectField_item": "差旅", "selectField_item_id": "option_0", "numberField_amount": json.Number(a), "numberField_amount_value": a, "textField_note": "",
		})
	}
	return map[string]any{
		"textareaField_reason": reason, "tableField_details": rows,
		"employeeField_who": []string{name}, "employeeField_who_id": []string{userid},
		"departmentSelectField_dept": []string{"演示公司"}, "departmentSelectField_dept_id": []string{"1"},
	}
}

// validateYida reports what is wrong with the Yida applications of an organisation.
func (c Corp) validateYida() (errs []error) {
	seen := map[string]bool{}
	for i, a := range c.Yida {
		if a.App == "" || a.SystemToken == "" || seen[a.App] {
			errs = append(errs, fmt.Errorf("yida[%d] %q: app and system token are needed, each app once", i, a.App))
		}
		seen[a.App] = true
	}
	return errs
}
