package proxy

import (
	"context"
	"net/http"
	"strings"

	"kdgate/gateway"
	"kdgate/identity"
)

// receive makes Kingdee's answer one of ours: cookies and redirects on our
// host, nothing that tells of the machine behind, our headers on it (T57).
func (p *Proxy) receive(res *http.Response) error {
	ctx := res.Request.Context()
	ps := passageOf(ctx)
	ps.waiting.Store(0)
	for _, name := range [...]string{"Location", "Content-Location"} {
		if values, ok := res.Header[name]; ok {
			home, own := p.homeward(values[0])
			if len(values) != 1 || !own {
				return p.strayed(res, ps)
			}
			res.Header[name] = []string{home}
		}
	}
	if values, ok := res.Header["Refresh"]; ok {
		home, own := p.homewardRefresh(values[0])
		if len(values) != 1 || !own {
			return p.strayed(res, ps)
		}
		res.Header["Refresh"] = []string{home}
	}
	if err := p.takeCookies(ctx, res, ps); err != nil {
		return err
	}
	cleanResponse(res.Header)
	if isPage(res) {
		res.Header["Cache-Control"] = []string{"no-store"}
		delete(res.Header, "Pragma")
		delete(res.Header, "Expires")
	}
	p.dress(ps, res)
	return nil
}

// dress puts the headers that are ours on the answer. They are set here and not
// before, because an interim answer (1xx) clears what was set before.
func (p *Proxy) dress(ps *passage, res *http.Response) {
	header := ps.Header()
	for name, values := range p.pages {
		header[name] = values
		if name != "Content-Security-Policy" { // two policies hold side by side
			delete(res.Header, name)
		}
	}
	header["X-Request-Id"] = []string{gateway.RequestIDOf(res.Request.Context())}
}

// strayed is a redirect to somewhere else: not followed, not passed on.
func (p *Proxy) strayed(res *http.Response, ps *passage) error {
	p.note(res.Request, ps.who, "redirect to a foreign host", map[string]string{"path": clip(res.Request.URL.EscapedPath())})
	return identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "proxy: Kingdee redirects to a foreign host")
}

// takeCookies re-scopes what the answer sets. A Kingdee session that it opens
// becomes this sign-in's before the browser has it; one that it ends stops
// being anybody's.
func (p *Proxy) takeCookies(ctx context.Context, res *http.Response, ps *passage) error {
	lines, ok := res.Header["Set-Cookie"]
	if !ok {
		return nil
	}
	set, gone, out := readCookies(lines, false)
	if len(set) > 0 {
		if err := p.bindings.bind(ctx, ps.who, ps.bound.LoginUser, set); err != nil {
			return err
		}
	}
	if gone {
		c := claimsOf(res.Request)
		if err := p.bindings.release(ctx, c.marks[:c.count]); err != nil {
			p.cfg.Logger.Warn("proxy: a Kingdee session that ended stays bound", "error", err)
		}
	}
	if len(out) == 0 {
		delete(res.Header, "Set-Cookie")
		return nil
	}
	res.Header["Set-Cookie"] = out
	return nil
}

// readCookies gives the session cookies that lines set, whether the Kingdee
// session is ended by them, and the lines for our host.
func readCookies(lines []string, hidden bool) (set []mark, gone bool, out []string) {
	for _, line := range lines {
		scoped, name, value := rescoped(line, hidden)
		if scoped == "" {
			continue
		}
		out = append(out, scoped)
		switch session := sessionName(name); {
		case session == "":
		case value != "":
			set = append(set, markOf(session, value))
		case session == sessionCookie:
			gone = true
		}
	}
	return set, gone, out
}

// isPage reports an answer that shows a person's data: it must not come back
// from a cache or by the back button (T36). What a server calls static keeps
// the caching that it asks for.
func isPage(res *http.Response) bool {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "text/html", "application/xhtml+xml", "application/json", "":
		return true
	}
	if res.Request.Method != http.MethodGet {
		return true
	}
	path := strings.ToLower(res.Request.URL.Path)
	return strings.HasSuffix(path, ".aspx") || strings.HasSuffix(path, ".kdsvc") || strings.HasSuffix(path, ".ashx")
}
