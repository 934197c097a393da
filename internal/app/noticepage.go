package app

import (
	"context"
	"slices"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/jobs"
	"kdgate/jobs/notice"
	"kdgate/jobs/schedule"
	"kdgate/web/admin"
)

// What people do about notices, as the audit log names it.
const (
	ActionNoticePreview audit.Action = "notice.preview" // somebody looked at what a rule would tell
	ActionNoticeResend  audit.Action = "notice.resend"  // a message that was dropped was sent again
)

// noticeRules are the rules in force with their last look and their next.
func (c *Core) noticeRules(ctx context.Context) ([]notice.Rule, error) {
	tasks, err := c.schedule.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	cfg := c.rooms.Load().config
	rules := make([]notice.Rule, 0, len(cfg.Notices))
	for _, rule := range cfg.Notices {
		one := notice.Rule{
			Name: rule.Name, Kind: rule.Kind, Corp: rule.Corp, DataCentre: rule.DataCentre, Every: rule.Every,
			To: rule.To, Fallbacks: rule.Fallbacks, Sensitive: !rule.OpenAllowed(),
		}
		i := slices.IndexFunc(tasks, func(s schedule.Status) bool { return s.Name == "notice."+rule.Name })
		if i >= 0 {
			one.Task, one.Next, one.Paused = tasks[i].Name, tasks[i].Next, tasks[i].Pause != nil
			one.Last = ruleRun(tasks[i].Last)
		}
		rules = append(rules, one)
	}
	return rules, nil
}

func ruleRun(last *schedule.Run) *notice.RuleRun {
	if last == nil {
		return nil
	}
	run := &notice.RuleRun{Began: last.Began, State: string(last.State), Told: last.Counts["told"]}
	if last.Failure != nil {
		run.Code, run.Words = last.Failure.Code, last.Failure.Words
	}
	return run
}

// previewTime bounds what a preview asks of Kingdee.
const previewTime = 20 * time.Second

// previewNotice looks as the rule would, sends nothing and remembers nothing.
// Who looked is recorded first: figures may be among what is seen (F73).
func (c *Core) previewNotice(ctx context.Context, by jobs.Actor, name string) (notice.Preview, error) {
	r := c.rooms.Load()
	i := slices.IndexFunc(r.config.Notices, func(n config.Notice) bool { return n.Name == name })
	if i < 0 {
		return notice.Preview{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "%.40q is no rule of this configuration", name)
	}
	rule := r.config.Notices[i]
	to, fallbacks, err := addresses(rule)
	if err != nil {
		return notice.Preview{}, err
	}
	if err := c.recordNotice(ctx, by, ActionNoticePreview, name); err != nil {
		return notice.Preview{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	preview, err := c.preview(ctx, r, rule, notice.Alarm{Name: rule.Name, To: to, Fallbacks: fallbacks, Link: r.publicLink("/admin/jobs")})
	preview.Sensitive = preview.Sensitive || !rule.OpenAllowed()
	return preview, err
}

func (c *Core) preview(ctx context.Context, r *rooms, rule config.Notice, a notice.Alarm) (notice.Preview, error) {
	box := r.notices.boxes[rule.Corp]
	switch rule.Kind {
	case "low_stock", "query":
		return box.PreviewWatch(ctx, r.watch(rule, a.To, a.Fallbacks, c.options.Now))
	case "digest":
		return box.PreviewDigest(ctx, r.digest(rule, a.To, a.Fallbacks), r.asker(rule))
	case "dead_letters":
		return box.PreviewDeadLetters(ctx, a)
	case "errors":
		since, err := c.troubles(ctx)
		if err != nil {
			return notice.Preview{}, err
		}
		return box.PreviewMorning(ctx, a, since)
	}
	return box.PreviewAddresses(rule.Name, a.To, a.Fallbacks), nil
}

func (c *Core) recordNotice(ctx context.Context, by jobs.Actor, action audit.Action, target string) error {
	event := audit.Event{Action: action, Outcome: audit.OK, Actor: by.Name, Source: by.Source, RequestID: by.RequestID, Target: target}
	if err := c.log.Append(ctx, event); err != nil {
		return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "record %s: %w", action, err)
	}
	return nil
}

func (c *Core) noticeLetter(ctx context.Context, key string) (notice.Letter, error) {
	box, err := c.box("") // all organisations share one list
	if err != nil {
		return notice.Letter{}, err
	}
	return box.Letter(ctx, key)
}

// resendNotice has a message that waits or is dead done again where it stopped,
// and writes one that is over anew to whomever it missed.
func (c *Core) resendNotice(ctx context.Context, by jobs.Actor, key string) error {
	l, err := c.noticeLetter(ctx, key)
	if err != nil {
		return err
	}
	switch l.Item.State {
	case jobs.Ready, jobs.Dead, jobs.GivenUp:
		_, err := c.queue.Replay(ctx, by, l.Item.ID)
		return err
	}
	box, err := c.box(l.Delivery.Corp)
	if err != nil {
		return err
	}
	if err := c.recordNotice(ctx, by, ActionNoticeResend, notice.Kind+"/"+l.Delivery.ID); err != nil {
		return err
	}
	_, err = box.Again(ctx, key)
	return err
}

// giveUpNotice ends a message that will not be sent.
func (c *Core) giveUpNotice(ctx context.Context, by jobs.Actor, key, note string) error {
	box, err := c.box("")
	if err != nil {
		return err
	}
	l, err := box.Letter(ctx, key)
	if err != nil {
		return err
	}
	if _, err := c.queue.GiveUp(ctx, by, jobs.ID{Kind: notice.Kind, Key: l.Delivery.ID}, note); err != nil {
		return err
	}
	return box.GaveUp(ctx, key, note)
}

// noticeBook is the outbox as the console looks at it.
type noticeBook struct{ *Core }

// Rules implements admin.NoticeBook.
func (b noticeBook) Rules(ctx context.Context) ([]notice.Rule, error) { return b.noticeRules(ctx) }

// Preview implements admin.NoticeBook.
func (b noticeBook) Preview(ctx context.Context, by jobs.Actor, rule string) (notice.Preview, error) {
	return b.previewNotice(ctx, by, rule)
}

// Survey implements admin.NoticeBook.
func (b noticeBook) Survey(ctx context.Context, since time.Time, most int) (notice.Survey, error) {
	box, err := b.box("") // all organisations share one list
	if err != nil {
		return notice.Survey{}, err
	}
	return box.Survey(ctx, since, most)
}

// Letter implements admin.NoticeBook.
func (b noticeBook) Letter(ctx context.Context, key string) (notice.Letter, error) {
	return b.noticeLetter(ctx, key)
}

// Test implements admin.NoticeDesk.
func (b noticeBook) Test(ctx context.Context, by jobs.Actor, who identity.Subject) error {
	return b.tryNotice(ctx, by, localapi.TrialNotice{Corp: who.Corp, To: []string{"user:" + who.UserID}})
}

// Resend implements admin.NoticeDesk.
func (b noticeBook) Resend(ctx context.Context, by jobs.Actor, key string) error {
	return b.resendNotice(ctx, by, key)
}

// GiveUp implements admin.NoticeDesk.
func (b noticeBook) GiveUp(ctx context.Context, by jobs.Actor, key, note string) error {
	return b.giveUpNotice(ctx, by, key, note)
}

var (
	_ admin.NoticeBook = noticeBook{}
	_ admin.NoticeDesk = noticeBook{}
)
