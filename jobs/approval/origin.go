package approval

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/dingtalk"
	"kdgate/jobs"
)

// The sources of a rule.
const (
	SourceApproval = ""          // approvals of the OA kind
	SourceYida     = "yida"      // a Yida form with a process
	SourceYidaForm = "yida-form" // a Yida form without one: what is handed in counts as agreed to
)

// Yida is one Yida application: a *dingtalk.Yida of a client's view for jobs.
type Yida interface {
	Instance(ctx context.Context, form dingtalk.YidaForm, id string) (dingtalk.YidaInstance, error)
	Instances(ctx context.Context, form dingtalk.YidaForm, since time.Time) iter.Seq2[dingtalk.YidaInstance, error]
	Remarks(ctx context.Context, form dingtalk.YidaForm, id string) ([]dingtalk.Remark, error)
	Remark(ctx context.Context, id, words, userid string) error
}

// origin is where one approval is read and answered.
type origin interface {
	Instance(ctx context.Context, id string) (dingtalk.Instance, error)
	// Remarks are what was written under it; read is the instance where it was read
	// in this attempt.
	Remarks(ctx context.Context, id string, read *dingtalk.Instance) ([]dingtalk.Remark, error)
	Comment(ctx context.Context, id, words, userid string) error
}

// oa is the origin of approvals of the OA kind, whose remarks come with them.
type oa struct{ Source }

func (o oa) Remarks(ctx context.Context, id string, read *dingtalk.Instance) ([]dingtalk.Remark, error) {
	if read != nil {
		return read.Remarks, nil
	}
	in, err := o.Instance(ctx, id)
	return in.Remarks, err
}

// yidaOrigin is the origin of the submissions of one Yida form.
type yidaOrigin struct {
	yida  Yida
	form  dingtalk.YidaForm
	title string
	begun time.Time
}

// Instance reads a submission. What Yida does not tell of one of a plain form is
// what its list told.
func (o yidaOrigin) Instance(ctx context.Context, id string) (dingtalk.Instance, error) {
	read, err := o.yida.Instance(ctx, o.form, id)
	in := read.Instance
	if in.Created.IsZero() && err == nil {
		in.Created = o.begun
		if o.begun.IsZero() {
			in.Created = read.Modified // a look at one that was never listed
		}
	}
	in.Title = cmp.Or(in.Title, o.title)
	return in, err
}

func (o yidaOrigin) Remarks(ctx context.Context, id string, _ *dingtalk.Instance) ([]dingtalk.Remark, error) {
	return o.yida.Remarks(ctx, o.form, id)
}

func (o yidaOrigin) Comment(ctx context.Context, id, words, userid string) error {
	return o.yida.Remark(ctx, id, words, userid)
}

// origin is where an errand's approval is.
func (b *Booker) origin(e errand) (origin, error) {
	if e.Source == SourceApproval {
		return oa{b.cfg.Source}, nil
	}
	yida := b.cfg.Yida[e.App]
	if yida == nil {
		return nil, jobs.Permanent(jobs.Explain(fmt.Errorf("approval: Yida application %q", e.App), "its Yida application is no longer configured"))
	}
	return yidaOrigin{yida: yida, form: formOf(e.Source, e.Process), title: e.Title, begun: e.Begun}, nil
}

func formOf(source, process string) dingtalk.YidaForm {
	return dingtalk.YidaForm{ID: process, Plain: source == SourceYidaForm}
}

// contentOf tells one content of a form from another: what was filled in and how
// it ended, and nothing of when.
func contentOf(in dingtalk.Instance) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", in.Status, in.Result)
	for _, f := range in.Fields {
		rows, err := f.Rows()
		if err != nil || rows == nil {
			fmt.Fprintf(h, "%q %q %q\n", f.ID, ordered(f.Value), ordered(f.Ext))
			continue
		}
		for i, row := range rows {
			for _, cell := range row {
				fmt.Fprintf(h, "%q %d %q %q %q\n", f.ID, i, cell.ID, ordered(cell.Value), ordered(cell.Ext))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// ordered is a JSON object or list without regard to the order of its members.
func ordered(text string) string {
	v := jsontext.Value(text)
	if kind := v.Kind(); kind != '{' && kind != '[' || v.Canonicalize() != nil {
		return text
	}
	return string(v)
}
