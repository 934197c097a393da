package approval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/jobs"
	"kdgate/kingdee"
	"kdgate/store"
)

// KindBill is the kind of work of one approval; the key is its instance id.
const KindBill = "approval.bill"

// ActionBook is a bill that is about to be made, in the audit log.
const ActionBook audit.Action = "approval.book"

// Source is an organisation's approvals: a *dingtalk.Client's view for jobs.
type Source interface {
	Instance(ctx context.Context, id string) (dingtalk.Instance, error)
	InstanceIDs(ctx context.Context, q dingtalk.InstanceQuery) iter.Seq2[string, error]
	Comment(ctx context.Context, id, words, userid string) error
}

// Target is a data centre's bills: a *kingdee.Client's view for jobs.
type Target interface {
	BillForm(form string) kingdee.BillForm
	FindBill(ctx context.Context, form, number, remark string) ([]kingdee.Bill, error)
	SaveBill(ctx context.Context, form string, model kingdee.Model) (kingdee.Bill, error)
	Operate(ctx context.Context, form string, op kingdee.Operation, ids ...string) ([]kingdee.RowResult, error)
	FindAttachments(ctx context.Context, form, recordID string) ([]kingdee.Filed, error)
	Attach(ctx context.Context, a kingdee.Attachment, content io.Reader) (string, error)
}

// Files is an organisation's files: a *dingtalk.Client's view for jobs.
type Files interface {
	FileURL(ctx context.Context, instance, file string) (identity.Secret, error)
}

// Fetcher fetches a file by its address: a *dingtalk.Downloader.
type Fetcher interface {
	Open(ctx context.Context, address identity.Secret) (io.ReadCloser, error)
}

// AttachmentConfig says where the files of forms come from and which are taken.
type AttachmentConfig struct {
	Files   Files
	Fetcher Fetcher
	MaxSize int64    // bytes of one file; 20 MiB by default
	MaxMany int      // files of one approval; 20 by default
	Types   []string // extensions without their points; the default is DefaultTypes
}

// DefaultTypes are the files that belong to a bill: pictures, documents, tables,
// invoices. Nothing that a click would run.
func DefaultTypes() []string {
	return []string{"pdf", "ofd", "jpg", "jpeg", "png", "gif", "bmp", "webp", "heic", "doc", "docx", "xls", "xlsx", "csv", "txt", "xml", "zip"}
}

// Recorder writes the audit log: *audit.Log.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Config is one organisation and the data centres that its approvals go to. The
// first group is required.
type Config struct {
	Corp     string
	Source   Source
	Targets  map[string]Target // by data centre
	People   People
	Recorder Recorder
	Rules    []Rule
	Versions Versions // keeps what bills were made by; nil: nobody does

	Yida  map[string]Yida // by appType; those that rules may be about
	Store store.Store     // of what was seen of Yida and of the records; required with Yida

	// Attachments are needed by rules that want them.
	Attachments AttachmentConfig

	Now    func() time.Time
	Logger *slog.Logger
}

// Booker makes bills of one organisation's approvals. It is safe for concurrent
// use.
type Booker struct {
	cfg   Config
	queue *jobs.Queue
	rules atomic.Pointer[[]compiled] // in force; Use replaces them
	kept  sync.Map                   // prints of the versions that are known to be kept
}

// New checks the rules and makes a Booker; all mistakes are reported at once.
func New(cfg Config, queue *jobs.Queue) (*Booker, error) {
	var wrong []error
	if cfg.Corp == "" || cfg.Source == nil || cfg.People == nil || cfg.Recorder == nil || queue == nil {
		wrong = append(wrong, errors.New("approval: corp, source, people, recorder and queue are required"))
	}
	cfg.Attachments = attachmentDefaults(cfg.Attachments)
	b := &Booker{queue: queue}
	if len(cfg.Yida) > 0 && cfg.Store == nil {
		wrong = append(wrong, errors.New("approval: Yida needs a store"))
	}
	rules, err := compileFor(cfg, cfg.Rules)
	wrong = append(wrong, err)
	b.rules.Store(&rules)
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b.cfg = cfg
	return b, nil
}

// errand is the payload of an item. A person who edits it may put values in the
// place of header fields that cannot be filled, by Kingdee's key.
type errand struct {
	Corp    string    `json:"corp"`
	Process string    `json:"process"`
	Why     string    `json:"why"` // event or search
	At      time.Time `json:"at,omitzero"`

	// Of Yida: which application, what its list told, and for a change the
	// submission that it is of.
	Source   string    `json:"source,omitempty"`
	App      string    `json:"app,omitempty"`
	Title    string    `json:"title,omitempty"`
	Begun    time.Time `json:"begun,omitzero"`
	After    string    `json:"after,omitempty"`
	Instance string    `json:"instance,omitempty"`

	Set map[string]string `json:"set,omitempty"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Take takes an event in charge: the approval that it names is on the work list
// when Take returns, once however often and in whatever order events come (R36,
// R40). What the event says is only a reason to look.
func (b *Booker) Take(ctx context.Context, e dingtalk.Event) error {
	if !b.wants(e) {
		return nil
	}
	_, err := b.add(ctx, e.Instance, b.errandOf(e))
	return err
}

// Drafts is the work that an event asks for, for whoever puts it on the list in a
// Commit of their own. Where that meets an item which is there, Take decides.
func (b *Booker) Drafts(e dingtalk.Event) ([]jobs.Draft, error) {
	if !b.wants(e) {
		return nil, nil
	}
	draft, err := draftOf(e.Instance, b.errandOf(e))
	return []jobs.Draft{draft}, err
}

// wants reports whether a rule acts on what happened.
func (b *Booker) wants(e dingtalk.Event) bool {
	return e.Type == dingtalk.EventInstance && e.Change == "finish" && e.Result == dingtalk.InstanceAgreed &&
		b.has(e.Process) && dingtalk.ValidInstance(e.Instance)
}

func (b *Booker) errandOf(e dingtalk.Event) errand {
	return errand{Corp: b.cfg.Corp, Process: e.Process, Why: "event", At: e.At}
}

func draftOf(instance string, e errand) (jobs.Draft, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return jobs.Draft{}, fmt.Errorf("approval: %w", err)
	}
	return jobs.Draft{ID: jobs.ID{Kind: KindBill, Key: instance}, Payload: payload, Mode: jobs.Once}, nil
}

// has reports whether any rule acts on a process.
func (b *Booker) has(process string) bool {
	return slices.ContainsFunc(b.inForce(), func(rule compiled) bool { return rule.Process == process && !rule.Preview })
}

// add puts an approval on the list, and reports whether that made a difference.
// One that was looked at while it still ran, or where no rule was about it, is
// looked at again.
func (b *Booker) add(ctx context.Context, instance string, e errand) (bool, error) {
	draft, err := draftOf(instance, e)
	if err != nil {
		return false, err
	}
	it, outcome, err := b.queue.Add(ctx, draft)
	if err == nil && outcome == jobs.AlreadyThere && it.State == jobs.Done && undecided(it.Step) {
		draft.Mode = jobs.Renew
		_, outcome, err = b.queue.Add(ctx, draft)
	}
	if err != nil {
		return false, fmt.Errorf("approval: %s: %w", instance, err)
	}
	return outcome == jobs.Added || outcome == jobs.Renewed, nil
}

// undecided reports whether an item that was done came to no end of its own.
func undecided(step jobs.Step) bool {
	if step.Name != stepPassed {
		return step.Name == stepRunning
	}
	var s state
	return json.Unmarshal(step.Data, &s) == nil && s.Unruled
}

// Swept is what a search found.
type Swept struct {
	Seen  int // approvals in the window
	Added int // of them new to us
}

// Sweep searches for approvals whose event never came: all that are over and were
// begun within back (at most 364 days), of every process that a rule acts on
// (F64). Windows of two searches may overlap: an approval is one item. It costs
// one call of the monthly quota per process and 20 approvals.
func (b *Booker) Sweep(ctx context.Context, back time.Duration) (Swept, error) {
	var swept Swept
	var failed []error
	for process, rule := range b.processes(false) {
		if rule.Source != SourceApproval {
			continue
		}
		from := b.cfg.Now().Add(-back)
		if from.Before(rule.Since) {
			from = rule.Since
		}
		query := dingtalk.InstanceQuery{Process: process, From: from, Statuses: []string{dingtalk.InstanceCompleted}}
		for id, err := range b.cfg.Source.InstanceIDs(ctx, query) {
			if err != nil {
				failed = append(failed, fmt.Errorf("approval: search %s: %w", process, err))
				break
			}
			swept.Seen++
			added, err := b.add(ctx, id, errand{Corp: b.cfg.Corp, Process: process, Why: "search"})
			if err != nil {
				return swept, err
			}
			if added {
				swept.Added++
			}
		}
	}
	return swept, errors.Join(failed...)
}

// processes are those that rules act on, with the rule whose first day is earliest;
// all: those of rules that are only previewed too.
func (b *Booker) processes(all bool) map[string]Rule {
	out := map[string]Rule{}
	for _, rule := range b.inForce() {
		if rule.Preview && !all {
			continue
		}
		if first, ok := out[rule.Process]; !ok || rule.Since.Before(first.Since) {
			out[rule.Process] = rule.Rule
		}
	}
	return out
}

// Preview is what would become of an approval.
type Preview struct {
	Instance string        `json:"instance"`
	Title    string        `json:"title"`
	Agreed   bool          `json:"agreed"`
	Rule     string        `json:"rule,omitempty"`
	Print    string        `json:"print,omitempty"` // of the rule's present state
	Form     string        `json:"form,omitempty"`
	Number   string        `json:"number,omitempty"`
	Model    kingdee.Model `json:"model,omitempty"`
	Passed   string        `json:"passed,omitempty"`   // why there would be no bill
	Mistakes Mistakes      `json:"mistakes,omitempty"` // what a person has to mend first
	Fields   []Filled      `json:"fields,omitempty"`   // field by field, in the order of posting
}

// Preview reads an approval and makes the model that would be posted, and posts
// nothing (F61). The process may be empty where the rules are about one only.
func (b *Booker) Preview(ctx context.Context, process, instance string) (Preview, error) {
	if process == "" {
		all := b.processes(true)
		for only := range all {
			process = only
		}
		if len(all) != 1 {
			return Preview{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "approval: the rules are about %d processes: name one", len(all))
		}
	}
	in, p, err := b.read(ctx, b.about(process), instance)
	if err != nil {
		return p, err
	}
	chosen, why, err := b.choose(process, in, nil, true)
	if err != nil || chosen == nil {
		p.Passed = why
		return p, err
	}
	return b.shown(ctx, p, chosen)
}

// choose is the first rule that wants the approval, or why none does.
func (b *Booker) choose(process string, in dingtalk.Instance, set map[string]string, preview bool) (*builder, string, error) {
	why := "no rule is about its process"
	for _, rule := range b.inForce() {
		if rule.Process != process || rule.Preview && !preview {
			continue
		}
		if in.Created.Before(rule.Since) {
			why = "it was begun before the first day of the rule"
			continue
		}
		made, err := newBuilder(rule, in, b.cfg.People, set)
		if err != nil {
			return nil, "", err
		}
		wanted, err := made.wanted()
		if err != nil {
			return nil, "", fmt.Errorf("rule %q: when: %w", rule.Name, err)
		}
		if wanted {
			return made, "", nil
		}
		why = "no rule's condition holds"
	}
	return nil, why, nil
}

// mostRemark bounds what a rule writes into the remark, so that the instance's id
// behind it is never cut off.
const mostRemark = 150

// named gives a model its number, where that is ours to give, and the instance's
// id in the remark of the head or of the first row (R33). again counts the times
// that Kingdee explicitly refused it.
func (b *Booker) named(model kingdee.Model, rule compiled, instance string, again int) kingdee.Model {
	keys := b.cfg.Targets[rule.DataCentre].BillForm(rule.Form)
	out := kingdee.Model{{Key: keys.ID, Value: 0}}
	if !keys.Runs {
		out = out.Set(keys.Number, Number(b.cfg.Corp, instance, rule.Form, rule.Version))
	}
	for _, f := range model {
		out = out.Set(f.Key, f.Value)
	}
	switch rows := rowsOf(out, keys.Entry); {
	case keys.Remark == "":
	case keys.Entry == "":
		out = remarked(out, keys.Remark, instance, again)
	case len(rows) > 0:
		rows = slices.Clone(rows)
		rows[0] = remarked(slices.Clone(rows[0]), keys.Remark, instance, again)
		out = out.Set(keys.Entry, rows)
	}
	return out
}

// remarked puts the instance's id behind what the rule says in a field.
func remarked(model kingdee.Model, key, instance string, again int) kingdee.Model {
	words := instance
	if again > 0 {
		words = marked(instance, again)
	}
	for _, f := range model {
		if text, ok := f.Value.(string); ok && strings.EqualFold(f.Key, key) {
			if runes := []rune(text); len(runes) > mostRemark {
				text = string(runes[:mostRemark])
			}
			words = text + marked(instance, again)
		}
	}
	return model.Set(key, words)
}

// marked is how an instance's id stands behind the words of a remark. Where
// Kingdee was asked to refuse the same data twice, what it refused for another
// reason must not be the same when it is mended there and sent again.
func marked(instance string, again int) string {
	if again > 0 {
		return fmt.Sprintf(" (%s/%d)", instance, again+1)
	}
	return " (" + instance + ")"
}

// mostMarks bounds how often one approval's data is sent anew.
const mostMarks = 100

// belonging are the bills of an instance among those that a look-up found: those
// with its number, and those whose remark ends in its id as we write it. People
// may write the id of another approval into their own.
func belonging(bills []kingdee.Bill, number, instance string) []kingdee.Bill {
	return slices.DeleteFunc(slices.Clone(bills), func(b kingdee.Bill) bool {
		return b.Number != number && !signed(b.Remark, instance)
	})
}

// signed reports whether a remark is, or ends in, an instance's id as we write it.
func signed(remark, instance string) bool {
	at := strings.LastIndex(remark, " ("+instance)
	if at < 0 {
		return remark == instance
	}
	mark := remark[at+len(" ("+instance):]
	return mark == ")" || markAgain().MatchString(mark)
}

var markAgain = lazyregexp.New(`^/[1-9][0-9]{0,2}\)$`)
