package notice_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/notice"
)

// mails is a rig whose mail goes to a real listener.
func mailRig(t *testing.T) (*rig, *receiver) {
	t.Helper()
	server, secure := newReceiver(t)
	return newRig(t, func(c *notice.Config) { c.Mailer = server.smtp("right", secure) }), server
}

// TestMailPerRecipient: the server's answer to one recipient keeps nobody else
// from the mail; bounces go to the envelope sender, without the text.
func TestMailPerRecipient(t *testing.T) {
	r, secure := newReceiver(t)
	r.refuses("gone@example.com", "550 5.1.1 <gone@example.com>\tno such user\u202e", "full@example.com", "452 4.2.2 mailbox full")
	s, err := notice.NewSMTP(notice.SMTPConfig{
		Host: "localhost", Port: r.port(), User: "kdgate", Password: identity.NewSecret("right"), TLS: secure, Timeout: 5 * time.Second,
		From: "金蝶网关 <kdgate@example.com>", Envelope: "bounces@example.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	m := letterMail
	m.To = []string{"ops@example.com", "gone@example.com", "full@example.com"}
	err = s.Send(t.Context(), m)
	wants(t, err, identity.Unavailable)
	unserved, ok := errors.AsType[*notice.Unserved](err)
	if !ok || len(unserved.Refusals) != 2 || strings.Contains(err.Error(), "gone@") {
		t.Fatalf("%v", err)
	}
	if got := unserved.Refusals[0]; got.To != "gone@example.com" || got.String() != "550 5.1.1 <…> no such user" || got.Passing() {
		t.Errorf("%+v", got)
	}
	if got := unserved.Refusals[1]; !got.Passing() || got.Code != 452 {
		t.Errorf("%+v", got)
	}
	if from := r.said[0]; !strings.HasPrefix(from, "MAIL FROM:<bounces@example.com>") || !strings.Contains(from, "RET=HDRS") || !strings.HasSuffix(r.said[1], "NOTIFY=FAILURE") {
		t.Errorf("the envelope is %q", r.said)
	}
	if len(r.mails) != 1 || !strings.Contains(r.mails[0], "<kdgate@example.com>") || strings.Contains(r.mails[0], "bounces@") {
		t.Fatalf("taken: %q", r.mails)
	}
	m.Only = m.To[1:2]
	wants(t, s.Send(t.Context(), m), identity.Invalid)
	if len(r.mails) != 1 {
		t.Error("a mail to nobody was sent")
	}
}

// states are the recipients of the only delivery, WHO=STATE.
func (r *rig) states() string {
	r.t.Helper()
	var list []string
	for _, one := range r.deliveries()[0].Recipients {
		list = append(list, strings.TrimPrefix(one.Who, "mail:")+"="+string(one.State))
	}
	return strings.Join(list, " ")
}

// TestMailRefusedForGood proves F71 for mail: a recipient whom the server refuses
// for good did not get it; that is a dead letter with the server's words, and
// replaying it does not give the mail twice to whom it came.
func TestMailRefusedForGood(t *testing.T) {
	r, server := mailRig(t)
	server.refuses("gone@example.com", "550 5.1.1 no such user")
	r.send(stock("a", "mail:ops@example.com", "mail:gone@example.com"))
	r.work()
	d := r.one(notice.Failed)
	if got := r.states(); got != "gone@example.com=failed ops@example.com=delivered" || d.Failure != "550 5.1.1 no such user" {
		t.Errorf("%s: %q", got, d.Failure)
	}
	if sent := d.Sent; len(sent) != 1 || sent[0].Got != 1 || len(sent[0].Drops) != 1 || sent[0].Drops[0].Code != 550 {
		t.Errorf("%+v", sent)
	}
	dead, err := r.queue.List(t.Context(), jobs.Filter{State: jobs.Dead, Kind: notice.Kind}, "", 10)
	r.must(err)
	if len(dead.Items) != 1 || dead.Items[0].Failure.Words != "550 5.1.1 no such user" {
		t.Fatalf("%+v", dead.Items)
	}
	if who, mails := server.recipients(); !slices.Equal(who, []string{"ops@example.com"}) || mails != 1 {
		t.Errorf("%v, %d", who, mails)
	}
	server.refuses()
	_, err = r.queue.Replay(t.Context(), jobs.Actor{Name: "cli:test"}, dead.Items[0].ID)
	r.must(err)
	r.work()
	if who, mails := server.recipients(); !slices.Equal(who, []string{"gone@example.com"}) || mails != 1 {
		t.Errorf("the second time to %v, %d mails", who, mails)
	}
	r.one(notice.Delivered)
}

// TestMailRefusedTakesTheNextWay: where there is a fallback it tells whom the
// server refused, and nobody else is told twice.
func TestMailRefusedTakesTheNextWay(t *testing.T) {
	r, server := mailRig(t)
	server.refuses("gone@example.com", "550 no such user")
	n := stock("a", "mail:gone@example.com", "mail:ops@example.com")
	n.Fallbacks = to("robot:ops")
	r.send(n)
	r.work()
	r.one(notice.Detoured)
	if got := r.states(); got != "gone@example.com=detoured ops@example.com=delivered" || len(r.group()) != 1 {
		t.Errorf("%s, %d messages to the group", got, len(r.group()))
	}
}

// TestMailLater: a passing refusal is tried again, for that recipient only.
func TestMailLater(t *testing.T) {
	r, server := mailRig(t)
	server.refuses("full@example.com", "452 4.2.2 mailbox full")
	r.send(stock("a", "mail:full@example.com", "mail:ops@example.com"))
	for range 3 {
		r.work()
		r.clock.Advance(10 * time.Minute)
	}
	if got := r.states(); got != "full@example.com=waiting ops@example.com=delivered" {
		t.Error(got)
	}
	if who, mails := server.recipients(); !slices.Equal(who, []string{"ops@example.com"}) || mails != 1 {
		t.Errorf("%v, %d", who, mails)
	}
	if d := r.one(notice.Waiting); len(d.Sent) != 2 || d.Failure != "452 4.2.2 mailbox full" {
		t.Errorf("%d tries are kept: %+v", len(d.Sent), d)
	}
	server.refuses()
	r.work()
	r.one(notice.Delivered)
	if who, _ := server.recipients(); !slices.Equal(who, []string{"full@example.com"}) {
		t.Errorf("then to %v", who)
	}
}
