package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/mapping/access"
)

const (
	pathRequests = prefix + "requests"
	pathRequest  = pathRequests + "/{data_centre}/{corp}/{userid}"
	apiRequests  = apiPrefix + "requests"
	apiRequest   = apiRequests + "/{data_centre}/{corp}/{userid}"

	requestsPage = 50
)

// RequestBook keeps the requests: an *access.Book.
type RequestBook interface {
	Open(ctx context.Context, after string, limit int) ([]access.Request, string, error)
	Of(ctx context.Context, k access.Key) (access.Request, bool, error)
	Grant(ctx context.Context, by access.Actor, k access.Key) (access.Request, error)
	Refuse(ctx context.Context, by access.Actor, k access.Key, reason string) (access.Request, error)
}

// RowWriter makes the row that a granted request needs: a *mapping.Table.
type RowWriter interface {
	Get(ctx context.Context, k mapping.Key) (mapping.Entry, error)
	Create(ctx context.Context, by mapping.Actor, d mapping.Draft) (mapping.Entry, error)
}

// Applicant is what DingTalk says of a person who asks.
type Applicant struct {
	Name        string   `json:"name,omitempty"`
	Number      string   `json:"job_number,omitempty"`
	Title       string   `json:"title,omitempty"`
	Departments []string `json:"departments,omitempty"`
}

// Requests are the people who ask to be let in (F11). The book and the table
// record what is decided.
type Requests struct {
	Book    RequestBook
	Rows    RowWriter
	Chains  Explainer
	Centres []Centre
	// Applicant asks DingTalk about one person; nil: DingTalk is not asked.
	Applicant func(ctx context.Context, who identity.Subject) (Applicant, error)
}

// Mount implements Page.
func (p *Requests) Mount(rt *Router) {
	rt.Link("requests", pathRequests, ToMappers)
	params := []Param{{"cursor", "of the next page, as the page before gave it"}}
	route := func(pattern, summary string, serve Endpoint) Route {
		return Route{Pattern: pattern, Access: ToMappers, Summary: summary, Serve: serve}
	}
	list := route("GET "+pathRequests, "Who asks for access, the oldest first.", p.list)
	list.Query = params
	listJSON := route("GET "+apiRequests, "Who asks for access, the oldest first.", p.listJSON)
	listJSON.Query, listJSON.Answer = params, RequestPage{}
	approve := route("POST "+apiRequest+"/approve", "Make the row and grant the request.", p.approveJSON)
	approve.Body, approve.Answer = RequestGrant{}, access.Request{}
	refuse := route("POST "+apiRequest+"/refuse", "Refuse the request with a reason.", p.refuseJSON)
	refuse.Body, refuse.Answer = RequestRefusal{}, access.Request{}
	rt.Add(
		list,
		route("GET "+pathRequest, "One request, with what DingTalk and Kingdee say.", p.request),
		route("POST "+pathRequest+"/approve", "Make the row and grant the request.", p.approveForm),
		route("POST "+pathRequest+"/refuse", "Refuse the request with a reason.", p.refuseForm),
		listJSON, approve, refuse,
	)
}

// RequestPage is one page of open requests.
type RequestPage struct {
	Requests []access.Request `json:"requests"`
	Next     string           `json:"next,omitempty"`
}

// RequestGrant is the body that grants a request. Without both fields the row is
// derived at the person's next sign-in.
type RequestGrant struct {
	StaffNumber string `json:"staff_number,omitempty"`
	LoginUser   string `json:"login_user,omitempty"`
	Note        string `json:"note,omitempty"`
}

// RequestRefusal is the body that refuses a request.
type RequestRefusal struct {
	Reason string `json:"reason"`
}

func requestKey(v *Visit) access.Key {
	return access.Key{DataCentre: v.R.PathValue("data_centre"), Corp: v.R.PathValue("corp"), UserID: v.R.PathValue("userid")}
}

func requestAddress(k access.Key) string {
	return pathRequests + "/" + url.PathEscape(k.DataCentre) + "/" + url.PathEscape(k.Corp) + "/" + url.PathEscape(k.UserID)
}

// decider is the person towards the book.
func (v *Visit) decider() access.Actor {
	return access.Actor{Name: v.Who.Name, Door: string(v.Who.Door), Source: v.Source(), RequestID: v.RequestID()}
}

// requestsView is the list.
type requestsView struct {
	RequestPage
	centres []Centre
	First   string // address, empty on the first page
	NextAt  string // address
}

// When is a time for the page.
func (requestsView) When(t time.Time) string { return When(t) }

// At is where a request is.
func (requestsView) At(r access.Request) string { return requestAddress(r.Key) }

// Centre is the name of a data centre.
func (v requestsView) Centre(id string) string { return centreName(v.centres, id) }

func centreName(centres []Centre, id string) string {
	for _, c := range centres {
		if c.ID == id {
			return c.Name
		}
	}
	return id
}

func (p *Requests) page(v *Visit) (RequestPage, error) {
	read, err := v.Query("cursor")
	if err != nil {
		return RequestPage{}, err
	}
	after, err := v.OpenCursor("requests", read["cursor"])
	if err != nil {
		return RequestPage{}, err
	}
	list, next, err := p.Book.Open(v.R.Context(), after, requestsPage)
	if err != nil {
		return RequestPage{}, err
	}
	page := RequestPage{Requests: append([]access.Request{}, list...)}
	if next != "" {
		page.Next = v.Cursor("requests", next)
	}
	return page, nil
}

func (p *Requests) list(v *Visit) error {
	page, err := p.page(v)
	if err != nil {
		return err
	}
	view := requestsView{RequestPage: page, centres: p.Centres}
	if page.Next != "" {
		view.NextAt = address(pathRequests, nil, "cursor", page.Next)
	}
	if v.R.URL.Query().Has("cursor") {
		view.First = pathRequests
	}
	return v.Page("requests", view)
}

func (p *Requests) listJSON(v *Visit) error {
	page, err := p.page(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, page)
}

// requestView is one request.
type requestView struct {
	access.Request
	Centre    string
	Applicant *Applicant
	Unasked   identity.Code // why DingTalk could not be asked
	Links     []linkView
	Form      RequestGrant
	Refusal   *mapping.Refusal // why the form came back
	Row       string           // address of the row, if there is one
	Here      string
	Person    string
	Own       bool // somebody looks at their own request
}

// When is a time for the page.
func (requestView) When(t time.Time) string { return When(t) }

func (p *Requests) request(v *Visit) error {
	view, err := p.view(v)
	if err != nil {
		return err
	}
	return v.Page("request", view)
}

// view reads a request and asks both vendors about the person. That one of them
// cannot be asked keeps nobody from deciding.
func (p *Requests) view(v *Visit) (requestView, error) {
	k := requestKey(v)
	r, there, err := p.Book.Of(v.R.Context(), k)
	if err == nil && !there {
		err = identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: there is no such request")
	}
	if err != nil {
		return requestView{}, err
	}
	view := requestView{
		Request: r, Centre: centreName(p.Centres, k.DataCentre), Here: requestAddress(k), Person: personAddress(k.Corp, k.UserID),
		Own: v.Who.Subject == k.Subject(),
	}
	if p.Applicant != nil {
		applicant, err := p.Applicant(v.R.Context(), k.Subject())
		if err != nil {
			_, view.Unasked = verdict(err)
		} else {
			view.Applicant, view.Form.StaffNumber = &applicant, applicant.Number
		}
	}
	chain, _ := p.Chains.Explain(v.R.Context(), identity.Assertion{Subject: k.Subject()}, k.DataCentre) // why it breaks stands in the chain
	view.Links = linksOf(chain)
	if chain.Entry != nil {
		view.Row = rowAddress(mapping.KeyOf(k.Subject(), k.DataCentre))
	}
	view.Form.suggest(chain)
	return view, nil
}

// suggest fills the form with what the chain came to, as far as it holds.
func (g *RequestGrant) suggest(chain mapping.Chain) {
	for _, step := range [...]mapping.Step{chain.Number, chain.Staff, chain.User} {
		for _, fact := range step.Facts {
			switch {
			case fact.Name == "staff_number" && step.State == mapping.StateOK:
				g.StaffNumber = fact.Value
			case fact.Name == "login_user" && step.State == mapping.StateOK:
				g.LoginUser = fact.Value
			}
		}
	}
}

// approve makes the row, unless there is one, and grants the request. A row that
// is not in force yet, because others have to approve it, leaves it open.
func (p *Requests) approve(v *Visit, wish RequestGrant) (access.Request, error) {
	k := requestKey(v)
	r, there, err := p.Book.Of(v.R.Context(), k)
	switch {
	case err != nil:
		return r, err
	case !there:
		return r, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: there is no such request")
	case r.State != access.Open:
		return r, identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: it is %s already", r.State)
	case v.Who.Subject == k.Subject():
		return r, identity.Fail(identity.Forbidden, identity.CodeFourEyes, "admin: nobody grants themselves access")
	}
	row, err := p.rowFor(v, mapping.KeyOf(k.Subject(), k.DataCentre), wish)
	if err != nil {
		return r, err
	}
	if row.Status != mapping.StatusActive {
		return r, identity.Fail(identity.Conflict, identity.CodeFourEyes, "admin: the row is %s", row.Status)
	}
	return p.Book.Grant(v.R.Context(), v.decider(), k)
}

// rowFor is the person's row, made when there is none.
func (p *Requests) rowFor(v *Visit, k mapping.Key, wish RequestGrant) (mapping.Entry, error) {
	row, err := p.Rows.Get(v.R.Context(), k)
	if err == nil || identity.KindOf(err) != identity.NotFound {
		return row, err
	}
	return p.Rows.Create(v.R.Context(), v.Actor(), mapping.Draft{
		Key: k, StaffNumber: strings.TrimSpace(wish.StaffNumber), LoginUser: strings.TrimSpace(wish.LoginUser),
		Owner: mapping.OwnerManual, Note: wish.Note,
	})
}

func (p *Requests) approveForm(v *Visit) error {
	form, err := v.Form("staff_number", "login_user", "note")
	if err != nil {
		return err
	}
	wish := RequestGrant{StaffNumber: form["staff_number"], LoginUser: form["login_user"], Note: form["note"]}
	_, err = p.approve(v, wish)
	if err == nil {
		return v.SeeOther(pathRequests)
	}
	refusal := mapping.RefusalOf(err)
	if refusal == nil {
		return err
	}
	view, readErr := p.view(v)
	if readErr != nil {
		return readErr
	}
	view.Form, view.Refusal = wish, refusal
	status, code := verdict(err)
	v.console.logFailure(v, status, code, err)
	return v.PageStatus(status, "request", view)
}

func (p *Requests) refuseForm(v *Visit) error {
	form, err := v.Form("reason")
	if err != nil {
		return err
	}
	if _, err := p.Book.Refuse(v.R.Context(), v.decider(), requestKey(v), strings.TrimSpace(form["reason"])); err != nil {
		return err
	}
	return v.SeeOther(pathRequests)
}

func (p *Requests) approveJSON(v *Visit) error {
	var body RequestGrant
	if err := v.Body(&body); err != nil {
		return err
	}
	r, err := p.approve(v, body)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, r)
}

func (p *Requests) refuseJSON(v *Visit) error {
	var body RequestRefusal
	if err := v.Body(&body); err != nil {
		return err
	}
	r, err := p.Book.Refuse(v.R.Context(), v.decider(), requestKey(v), strings.TrimSpace(body.Reason))
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, r)
}

var (
	_ RequestBook = (*access.Book)(nil)
	_ RowWriter   = (*mapping.Table)(nil)
	_ Explainer   = (*mapping.Table)(nil)
)
