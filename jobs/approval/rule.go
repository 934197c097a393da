package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/dingtalk"
	"kdgate/internal/lazyregexp"
)

// Rule says which approvals become bills of which form, and how. The rules of one
// process are tried in order, and the first whose When holds makes the bill: an
// approval becomes one bill or none.
type Rule struct {
	Name       string    `json:"name"`             // for people and the audit log
	Source     string    `json:"source,omitempty"` // SourceApproval, SourceYida or SourceYidaForm
	App        string    `json:"app,omitempty"`    // of a Yida form: its appType
	Process    string    `json:"process"`          // processCode; of a Yida form its formUuid
	DataCentre string    `json:"data_centre"`
	Since      time.Time `json:"since"` // approvals begun earlier are left alone
	Template   string    `json:"template,omitempty"`
	Preview    bool      `json:"preview,omitempty"` // shows what it would do and does nothing

	Form    string `json:"form"`              // form id in Kingdee
	Version int    `json:"version,omitempty"` // part of the bill's number; 1 by default
	Audit   bool   `json:"audit,omitempty"`   // approve the bill too, after submitting it
	When    string `json:"when,omitempty"`    // expression; empty: always

	Header []Field `json:"header"` // in the order of typing (a field that another fills in comes first)
	Rows   []Table `json:"rows,omitempty"`

	// Aliases give the ids of a form's components the names that a template uses.
	Aliases      map[string]string            `json:"aliases,omitempty"`
	Dictionaries map[string]map[string]string `json:"dictionaries,omitempty"`

	// Attachments puts the form's files at the bill once it is handed in. What
	// becomes of a file that cannot be put there is OnRefused: RefusedDead (the
	// default) ends in a dead letter, RefusedNote goes on and says so in the comment.
	Attachments bool   `json:"attachments,omitempty"`
	OnRefused   string `json:"on_refused,omitempty"`

	NoComment bool   `json:"no_comment,omitempty"`
	CommentAs string `json:"comment_as,omitempty"` // userid; empty: the originator

	Unknown jsontext.Value `json:",embed"` // members of a newer release: such a rule does not act (R54)
}

// What becomes of a refused attachment.
const (
	RefusedDead = "dead"
	RefusedNote = "note"
)

// Table makes the rows of an entry.
type Table struct {
	Entry  string  `json:"entry"`           // key of the entry, such as FEntity
	From   string  `json:"from"`            // id or alias of the form's table; empty: one row of the form itself
	When   string  `json:"when,omitempty"`  // expression over one row; empty: every row
	Empty  bool    `json:"empty,omitempty"` // a bill without such rows is fine
	Fields []Field `json:"fields"`

	Unknown jsontext.Value `json:",embed"`
}

// Field fills one field of the bill. Exactly one of From, Const and Expr says
// from what.
type Field struct {
	// Key is Kingdee's; behind a point stands the key of a field within it, such
	// as a dimension of a voucher's row: FDetailID.FDETAILID__FFLEX7.
	Key string `json:"key"`
	// From is the id or alias of a component, in rows a cell's before the
	// form's; behind it #key is the key of a chosen option and #1 to #9 an element
	// of a list or range. Names with @ are the approval's own: @originator,
	// @created, @finished, @title, @business_id, @instance, @department.
	From  string `json:"from,omitempty"`
	Const string `json:"const,omitempty"`
	Expr  string `json:"expr,omitempty"`

	As         Form   `json:"as,omitempty"`         // text by default
	Dictionary string `json:"dictionary,omitempty"` // name of one; "*" in it is for all other values
	Default    string `json:"default,omitempty"`    // for a value that is not filled in
	Optional   bool   `json:"optional,omitempty"`   // left out when it is not filled in; otherwise that is an error

	Unknown jsontext.Value `json:",embed"`
}

// Form is the shape of a value in Kingdee.
type Form string

// The shapes.
const (
	AsText     Form = "text"
	AsDecimal  Form = "decimal" // exact; thousands separators are taken out
	AsFen      Form = "fen"     // a decimal divided by one hundred, exactly: 分 → 元
	AsInt      Form = "int"
	AsBool     Form = "bool"     // true, false, 是, 否
	AsDay      Form = "day"      // yyyy-MM-dd in UTC+8
	AsMoment   Form = "moment"   // yyyy-MM-dd HH:mm:ss in UTC+8
	AsNumber   Form = "number"   // base data by number, {"FNumber":…}
	AsStaff    Form = "staff"    // a userid, as the employee it is mapped to, {"FSTAFFNUMBER":…}
	AsEmployee Form = "employee" // the same as base data, {"FNumber":…}, as a voucher's dimension wants it
	AsAccount  Form = "account"  // a login user by 用户账号, {"FUSERACCOUNT":…}
)

func forms() []Form {
	return []Form{AsText, AsDecimal, AsFen, AsInt, AsBool, AsDay, AsMoment, AsNumber, AsStaff, AsEmployee, AsAccount}
}

// own are the names of the approval itself.
func own() []string {
	return []string{"@originator", "@created", "@finished", "@title", "@business_id", "@instance", "@department"}
}

var (
	keyPattern  = lazyregexp.New(`^F[A-Za-z0-9_]{0,63}(\.F[A-Za-z0-9_]{0,63})?$`)
	formPattern = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_]{1,63}$`)
	fromPattern = lazyregexp.New(`^[^#@]{1,200}(#(key|[1-9]))?$`)
)

// compiled is a rule whose template is filled in and whose expressions are
// compiled.
type compiled struct {
	Rule
	print  string // of the rule as it is in force, kept with the work it did
	when   *formula
	header []compiledField
	rows   []compiledTable
}

type compiledTable struct {
	Table
	when   *formula
	fields []compiledField
}

type compiledField struct {
	Field
	formula *formula
	words   map[string]string // the dictionary, nil without one
}

// compileAll takes every rule and tells all mistakes at once.
func compileAll(rules []Rule) ([]compiled, error) {
	var list []compiled
	var wrong []error
	names := map[string]bool{}
	for i, rule := range rules {
		at := fmt.Sprintf("rule %d", i+1)
		if rule.Name != "" {
			at = fmt.Sprintf("rule %q", rule.Name)
		}
		if rule.Name == "" || names[rule.Name] {
			wrong = append(wrong, fmt.Errorf("%s: needs a name of its own", at))
		}
		names[rule.Name] = true
		c, err := compile(rule, at)
		wrong = append(wrong, err)
		list = append(list, c)
	}
	return list, errors.Join(wrong...)
}

// Check reports every mistake of the rules, for a configuration that is only
// looked at.
func Check(rules []Rule) error {
	_, err := compileAll(rules)
	return err
}

// checker gathers the mistakes of one rule.
type checker struct {
	at    string
	wrong []error
}

func (c *checker) check(good bool, format string, args ...any) {
	if !good {
		c.wrong = append(c.wrong, fmt.Errorf("%s: "+format, append([]any{c.at}, args...)...))
	}
}

func compile(rule Rule, at string) (compiled, error) {
	c := &checker{at: at}
	rule, err := rule.filled()
	if err != nil {
		return compiled{}, fmt.Errorf("%s: %w", at, err)
	}
	c.source(rule)
	c.understood("", rule.Unknown)
	c.check(!rule.Since.IsZero(), "since: missing; the first day whose approvals become bills")
	c.check(formPattern().MatchString(rule.Form), "form: %q is no form id of Kingdee", rule.Form)
	c.check(rule.Version >= 1, "version: %d is below 1", rule.Version)
	c.check(!rule.Attachments || rule.Source == SourceApproval, "attachments: only those of approvals are carried over")
	c.check(slices.Contains([]string{"", RefusedDead, RefusedNote}, rule.OnRefused), "on_refused: %q is neither %s nor %s", rule.OnRefused, RefusedDead, RefusedNote)
	c.check(len(rule.Header) > 0, "header: no field is filled")
	out := compiled{Rule: rule, print: printOf(rule), when: c.formula("when", rule.When, true)}
	out.header = c.fields("header", rule.Header, rule)
	for i, table := range rule.Rows {
		where := fmt.Sprintf("rows[%d]", i)
		c.understood(where+": ", table.Unknown)
		c.check(keyPattern().MatchString(table.Entry) && !strings.Contains(table.Entry, "."), "%s.entry: %q is no key of Kingdee", where, table.Entry)
		c.check(len(table.Fields) > 0, "%s.fields: no field is filled", where)
		c.check(table.From == "" || fromPattern().MatchString(table.From) && !strings.Contains(table.From, "#"), "%s.from: %q is no table of a form", where, table.From)
		out.rows = append(out.rows, compiledTable{
			Table: table, when: c.formula(where+".when", table.When, true), fields: c.fields(where+".fields", table.Fields, rule),
		})
	}
	return out, errors.Join(c.wrong...)
}

// understood refuses a rule that a newer release wrote with something that is not
// known here. What that would have held back or changed, nobody knows.
func (c *checker) understood(where string, unknown jsontext.Value) {
	c.check(len(unknown) == 0, "%sa newer release wrote it with what this one does not know; update this replica", where)
}

// source checks where a rule's approvals come from.
func (c *checker) source(rule Rule) {
	switch rule.Source {
	case SourceApproval:
		c.check(rule.Process != "", "process: missing; it stands behind processCode= in the address of the form's page")
		c.check(rule.App == "", "app: only a rule about Yida has one")
	case SourceYida, SourceYidaForm:
		c.check(dingtalk.ValidYidaForm(rule.Process), "process: %q is no form of Yida; FORM-… stands in the address of the form's page", rule.Process)
		c.check(dingtalk.ValidYidaApp(rule.App), "app: %q is no application of Yida; APP_… stands in the address of its pages", rule.App)
	default:
		c.check(false, "source: %q is none of yida and yida-form; leave it out for approvals", rule.Source)
	}
}

func (c *checker) fields(where string, list []Field, rule Rule) []compiledField {
	out := make([]compiledField, 0, len(list))
	seen := map[string]bool{}
	for i, f := range list {
		at := fmt.Sprintf("%s[%d]", where, i)
		if f.Key != "" {
			at = where + "." + f.Key
		}
		key := strings.ToLower(f.Key)
		c.understood(at+": ", f.Unknown)
		c.check(keyPattern().MatchString(f.Key), "%s: %q is no field key of Kingdee", at, f.Key)
		c.check(!seen[key], "%s: filled twice", at)
		seen[key] = true
		if f.As == "" {
			f.As = AsText
		}
		c.check(slices.Contains(forms(), f.As), "%s.as: %q is none of %v", at, f.As, forms())
		sources := 0
		for _, source := range []string{f.From, f.Const, f.Expr} {
			if source != "" {
				sources++
			}
		}
		c.check(sources == 1, "%s: wants exactly one of from, const and expr", at)
		c.check(f.From == "" || slices.Contains(own(), f.From) || fromPattern().MatchString(f.From), "%s.from: %q names nothing", at, f.From)
		words, known := rule.Dictionaries[f.Dictionary]
		c.check(f.Dictionary == "" || known, "%s.dictionary: there is none named %q", at, f.Dictionary)
		out = append(out, compiledField{Field: f, formula: c.formula(at+".expr", f.Expr, false), words: words})
	}
	return out
}

func (c *checker) formula(where, text string, truth bool) *formula {
	if text == "" {
		return nil
	}
	f, err := compileFormula(text, truth)
	c.check(err == nil, "%s: %v", where, err)
	return f
}

// printOf tells one version of a rule from another. Whether it is switched on is
// no part of a version, nor from which template it was filled.
func printOf(rule Rule) string {
	rule.Preview, rule.Template = false, ""
	text, err := json.Marshal(rule, json.Deterministic(true))
	if err != nil {
		text = fmt.Append(nil, rule) // a rule is texts and lists; this cannot happen
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
