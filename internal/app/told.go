package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/localapi"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/jobs/notice"
	"kdgate/mapping/access"
)

// outboxAPI is the outbox as commands look at it.
func (c *Core) outboxAPI() localapi.Outbox {
	return localapi.Outbox{
		Deliveries: func(ctx context.Context, f localapi.DeliveryFilter) (notice.Page, error) {
			box, err := c.box("") // all organisations share one list
			if err != nil {
				return notice.Page{}, err
			}
			return box.Deliveries(ctx, f.Topic, f.State, f.After, f.Limit)
		},
		Try: c.tryNotice, Rules: c.noticeRules, Preview: c.previewNotice, Letter: c.noticeLetter,
		Act: func(ctx context.Context, by jobs.Actor, act localapi.NoticeAct) error {
			switch act.Act {
			case "resend":
				return c.resendNotice(ctx, by, act.Letter)
			case "give-up":
				return c.giveUpNotice(ctx, by, act.Letter, act.Note)
			}
			return identity.Fail(identity.Invalid, identity.CodeBadRequest, "%q is no act on a message", act.Act)
		},
	}
}

// box is the outbox of an organisation, of the first one when corp is empty.
func (c *Core) box(corp string) (*notice.Outbox, error) {
	r := c.rooms.Load()
	if corp == "" && len(r.config.Corps) > 0 {
		corp = r.config.Corps[0].ID
	}
	if box := r.notices.boxes[corp]; box != nil {
		return box, nil
	}
	return nil, identity.Fail(identity.NotFound, identity.CodeForeignCorp, "%q is no organisation of this configuration", corp)
}

// ActionNoticeTest is a trial message that somebody had sent.
const ActionNoticeTest audit.Action = "notice.test"

// tryNotice sends a message that says nothing but that it came. Who had it sent
// is recorded first.
func (c *Core) tryNotice(ctx context.Context, by jobs.Actor, o localapi.TrialNotice) error {
	to, err := notice.ParseAddresses(o.To)
	if err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "%w", err)
	}
	box, err := c.box(o.Corp)
	if err != nil {
		return err
	}
	event := audit.Event{
		Action: ActionNoticeTest, Outcome: audit.OK, Actor: by.Name, Source: by.Source, RequestID: by.RequestID, Target: strings.Join(o.To, " "),
	}
	if err := c.log.Append(ctx, event); err != nil {
		return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "record the trial message: %w", err)
	}
	return box.Send(ctx, notice.Notice{
		Key: "test/" + rand.Text(), Topic: "test", To: to, Title: "kdgate 测试消息", Text: "收到这条消息，说明通知渠道正常。", Urgent: true,
	})
}

// applicants tells the administrators of requests, and people of decisions.
type applicants struct{ core *Core }

// Asked implements access.Notifier.
func (a applicants) Asked(ctx context.Context, r access.Request) {
	if desk := a.desk(r); desk != nil {
		a.told(ctx, desk.AccessRequested(ctx, requestOf(r)))
	}
}

// Decided implements access.Notifier.
func (a applicants) Decided(ctx context.Context, r access.Request) {
	if desk := a.desk(r); desk != nil {
		a.told(ctx, desk.AccessAnswered(ctx, requestOf(r), r.State == access.Granted, r.Reason))
	}
}

// desk is nil for an organisation that is no longer configured: nobody is there
// to be told.
func (a applicants) desk(r access.Request) *notice.Desk {
	return a.core.rooms.Load().notices.desks[r.Corp]
}

// told logs what kept somebody from being told: the request itself is safe.
func (a applicants) told(ctx context.Context, err error) {
	if err != nil {
		a.core.options.Logger.WarnContext(ctx, "nobody was told of an access request", "error", err)
	}
}

// requestOf names a request by when it was made: asking again is another.
func requestOf(r access.Request) notice.AccessRequest {
	return notice.AccessRequest{
		ID:  fmt.Sprintf("%s/%s/%s/%d", r.DataCentre, r.Corp, r.UserID, r.Asked.UnixMilli()),
		Who: identity.Subject{Corp: r.Corp, UserID: r.UserID}, Name: r.Name, DataCentre: r.DataCentre, Missing: string(r.Code), At: r.Asked,
	}
}

// leaverBell records a leaver's cut-off and then has people told of it. The
// notice is in the outbox before the work on the leaver ends.
type leaverBell struct {
	log  *audit.Log
	core *Core
}

// Append implements directory.Recorder.
func (b leaverBell) Append(ctx context.Context, e audit.Event) error {
	if err := b.log.Append(ctx, e); err != nil || e.Action != directory.ActionLeave || e.Outcome != audit.OK {
		return err
	}
	corp, userid, _ := strings.Cut(e.Target, "/")
	desk := b.core.rooms.Load().notices.desks[corp]
	if desk == nil {
		return nil
	}
	l := notice.Leaver{Who: identity.Subject{Corp: corp, UserID: userid}, Closed: b.core.options.Now()}
	l.Left, _ = time.Parse(time.RFC3339, e.Detail["happened"]) // zero is "not told when"
	if keeper := b.core.rooms.Load().keepers()[corp]; keeper != nil {
		if known, there, err := keeper.Known(ctx, userid); err == nil && there {
			l.Name = known.Name
		}
	}
	err := desk.Left(ctx, l)
	if err != nil && identity.KindOf(err) == identity.Invalid { // the doors are closed all the same
		b.core.options.Logger.WarnContext(ctx, "nobody was told of a leaver", "error", err)
		return nil
	}
	return err
}

var _ access.Notifier = applicants{}
