package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"kdgate/identity"
)

const (
	forwardAuthPath   = "/forward-auth"
	forwardSignInPath = "/forward-auth/signin"
	returnParameter   = "rd"
)

// The headers by which /forward-auth tells an application who is there. Values
// are percent-encoded where they are not plain ASCII.
const (
	headerSubject   = "X-Kdgate-Subject" // corp/userid
	headerCorp      = "X-Kdgate-Corp"
	headerUser      = "X-Kdgate-User" // userid
	headerName      = "X-Kdgate-Name"
	headerLoginUser = "X-Kdgate-Login-User" // in Kingdee, when a data centre was named
	headerAssertion = "X-Kdgate-Assertion"  // the same, signed
)

// original is what a proxy in front of an application asks about. It is empty
// unless the direct peer is trusted (T49).
type original struct{ method, scheme, host, uri string }

// originalOf reads it before the edge drops these headers. One given twice is
// not given.
func (g *Gateway) originalOf(r *http.Request) original {
	if r.URL.Path != forwardAuthPath && !strings.HasPrefix(r.URL.Path, hostPath) || !isTrusted(peerAddress(r.RemoteAddr), g.cfg.TrustedProxies) {
		return original{}
	}
	one := func(name string) string {
		if values := r.Header.Values(name); len(values) == 1 {
			return values[0]
		}
		return ""
	}
	return original{
		method: one("X-Forwarded-Method"), scheme: one("X-Forwarded-Proto"), host: one("X-Forwarded-Host"), uri: one("X-Forwarded-Uri"),
	}
}

// forwardAuth answers the question of nginx, Traefik or Caddy whether somebody
// is signed in: 200 and who, or 401; or, for a person whose page a trusted
// proxy named, 303 to the sign-in, which leads back there.
func (g *Gateway) forwardAuth(w http.ResponseWriter, r *http.Request) error {
	if origin, ok := g.hostOf(visitOf(r).asked); ok {
		return g.forwardHost(w, r, origin)
	}
	who, err := g.cfg.Sessions.Current(r)
	switch {
	case err == nil:
		return g.forwardWho(w, r, who, g.cfg.Asserter)
	case identity.KindOf(err) != identity.Unauthenticated:
		return err
	}
	asked := visitOf(r).asked
	address := asked.scheme + "://" + asked.host + asked.uri
	if _, ok := g.returnPlace(address); ok && asked.isPage(r) {
		seeOther(w, g.absolute(forwardSignInPath)+"?"+url.Values{returnParameter: {address}}.Encode())
		return nil
	}
	return err
}

// isPage reports that a person opened what the proxy asks about.
func (o original) isPage(r *http.Request) bool {
	return (o.method == "" || o.method == http.MethodGet) && IsNavigation(r)
}

// forwardWho says who somebody is. A data centre in the question means that
// its login user is wanted, and then somebody without one may not pass.
func (g *Gateway) forwardWho(w http.ResponseWriter, r *http.Request, who identity.Principal, asserter Asserter) error {
	var account identity.Account
	if centre := r.URL.Query().Get("data_centre"); centre != "" {
		if _, ok := g.centres[centre]; !ok {
			return unknownTarget("no such data centre")
		}
		var err error
		if account, err = g.cfg.Resolver.Resolve(r.Context(), who.Assertion, centre); err != nil {
			return err
		}
	}
	header := w.Header()
	if asserter != nil {
		token, _, err := asserter.Assert(r.Context(), who, account.LoginUser)
		if err != nil {
			return identity.Fail(identity.Internal, identity.CodeInternal, "assertion: %w", err)
		}
		header.Set(headerAssertion, token.Reveal())
	}
	header.Set(headerSubject, headerText(who.Subject.Corp)+"/"+headerText(who.Subject.UserID))
	header.Set(headerCorp, headerText(who.Subject.Corp))
	header.Set(headerUser, headerText(who.Subject.UserID))
	header.Set(headerName, headerText(who.Name))
	if account.LoginUser != "" {
		header.Set(headerLoginUser, headerText(account.LoginUser))
	}
	header.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// headerText percent-encodes what programs read differently in a header, the
// percent sign included (RFC 3986, 2.3 and 2.1).
func headerText(text string) string { return url.PathEscape(text) }

// forwardSignIn begins a sign-in for an application's page, or goes back there
// at once. It is where nginx sends people, which cannot pass our 303 on; the
// parameter is the last one and may stand there unescaped, as nginx writes it.
func (g *Gateway) forwardSignIn(w http.ResponseWriter, r *http.Request) error {
	place, ok := g.returnPlace(returnAddress(r.URL.RawQuery))
	if !ok {
		place = wanted{Path: homePath}
	}
	if _, err := g.cfg.Sessions.Current(r); err == nil {
		seeOther(w, g.outward(place))
		return nil
	} else if identity.KindOf(err) != identity.Unauthenticated {
		return &failure{err: err, retry: homePath}
	}
	return g.begin(w, r, place)
}

func returnAddress(query string) string {
	raw, ok := strings.CutPrefix(query, returnParameter+"=")
	if !ok {
		return ""
	}
	if strings.HasPrefix(raw, "http://") || strings.HasPrefix(raw, "https://") {
		return raw
	}
	raw, _, _ = strings.Cut(raw, "&")
	address, err := url.QueryUnescape(raw)
	if err != nil {
		return ""
	}
	return address
}

// returnPlace is an absolute address as a place to return to, if it is on one
// of the listed origins. It reads the address as browsers do, and refuses what
// they would mend: backslashes, control characters, spaces, a user before the
// host, missing slashes (T58).
func (g *Gateway) returnPlace(address string) (wanted, bool) {
	return placeOn(g.cfg.ForwardAuth, address)
}

func placeOn(origins []string, address string) (wanted, bool) {
	if len(address) > maxURL/2 || !cleanQuery(address) {
		return wanted{}, false
	}
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return wanted{}, false
	}
	host, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	if !strings.HasPrefix(target, "/") || !cleanTarget(target) {
		return wanted{}, false
	}
	origin, ok := listed(origins, scheme, host)
	if !ok {
		return wanted{}, false
	}
	path, query, _ := strings.Cut(target, "?")
	return wanted{Origin: origin, Path: path, Query: query}, true
}

// listed compares as origins compare: scheme, host without case, port.
func listed(origins []string, scheme, host string) (string, bool) {
	for _, origin := range origins {
		ownScheme, ownHost, _ := strings.Cut(origin, "://")
		if ownScheme == scheme && canonicalHost(ownHost, scheme) == canonicalHost(host, scheme) {
			return origin, true
		}
	}
	return "", false
}

// returnTo is where the browser goes after a sign-in: always a page of ours,
// which for an application's page is the one that sends on to it.
func (g *Gateway) returnTo(w wanted) string {
	if w.Origin == "" {
		return w.address()
	}
	if w.Bind != "" { // it is judged again there
		return forwardEnterPath + "?" + url.Values{"bind": {w.Bind}, returnParameter: {w.there()}}.Encode()
	}
	return forwardSignInPath + "?" + url.Values{returnParameter: {g.outward(w)}}.Encode()
}

// outward is the address of a place, whoever filled its record: of ours, or of
// an application that is still listed.
func (g *Gateway) outward(w wanted) string {
	if w.Origin == "" {
		return w.address()
	}
	address := w.there()
	if _, ok := g.returnPlace(address); !ok {
		return homePath
	}
	if w.Fragment != "" && !hasControl(w.Fragment) {
		address += "#" + (&url.URL{Fragment: w.Fragment}).EscapedFragment()
	}
	return address
}

// there is the place on its application's origin, without the fragment.
func (w wanted) there() string {
	address := w.Origin + w.Path
	if w.Query != "" {
		address += "?" + w.Query
	}
	return address
}
