package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

const choicePrefix = "choice/"

// goal is what a launch address names, checked against the server-side lists (T31).
type goal struct {
	target string // data centre id, or kingdee
	form   string // name on our list, empty for the main console
	id     string // type or key, as the address had it
	place  Place
}

// path is the address of the goal in one data centre.
func (t goal) path(target string) string {
	path := launchPath + url.PathEscape(target)
	if t.form != "" {
		path += "/" + url.PathEscape(t.form)
	}
	if t.id != "" {
		path += "/" + url.PathEscape(t.id)
	}
	return path
}

// goalOf resolves names against the lists; an unlisted one is KD-301 whoever asks.
func (g *Gateway) goalOf(target, form, id string) (goal, error) {
	t := goal{target: target, form: form, id: id}
	if _, ok := g.centres[target]; !ok && target != targetDefault {
		return goal{}, unknownTarget("no such data centre")
	}
	if form == "" && id == "" {
		return t, nil
	}
	listed, ok := g.forms[form]
	if !ok {
		return goal{}, unknownTarget("no such form")
	}
	if _, named := g.centres[target]; named && !listed.in(target) {
		return goal{}, unknownTarget("form is not of this data centre")
	}
	place, ok := listed.place(id)
	if !ok {
		return goal{}, unknownTarget("form has no such type or key")
	}
	t.place = place
	return t, nil
}

func unknownTarget(reason string) error {
	return identity.Fail(identity.NotFound, identity.CodeUnknownTarget, "%s", reason)
}

// place is what id opens in the form: one of its types by name, a bill by key,
// or without id the first type that needs no key.
func (f Form) place(id string) (Place, bool) {
	if id == "" {
		for _, kind := range f.Types {
			if kind != typeBill {
				return Place{FormID: f.FormID, Type: kind, Entry: f.Entry}, true
			}
		}
		return Place{}, false
	}
	if id != typeBill && slices.Contains(f.Types, id) {
		return Place{FormID: f.FormID, Type: id, Entry: f.Entry}, true
	}
	pattern := f.PK
	if pattern == nil {
		pattern = defaultPK()
	}
	if !slices.Contains(f.Types, typeBill) || len(id) > 100 || pattern.FindString(id) != id {
		return Place{}, false
	}
	return Place{FormID: f.FormID, Type: typeBill, PK: id, Entry: f.Entry}, true
}

// in reports whether the form exists in a data centre.
func (f Form) in(centre string) bool {
	return len(f.Centres) == 0 || slices.Contains(f.Centres, centre)
}

// launch lets a person in to Kingdee: a live session, the chain as it is now,
// the record, then the link, in that order.
func (g *Gateway) launch(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet || speculative(r) {
		w.Header().Set("Allow", http.MethodGet)
		return &refusal{http.StatusMethodNotAllowed, "not a person's click"}
	}
	t, err := g.goalOf(r.PathValue("target"), r.PathValue("form"), r.PathValue("id"))
	if err != nil {
		return &failure{err: err, retry: homePath}
	}
	foreseen := g.takeHint(r)
	who, err := g.cfg.Sessions.Current(r)
	if err != nil && identity.KindOf(err) == identity.Unauthenticated {
		return g.begin(w, r, wantedOf(r))
	}
	if err != nil {
		return &failure{err: err, retry: wantedOf(r).address()}
	}
	foreseen.Wait()
	if r.URL.Query().Get("via") == "browser" && isDesktopClient(r) {
		g.showHandover(w, r, who)
		return nil
	}
	centre, err := g.centreFor(r.Context(), who.Assertion, t)
	if err != nil {
		return err
	}
	if centre == nil {
		g.showChooser(w, r, who, t)
		return nil
	}
	address, err := g.enter(w, r, who, *centre, t.place)
	if err != nil {
		return &failure{err: err, who: who.Assertion, retry: wantedOf(r).address(), centre: centre.ID}
	}
	seeOther(w, address)
	return nil
}

// enter gives the address by which the person is let in: the link itself, or,
// where a proxy redeems it, a page on our own host.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, who identity.Principal, centre DataCentre, place Place) (string, error) {
	account, link, err := g.mint(r, who, centre, place)
	if err != nil || centre.Proxy == nil {
		return link.Reveal(), err
	}
	address, err := centre.Proxy.Enter(w, r, who, account, link)
	if err != nil {
		g.cfg.Observer.Launch(centre.ID, string(identity.CodeOf(err)))
		return "", err
	}
	g.cfg.Observer.Launch(centre.ID, "ok")
	return address, nil
}

// speculative reports a browser that fetches ahead of a click: a link must not
// be minted, nor a login begun, for somebody who only moved the pointer.
func speculative(r *http.Request) bool {
	purpose := r.Header.Get("Sec-Purpose") + r.Header.Get("Purpose") + r.Header.Get("X-Moz")
	return strings.Contains(strings.ToLower(purpose), "prefetch")
}

// mint decides, records, acts.
func (g *Gateway) mint(r *http.Request, who identity.Principal, centre DataCentre, place Place) (identity.Account, identity.Secret, error) {
	event := g.event(r, audit.ActionMint, audit.OK)
	event.Actor, event.Door, event.DataCentre = audit.Person(who.Subject), string(who.Door), centre.ID
	event.Detail = mintDetail(who, place)
	account, err := g.cfg.Resolver.Resolve(r.Context(), who.Assertion, centre.ID)
	if err != nil {
		return account, identity.Secret{}, g.refuseMint(r, event, err)
	}
	event.Target = account.LoginUser
	event.Detail["staff"] = account.StaffNumber
	if err := g.record(r.Context(), event); err != nil {
		g.cfg.Observer.Launch(centre.ID, string(identity.CodeAuditDown))
		return account, identity.Secret{}, err
	}
	link, err := centre.ServiceProvider.MintLink(r.Context(), account, place)
	if err == nil && !safeLink(link) {
		err = identity.Fail(identity.Internal, identity.CodeInternal, "minted link is not an address")
	}
	if err != nil {
		return account, identity.Secret{}, g.refuseMint(r, event, err)
	}
	if centre.Proxy == nil {
		g.cfg.Observer.Launch(centre.ID, "ok")
	}
	return account, link, nil
}

func mintDetail(who identity.Principal, place Place) map[string]string {
	detail := map[string]string{"session": who.SessionID}
	for name, value := range map[string]string{"form": place.FormID, "type": place.Type, "pk": place.PK} {
		if value != "" {
			detail[name] = value
		}
	}
	return detail
}

// Records of launches that one person is refused for one reason (T118).
const (
	launchNotesAtOnce = 60
	launchNotePause   = 10 * time.Second
)

// refuseMint records the failure and gives it back; it fails either way.
func (g *Gateway) refuseMint(r *http.Request, event audit.Event, cause error) error {
	_, code := verdict(cause)
	event.Outcome, event.Reason = outcomeOf(cause), string(code)
	event.Flood = audit.Flood{ // the same person, the same trouble
		Key: "mint/" + event.Actor + "/" + event.DataCentre + "/" + event.Reason, AtOnce: launchNotesAtOnce, Pause: launchNotePause,
	}
	_ = g.record(context.WithoutCancel(r.Context()), event) // record has logged it
	g.cfg.Observer.Launch(event.DataCentre, string(code))
	return cause
}

// safeLink keeps anything but a plain address out of a Location header. The
// desktop client has a scheme of its own.
func safeLink(link identity.Secret) bool {
	text := link.Reveal()
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	scheme, rest, ok := strings.Cut(text, "://")
	return ok && rest != "" && slices.Contains([]string{"https", "http", "k3cloud"}, strings.ToLower(scheme))
}

// centreFor is the data centre of a launch; nil when the person has to choose.
func (g *Gateway) centreFor(ctx context.Context, who identity.Assertion, t goal) (*DataCentre, error) {
	if named, ok := g.centres[t.target]; ok {
		return &named, nil
	}
	open := g.centresFor(t)
	if len(open) == 0 {
		return nil, unknownTarget("form is of no data centre")
	}
	if len(open) == 1 {
		return &open[0], nil
	}
	chosen, err := g.chosen(ctx, who.Subject)
	if err != nil {
		return nil, err
	}
	for _, dc := range open {
		if dc.ID == chosen {
			return &dc, nil
		}
	}
	return nil, nil
}

// centresFor are the data centres in which the goal exists.
func (g *Gateway) centresFor(t goal) []DataCentre {
	var open []DataCentre
	for _, dc := range g.cfg.DataCentres {
		if t.form == "" || g.forms[t.form].in(dc.ID) {
			open = append(open, dc)
		}
	}
	return open
}

func choiceKey(k keys, who identity.Subject) string {
	return choicePrefix + k.hex("choice", who.Corp, who.UserID)
}

// chosen is the data centre this person chose last, empty when none (F12).
func (g *Gateway) chosen(ctx context.Context, who identity.Subject) (string, error) {
	for _, k := range g.keys.ring() {
		entry, err := g.cfg.Store.Get(ctx, choiceKey(k, who))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", storeFault(err)
		}
		return string(entry.Value), nil
	}
	return "", nil
}

// chooserView is the page that asks for the data centre.
type chooserView struct {
	Name, UserID string
	Form, ID     string
	Centres      []centreView
}

type centreView struct{ ID, Name string }

func (g *Gateway) showChooser(w http.ResponseWriter, r *http.Request, who identity.Principal, t goal) {
	view := chooserView{Name: who.Name, UserID: who.Subject.UserID, Form: t.form, ID: t.id}
	for _, dc := range g.centresFor(t) {
		view.Centres = append(view.Centres, centreView{dc.ID, dc.title()})
	}
	g.page(w, r, page{status: http.StatusOK, name: "choose", data: view, policy: policy{framed: true, forms: true}})
}

// title is what people call the data centre.
func (dc DataCentre) title() string {
	if dc.Name != "" {
		return dc.Name
	}
	return dc.ID
}

// choose remembers a person's data centre and goes there.
func (g *Gateway) choose(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "form: %w", err)
	}
	who, err := g.cfg.Sessions.Current(r)
	if err != nil {
		return &failure{err: err, retry: defaultGoal}
	}
	centre := r.PostForm.Get("centre")
	if _, ok := g.centres[centre]; !ok {
		return &failure{err: unknownTarget("no such data centre"), retry: defaultGoal}
	}
	t, err := g.goalOf(centre, r.PostForm.Get("form"), r.PostForm.Get("id"))
	if err != nil {
		return &failure{err: err, retry: defaultGoal}
	}
	if err := g.cfg.Store.Commit(r.Context(), store.Put(choiceKey(g.keys, who.Subject), []byte(centre))); err != nil {
		return storeFault(err)
	}
	seeOther(w, t.path(centre))
	return nil
}
