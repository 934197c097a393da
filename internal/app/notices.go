package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/jobs/notice"
	"kdgate/jobs/schedule"
)

// notices are the outboxes, desks and robots of a configuration.
type notices struct {
	boxes  notice.Outboxes         // by corp
	desks  map[string]*notice.Desk // by corp
	robots map[string]robot        // by name
}

// robot is one with what it was made from: it is taken over by the next
// configuration, because it knows for how long it has to be silent.
type robot struct {
	speaker *dingtalk.Robot
	section config.Robot
	client  *dingtalk.Client
}

// newNotices makes the ways to people. The rules are read to their last address
// here, so that a configuration with a mistake in one is never in force.
func (c *Core) newNotices(cfg *config.Config, v vendors, old notices) (notices, error) {
	n := notices{boxes: notice.Outboxes{}, desks: map[string]*notice.Desk{}, robots: map[string]robot{}}
	speakers := map[string]notice.Speaker{}
	for _, section := range cfg.Robots {
		made, kept := old.robots[section.Name]
		if client := v.dingtalk[section.Corp].api; !kept || made.client != client || !reflect.DeepEqual(made.section, section) {
			speaker, err := client.Background().Robot(dingtalk.RobotConfig{Token: section.Token, Secret: section.Secret, Keyword: section.Keyword})
			if err != nil {
				return n, fmt.Errorf("robots: %s: %w", section.Name, err)
			}
			made = robot{speaker, section, client}
		}
		n.robots[section.Name], speakers[section.Name] = made, made.speaker
	}
	mailer, err := newMailer(cfg.Mail)
	if err != nil {
		return n, err
	}
	for corp, client := range v.dingtalk {
		box, err := notice.New(notice.Config{
			Corp: corp, Store: c.store, Queue: c.queue, Messenger: client.api.Background(), Robots: speakers, Mailer: mailer,
			Roles: rolesOf(cfg, corp), Now: c.options.Now, Logger: c.options.Logger,
			Gather: c.options.NoticeGather, Ask: c.options.NoticeAsk, MessageBytes: client.section.Wire.MessageBytes,
		})
		if err != nil {
			return n, err
		}
		n.boxes[corp] = box
		n.desks[corp] = &notice.Desk{
			Outbox: box, Base: strings.TrimSuffix(cfg.PublicURL, "/"), SensitiveLeavers: true,
			Admins: []notice.Address{{Way: notice.WayRole, Who: "mapping-admin"}},
		}
	}
	return n, n.furnishDesks(cfg)
}

// newMailer is nil where no mail is sent; an interface that holds a nil pointer
// would look like one that sends.
func newMailer(cfg config.Mail) (notice.Mailer, error) {
	if cfg.Host == "" {
		return nil, nil
	}
	secure, err := clientTLS(cfg.CAFile, "", "")
	if err != nil {
		return nil, fmt.Errorf("mail.ca_file: %w", err)
	}
	smtp, err := notice.NewSMTP(notice.SMTPConfig{
		Host: cfg.Host, Port: cfg.Port, User: cfg.User, Password: cfg.Password, From: cfg.From, Envelope: cfg.EnvelopeFrom, TLS: secure,
	})
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return smtp, nil
}

// rolesOf are the people behind role:NAME. Where nobody is a mapping
// administrator, administrators are: somebody has to hear of requests.
func rolesOf(cfg *config.Config, corp string) map[string][]string {
	roles := map[string][]string{}
	for _, admin := range cfg.Admins {
		if admin.Corp == corp {
			roles[admin.Role] = append(roles[admin.Role], admin.UserID)
		}
	}
	if len(roles["mapping-admin"]) == 0 {
		roles["mapping-admin"] = roles["admin"]
	}
	return roles
}

// furnishDesks reads the rules of kinds access and leavers.
func (n notices) furnishDesks(cfg *config.Config) error {
	if err := CheckNotices(cfg); err != nil {
		return err
	}
	for _, rule := range cfg.Notices {
		to, fallbacks, err := addresses(rule)
		if err != nil {
			return err
		}
		desk := n.desks[rule.Corp]
		switch rule.Kind {
		case "access":
			desk.Admins, desk.Detours = to, fallbacks
		case "leavers":
			desk.Leavers, desk.LeaverDetours, desk.SensitiveLeavers = to, fallbacks, !rule.Groups
		}
	}
	return nil
}

// CheckNotices tells every mistake in the rules of a configuration that its own
// check cannot know: addresses, times and conditions are read by the rooms that
// use them. The error is a config.Mistakes.
func CheckNotices(cfg *config.Config) error {
	var wrong config.Mistakes
	for _, rule := range cfg.Notices {
		_, _, err := addresses(rule)
		if rule.Every != "" {
			_, also := schedule.Parse(rule.Every)
			err = errors.Join(err, also)
		}
		_, also := notice.Filter(conditions(rule.Where), time.Unix(0, 0))
		err = errors.Join(err, also)
		for _, figure := range rule.Figures {
			_, also := notice.Filter(conditions(figure.Where), time.Unix(0, 0))
			err = errors.Join(err, also)
		}
		if err != nil {
			for line := range strings.Lines(err.Error()) { // one of each, as they were joined
				wrong = append(wrong, "notices: "+rule.Name+": "+strings.TrimSpace(line))
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return wrong
}

// CheckRules is CheckApprovals and CheckNotices in one.
func CheckRules(cfg *config.Config) error {
	var all config.Mistakes
	for _, err := range []error{CheckApprovals(cfg), CheckNotices(cfg)} {
		if mistakes, ok := errors.AsType[config.Mistakes](err); ok {
			all = append(all, mistakes...)
		} else if err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func addresses(rule config.Notice) (to, fallbacks []notice.Address, err error) {
	to, err = notice.ParseAddresses(rule.To)
	fallbacks, also := notice.ParseAddresses(rule.Fallbacks)
	return to, fallbacks, errors.Join(err, also)
}

func conditions(list []config.NoticeWhere) []notice.Condition {
	out := make([]notice.Condition, 0, len(list))
	for _, w := range list {
		out = append(out, notice.Condition{Field: w.Field, Is: w.Is, Values: w.Values})
	}
	return out
}

// noticeKind is the kind of work that letters are.
func (s *Server) noticeKind() jobs.Kind {
	return jobs.Kind{Name: notice.Kind, Handler: jobs.HandlerFunc(func(ctx context.Context, w *jobs.Work) error {
		return s.rooms.Load().notices.boxes.Handle(ctx, w)
	})}
}

// noticeTasks are the rules that are looked at by the clock.
func (c *Core) noticeTasks() ([]schedule.Task, error) {
	var tasks []schedule.Task
	for _, rule := range c.options.Config.Notices {
		if rule.Every == "" {
			continue
		}
		spec, err := schedule.Parse(rule.Every)
		if err != nil {
			return nil, fmt.Errorf("notices: %s: every: %w", rule.Name, err)
		}
		tasks = append(tasks, schedule.Task{Name: "notice." + rule.Name, Spec: spec, Do: func(ctx context.Context, p *schedule.Progress) error {
			return c.tell(ctx, p, rule.Name)
		}})
	}
	return tasks, nil
}

// noticeTimes is what a reload cannot change about the rules: which there are,
// and when they are looked at.
func noticeTimes(cfg *config.Config) []string {
	var list []string
	for _, rule := range cfg.Notices {
		list = append(list, rule.Name+" "+rule.Every)
	}
	slices.Sort(list)
	return list
}

// tell looks at one rule as it now stands.
func (c *Core) tell(ctx context.Context, p *schedule.Progress, name string) error {
	r := c.rooms.Load()
	i := slices.IndexFunc(r.config.Notices, func(n config.Notice) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	rule := r.config.Notices[i]
	to, fallbacks, err := addresses(rule)
	if err != nil {
		return err
	}
	box, guard := r.notices.boxes[rule.Corp], p.Guard()
	alarm := notice.Alarm{Name: rule.Name, To: to, Fallbacks: fallbacks, Link: r.publicLink("/admin/jobs")}
	told := 0
	switch rule.Kind {
	case "low_stock", "query":
		told, err = box.Look(ctx, r.watch(rule, to, fallbacks, c.options.Now), guard)
	case "digest":
		err = box.TellDigest(ctx, r.digest(rule, to, fallbacks), r.asker(rule), guard)
	case "dead_letters":
		told, err = box.DeadLetters(ctx, alarm, guard)
	case "errors":
		var since []notice.Trouble
		if since, err = c.troubles(ctx); err == nil {
			err = box.Morning(ctx, alarm, since, guard)
		}
	}
	p.Count("told", int64(told))
	return err
}

func (r *rooms) publicLink(path string) string {
	return strings.TrimSuffix(r.config.PublicURL, "/") + path
}

// launchLink is where a rule's click leads: a form, or one record of it.
func (r *rooms) launchLink(rule config.Notice, id string) string {
	if rule.Link == "" {
		return ""
	}
	path := "/launch/" + url.PathEscape(rule.DataCentre) + "/" + url.PathEscape(rule.Link)
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return r.publicLink(path)
}

func (r *rooms) asker(rule config.Notice) notice.Asker {
	return r.vendors.kingdee[rule.DataCentre].api.Background()
}

// watch is a rule as the outbox looks at it.
func (r *rooms) watch(rule config.Notice, to, fallbacks []notice.Address, now func() time.Time) notice.Watch {
	asker := r.asker(rule)
	w := notice.Watch{
		Name: rule.Name, Topic: "query", Title: titleOf(rule, "新的查询结果"), To: to, Fallbacks: fallbacks,
		Sensitive: rule.Sensitive, Changed: rule.Changed, Link: r.launchLink(rule, ""),
	}
	if rule.Kind == "low_stock" {
		w.Topic, w.Title = "stock", titleOf(rule, "库存低于安全库存")
		w.Rows = func(ctx context.Context) ([]notice.Row, error) {
			levels, err := asker.LowStock(ctx)
			return notice.StockRows(levels), err
		}
		return w
	}
	inquiry := notice.Inquiry{Form: rule.Form, Key: rule.Key, Where: conditions(rule.Where)}
	for _, column := range rule.Columns {
		inquiry.Columns = append(inquiry.Columns, notice.Column{Field: column.Field, Title: column.Title})
	}
	if rule.Link != "" {
		inquiry.Link = func(id string) string { return r.launchLink(rule, id) }
	}
	w.Rows = func(ctx context.Context) ([]notice.Row, error) { return inquiry.Rows(ctx, asker, now()) }
	return w
}

func (r *rooms) digest(rule config.Notice, to, fallbacks []notice.Address) notice.Digest {
	d := notice.Digest{
		Name: rule.Name, Title: titleOf(rule, "经营日报"), Total: rule.Total, To: to, Fallbacks: fallbacks,
		Sensitive: !rule.OpenAllowed(), Link: r.launchLink(rule, ""),
	}
	for _, f := range rule.Figures {
		d.Figures = append(d.Figures, notice.Figure{Title: f.Title, Form: f.Form, Key: f.Key, Field: f.Field, Where: conditions(f.Where), Cost: f.Cost})
	}
	return d
}

func titleOf(rule config.Notice, standard string) string {
	if rule.Title != "" {
		return rule.Title
	}
	return standard
}

// mostTroubles bounds how many records the morning digest counts.
const mostTroubles = 20_000

// troubles counts what failed or was refused since yesterday, by action and reason.
func (c *Core) troubles(ctx context.Context) ([]notice.Trouble, error) {
	counts := map[string]int{}
	for _, outcome := range []audit.Outcome{audit.Failed, audit.Refused} {
		q := audit.Query{Outcome: outcome, From: c.options.Now().Add(-24 * time.Hour), Limit: 1000}
		for seen := 0; seen < mostTroubles; seen += q.Limit {
			page, err := c.log.Search(ctx, q)
			if err != nil {
				return nil, err
			}
			for _, record := range page {
				counts[strings.TrimSpace(string(record.Action)+" "+record.Reason)]++
			}
			if len(page) < q.Limit {
				break
			}
			q.Before = page[len(page)-1].Cursor()
		}
	}
	list := make([]notice.Trouble, 0, len(counts))
	for what, n := range counts {
		list = append(list, notice.Trouble{What: what, N: n})
	}
	return list, nil
}

var (
	_ notice.Messenger = (*dingtalk.Client)(nil)
	_ notice.Speaker   = (*dingtalk.Robot)(nil)
)
