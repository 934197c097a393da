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
	p, err := h.Workshop.Preview(r.Context(), workActor(r), o.Corp, o.Process, o.Instance)
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

// PreviewApproval tells what would become of an approval; nothing is posted.
func (c *Client) PreviewApproval(ctx context.Context, o ApprovalOrder) (ApprovalPreview, error) {
	var p ApprovalPreview
	return p, c.post(ctx, "approvals/preview", o, &p)
}
