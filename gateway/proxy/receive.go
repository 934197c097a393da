package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"kdgate/gateway"
	"kdgate/identity"
)

// answer gives Kingdee's answer to the browser as one of ours: cookies and
// redirects on our host, nothing that tells of the machine behind, our headers
// on it (T57), and the body as it comes. An error means that nothing was
// answered yet; an answer that breaks off later breaks off here too.
func (p *Proxy) answer(ps *passage, r *http.Request, res *http.Response) error {
	defer res.Body.Close()
	ps.waiting.Store(0)
	if err := p.turnHome(ps, r, res); err != nil {
		return err
	}
	if err := p.takeCookies(ps, r, res); err != nil {
		return err
	}
	header := ps.Header()
	p.dress(header, r, res)
	announced := announce(header, res.Trailer)
	ps.WriteHeader(res.StatusCode)
	if err := p.copyBody(ps, res); err != nil {
		panic(http.ErrAbortHandler) // the status is out: only a broken connection can say it now
	}
	trail(ps, res.Trailer, announced)
	return nil
}

// turnHome turns redirects to our own host.
func (p *Proxy) turnHome(ps *passage, r *http.Request, res *http.Response) error {
	for _, name := range [...]string{"Location", "Content-Location"} {
		if values, ok := res.Header[name]; ok {
			home, own := p.homeward(values[0])
			if len(values) != 1 || !own {
				return p.strayed(ps, r)
			}
			res.Header[name] = []string{home}
		}
	}
	if values, ok := res.Header["Refresh"]; ok {
		home, own := p.homewardRefresh(values[0])
		if len(values) != 1 || !own {
			return p.strayed(ps, r)
		}
		res.Header["Refresh"] = []string{home}
	}
	return nil
}

// dress fills the header of our answer: Kingdee's, without what must not pass,
// and then ours. What stood there before stays beside it.
func (p *Proxy) dress(header http.Header, r *http.Request, res *http.Response) {
	connection, page, before := res.Header["Connection"], isPage(r, res), len(header) > 0
	for name, values := range res.Header {
		switch {
		case !passesBack(name, connection), page && (name == "Pragma" || name == "Expires"):
		case before:
			header[name] = append(header[name], values...)
		default:
			header[name] = values
		}
	}
	if page {
		header["Cache-Control"] = []string{"no-store"}
	}
	for name, values := range p.pages {
		if theirs, two := header[name]; two && name == "Content-Security-Policy" { // two policies hold side by side
			values = append(values[:len(values):len(values)], theirs...)
		}
		header[name] = values
	}
	header["X-Request-Id"] = []string{gateway.RequestIDOf(r.Context())}
}

// interim passes on what Kingdee says before its answer: which files a page
// will need (RFC 8297), or that it is at work. Nothing else of it is anybody's.
func (ps *passage) interim(res *http.Response) {
	hints := res.StatusCode == http.StatusEarlyHints
	if !ps.request.ProtoAtLeast(1, 1) || !hints && res.StatusCode != http.StatusProcessing {
		return
	}
	header := ps.Header()
	before, links := header["Link"], res.Header["Link"]
	if hints {
		header["Link"] = links
	}
	ps.WriteHeader(res.StatusCode)
	if before == nil {
		delete(header, "Link")
	} else {
		header["Link"] = before
	}
}

// copyBody passes the body on. An answer whose end is not known beforehand may
// be meant to be read while it is written, so nothing of it is held back.
func (p *Proxy) copyBody(ps *passage, res *http.Response) error {
	if res.Body == http.NoBody {
		return nil
	}
	streams := res.ContentLength < 0 || isEventStream(res.Header)
	room := p.buffers.get()
	defer p.buffers.put(room)
	for {
		n, err := res.Body.Read(room[:])
		if n > 0 {
			if failed := ps.put(room[:n], streams); failed != nil {
				return failed
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// put writes a piece of the answer; now, when it is not to wait for the next.
func (ps *passage) put(piece []byte, now bool) error {
	_, err := ps.Write(piece)
	if err == nil && now {
		_ = http.NewResponseController(ps.ResponseWriter).Flush() // what cannot be flushed fails at the next write, or has nothing to flush
	}
	return err
}

func isEventStream(header http.Header) bool {
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// announce names the trailers that follow, and gives their number.
func announce(header, trailer http.Header) int {
	if len(trailer) == 0 {
		return 0
	}
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		if isTrailing(name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		header["Trailer"] = []string{strings.Join(names, ", ")}
	}
	return len(trailer)
}

// trail sends the trailers, also those that nobody announced.
func trail(ps *passage, trailer http.Header, announced int) {
	if len(trailer) == 0 {
		return
	}
	_ = http.NewResponseController(ps.ResponseWriter).Flush() // makes it chunked; whoever cannot gets none
	header := ps.Header()
	for name, values := range trailer {
		if !isTrailing(name) {
			continue
		}
		if len(trailer) != announced {
			name = http.TrailerPrefix + name
		}
		header[name] = values
	}
}

// strayed is a redirect to somewhere else: not followed, not passed on.
func (p *Proxy) strayed(ps *passage, r *http.Request) error {
	p.note(r, ps.who, "redirect to a foreign host", map[string]string{"path": clip(r.URL.EscapedPath())})
	return identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "proxy: Kingdee redirects to a foreign host")
}

// takeCookies re-scopes what the answer sets. A Kingdee session that it opens
// becomes this sign-in's before the browser has it; one that it ends stops
// being anybody's.
func (p *Proxy) takeCookies(ps *passage, r *http.Request, res *http.Response) error {
	lines, ok := res.Header["Set-Cookie"]
	if !ok {
		return nil
	}
	set, gone, out := readCookies(lines, false)
	if len(set) > 0 {
		if err := p.bindings.bind(r.Context(), ps.who, ps.bound.LoginUser, set); err != nil {
			return err
		}
	}
	if gone {
		c := claimsOf(r)
		if err := p.bindings.release(r.Context(), c.marks[:c.count]); err != nil {
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

// isPage reports an answer that may show a person's data: it must not come back
// from a cache or by the back button (T36). That is everything but what pages are
// made of, which keeps the caching that the server asks for: an export or an
// attachment lies in a folder like a script does.
func isPage(r *http.Request, res *http.Response) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return true
	}
	path := strings.ToLower(r.URL.Path)
	if strings.HasSuffix(path, ".aspx") || strings.HasSuffix(path, ".kdsvc") || strings.HasSuffix(path, ".ashx") {
		return true
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind == "" && res.StatusCode == http.StatusNotModified {
		return false // of what is there already
	}
	return !isPart(kind)
}

// isPart reports a media type that pages are made of.
func isPart(kind string) bool {
	switch kind {
	case "text/css", "text/javascript", "application/javascript", "application/x-javascript", "application/wasm",
		"application/vnd.ms-fontobject", "application/x-silverlight-app":
		return true
	}
	for _, family := range [...]string{"image/", "font/", "application/font-", "application/x-font-", "audio/", "video/"} {
		if strings.HasPrefix(kind, family) {
			return true
		}
	}
	return false
}
