package admin

import (
	"context"
	"net/http"
	"time"

	"kdgate/audit"
	"kdgate/internal/checkup"
)

const pathSetup = prefix + "setup"

// SetupPage walks through the steps of kdgate setup in the running console, each
// as the last check-up found it, so that an administrator can come back (F32).
type SetupPage struct {
	Book Checkups
	Log  interface {
		Search(ctx context.Context, q audit.Query) ([]audit.Record, error)
	}
	Began time.Time // when this gateway started
}

// Mount implements Page.
func (p *SetupPage) Mount(rt *Router) {
	rt.Link("setup", pathSetup, ToReaders)
	rt.Add(
		Route{Pattern: "GET " + pathSetup, Access: ToReaders, Summary: "The steps of a set-up, each as it stands now.", Serve: p.page},
		Route{Pattern: "POST " + pathSetup, Access: ToAdmin, Summary: "Test every step now; the result is kept and recorded.", Serve: p.test},
		Route{Pattern: "GET " + apiPrefix + "setup", Access: ToReaders, Summary: "The steps of a set-up, each as it stands now.", Answer: []SetupStep{}, Serve: p.json},
	)
}

// SetupStep is one step as it stands.
type SetupStep struct {
	Step   checkup.Step   `json:"step"`
	Status checkup.Status `json:"status,omitempty"` // empty: not tested
	Items  []checkup.Item `json:"items"`            // that are not fine
	At     time.Time      `json:"at,omitzero"`      // of the last sign-in that went through, or of the start
}

// steps are all steps in their order.
func (p *SetupPage) steps(ctx context.Context) ([]SetupStep, error) {
	list, err := p.Book.List(ctx)
	if err != nil {
		return nil, err
	}
	newest, _ := newestOf(list)
	var steps []SetupStep
	for _, step := range checkup.Steps() {
		one := SetupStep{Step: step, Status: checkup.Standing(step, newest.Items), Items: []checkup.Item{}}
		for _, item := range newest.Items {
			if checkup.StepOf(item) == step && item.Status != checkup.OK {
				one.Items = append(one.Items, item)
			}
		}
		switch step {
		case checkup.StepLogin:
			if err := p.lastLogin(ctx, &one); err != nil {
				return nil, err
			}
		case checkup.StepStart:
			one.At = p.Began
			if one.Status == "" {
				one.Status = checkup.OK // it serves this page
			}
		}
		steps = append(steps, one)
	}
	return steps, nil
}

// lastLogin: that a link was minted shows that the whole chain held.
func (p *SetupPage) lastLogin(ctx context.Context, one *SetupStep) error {
	records, err := p.Log.Search(ctx, audit.Query{Action: audit.ActionMint, Outcome: audit.OK, Limit: 1})
	if err != nil {
		return unread(err)
	}
	if len(records) == 1 {
		one.Status, one.At = checkup.OK, records[0].At
	}
	return nil
}

// setupView is the page.
type setupView struct {
	Steps []shownStep
	Admin bool
}

type shownStep struct {
	SetupStep
	N     int
	Mark  string
	When  string
	Shown []checkup.Told
}

func (p *SetupPage) page(v *Visit) error {
	steps, err := p.steps(v.R.Context())
	if err != nil {
		return err
	}
	view := setupView{Admin: v.Who.Role == Admin}
	for i, step := range steps {
		shown := shownStep{SetupStep: step, N: i + 1, Mark: step.Status.Mark(), Shown: checkup.Tell(step.Items, v.Words)}
		if !step.At.IsZero() {
			shown.When = When(step.At)
		}
		view.Steps = append(view.Steps, shown)
	}
	return v.Page("setup", view)
}

func (p *SetupPage) test(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	if _, err := p.Book.Start(v.R.Context(), "", v.Event(checkup.ActionCheckup, audit.OK)); err != nil {
		return err
	}
	return v.SeeOther(pathConnections) // which shows it under way
}

func (p *SetupPage) json(v *Visit) error {
	steps, err := p.steps(v.R.Context())
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, steps)
}
