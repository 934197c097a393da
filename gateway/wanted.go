package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// wanted is the place somebody asked for before they had to sign in. Nobody but
// us can read or change it under way (states); only its fragment ever comes from
// a page.
type wanted struct {
	Path     string `json:"path"`               // escaped, one of ours
	Query    string `json:"query,omitempty"`    // raw, without the question mark
	Fragment string `json:"fragment,omitempty"` // decoded, without the hash
	Origin   string `json:"origin,omitempty"`   // of an application that asked by forward-auth; empty: ourselves
	Bind     string `json:"bind,omitempty"`     // of an application on a host of its own: the browser that began there
	Fresh    bool   `json:"fresh,omitempty"`    // a live session does not do: the person is to be proven now (T14)
}

const (
	homePath    = "/"
	launchPath  = "/launch/"
	defaultGoal = launchPath + targetDefault

	maxWantedQuery    = 2 << 10
	maxWantedFragment = 1 << 10
)

// wantedOf is the place a launch request names.
func wantedOf(r *http.Request) wanted {
	w := wanted{Path: r.URL.EscapedPath(), Query: r.URL.RawQuery}
	if len(w.Query) > maxWantedQuery {
		w.Query = ""
	}
	if IsProxied(r.URL.Path) && holdsSession(w.Query) {
		return wanted{Path: proxiedBase} // of a Kingdee session that is gone, and not for keeping
	}
	return w
}

// withFragment adds what stood behind the hash in the browser's address, if it
// can stand there again.
func (w wanted) withFragment(fragment string) wanted {
	fragment = strings.TrimPrefix(fragment, "#")
	if decoded, err := url.PathUnescape(fragment); err == nil {
		fragment = decoded
	}
	if fragment != "" && len(fragment) <= maxWantedFragment && utf8.ValidString(fragment) && !hasControl(fragment) {
		w.Fragment = fragment
	}
	return w
}

func hasControl(text string) bool {
	for _, c := range text {
		if c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0) {
			return true
		}
	}
	return false
}

// address is where the browser is sent back to. It is checked again on its way
// out, whoever filled the record: launch pages, console and home, nothing else,
// so that no sign-in is an open redirect (T58).
func (w wanted) address() string {
	if w.Origin != "" || !ownPlace(w.Path) || !cleanQuery(w.Query) {
		return homePath
	}
	address := w.Path
	if w.Query != "" {
		address += "?" + w.Query
	}
	if w.Fragment != "" && !hasControl(w.Fragment) {
		address += "#" + (&url.URL{Fragment: w.Fragment}).EscapedFragment()
	}
	return address
}

// ownPlace reports whether path is one that a sign-in may lead to.
func ownPlace(path string) bool {
	if path == homePath || path == consentPath || path == ownPath {
		return true
	}
	below := IsProxied(path) || isConsole(path) || strings.HasPrefix(path, launchPath) && len(path) > len(launchPath)
	return below && len(path) <= 512 && cleanTarget(path) && !strings.Contains(path, "?")
}

// corp is the organisation that the workbench wrote into the place's query, if
// it is one of ours. Opened from elsewhere the literal $CORPID$ arrives.
func (w wanted) corp(known map[string]Corp) string {
	values, err := url.ParseQuery(w.Query)
	if err != nil {
		return ""
	}
	for _, name := range [...]string{"corpId", "corpid"} {
		id := values.Get(name)
		if _, ok := known[id]; ok && corpPattern.MatchString(id) {
			return id
		}
	}
	return ""
}
