package approval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/kingdee"
)

// filed is one file of the form on its way to the bill.
type filed struct {
	ID    string `json:"id"` // DingTalk's
	Name  string `json:"name"`
	Size  int64  `json:"size,omitzero"`
	Alias string `json:"alias"`         // what it is found by at the bill
	Sent  bool   `json:"sent,omitzero"` // begun where nobody can be asked what stands there
	Done  bool   `json:"done,omitzero"` // it stands at the bill
	Why   string `json:"why,omitempty"` // it does not, for good

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

func attachmentDefaults(cfg AttachmentConfig) AttachmentConfig {
	cfg.MaxSize, cfg.MaxMany = cmp.Or(cfg.MaxSize, 20<<20), cmp.Or(cfg.MaxMany, 20)
	if len(cfg.Types) == 0 {
		cfg.Types = DefaultTypes()
	}
	return cfg
}

// errRefused is a file that will never stand at the bill as things are.
var errRefused = errors.New("approval: an attachment is refused")

// attach puts the form's files at the bill, one step each. Before the first of an
// attempt Kingdee is asked for those that stand there: an upload whose answer was
// lost, or that a replica did not live to hear, is found and not sent again. What
// is found by is the alias, made of the file's own id.
func (m *machine) attach(ctx context.Context) error {
	if m.at != stepAttaching {
		if err := m.listFiles(ctx); err != nil {
			return err
		}
	}
	pending := func(f filed) bool { return !f.Done && f.Why == "" }
	if !slices.ContainsFunc(m.state.Files, pending) {
		return nil
	}
	blind, err := m.findFiles(ctx)
	if err != nil {
		return jobs.Explain(err, "the bill stands, but Kingdee does not tell which files stand at it; attachment.form: none does without")
	}
	for i := range m.state.Files {
		if !pending(m.state.Files[i]) {
			continue
		}
		if err := m.attachOne(ctx, &m.state.Files[i], blind); err != nil {
			return err
		}
	}
	return nil
}

// listFiles writes down which files there are, before any is sent.
func (m *machine) listFiles(ctx context.Context) error {
	if m.instance == nil {
		in, err := m.origin.Instance(ctx, m.id())
		if err != nil {
			return err
		}
		m.instance = &in
	}
	files, err := filesOf(m.instance.Fields)
	if err != nil {
		return jobs.Explain(err, "the bill stands, but the form's files cannot be read")
	}
	m.state.Files = []filed{}
	for _, f := range files {
		m.state.Files = append(m.state.Files, filed{ID: f.ID, Name: fileName(f), Size: f.Size, Alias: Number(m.cfg.Corp, m.id(), "file/"+f.ID, 1)})
	}
	return m.step(ctx, stepAttaching)
}

// filesOf are the files of a form, those in suites and in rows too, each once.
func filesOf(fields []dingtalk.FormField) ([]dingtalk.File, error) {
	var all []dingtalk.File
	for _, f := range fields {
		var inner []dingtalk.FormField
		var files []dingtalk.File
		var err error
		switch f.Type {
		case "DDAttachment":
			files, err = f.Files()
		case "DDBizSuite":
			inner, err = f.Parts()
		case "TableField":
			var rows []dingtalk.Row
			rows, err = f.Rows()
			for _, row := range rows {
				inner = append(inner, row...)
			}
		}
		if err == nil && len(inner) > 0 {
			files, err = filesOf(inner)
		}
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if !slices.ContainsFunc(all, func(have dingtalk.File) bool { return have.ID == file.ID }) {
				all = append(all, file)
			}
		}
	}
	return all, nil
}

// mostFileName bounds a name at Kingdee, in characters.
const mostFileName = 100

// fileName is what a file is called at the bill: what people called it, without
// what is no name, and with its extension.
func fileName(f dingtalk.File) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, strings.TrimSpace(f.Name))
	if name == "" {
		name = f.ID
	}
	if path.Ext(name) == "" && f.Type != "" && extension(f.Type) == strings.ToLower(f.Type) {
		name += "." + f.Type
	}
	if runes := []rune(name); len(runes) > mostFileName {
		end := path.Ext(name)
		if len(end) > 10 {
			end = ""
		}
		name = string(runes[:mostFileName-len(end)]) + end
	}
	return name
}

// extension is that of a name, in small letters and without its point.
func extension(name string) string {
	return strings.ToLower(strings.TrimPrefix(path.Ext("x."+name), "."))
}

// findFiles notes which files stand at the bill. blind: this Kingdee cannot be
// asked, by configuration.
func (m *machine) findFiles(ctx context.Context) (blind bool, err error) {
	there, err := m.target().FindAttachments(ctx, m.state.Form, m.state.Bill.ID)
	if errors.Is(err, kingdee.ErrNoList) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	found := false
	for i := range m.state.Files {
		f := &m.state.Files[i]
		if !f.Done && slices.ContainsFunc(there, func(at kingdee.Filed) bool { return at.Alias == f.Alias }) {
			f.Done, found = true, true
		}
	}
	if !found {
		return false, nil
	}
	return false, m.step(ctx, stepAttaching)
}

// attachOne puts one file at the bill, or writes down that it is refused.
func (m *machine) attachOne(ctx context.Context, f *filed, blind bool) error {
	err := m.bounds(*f)
	if err == nil && blind {
		err = m.mayHaveSent(ctx, f)
	}
	if err == nil {
		err = m.upload(ctx, *f)
		if blind && err != nil && !errors.Is(err, kingdee.ErrAmbiguous) { // it was not sent whole
			f.Sent = false
			err = errors.Join(err, m.step(ctx, stepAttaching))
		}
	}
	switch {
	case err == nil:
		f.Done = true
		return m.step(ctx, stepAttaching)
	case !refusedFile(err):
		return explainedFile(err)
	case m.state.Attach == RefusedNote:
		f.Why = whyRefused(err)
		return m.step(ctx, stepAttaching)
	}
	return jobs.Permanent(jobs.Explain(err, short(fmt.Sprintf("the bill %s stands, without the attachment %s: %s", m.label(), clip(f.Name), whyRefused(err)))))
}

// bounds refuses what the configuration does not let through.
func (m *machine) bounds(f filed) error {
	limits := m.cfg.Attachments
	switch at := slices.IndexFunc(m.state.Files, func(other filed) bool { return other.ID == f.ID }); {
	case limits.Files == nil || limits.Fetcher == nil:
		return fmt.Errorf("%w: files are not fetched here", errRefused)
	case at >= limits.MaxMany:
		return fmt.Errorf("%w: it is more than %d files", errRefused, limits.MaxMany)
	case f.Size > limits.MaxSize:
		return fmt.Errorf("%w: it has %d bytes, at most %d are taken", errRefused, f.Size, limits.MaxSize)
	case !slices.Contains(limits.Types, extension(f.Name)):
		return fmt.Errorf("%w: files of its type are not taken", errRefused)
	}
	return nil
}

// mayHaveSent is the way without a look-up: that a file is about to be sent is
// written down first, and one that was about to be sent when the attempt ended is
// for a person to look at.
func (m *machine) mayHaveSent(ctx context.Context, f *filed) error {
	f.Sent = !f.Sent
	if err := m.step(ctx, stepAttaching); err != nil {
		return err
	}
	if !f.Sent {
		return fmt.Errorf("%w: it is not known whether it stands there; look, and where it does take it away before a replay", errRefused)
	}
	return nil
}

// upload carries a file from DingTalk to Kingdee without holding more of it than
// one part.
func (m *machine) upload(ctx context.Context, f filed) error {
	address, err := m.cfg.Attachments.Files.FileURL(ctx, m.id(), f.ID)
	if err != nil {
		return err
	}
	content, err := m.cfg.Attachments.Fetcher.Open(ctx, address)
	if err != nil {
		return err
	}
	defer content.Close()
	if _, err := m.work.Check(ctx); err != nil {
		return err
	}
	_, err = m.target().Attach(ctx, kingdee.Attachment{
		Form: m.state.Form, RecordID: m.state.Bill.ID, Number: m.state.Bill.Number, Name: f.Name, Alias: f.Alias,
	}, &whole{from: content, left: m.cfg.Attachments.MaxSize, want: f.Size})
	return err
}

// whole reads a file to its end and no further than is allowed. A file that is
// shorter or longer than DingTalk told ends in an error, so that its last part
// never goes out and what went before stands nowhere.
type whole struct {
	from io.Reader
	left int64 // that may still come
	want int64 // that was told; 0: nothing was
	read int64
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	w.read += int64(n)
	if w.left -= int64(n); w.left < 0 {
		return 0, fmt.Errorf("%w: it is larger than is taken", errRefused)
	}
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		err = identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "approval: an attachment breaks off after %d bytes: %w", w.read, err)
	case w.want > 0 && w.read != w.want:
		err = identity.Fail(identity.Upstream, identity.CodeDingTalkDown, "approval: an attachment has %d bytes, %d were told", w.read, w.want)
	}
	return n, err
}

// refusedFile reports whether err is about this file alone and lasts: our own
// bounds, DingTalk not giving it out, Kingdee not taking it.
func refusedFile(err error) bool {
	refusal, no := errors.AsType[*kingdee.Refusal](err)
	kind := identity.KindOf(err)
	return errors.Is(err, errRefused) || no && !refusal.InUse() || err != nil && (kind == identity.Forbidden || kind == identity.NotFound)
}

func whyRefused(err error) string {
	if refusal, no := errors.AsType[*kingdee.Refusal](err); no && len(refusal.Errors) > 0 {
		return "Kingdee: " + refusal.Errors[0].Message
	}
	if errors.Is(err, errRefused) {
		_, why, _ := strings.Cut(err.Error(), errRefused.Error()+": ")
		return why
	}
	return "DingTalk does not give it out, perhaps because the originator has left"
}

// explainedFile says that the bill stands, whatever became of the files.
func explainedFile(err error) error {
	fault, isKingdee := errors.AsType[*kingdee.Fault](err)
	switch {
	case identity.KindOf(err) != identity.Misconfigured:
		return err
	case isKingdee:
		return jobs.Explain(err, "the bill stands, but Kingdee does not take files or tell of them: "+fault.Advice)
	}
	return jobs.Explain(err, "the bill stands, but its files may not be fetched: "+err.Error())
}
