package notice

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"kdgate/identity"
)

// Desk is who is told of single happenings: access requests and leavers.
type Desk struct {
	Outbox  *Outbox
	Base    string    // the gateway's own address, without a slash at the end
	Admins  []Address // who grants access (F11)
	Leavers []Address // who hears of leavers; empty: nobody
	Detours []Address // fallbacks of the cards to Admins

	LeaverDetours []Address

	SensitiveLeavers bool // leavers are told to people only
}

// AccessRequest is somebody who asks to be mapped.
type AccessRequest struct {
	ID          string // names the request
	Who         identity.Subject
	Name        string // as DingTalk shows it
	Department  string
	DataCentre  string
	StaffNumber string // empty: not known
	Missing     string // what is missing, in words; empty: the mapping
	At          time.Time
}

// AccessRequested sends the card of a request to the mapping administrators
// (F11). The same ID again sends nothing.
func (d *Desk) AccessRequested(ctx context.Context, q AccessRequest) error {
	var lines []string
	for _, pair := range [][2]string{
		{"姓名", q.Name},
		{"钉钉 userid", q.Who.UserID},
		{"部门", q.Department},
		{"工号", q.StaffNumber},
		{"数据中心", q.DataCentre},
		{"缺少", q.Missing},
		{"时间", q.At.In(zone()).Format("01-02 15:04")},
	} {
		if pair[1] != "" {
			lines = append(lines, "- "+pair[0]+"："+escape(pair[1]))
		}
	}
	return d.Outbox.Send(ctx, Notice{
		Key: "access/" + q.ID, Topic: "access", To: d.Admins, Fallbacks: d.Detours, Title: "申请访问金蝶",
		Text: strings.Join(lines, "\n"), Link: d.Base + "/admin/requests", LinkTitle: "处理申请", Urgent: true,
	})
}

// AccessAnswered tells the person what became of the request.
func (d *Desk) AccessAnswered(ctx context.Context, q AccessRequest, granted bool, words string) error {
	n := Notice{
		Key: fmt.Sprintf("access-answer/%s/%v", q.ID, granted), Topic: "access", To: []Address{{WayPerson, q.Who.UserID}},
		Title: "金蝶访问申请未通过", Text: "你的申请未通过。", Urgent: true,
	}
	if granted {
		n.Title, n.Text = "金蝶访问申请已通过", "现在可以打开金蝶，不需要密码。"
		n.Link, n.LinkTitle = d.Base+"/launch/"+url.PathEscape(q.DataCentre), "打开金蝶"
	}
	if words != "" {
		n.Text += "\n\n" + escape(words)
	}
	return d.Outbox.Send(ctx, n)
}

// Leaver is somebody whose doors were closed.
type Leaver struct {
	Who        identity.Subject
	Name       string
	Department string
	Left       time.Time // when DingTalk says so; zero: it did not
	Closed     time.Time // when the last door of ours was
}

// Left tells that somebody has left and that their doors are closed (F72). The
// same person on the same day again tells nothing.
func (d *Desk) Left(ctx context.Context, l Leaver) error {
	if len(d.Leavers) == 0 {
		return nil
	}
	at := l.Left
	if at.IsZero() {
		at = l.Closed
	}
	name := l.Name
	if name == "" {
		name = l.Who.UserID
	}
	text := "- 姓名：" + escape(name) + "（" + escape(l.Who.UserID) + "）"
	if l.Department != "" {
		text += "\n- 部门：" + escape(l.Department)
	}
	form := "2006-01-02 15:04:05"
	if !l.Left.IsZero() {
		text += "\n- 离职：" + l.Left.In(zone()).Format(form)
	}
	text += "\n- 访问已全部关闭：" + l.Closed.In(zone()).Format(form)
	return d.Outbox.Send(ctx, Notice{
		Key:   "leaver/" + l.Who.Corp + "/" + l.Who.UserID + "/" + day(at), // an event that comes twice is one leaving
		Topic: "leaver", To: d.Leavers, Fallbacks: d.LeaverDetours, Title: "员工离职", Text: text, Sensitive: d.SensitiveLeavers,
	})
}
