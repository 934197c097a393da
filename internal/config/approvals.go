package config

import (
	"fmt"
	"slices"
	"time"

	"kdgate/internal/lazyregexp"
)

// Approval is one rule: which approvals become which bill, and how. What its
// fields and expressions mean is in docs/approvals.md.
type Approval struct {
	Name       string `mapstructure:"name" doc:"for people and the audit log"`
	Mode       string `mapstructure:"mode" default:"preview" doc:"preview: shows what it would do; on; console: does nothing until somebody has previewed this very version and switched it on in the console"`
	Source     string `mapstructure:"source" default:"approval" doc:"approval: of the OA kind; yida: a Yida form with a process; yida-form: one without, where what is handed in counts as agreed to"`
	App        string `mapstructure:"app" doc:"of a Yida form: one of corps.yida; the first of the organisation when empty"`
	Process    string `mapstructure:"process" doc:"process code of the form, PROC-…; of a Yida form its FORM-…"`
	Corp       string `mapstructure:"corp" doc:"whose approvals; the first organisation when empty"`
	DataCentre string `mapstructure:"data_centre" doc:"where the bills go; the first data centre when empty"`
	Since      string `mapstructure:"since" doc:"first day whose approvals become bills, such as 2026-01-31"`
	Template   string `mapstructure:"template" doc:"expense-reimbursement, purchase-request, sales-order, voucher, or empty; what this rule says itself comes before it"`

	Form      string `mapstructure:"form" doc:"form id in Kingdee, such as ER_ExpReimbursement"`
	Version   int    `mapstructure:"version" default:"1" doc:"part of the bill's number; leave it alone"`
	Audit     bool   `mapstructure:"audit" default:"false" doc:"approve the bill in Kingdee too, after submitting it"`
	When      string `mapstructure:"when" doc:"expression: which approvals; empty: all"`
	Comment   bool   `mapstructure:"comment" default:"true" doc:"write the bill's number back as a comment"`
	CommentAs string `mapstructure:"comment_as" doc:"userid in whose name; the originator when empty"`

	Attachments bool   `mapstructure:"attachments" default:"false" doc:"put the form's files at the bill too; see approval_files"`
	OnRefused   string `mapstructure:"on_refused" default:"dead" doc:"what a file that cannot be put there does: dead, a dead letter beside the bill; note, a word in the comment"`

	Aliases      []AliasRow      `mapstructure:"aliases" doc:"names of the form's components, for the template and the fields below"`
	Header       []ApprovalField `mapstructure:"header" doc:"fields of the bill, in the order of typing"`
	Rows         []ApprovalTable `mapstructure:"rows" doc:"entries of the bill"`
	Dictionaries []DictionaryRow `mapstructure:"dictionaries" doc:"dictionaries of values"`
}

// ApprovalFile bounds the files that are carried from DingTalk to Kingdee. Their
// addresses come from DingTalk, so that only hosts on a list are called, over
// HTTPS, and of those only public ones and the networks of outbound.private.
type ApprovalFile struct {
	Hosts   []string      `mapstructure:"hosts" doc:"where files may be fetched from, *. before a name for all below it; empty: DingTalk's own (*.dingtalk.com and its three stores at aliyuncs.com)"`
	MaxSize int           `mapstructure:"max_mib" default:"20" doc:"largest file, in MiB, 1 to 200"`
	MaxMany int           `mapstructure:"max_files" default:"20" doc:"most files of one approval, 1 to 100"`
	Types   []string      `mapstructure:"types" doc:"extensions that are taken, such as pdf; empty: pictures, documents, tables, invoices and zip"`
	Timeout time.Duration `mapstructure:"timeout" default:"2m" doc:"of one file"`
}

func (c *Config) checkApprovalFiles(m *Mistakes) {
	f := c.ApprovalFiles
	if f.MaxSize < 1 || f.MaxSize > 200 {
		m.add("approval_files.max_mib: %d; 1 to 200", f.MaxSize)
	}
	if f.MaxMany < 1 || f.MaxMany > 100 {
		m.add("approval_files.max_files: %d; 1 to 100", f.MaxMany)
	}
	if f.Timeout <= 0 || f.Timeout > 4*time.Minute {
		m.add("approval_files.timeout: %s; up to 4m, less than an attempt has", f.Timeout)
	}
	for i, ending := range f.Types {
		if !extension().MatchString(ending) {
			m.add("approval_files.types[%d]: %q is no extension such as pdf", i, ending)
		}
	}
}

var extension = lazyregexp.New(`^[a-z0-9]{1,10}$`)

// AliasRow names a component.
type AliasRow struct {
	Name string `mapstructure:"name" doc:"name, such as amount"`
	ID   string `mapstructure:"id" doc:"id or alias of the component in DingTalk's form, such as MoneyField-K2AD4O5B"`
}

// ApprovalField fills one field of the bill.
type ApprovalField struct {
	Key        string `mapstructure:"key" doc:"field key in Kingdee, such as FCausa"`
	From       string `mapstructure:"from" doc:"component, or @originator, @created, @finished, @title, @business_id, @instance, @department"`
	Const      string `mapstructure:"const" doc:"this very value"`
	Expr       string `mapstructure:"expr" doc:"expression"`
	As         string `mapstructure:"as" default:"text" doc:"text, decimal, fen, int, bool, day, moment, number, staff, employee or account"`
	Dictionary string `mapstructure:"dictionary" doc:"name of a dictionary that translates the value"`
	Default    string `mapstructure:"default" doc:"where nothing is filled in"`
	Optional   bool   `mapstructure:"optional" default:"false" doc:"leave the field out where nothing is filled in"`
}

// ApprovalTable makes the rows of one entry.
type ApprovalTable struct {
	Entry  string          `mapstructure:"entry" doc:"key of the entry in Kingdee, such as FEntity"`
	From   string          `mapstructure:"from" doc:"table of the form; empty: one row of the form itself"`
	When   string          `mapstructure:"when" doc:"expression: which rows; empty: all"`
	Empty  bool            `mapstructure:"empty" default:"false" doc:"a bill without such rows is fine"`
	Fields []ApprovalField `mapstructure:"fields" doc:"fields of a row"`
}

// DictionaryRow is one dictionary of values.
type DictionaryRow struct {
	Name  string     `mapstructure:"name" doc:"its name"`
	Words []ValueRow `mapstructure:"words" doc:"value by value; * is for all others"`
}

// Search is how approvals are found whose event never came. Every 20 approvals
// of a window, and every 100 submissions of a Yida form, cost one call of DingTalk's
// monthly quota.
type Search struct {
	Every    string        `mapstructure:"every" default:"@every 1h" doc:"when recent ones are searched: @every and a time, or five cron fields in UTC+8"`
	Overlap  time.Duration `mapstructure:"overlap" default:"2d" doc:"how far back that goes, by the day an approval was begun"`
	Yida     string        `mapstructure:"yida" default:"@every 30m" doc:"when Yida's forms are looked through for what changed since yesterday: nothing else tells of them"`
	Nightly  string        `mapstructure:"nightly" default:"40 3 * * *" doc:"when older ones are searched, which ended long after they were begun"`
	LookBack time.Duration `mapstructure:"look_back" default:"30d" doc:"how far back that goes; at most 364d"`
}

// Approving reports whether any rule is there, or may be written in the console.
func (c *Config) Approving() bool { return len(c.Approvals) > 0 || c.ApprovalConsole }

const mostLookBack = 364 * 24 * time.Hour // DingTalk lists a year

func (c *Config) checkApprovals(m *Mistakes) {
	c.checkApprovalFiles(m)
	if s := c.Search; s.Overlap <= 0 || s.Overlap > mostLookBack || s.LookBack <= 0 || s.LookBack > mostLookBack {
		m.add("approval_search: overlap and look_back are times up to %s", mostLookBack)
	}
	for i := range c.Approvals {
		a := &c.Approvals[i]
		at := fmt.Sprintf("approvals[%d]", i)
		if a.Corp == "" && len(c.Corps) > 0 {
			a.Corp = c.Corps[0].ID
		}
		if a.DataCentre == "" && len(c.DataCentres) > 0 {
			a.DataCentre = c.DataCentres[0].ID
		}
		required(m, at+".name", a.Name, "a name for people and the audit log")
		oneOf(m, at+".mode", a.Mode, "preview", "on", "console")
		oneOf(m, at+".on_refused", a.OnRefused, "dead", "note")
		if !slices.ContainsFunc(c.Corps, func(corp Corp) bool { return corp.ID == a.Corp }) {
			m.add("%s.corp: %q is no organisation of this configuration", at, a.Corp)
		}
		c.checkSource(m, at, a)
		if !slices.ContainsFunc(c.DataCentres, func(dc DataCentre) bool { return dc.ID == a.DataCentre }) {
			m.add("%s.data_centre: %q is no data centre of this configuration", at, a.DataCentre)
		}
		if _, err := a.Begins(); err != nil {
			m.add("%s.since: %q is not a day such as 2026-01-31; approvals begun before it are left alone", at, a.Since)
		}
	}
}

// Begins is the first moment of the first day, in UTC+8.
func (a Approval) Begins() (time.Time, error) {
	return time.ParseInLocation(time.DateOnly, a.Since, time.FixedZone("UTC+8", 8*60*60))
}
