package config

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// Notice is one rule: what people are told, when, and who. docs/notices.md says more.
type Notice struct {
	Name       string   `mapstructure:"name" doc:"names the rule and what it has told: lower-case letters, digits and -"`
	Kind       string   `mapstructure:"kind" doc:"low_stock, query, digest, dead_letters, errors, leavers or access"`
	Corp       string   `mapstructure:"corp" doc:"whose people are told; the first organisation when empty"`
	DataCentre string   `mapstructure:"data_centre" doc:"which data centre is asked; the first one when empty"`
	Every      string   `mapstructure:"every" doc:"@every and a time, or five cron fields in UTC+8; by kind when empty"`
	Title      string   `mapstructure:"title" doc:"of the card, at most 20 characters are shown; by kind when empty"`
	To         []string `mapstructure:"to" doc:"userid, dept:ID, role:ROLE, robot:NAME or mail:ADDRESS"`
	Fallbacks  []string `mapstructure:"fallbacks" doc:"robot:NAME or mail:ADDRESS, tried in this order for people whom DingTalk gave nothing"`
	Groups     bool     `mapstructure:"groups" doc:"digest and leavers only: robots and departments may be told too; else people only"`
	Sensitive  bool     `mapstructure:"sensitive" doc:"people only, for the other kinds"`
	Link       string   `mapstructure:"link" doc:"name of one of forms: where a click leads; a query adds the record"`

	Form    string         `mapstructure:"form" doc:"query: form id in Kingdee"`
	Key     string         `mapstructure:"key" default:"FID" doc:"query: field that names a record, mostly its internal id"`
	Columns []NoticeColumn `mapstructure:"columns" doc:"query: what a line shows"`
	Where   []NoticeWhere  `mapstructure:"where" doc:"query: conditions; all must hold"`
	Changed bool           `mapstructure:"changed" doc:"query: tell a record again when its line has changed"`

	Figures []NoticeFigure `mapstructure:"figures" doc:"digest: its numbers"`
	Total   string         `mapstructure:"total" doc:"digest: title of the sum of its numbers; empty: none"`
}

// NoticeColumn is one field of a line.
type NoticeColumn struct {
	Field string `mapstructure:"field" doc:"field key"`
	Title string `mapstructure:"title" doc:"put before the value; empty: the value alone"`
}

// NoticeWhere is one condition.
type NoticeWhere struct {
	Field  string   `mapstructure:"field" doc:"field key"`
	Is     string   `mapstructure:"is" doc:"=, in, contains, <, >=, >, since or before"`
	Values []string `mapstructure:"values" doc:"one value, several for in; a day, today, 24h or 7d for since and before"`
}

// NoticeFigure is one number of a digest.
type NoticeFigure struct {
	Title string        `mapstructure:"title" doc:"what it is"`
	Form  string        `mapstructure:"form" doc:"form id in Kingdee"`
	Key   string        `mapstructure:"key" default:"FID" doc:"field that the records are ordered by"`
	Field string        `mapstructure:"field" doc:"field that is added up"`
	Where []NoticeWhere `mapstructure:"where" doc:"conditions; all must hold"`
	Cost  bool          `mapstructure:"cost" doc:"what it adds up to is spent"`
}

// Robot is a custom robot of a DingTalk group.
type Robot struct {
	Name       string          `mapstructure:"name" doc:"what robot:NAME means"`
	Corp       string          `mapstructure:"corp" doc:"whose robot; the first organisation when empty"`
	Token      identity.Secret `mapstructure:"token" secret:"true" doc:"access_token of its webhook address"`
	TokenFile  string          `mapstructure:"token_file" doc:"file whose content is the access_token"`
	Secret     identity.Secret `mapstructure:"secret" secret:"true" doc:"加签 secret, begins with SEC"`
	SecretFile string          `mapstructure:"secret_file" doc:"file whose content is the secret"`
	Keyword    string          `mapstructure:"keyword" doc:"自定义关键词, put before every message; empty: none is needed"`
}

// Mail is the mail server for notices; off without a host.
type Mail struct {
	Host         string          `mapstructure:"host" doc:"mail server; empty: no mail is sent"`
	Port         int             `mapstructure:"port" default:"587" doc:"465 speaks TLS at once, every other port by STARTTLS; never without TLS"`
	User         string          `mapstructure:"user" doc:"account"`
	Password     identity.Secret `mapstructure:"password" secret:"true" doc:"its password"`
	PasswordFile string          `mapstructure:"password_file" doc:"file whose content is the password"`
	From         string          `mapstructure:"from" doc:"sender" example:"kdgate@example.com"`
	EnvelopeFrom string          `mapstructure:"envelope_from" doc:"envelope sender, to which mail servers send what they cannot deliver later (bounces); from when empty" example:"kdgate-bounces@example.com"`
	CAFile       string          `mapstructure:"ca_file" doc:"PEM roots instead of the system's"`
}

// noticeEvery is when a kind of notice is looked at; those that come of
// themselves never are.
func noticeEvery(kind string) (every string, known bool) {
	every, known = map[string]string{
		"low_stock": "@every 10m", "query": "@every 10m", "digest": "0 18 * * *", "dead_letters": "@every 1m",
		"errors": "30 8 * * *", "leavers": "", "access": "",
	}[kind]
	return every, known
}

// OpenAllowed reports whether a rule may tell groups (F73).
func (n Notice) OpenAllowed() bool {
	if n.Kind == "digest" || n.Kind == "leavers" {
		return n.Groups
	}
	return !n.Sensitive
}

func (c *Config) checkNotices(m *Mistakes) {
	c.checkRobots(m)
	c.checkMail(m)
	seen := map[string]bool{}
	for i := range c.Notices {
		n, at := &c.Notices[i], fmt.Sprintf("notices[%d]", i)
		if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,29}$`).MatchString(n.Name) || seen[n.Name] {
			m.add("%s.name: %q; lower-case letters, digits and -, at most 30, each name once", at, n.Name)
		}
		seen[n.Name] = true
		every, known := noticeEvery(n.Kind)
		if !known {
			m.add("%s.kind: %q is none of low_stock, query, digest, dead_letters, errors, leavers, access", at, n.Kind)
		}
		if n.Every == "" {
			n.Every = every
		}
		c.noticeDefaults(m, n, at)
		c.checkAddresses(m, n, at)
		n.checkQuery(m, at)
	}
}

// noticeDefaults fills in the first organisation and data centre, and checks what is named.
func (c *Config) noticeDefaults(m *Mistakes, n *Notice, at string) {
	if n.Corp == "" && len(c.Corps) > 0 {
		n.Corp = c.Corps[0].ID
	}
	if n.DataCentre == "" && len(c.DataCentres) > 0 {
		n.DataCentre = c.DataCentres[0].ID
	}
	corp := slices.IndexFunc(c.Corps, func(corp Corp) bool { return corp.ID == n.Corp })
	switch {
	case corp < 0:
		m.add("%s.corp: %q is no organisation of this configuration", at, n.Corp)
	case c.Corps[corp].AgentID == "":
		m.add("corps[%d].agent_id: missing; work notifications need it (应用信息 → AgentId)", corp)
	}
	if !slices.ContainsFunc(c.DataCentres, func(dc DataCentre) bool { return dc.ID == n.DataCentre }) {
		m.add("%s.data_centre: %q is no data centre of this configuration", at, n.DataCentre)
	}
	if n.Link != "" && !slices.ContainsFunc(c.Forms, func(f Form) bool { return f.Name == n.Link }) {
		m.add("%s.link: %q is the name of none of forms", at, n.Link)
	}
}

// checkAddresses looks at who is told: the mistakes that would show only when
// something is to be told.
func (c *Config) checkAddresses(m *Mistakes, n *Notice, at string) {
	if len(n.To) == 0 {
		m.add("%s.to: nobody; write userids, dept:ID, role:ROLE, robot:NAME or mail:ADDRESS", at)
	}
	for _, text := range n.To {
		c.checkAddress(m, n, at, text)
	}
	for _, text := range n.Fallbacks {
		c.checkAddress(m, n, at, text)
		if !strings.HasPrefix(text, "robot:") && !strings.HasPrefix(text, "mail:") {
			m.add("%s.fallbacks: %q; a robot or a mail address", at, text)
		}
	}
}

func (c *Config) checkAddress(m *Mistakes, n *Notice, at, text string) {
	way, who, found := strings.Cut(text, ":")
	if !found {
		way, who = "user", text
	}
	open := way == "robot" || way == "dept"
	switch {
	case who == "" || strings.ContainsAny(who, ", \t\r\n"):
		m.add("%s: %q names nobody", at, text)
	case open && !n.OpenAllowed():
		m.add("%s: %q is an open group, and these figures go to people only; set groups (digest, leavers) or leave out sensitive if that is meant", at, text)
	case way == "robot" && !slices.ContainsFunc(c.Robots, func(r Robot) bool { return r.Name == who }):
		m.add("%s: %q is the name of none of robots", at, text)
	case way == "mail" && c.Mail.Host == "":
		m.add("%s: %q needs the section mail", at, text)
	case way == "role":
		oneOf(m, at+": role", who, "admin", "mapping-admin", "auditor")
	case !slices.Contains([]string{"user", "dept", "robot", "mail"}, way):
		m.add("%s: %q; write userid, dept:ID, role:ROLE, robot:NAME or mail:ADDRESS", at, text)
	}
}

var formPattern = lazyregexp.New(`^[A-Za-z0-9_]{1,80}$`)

func (n *Notice) checkQuery(m *Mistakes, at string) {
	conditions := func(at string, list []NoticeWhere) {
		for i, w := range list {
			oneOf(m, fmt.Sprintf("%s.where[%d].is", at, i), w.Is, "=", "in", "contains", "<", ">=", ">", "since", "before")
			if w.Field == "" || len(w.Values) == 0 {
				m.add("%s.where[%d]: needs a field and values", at, i)
			}
		}
	}
	switch n.Kind {
	case "query":
		if !formPattern().MatchString(n.Form) || len(n.Columns) == 0 {
			m.add("%s: a query needs form and columns", at)
		}
		conditions(at, n.Where)
	case "digest":
		if len(n.Figures) == 0 {
			m.add("%s.figures: missing; a digest without numbers says nothing", at)
		}
		for i, f := range n.Figures {
			inner := fmt.Sprintf("%s.figures[%d]", at, i)
			if !formPattern().MatchString(f.Form) || f.Field == "" || f.Title == "" {
				m.add("%s: needs title, form and field", inner)
			}
			conditions(inner, f.Where)
		}
	}
}

func (c *Config) checkRobots(m *Mistakes) {
	seen := map[string]bool{}
	for i := range c.Robots {
		r, at := &c.Robots[i], fmt.Sprintf("robots[%d]", i)
		if !isID(r.Name) || seen[r.Name] {
			m.add("%s.name: %q; lower-case letters, digits, - and _, each name once", at, r.Name)
		}
		seen[r.Name] = true
		if r.Corp == "" && len(c.Corps) > 0 {
			r.Corp = c.Corps[0].ID
		}
		if !slices.ContainsFunc(c.Corps, func(corp Corp) bool { return corp.ID == r.Corp }) {
			m.add("%s.corp: %q is no organisation of this configuration", at, r.Corp)
		}
		checkSecret(m, at+".token", r.Token)
		if !r.Secret.IsZero() && !strings.HasPrefix(r.Secret.Reveal(), "SEC") {
			m.add("%s.secret: the 加签 secret of a robot begins with SEC", at)
		}
		if r.Secret.IsZero() && r.Keyword == "" {
			c.warn("%s: neither secret nor keyword; whoever learns the token may speak in the group, unless DingTalk lets only our address in", at)
		}
	}
}

func (c *Config) checkMail(m *Mistakes) {
	if c.Mail.Host == "" {
		return
	}
	if c.Mail.Port < 1 || c.Mail.Port > 65535 {
		m.add("mail.port: %d is no port", c.Mail.Port)
	}
	if _, err := mail.ParseAddress(c.Mail.From); err != nil {
		m.add("mail.from: %q is no mail address", c.Mail.From)
	}
	if bare, err := mail.ParseAddress(c.Mail.EnvelopeFrom); c.Mail.EnvelopeFrom != "" && (err != nil || bare.Address != c.Mail.EnvelopeFrom) {
		m.add("mail.envelope_from: %q is no bare mail address", c.Mail.EnvelopeFrom)
	}
	if (c.Mail.User == "") != c.Mail.Password.IsZero() {
		m.add("mail: user and password_file belong together")
	}
}
