package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/rulebook"
	"kdgate/jobs/schedule"
	"kdgate/mapping"
)

// newBookers makes what turns approvals into bills, by organisation. The rules of
// the file are read to their last expression here, so that a configuration with a
// mistake in one is never in force; those of the console follow in enforce.
func (c *Core) newBookers(cfg *config.Config, v vendors, table *mapping.Table) (map[string]*approval.Booker, error) {
	fixed, err := fixedRules(cfg)
	if err != nil {
		return nil, err
	}
	rules := map[string][]approval.Rule{}
	for _, f := range fixed {
		f.Rule.Preview = true
		rules[f.Corp] = append(rules[f.Corp], f.Rule)
	}
	targets := map[string]approval.Target{}
	for id, client := range v.kingdee {
		targets[id] = client.api.Background()
	}
	fetcher, err := newDownloader(cfg)
	if err != nil {
		return nil, err
	}
	bookers := map[string]*approval.Booker{}
	var wrong []error
	for _, corp := range consoleCorps(cfg) {
		if len(rules[corp]) == 0 && !cfg.ApprovalConsole {
			continue
		}
		yida, err := yidaApps(sectionOf(cfg, corp), v)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		ding := v.dingtalk[corp].api.Background()
		booker, err := approval.New(approval.Config{
			Yida: yida, Store: c.store, Corp: corp, Source: ding, Targets: targets, People: employees{table, corp},
			Attachments: approval.AttachmentConfig{
				Files: ding, Fetcher: fetcher, MaxSize: int64(cfg.ApprovalFiles.MaxSize) << 20, MaxMany: cfg.ApprovalFiles.MaxMany, Types: cfg.ApprovalFiles.Types,
			},
			Recorder: c.log, Rules: rules[corp], Versions: c.rulebook, Now: c.options.Now, Logger: c.options.Logger,
		}, c.queue)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("approvals: %w", err))
			continue
		}
		bookers[corp] = booker
	}
	return bookers, errors.Join(wrong...)
}

// newDownloader fetches the files of approvals from where the configuration lets it.
func newDownloader(cfg *config.Config) (*dingtalk.Downloader, error) {
	private, err := prefixes(cfg.Outbound.Private)
	if err != nil {
		return nil, fmt.Errorf("outbound.private: %w", err)
	}
	d, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{Hosts: cfg.ApprovalFiles.Hosts, Private: private, Timeout: cfg.ApprovalFiles.Timeout})
	if err != nil {
		return nil, fmt.Errorf("approval_files.hosts: %w", err)
	}
	return d, nil
}

func approvalRule(a config.Approval) (approval.Rule, error) {
	since, err := a.Begins()
	if err != nil {
		return approval.Rule{}, fmt.Errorf("approvals: %s: since: %w", a.Name, err)
	}
	rule := approval.Rule{
		Name: a.Name, Source: sourceOf(a), App: a.App, Process: a.Process, DataCentre: a.DataCentre, Since: since, Template: a.Template, Preview: a.Mode != "on",
		Form: a.Form, Version: a.Version, Audit: a.Audit, When: a.When, NoComment: !a.Comment, CommentAs: a.CommentAs,
		Attachments: a.Attachments,
		Header:      approvalFields(a.Header), Aliases: map[string]string{}, Dictionaries: map[string]map[string]string{},
	}
	if a.Attachments {
		rule.OnRefused = a.OnRefused // without files it says nothing, and no print of a rule changes by it
	}
	for _, row := range a.Aliases {
		rule.Aliases[row.Name] = row.ID
	}
	for _, table := range a.Rows {
		rule.Rows = append(rule.Rows, approval.Table{
			Entry: table.Entry, From: table.From, When: table.When, Empty: table.Empty, Fields: approvalFields(table.Fields),
		})
	}
	for _, dictionary := range a.Dictionaries {
		words := map[string]string{}
		for _, word := range dictionary.Words {
			words[word.Value] = word.Text
		}
		rule.Dictionaries[dictionary.Name] = words
	}
	return rule, nil
}

func approvalFields(list []config.ApprovalField) []approval.Field {
	var out []approval.Field
	for _, f := range list {
		out = append(out, approval.Field{
			Key: f.Key, From: f.From, Const: f.Const, Expr: f.Expr, As: approval.Form(f.As),
			Dictionary: f.Dictionary, Default: f.Default, Optional: f.Optional,
		})
	}
	return out
}

// employees are the people of one organisation as the mapping table knows them.
type employees struct {
	table *mapping.Table
	corp  string
}

// Staff implements approval.People. A mapping that is suspended still says whose
// bill it is: somebody who has left is reimbursed all the same.
func (e employees) Staff(ctx context.Context, dataCentre, userid string) (string, error) {
	row, err := e.table.Get(ctx, mapping.KeyOf(identity.Subject{Corp: e.corp, UserID: userid}, dataCentre))
	switch {
	case absent(err), err == nil && row.StaffNumber == "":
		return "", identity.Fail(identity.NotFound, identity.CodeNotMapped, "app: %s is not mapped in %s", userid, dataCentre)
	case err != nil:
		return "", err
	}
	return row.StaffNumber, nil
}

// PreviewApproval reads an approval and tells what would become of it (F61). Who
// looks is recorded first: a form holds what people are paid back for. An empty
// corp or process is the only one that the rules are about.
func (c *Core) PreviewApproval(ctx context.Context, by jobs.Actor, corp, process, instance string) (approval.Preview, error) {
	bookers := c.rooms.Load().bookers
	if corp == "" {
		corp = onlyCorp(bookers)
	}
	booker := bookers[corp]
	if booker == nil {
		return approval.Preview{}, identity.Fail(identity.Invalid, identity.CodeBadRequest,
			"app: %d organisations have rules under approvals; name one of them", len(bookers))
	}
	err := c.log.Append(ctx, audit.Event{
		Action: rulebook.ActionPreview, Outcome: audit.OK, Actor: by.Name, Source: by.Source, RequestID: by.RequestID, Target: instance,
	})
	if err != nil {
		return approval.Preview{}, identity.Fail(identity.Unavailable, identity.CodeAuditDown, "app: preview: %w", err)
	}
	return booker.Preview(ctx, process, instance)
}

// onlyCorp is the one organisation that has rules, empty when there are several.
func onlyCorp(bookers map[string]*approval.Booker) string {
	found := ""
	for corp, booker := range bookers {
		if !booker.HasRules() {
			continue
		}
		if found != "" {
			return ""
		}
		found = corp
	}
	return found
}

// CheckApprovals tells every mistake in the rules of a configuration, as a
// config.Mistakes.
func CheckApprovals(cfg *config.Config) error {
	var rules []approval.Rule
	for _, a := range cfg.Approvals {
		rule, err := approvalRule(a)
		if err != nil {
			return err
		}
		rules = append(rules, rule)
	}
	err := approval.Check(rules)
	if err == nil {
		return nil
	}
	var mistakes config.Mistakes
	for line := range strings.Lines(err.Error()) { // one of each, as they were joined
		mistakes = append(mistakes, "approvals: "+strings.TrimSpace(line))
	}
	return mistakes
}

// approvalKind is the work of one approval.
func (s *Server) approvalKind() jobs.Kind {
	return jobs.Kind{Name: approval.KindBill, Handler: jobs.HandlerFunc(func(ctx context.Context, w *jobs.Work) error {
		return approval.Bills{Bookers: s.rooms.Load().bookers}.Handle(ctx, w)
	})}
}

// The searches for approvals whose event never came.
const (
	taskApprovals        = "approvals"
	taskApprovalsNightly = "approvals-nightly"
	taskYida             = "approvals-yida"
)

// searches are the tasks that look for missed approvals; none without rules.
func (c *Core) searches() ([]schedule.Task, error) {
	cfg := c.options.Config
	if !cfg.Approving() {
		return nil, nil
	}
	var tasks []schedule.Task
	for _, t := range []struct {
		name, key, spec string
		look            look
	}{
		{taskApprovals, "every", cfg.Search.Every, look{sweep: func(s config.Search) time.Duration { return s.Overlap }}},
		{taskApprovalsNightly, "nightly", cfg.Search.Nightly, look{sweep: lookBack, poll: lookBack}},
		{taskYida, "yida", cfg.Search.Yida, look{poll: func(config.Search) time.Duration { return yidaBack }}},
	} {
		if t.name == taskYida && !cfg.HasYida() {
			continue
		}
		spec, err := schedule.Parse(t.spec)
		if err != nil {
			return nil, fmt.Errorf("approval_search.%s: %w", t.key, err)
		}
		tasks = append(tasks, schedule.Task{Name: t.name, Spec: spec, Do: func(ctx context.Context, p *schedule.Progress) error {
			return c.searchApprovals(ctx, p, t.look)
		}})
	}
	return tasks, nil
}

// look is what one search looks through and how far back; nil: not at all.
type look struct {
	sweep func(config.Search) time.Duration // approvals of the OA kind
	poll  func(config.Search) time.Duration // Yida's forms
}

func lookBack(s config.Search) time.Duration { return s.LookBack }

// searchApprovals is one search. An organisation that cannot be asked does not
// keep the others from it.
func (c *Core) searchApprovals(ctx context.Context, p *schedule.Progress, how look) error {
	r := c.rooms.Load()
	var failed []error
	for corp, booker := range r.bookers {
		for _, one := range []struct {
			back   func(config.Search) time.Duration
			search func(context.Context, time.Duration) (approval.Swept, error)
		}{{how.sweep, booker.Sweep}, {how.poll, booker.Poll}} {
			if one.back == nil {
				continue
			}
			swept, err := one.search(ctx, one.back(r.config.Search))
			p.Count("seen", int64(swept.Seen))
			p.Count("added", int64(swept.Added))
			if err != nil {
				failed = append(failed, fmt.Errorf("organisation %s: %w", corp, err))
			}
		}
	}
	return errors.Join(failed...)
}
