package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Page is one room of the console. Mount hands its routes to the router, once,
// when the console is built.
type Page interface{ Mount(*Router) }

// Endpoint serves one route for somebody who may use it. An error becomes the
// console's error page, or its JSON form below /admin/api/.
type Endpoint func(*Visit) error

// Route is one way into the console. Every route says who may use it and what
// it does; New refuses one that does not (T98), and the role matrix and the
// OpenAPI file are made from the same list, so neither can lack a route.
type Route struct {
	Pattern string // method and path as http.ServeMux reads them: "GET /admin/mapping/{$}"
	Access  Access
	Summary string // one English sentence, for OpenAPI and the role matrix
	Danger  bool   // a proof of the last five minutes is needed (step-up)
	Live    bool   // a page that refreshes itself: no use of the session, so it keeps nobody signed in
	Noted   bool   // what serves it puts each look on record itself
	MaxBody int64  // bytes; zero: 64 KiB
	Query   []Param
	Body    any // a zero value of what the JSON body holds; nil: none
	Answer  any // a zero value of the JSON answer; nil: HTML or nothing
	Serve   Endpoint
	// Stale serves a dangerous act whose proof is too old in the place of the
	// error page, so that what somebody typed is not lost. It does nothing else.
	Stale Endpoint
}

// Param is one name of a query.
type Param struct{ Name, Doc string }

// method and path are the halves of the pattern.
func (r Route) method() string { method, _, _ := strings.Cut(r.Pattern, " "); return method }

func (r Route) path() string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return strings.TrimSuffix(path, "{$}")
}

// isAPI reports a route that speaks JSON.
func (r Route) isAPI() bool { return strings.HasPrefix(r.path(), apiPrefix) }

// Link is one entry of the navigation. Its words are nav.ID.
type Link struct {
	ID, Path string
	Access   Access
}

// Router collects what the pages mount.
type Router struct {
	routes []Route
	links  []Link
}

// Add takes routes in.
func (rt *Router) Add(routes ...Route) { rt.routes = append(rt.routes, routes...) }

// Link adds an entry to the navigation, in the order of mounting.
func (rt *Router) Link(id, path string, access Access) {
	rt.links = append(rt.links, Link{ID: id, Path: path, Access: access})
}

// check reports every mistake in the routes at once.
func (rt *Router) check() error {
	var errs []error
	seen := map[string]bool{}
	for _, route := range rt.routes {
		why := route.mistake()
		if seen[route.Pattern] {
			why = "mounted twice"
		}
		if why != "" {
			errs = append(errs, fmt.Errorf("admin: route %q: %s", route.Pattern, why))
		}
		seen[route.Pattern] = true
	}
	return errors.Join(errs...)
}

// mistake is what is wrong with a route, empty when nothing is.
func (r *Route) mistake() string {
	unsafe := slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodDelete}, r.method())
	switch {
	case !unsafe && r.method() != http.MethodGet:
		return "the method is none of GET, POST, PUT, DELETE"
	case !strings.HasPrefix(r.path(), prefix):
		return "outside " + prefix
	case r.Access == 0:
		return "nobody is named who may use it"
	case r.Summary == "" || r.Serve == nil:
		return "no summary, or nothing that serves it"
	case r.Danger && (!unsafe || r.Access&Anyone != 0):
		return "only acts of a proven person can be dangerous"
	case r.Live && unsafe:
		return "an act is a use of the session"
	case r.Body != nil && !r.isAPI():
		return "a JSON body belongs below " + apiPrefix
	}
	return ""
}

// Routes lists what is mounted, in order. It is for the role matrix and for tests.
func (c *Console) Routes() []Route { return append([]Route(nil), c.router.routes...) }
