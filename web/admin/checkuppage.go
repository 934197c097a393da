package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"kdgate/audit"
	"kdgate/internal/checkup"
)

const (
	pathConnections = prefix + "connections"
	apiCheckups     = apiPrefix + "checkups"
	checkupsShown   = 24
)

// Checkups is the book of check-ups; *checkup.Book is one.
type Checkups interface {
	Start(ctx context.Context, only string, event audit.Event) (checkup.Result, error)
	List(ctx context.Context) ([]checkup.Result, error)
	Get(ctx context.Context, id string) (checkup.Result, error)
}

// Connections tests the peers from the console and shows what came out (F32, F93).
type Connections struct {
	Book  Checkups
	Peers func() []string       // that can be tested one by one
	Facts func() []checkup.Fact // settings that stand for open questions, as they are now
}

// Mount implements Page.
func (c *Connections) Mount(rt *Router) {
	rt.Link("checkup", pathConnections, ToReaders)
	only := []Param{{"only", "one peer: dingtalk/CORP, kingdee/ID, store, audit or host; all when empty"}}
	id := []Param{{"id", "of the check-up"}}
	rt.Add(
		Route{Pattern: "GET " + pathConnections, Access: ToReaders, Summary: "Every peer as it was last tested.", Serve: c.page},
		Route{Pattern: "GET " + pathConnections + "/live", Access: ToReaders, Live: true, Summary: "The moving part of the connections page.", Serve: c.live},
		Route{Pattern: "POST " + pathConnections, Access: ToAdmin, Summary: "Test the peers now; the result is kept and recorded.", Serve: c.test},
		Route{Pattern: "GET " + pathConnections + "/result", Access: ToReaders, Summary: "One check-up, to read and to print.", Query: id, Serve: c.result},
		Route{Pattern: "GET " + apiCheckups, Access: ToReaders, Summary: "Check-ups, the newest first.", Answer: []checkup.Result{}, Serve: c.listJSON},
		Route{Pattern: "POST " + apiCheckups, Access: ToAdmin, Summary: "Test the peers now; the result is kept and recorded.", Query: only, Body: struct{}{}, Answer: checkup.Result{}, Serve: c.testJSON},
		Route{Pattern: "GET " + apiCheckups + "/{id}", Access: ToReaders, Summary: "One check-up.", Answer: checkup.Result{}, Serve: c.resultJSON},
	)
}

// checkupView is a check-up on a page.
type checkupView struct {
	checkup.Result
	Shown   []checkup.Told
	List    []checkup.Result
	Peers   []string
	Running *checkup.Result
	Admin   bool
	Empty   bool
	Facts   []factView
}

// factView is a setting that stands for an open question.
type factView struct {
	checkup.Fact
	Since time.Time // zero: assumed
}

// When is a time of a check-up.
func (checkupView) When(t time.Time) string { return When(t) }

// At is the page of one check-up.
func (checkupView) At(r checkup.Result) string {
	return pathConnections + "/result?" + url.Values{"id": {r.ID}}.Encode()
}

// N is how many tests came to a state.
func (v checkupView) N(status string) int { return v.Count(checkup.Status(status)) }

// Assumed is how many settings a check-up could not confirm.
func (v checkupView) Assumed() int { return len(v.Result.Facts) - v.Confirmed() }

// Faults is how many faults a check-up found.
func (checkupView) Faults(r checkup.Result) int { return r.Count(checkup.Fault) }

func (v *Visit) shown(result checkup.Result) checkupView {
	view := checkupView{Result: result, Admin: v.Who.Role == Admin, Shown: checkup.Tell(result.Items, v.Words)}
	for _, fact := range result.Facts {
		shown := factView{Fact: fact}
		if fact.Confirmed {
			shown.Since = result.Ended
		}
		view.Facts = append(view.Facts, shown)
	}
	return view
}

// now is every peer as it was last tested: the newest whole check-up, with the
// peers that were tested alone since.
func (c *Connections) now(v *Visit) (checkupView, error) {
	list, err := c.Book.List(v.R.Context())
	if err != nil {
		return checkupView{}, err
	}
	newest, under := newestOf(list)
	view := v.shown(newest)
	view.Running, view.Empty, view.Peers = under, newest.ID == "", c.Peers()
	for _, r := range list {
		if !r.Ended.IsZero() && len(view.List) < checkupsShown {
			view.List = append(view.List, r)
		}
	}
	view.Facts = nil // of one check-up; here they are those in force
	for _, fact := range c.Facts() {
		view.Facts = append(view.Facts, factView{fact, fact.ConfirmedAt(list)})
	}
	return view, nil
}

// newestOf joins the newest whole check-up with the peers that were tested alone
// since; under is one that is under way.
func newestOf(list []checkup.Result) (newest checkup.Result, under *checkup.Result) {
	tested := map[string]bool{}
	for i, r := range list {
		if r.Ended.IsZero() {
			under = &list[i]
			continue
		}
		if newest.ID == "" {
			newest = r
			newest.Items = nil
		}
		for _, item := range r.Items {
			if !tested[item.Peer] {
				newest.Items = append(newest.Items, item)
			}
		}
		for _, item := range r.Items {
			tested[item.Peer] = true
		}
		if r.Only == "" {
			break
		}
	}
	return newest, under
}

func (c *Connections) page(v *Visit) error {
	view, err := c.now(v)
	if err != nil {
		return err
	}
	return v.Page("connections", view)
}

func (c *Connections) live(v *Visit) error {
	view, err := c.now(v)
	if err != nil {
		return err
	}
	return v.Part("connections", "live", view)
}

func (c *Connections) test(v *Visit) error {
	form, err := v.Form("only")
	if err != nil {
		return err
	}
	if _, err := c.Book.Start(v.R.Context(), form["only"], v.Event(checkup.ActionCheckup, audit.OK)); err != nil {
		return err
	}
	return v.SeeOther(pathConnections)
}

func (c *Connections) result(v *Visit) error {
	read, err := v.Query("id")
	if err != nil {
		return err
	}
	result, err := c.Book.Get(v.R.Context(), read["id"])
	if err != nil {
		return err
	}
	return v.Page("checkup", v.shown(result))
}

func (c *Connections) listJSON(v *Visit) error {
	list, err := c.Book.List(v.R.Context())
	if err != nil {
		return err
	}
	if list == nil {
		list = []checkup.Result{}
	}
	return v.JSON(http.StatusOK, list)
}

func (c *Connections) testJSON(v *Visit) error {
	if err := v.Body(&struct{}{}); err != nil {
		return err
	}
	read, err := v.Query("only")
	if err != nil {
		return err
	}
	begun, err := c.Book.Start(v.R.Context(), read["only"], v.Event(checkup.ActionCheckup, audit.OK))
	if err != nil {
		return err
	}
	return v.JSON(http.StatusAccepted, begun)
}

func (c *Connections) resultJSON(v *Visit) error {
	result, err := c.Book.Get(v.R.Context(), v.R.PathValue("id"))
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, result)
}
