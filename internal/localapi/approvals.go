package localapi

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/jobs/approval"
)

// ApprovalOrder names an approval.
type ApprovalOrder struct {
	Corp     string `json:"corp,omitzero"`
	Process  string `json:"process,omitzero"`
	Rule     string `json:"rule,omitzero"` // by this one rule; empty: whichever would be chosen
	Instance string `json:"instance"`
}

// ApprovalPreview is approval.Preview on this wire; the model stays the text that
// would be posted, amounts with all their digits.
type ApprovalPreview struct {
	Instance string             `json:"instance"`
	Title    string             `json:"title"`
	Agreed   bool               `json:"agreed"`
	Rule     string             `json:"rule,omitzero"`
	Print    string             `json:"print,omitzero"`
	Form     string             `json:"form,omitzero"`
	Number   string             `json:"number,omitzero"`
	Model    jsontext.Value     `json:"model,omitempty"`
	Passed   string             `json:"passed,omitzero"`
	Mistakes []approval.Mistake `json:"mistakes,omitempty"`
}

func (h handler) previewApproval(w http.ResponseWriter, r *http.Request) {
	o, err := read[ApprovalOrder](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	noDeadline(w) // DingTalk may keep us waiting
	p, err := h.tryOne(r, o)
	if err != nil {
		h.fail(w, err)
		return
	}
	shown := ApprovalPreview{
		Instance: p.Instance, Title: p.Title, Agreed: p.Agreed, Rule: p.Rule, Print: p.Print,
		Form: p.Form, Number: p.Number, Passed: p.Passed, Mistakes: p.Mistakes,
	}
	if p.Model != nil {
		shown.Model, err = p.Model.MarshalJSON()
	}
	h.reply(w, shown, err)
}

// tryOne previews by one rule, or by whichever would be chosen.
func (h handler) tryOne(r *http.Request, o ApprovalOrder) (approval.Preview, error) {
	if o.Rule == "" {
		return h.Workshop.Preview(r.Context(), workActor(r), o.Corp, o.Process, o.Instance)
	}
	rule, err := h.ruleNamed(o.Corp, o.Rule)
	if err != nil {
		return approval.Preview{}, err
	}
	return h.Workshop.Rules.Try(r.Context(), workActor(r), rule.Key, o.Instance)
}

// PreviewApproval tells what would become of an approval; nothing is posted.
func (c *Client) PreviewApproval(ctx context.Context, o ApprovalOrder) (ApprovalPreview, error) {
	var p ApprovalPreview
	return p, c.post(ctx, "approvals/preview", o, &p)
}
