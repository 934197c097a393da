package dingtalk

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// Yida's calls (reference 7.6). Processes are read by v2.0 only: v1.0 is closed to
// applications of today. Two of the paths end in an id.
var (
	opYidaList    = operation{name: "yidalist", host: newHost, path: "/v2.0/yida/processes/instances", quota: true, class: ClassApproval}
	opYidaOne     = operation{name: "yidaget", host: newHost, path: "/v2.0/yida/processes/instancesInfos/", get: true, quota: true, class: ClassApproval}
	opYidaSearch  = operation{name: "yidasearch", host: newHost, path: "/v2.0/yida/forms/instances/search", quota: true, class: ClassApproval}
	opYidaEntry   = operation{name: "yidaentry", host: newHost, path: "/v2.0/yida/forms/instances/", get: true, quota: true, class: ClassApproval}
	opYidaRemarks = operation{name: "yidaremarks", host: newHost, path: "/v1.0/yida/forms/remarks/query", quota: true, class: ClassApproval}
	// A remark has no key by which the vendor would know a repeat, so it is sent
	// once and never again from here.
	opYidaRemark = operation{name: "yidaremark", host: newHost, path: "/v1.0/yida/forms/remarks", quota: true, single: true, class: ClassApproval}
)

// The permissions that Yida's calls ask for.
const (
	YidaReadProcesses = "Yida.Process.Read"
	YidaReadForms     = "Yida.Form.Read"  // plain forms, and remarks
	YidaWriteForms    = "Yida.Form.Write" // remarks
)

// YidaApp is one Yida application as we call it. App, SystemToken and Reader are
// required.
type YidaApp struct {
	App         string // appType, APP_…
	SystemToken identity.Secret
	Reader      string         // userid of somebody who may see every submission
	Aliases     bool           // ask for components by the alias that their form gives them
	Zone        *time.Location // what a Z behind a time means, and where days begin; default UTC
}

// YidaForm is a form of an application.
type YidaForm struct {
	ID    string // formUuid, FORM-…
	Plain bool   // without a process: what is handed in counts as agreed to
}

// YidaInstance is a submission of a form. Where it has a process it is an approval
// like any other; its Finished is the time of the last change, which is all that
// Yida tells, and its Department the department's name, as there is no id.
type YidaInstance struct {
	Instance
	Form     string
	Modified time.Time
	Version  int64 // grows with every change; 0 where Yida does not tell
}

// Yida is a view of a Client for one Yida application. It is safe for concurrent
// use and shares the client's token, rates, pauses and quota.
type Yida struct {
	client *Client
	app    YidaApp
}

var (
	yidaAppPattern  = lazyregexp.New(`^[A-Za-z0-9_-]{1,64}$`)
	yidaFormPattern = lazyregexp.New(`^FORM-[A-Za-z0-9_-]{1,64}$`)
)

// ValidYidaApp reports whether text can be an appType.
func ValidYidaApp(text string) bool { return yidaAppPattern().MatchString(text) }

// ValidYidaForm reports whether text can be a formUuid.
func ValidYidaForm(text string) bool { return yidaFormPattern().MatchString(text) }

// Yida makes the view for an application; it calls nobody. An application that
// cannot be one is an error of kind Misconfigured.
func (c *Client) Yida(app YidaApp) (*Yida, error) {
	if !ValidYidaApp(app.App) || app.SystemToken.IsZero() || !validUserID(app.Reader) {
		return nil, identity.Fail(identity.Misconfigured, identity.CodeDingTalkSetup, "dingtalk: a Yida application needs its appType, its system token and a userid to read as")
	}
	if app.Zone == nil {
		app.Zone = time.UTC
	}
	return &Yida{client: c, app: app}, nil
}

// Instance reads one submission as it stands. Kind NotFound: Yida was asked and
// has none such. Of a plain form Yida does not tell when it was made: Created is
// zero. It costs monthly quota.
func (y *Yida) Instance(ctx context.Context, form YidaForm, id string) (YidaInstance, error) {
	if !ValidInstance(id) || !ValidYidaForm(form.ID) {
		return YidaInstance{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: malformed id of a submission or a form")
	}
	op := opYidaOne
	if form.Plain {
		op = opYidaEntry
	}
	named := op
	named.path += id
	ctx, cancel, err := y.client.begin(ctx, named)
	if err != nil {
		return YidaInstance{}, err
	}
	defer cancel()
	query := url.Values{}
	for name, value := range y.body(map[string]string{"formUuid": form.ID}) {
		query.Set(name, fmt.Sprint(value))
	}
	var out yidaRecord
	if err := y.client.do(ctx, call{op: named, query: query, out: &out, admitted: true}); err != nil {
		return YidaInstance{}, err
	}
	if out.id() != "" && out.id() != id || out.Form != "" && out.Form != form.ID {
		return YidaInstance{}, y.client.nonsense(op, "another submission than was asked for")
	}
	return y.instance(op, form, id, out)
}

// body is what every call of Yida holds, and more.
func (y *Yida) body(more map[string]string) map[string]any {
	body := map[string]any{
		"appType": y.app.App, "systemToken": y.app.SystemToken.Reveal(), "userId": y.app.Reader, "language": "zh_CN",
	}
	if y.app.Aliases {
		body["useAlias"] = true
	}
	for name, value := range more {
		body[name] = value
	}
	return body
}

// yidaRecord is a submission in the words of the processes and in those of the
// plain forms, whose two calls differ again.
type yidaRecord struct {
	ProcessInstance string                    `json:"processInstanceId"`
	FormInstance    string                    `json:"formInstanceId"`
	FormInst        string                    `json:"formInstId"`
	Form            string                    `json:"formUuid"`
	Title           string                    `json:"title"`
	Status          string                    `json:"instanceStatus"`
	Result          string                    `json:"approvedResult"`
	Created         string                    `json:"createTimeGMT"`
	CreatedForm     string                    `json:"createdTimeGMT"`
	Modified        string                    `json:"modifiedTimeGMT"`
	Version         jsontext.Value            `json:"version"`
	Creator         string                    `json:"creatorUserId"`
	Data            map[string]jsontext.Value `json:"data"`
	FormData        map[string]jsontext.Value `json:"formData"`
	Originator      struct {
		UserID     string `json:"userId"`
		DeptName   string `json:"deptName"`
		Department string `json:"departmentName"`
	} `json:"originator"`
}

func (r yidaRecord) id() string { return or(r.ProcessInstance, or(r.FormInstance, r.FormInst)) }

// instance is a record as an approval.
func (y *Yida) instance(op operation, form YidaForm, id string, r yidaRecord) (YidaInstance, error) {
	data := r.Data
	if form.Plain {
		data, r.Status, r.Result = r.FormData, InstanceCompleted, InstanceAgreed
	}
	originator := or(r.Originator.UserID, r.Creator)
	if data == nil || r.Status == "" || originator != "" && !validUserID(originator) {
		return YidaInstance{}, y.client.nonsense(op, "instanceStatus, originator or data")
	}
	in := YidaInstance{Form: form.ID, Instance: Instance{
		ID: id, Title: r.Title, Status: r.Status, Result: r.Result, Originator: originator, DeptName: or(r.Originator.DeptName, r.Originator.Department),
	}}
	in.Department = in.DeptName
	var err error
	if in.Fields, err = yidaFields(data); err != nil {
		return YidaInstance{}, y.client.nonsense(op, "data")
	}
	if in.Modified, err = y.time(r.Modified); err != nil {
		return YidaInstance{}, y.client.nonsense(op, "modifiedTimeGMT")
	}
	if text := or(r.Created, r.CreatedForm); text != "" || !form.Plain {
		if in.Created, err = y.time(text); err != nil {
			return YidaInstance{}, y.client.nonsense(op, "createTimeGMT")
		}
	}
	if in.Over() {
		in.Finished = in.Modified
	}
	in.Version, err = strconv.ParseInt(text(r.Version), 10, 64)
	if err != nil {
		in.Version = 0 // the time of the change remains
	}
	return in, nil
}

// time reads "2024-04-27T08:33Z", and "2018-01-24 11:22:01" of older pages, which
// names no zone. No source says which zone the Z means (YidaApp.Zone).
func (y *Yida) time(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04Z", "2006-01-02T15:04:05Z"} {
		if t, err := time.ParseInLocation(layout, s, y.app.Zone); err == nil {
			return t, nil
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil // an offset that says something is believed
	}
	return time.ParseInLocation(time.DateTime, s, beijing(time.Time{}).Location())
}

// Remarks reads what was written under a submission, oldest first. It costs
// monthly quota.
func (y *Yida) Remarks(ctx context.Context, form YidaForm, id string) ([]Remark, error) {
	if !ValidInstance(id) || !ValidYidaForm(form.ID) {
		return nil, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: malformed id of a submission or a form")
	}
	body := y.body(map[string]string{"formUuid": form.ID})
	body["formInstanceIdList"] = []string{id}
	var out struct {
		Remarks *map[string][]struct {
			Creator string `json:"creator"`
			Content string `json:"content"`
			Created number `json:"gmtCreate"` // ms
		} `json:"formRemarkVoMap"`
	}
	if err := y.client.ask(ctx, opYidaRemarks, body, &out); err != nil {
		return nil, err
	}
	if out.Remarks == nil { // "none" and "not told" are not the same
		return nil, y.client.nonsense(opYidaRemarks, "formRemarkVoMap")
	}
	var list []Remark
	for _, one := range (*out.Remarks)[id] {
		list = append(list, Remark{UserID: one.Creator, At: time.UnixMilli(int64(one.Created)), Text: one.Content})
	}
	return list, nil
}

// Remark writes under a submission in somebody's name. Yida keeps every remark it
// gets, also the same one twice: after an error that is not an explicit refusal,
// read Remarks before sending again. It costs monthly quota.
func (y *Yida) Remark(ctx context.Context, id, words, userid string) error {
	if n := utf8.RuneCountInString(words); !ValidInstance(id) || !validUserID(userid) || n == 0 || n > MaxCommentRunes || !utf8.ValidString(words) {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: a remark needs a submission, a userid and 1 to %d characters", MaxCommentRunes)
	}
	var out struct {
		Result jsontext.Value `json:"result"` // the remark's id
	}
	body := y.body(map[string]string{"formInstanceId": id, "content": words, "userId": userid})
	delete(body, "useAlias")
	if err := y.client.ask(ctx, opYidaRemark, body, &out); err != nil {
		return err
	}
	if text(out.Result) == "" {
		return y.client.nonsense(opYidaRemark, "result")
	}
	return nil
}

// Permission is what reading a form asks for.
func (f YidaForm) Permission() string {
	if f.Plain {
		return YidaReadForms
	}
	return YidaReadProcesses
}

// Probe proves that a form can be read: the permission, the pair of application
// and system token, the reader, the form. It costs one call of the quota.
func (y *Yida) Probe(ctx context.Context, form YidaForm) error {
	_, err := y.page(ctx, form, span{from: y.client.now(), to: y.client.now()}, 1, 1)
	return err
}
