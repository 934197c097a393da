package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"kdgate/internal/lazyregexp"
)

// Directory is the sync of DingTalk's address book to Kingdee's staff.
type Directory struct {
	Mode       string `mapstructure:"mode" default:"off" doc:"off; preview: runs tell what they would do; on"`
	Corp       string `mapstructure:"corp" doc:"whose address book; the first organisation when empty"`
	DataCentre string `mapstructure:"data_centre" doc:"which data centre follows; the first one when empty"`
	Every      string `mapstructure:"every" default:"@every 10m" doc:"when both sides are compared: @every and a time, or five cron fields in UTC+8"`

	StaffNumberFrom string `mapstructure:"staff_number_from" doc:"userid, job_number or extension:NAME; mapping.staff_number_from when empty"`

	Scope            []int64         `mapstructure:"scope" doc:"ids of departments whose people are kept, with all below; empty: the whole company"`
	MakeDepartments  bool            `mapstructure:"make_departments" default:"true" doc:"make departments in Kingdee that the dictionary does not name"`
	DepartmentPrefix string          `mapstructure:"department_prefix" default:"D" doc:"number of a department that is made: this and DingTalk's id"`
	Departments      []DepartmentRow `mapstructure:"departments" doc:"dictionary of departments"`
	Positions        []PositionRow   `mapstructure:"positions" doc:"dictionary of positions (岗位)"`
	DefaultPosition  string          `mapstructure:"default_position" doc:"position number of titles that the dictionary does not name; empty: none"`
	Posts            string          `mapstructure:"posts" default:"entity" doc:"how a post (任岗) is written: entity, a row of the staff record that a move changes; newstaff, a record of its own (员工任岗信息), of which a move ends the main one and makes another"`
	CreateUser       bool            `mapstructure:"create_user" default:"false" doc:"let Kingdee make a login user beside a new staff record"`
	Fields           []FieldRow      `mapstructure:"fields" doc:"further fields of the staff record"`
	Mobiles          []MobileRow     `mapstructure:"mobiles" doc:"patterns of mobile numbers by country; +86, +852, +853 and +886 are known"`

	Consent Consent `mapstructure:"consent" doc:"whether people have to agree before their data go to Kingdee"`

	Breaker Breaker `mapstructure:"breaker" doc:"how many leavers a run may have without a person's word"`
}

// Consent holds the data back of whoever has not agreed (F44).
type Consent struct {
	Mode    string        `mapstructure:"mode" default:"off" doc:"off: the employer has another legal basis; required: no consent, no transfer"`
	Without string        `mapstructure:"without" default:"aside" doc:"what goes without consent: aside, nothing; minimum, number, name and post"`
	Version string        `mapstructure:"version" default:"1" doc:"of the text; after a change of it everybody is asked anew"`
	Texts   []ConsentText `mapstructure:"texts" doc:"the text that people agree to, instead of our own"`
}

// ConsentText is the text in one language.
type ConsentText struct {
	Lang string `mapstructure:"lang" doc:"zh-Hans, zh-Hant or en"`
	Text string `mapstructure:"text" doc:"plain text; line breaks are kept"`
}

// Required reports whether people are asked.
func (c Consent) Required() bool { return c.Mode == "required" }

func (c *Consent) check(m *Mistakes) {
	oneOf(m, "directory.consent.mode", c.Mode, "off", "required")
	oneOf(m, "directory.consent.without", c.Without, "aside", "minimum")
	if c.Version == "" || len(c.Version) > 40 {
		m.add("directory.consent.version: 1 to 40 characters")
	}
	seen := map[string]bool{}
	for i, text := range c.Texts {
		at := fmt.Sprintf("directory.consent.texts[%d]", i)
		oneOf(m, at+".lang", text.Lang, "zh-Hans", "zh-Hant", "en")
		required(m, at+".text", strings.TrimSpace(text.Text), "what people agree to")
		if seen[text.Lang] {
			m.add("%s.lang: %s is there twice", at, text.Lang)
		}
		seen[text.Lang] = true
	}
	if len(c.Texts) > 0 && len(seen) < 3 {
		m.add("directory.consent.texts: write it in zh-Hans, zh-Hant and en, or leave all of them to our own")
	}
}

// DepartmentRow is one line of the dictionary of departments.
type DepartmentRow struct {
	ID     int64  `mapstructure:"id" doc:"DingTalk's id"`
	Number string `mapstructure:"number" doc:"Kingdee's number; empty: its people go without"`
}

// PositionRow is one line of the dictionary of positions.
type PositionRow struct {
	Title  string `mapstructure:"title" doc:"职位 at DingTalk"`
	Number string `mapstructure:"number" doc:"Kingdee's number"`
}

// FieldRow fills one further field.
type FieldRow struct {
	Field      string     `mapstructure:"field" doc:"key in Kingdee, such as FTel"`
	From       string     `mapstructure:"from" doc:"telephone, email, org_email, work_place, remark, title, job_number, userid, hired_at or extension:NAME"`
	Dictionary []ValueRow `mapstructure:"dictionary" doc:"value by value; empty: as it is"`
}

// ValueRow is one line of a dictionary of values.
type ValueRow struct {
	Value string `mapstructure:"value" doc:"at DingTalk"`
	Text  string `mapstructure:"text" doc:"in Kingdee"`
}

// MobileRow is the pattern of one country's mobile numbers.
type MobileRow struct {
	Country string `mapstructure:"country" doc:"code without +"`
	Pattern string `mapstructure:"pattern" doc:"regular expression that the number has to match"`
}

// Breaker bounds the leavers of one run.
type Breaker struct {
	Share float64 `mapstructure:"share" default:"0.05" doc:"part of the people known"`
	Least int     `mapstructure:"least" default:"20" doc:"so many are always admitted"`
}

// On reports whether anything of the directory runs.
func (d Directory) On() bool { return d.Mode == "preview" || d.Mode == "on" }

func (c *Config) checkDirectory(m *Mistakes) {
	d := &c.Directory
	oneOf(m, "directory.mode", d.Mode, "off", "preview", "on")
	d.Consent.check(m)
	if !d.On() {
		return
	}
	oneOf(m, "directory.posts", d.Posts, "entity", "newstaff")
	if d.Corp == "" && len(c.Corps) > 0 {
		d.Corp = c.Corps[0].ID
	}
	if d.DataCentre == "" && len(c.DataCentres) > 0 {
		d.DataCentre = c.DataCentres[0].ID
	}
	if !slices.ContainsFunc(c.Corps, func(corp Corp) bool { return corp.ID == d.Corp }) {
		m.add("directory.corp: %q is no organisation of this configuration", d.Corp)
	}
	if !slices.ContainsFunc(c.DataCentres, func(dc DataCentre) bool { return dc.ID == d.DataCentre }) {
		m.add("directory.data_centre: %q is no data centre of this configuration", d.DataCentre)
	}
	if d.StaffNumberFrom == "" {
		d.StaffNumberFrom = c.Mapping.StaffNumberFrom
	}
	if d.StaffNumberFrom != "userid" && d.StaffNumberFrom != "job_number" && !strings.HasPrefix(d.StaffNumberFrom, "extension:") {
		m.add("directory.staff_number_from: %q; a record needs userid, job_number or extension:NAME", d.StaffNumberFrom)
	}
	d.checkDictionaries(m)
	if d.Breaker.Share < 0 || d.Breaker.Share > 1 || d.Breaker.Least < 0 {
		m.add("directory.breaker: share is a part between 0 and 1, least a number of people")
	}
}

var fieldPattern = lazyregexp.New(`^F[A-Za-z0-9_]{1,63}$`)

func (d *Directory) checkDictionaries(m *Mistakes) {
	for i, row := range d.Departments {
		if row.ID <= 0 {
			m.add("directory.departments[%d].id: missing; it stands in the address of the department's page in DingTalk's console", i)
		}
	}
	for i, row := range d.Positions {
		required(m, fmt.Sprintf("directory.positions[%d].title", i), row.Title, "the 职位 as DingTalk shows it")
	}
	for i, row := range d.Fields {
		if !fieldPattern().MatchString(row.Field) {
			m.add("directory.fields[%d].field: %q is no field key of Kingdee, such as FTel", i, row.Field)
		}
		required(m, fmt.Sprintf("directory.fields[%d].from", i), row.From, "which attribute of DingTalk fills it")
	}
	for i, row := range d.Mobiles {
		if _, err := regexp.Compile(row.Pattern); err != nil || row.Country == "" {
			m.add("directory.mobiles[%d]: needs a country code and a regular expression", i)
		}
	}
}

// checkCallback looks at the HTTP way of events (T62–T69).
func checkCallback(m *Mistakes, at string, c Callback) {
	checkSecret(m, at+".token", c.Token)
	checkSecret(m, at+".aes_key", c.AESKey)
	for name, key := range map[string]string{".aes_key": c.AESKey.Reveal(), ".old.aes_key": c.Old.AESKey.Reveal()} {
		if key != "" && len(key) != 43 {
			m.add("%s%s: has %d characters, DingTalk's has 43", at, name, len(key))
		}
	}
	if c.Old.Token.IsZero() != c.Old.AESKey.IsZero() || c.Old.Token.IsZero() != (c.Old.Until == "") {
		m.add("%s.old: token, aes_key and until belong together", at)
	}
	checkDelivery(m, at, c)
	if _, err := c.Old.Ends(); err != nil {
		m.add("%s.old.until: %q is not a day such as 2026-01-31", at, c.Old.Until)
	}
}

// Ends is the moment from which the old material is refused; zero without one.
func (o OldCallback) Ends() (time.Time, error) {
	if o.Until == "" {
		return time.Time{}, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, o.Until, time.FixedZone("UTC+8", 8*60*60))
	return day.AddDate(0, 0, 1), err
}
