package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"kdgate/identity"
)

// proxiedBase is where a proxied Kingdee stands on our host, in the spelling
// that we write; people and Kingdee's own pages use any letter case.
const proxiedBase = "/K3Cloud/"

// WantedParameter names, in the address of an automatic launch, the page that
// somebody was on when their Kingdee session was gone.
const WantedParameter = "to"

// IsProxied reports whether a path belongs to a proxied Kingdee.
func IsProxied(path string) bool {
	const bare = len(proxiedBase) - 1
	return len(path) >= bare && strings.EqualFold(path[:bare], proxiedBase[:bare]) && (len(path) == bare || path[bare] == '/')
}

// IsCleanTarget reports whether a path with its query has exactly one reading,
// as the edge asks of every request (T47).
func IsCleanTarget(target string) bool { return cleanTarget(target) }

// IsNavigation reports a person who opens a page, as opposed to a page that
// calls its server: only the former can be sent to a sign-in.
func IsNavigation(r *http.Request) bool {
	if r.Method != http.MethodGet || r.Header.Get("Upgrade") != "" || speculative(r) {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("X-Requested-With") == ""
}

// passOn gives a request to the proxy, and helps when there is no session: a
// person is taken to the sign-in, or through a new launch, and back; anything
// else is told 401 and goes nowhere.
func (g *Gateway) passOn(w http.ResponseWriter, r *http.Request) {
	err := g.proxied.Proxy.Serve(w, r)
	if err == nil {
		return
	}
	g.baseline(w.Header(), visitOf(r).id)
	lost := identity.KindOf(err) == identity.Unauthenticated && IsNavigation(r)
	switch {
	case lost && identity.CodeOf(err) == identity.CodeNoKingdee:
		g.logFailure(r, http.StatusSeeOther, identity.CodeNoKingdee, err)
		seeOther(w, g.launchAgain(r))
		return
	case lost:
		err = g.begin(w, r, wantedOf(r))
	default:
		err = &failure{err: err, retry: goal{}.path(g.proxied.ID)}
	}
	if err != nil {
		g.fail(w, r, err)
	}
}

// launchAgain is the launch that brings back the page of r.
func (g *Gateway) launchAgain(r *http.Request) string {
	address, place := goal{}.path(g.proxied.ID), wantedOf(r)
	if strings.EqualFold(place.Path, proxiedBase) {
		return address
	}
	return address + "?" + url.Values{WantedParameter: {place.address()}}.Encode()
}

// holdsSession reports a query that names a Kingdee session or a login link.
// What merely looks like one is taken for one.
func holdsSession(query string) bool {
	query = strings.ToLower(query)
	return strings.Contains(query, "kdsid=") || strings.Contains(query, "usertoken=") || strings.Contains(query, "ud=")
}
