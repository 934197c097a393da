package proxy

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// maxLanding is how much of a landing page is read to find where it leads.
const maxLanding = 64 << 10

// Enter redeems a fresh login link in the browser's place, gives Kingdee's
// cookies to the session and to the browser, and says where in Kingdee the
// browser goes on. Nobody is let in without a record, and nobody twice: a link
// that Kingdee does not take is an error and is not tried again.
func (p *Proxy) Enter(w http.ResponseWriter, r *http.Request, who identity.Principal, account identity.Account, link identity.Secret) (string, error) {
	ctx, cancel := context.WithTimeout(r.Context(), p.cfg.Limits.Redeem)
	defer cancel()
	landed, err := p.redeem(ctx, r, link)
	if err == nil {
		err = p.bindings.bind(ctx, who, account.LoginUser, landed.marks)
	}
	event := p.event(r, who, audit.OK)
	event.Action, event.Target = audit.ActionProxyRedeem, account.LoginUser
	event.Detail = map[string]string{"session": who.SessionID}
	if err != nil {
		event.Outcome, event.Reason = audit.Failed, string(identity.CodeOf(err))
	}
	if failed := p.cfg.Recorder.Append(context.WithoutCancel(ctx), event); failed != nil && err == nil {
		err = identity.Fail(identity.Unavailable, identity.CodeAuditDown, "audit: %w", failed)
	}
	if err != nil {
		return "", err
	}
	for _, line := range landed.cookies {
		w.Header().Add("Set-Cookie", line)
	}
	if place, ok := p.wanted(r); ok {
		return place, nil
	}
	return landed.path, nil
}

// wanted is the page that an automatic launch interrupted, when it can be opened
// again: pages of the console belong to the session that is gone.
func (p *Proxy) wanted(r *http.Request) (string, bool) {
	text := r.URL.Query().Get(gateway.WantedParameter)
	target, err := url.Parse(text)
	if err != nil || !gateway.IsCleanTarget(text) || target.IsAbs() || target.Host != "" || target.Opaque != "" || !gateway.IsProxied(target.Path) {
		return "", false
	}
	lost := p.policy.judge(target.Path, target.RawQuery) != open
	eachParameter(target.RawQuery, func(name, _ string) { lost = lost || isSecretParameter(name) })
	address, own := p.homeward(target.RequestURI())
	return address, own && !lost
}

// landing is what a redeemed link gave.
type landing struct {
	path    string
	cookies []string
	marks   []mark
}

// redeem asks for the link once, as the person's browser would, and follows
// nothing. The error never holds the link.
func (p *Proxy) redeem(ctx context.Context, r *http.Request, link identity.Secret) (landing, error) {
	target, err := url.Parse(link.Reveal())
	if err != nil || !strings.EqualFold(target.Host, p.cfg.Upstream.Host) || target.Scheme != p.cfg.Upstream.Scheme {
		return landing{}, identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "proxy: the link is not for this upstream; only pages can be proxied, not the desktop client")
	}
	req := (&http.Request{
		Method: http.MethodGet, URL: target, Host: target.Host, Header: http.Header{
			"Accept":            {"text/html,application/xhtml+xml,*/*;q=0.8"},
			"X-Forwarded-For":   {gateway.SourceOf(r.Context())},
			"X-Forwarded-Proto": p.upstream.proto, "X-Forwarded-Host": p.upstream.public,
			"X-Request-Id": {gateway.RequestIDOf(r.Context())},
		},
	}).WithContext(ctx)
	if p.cfg.KeepHost {
		req.Host = p.cfg.PublicURL.Host
	}
	for _, name := range [...]string{"User-Agent", "Accept-Language"} { // Kingdee may choose its page by them
		if values, ok := r.Header[name]; ok {
			req.Header[name] = values
		}
	}
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return landing{}, identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: redeem: %s", reason(err))
	}
	defer res.Body.Close()
	return p.landed(res)
}

// landed reads the answer to a link: a redirect, or a page whose script goes on
// (reference 1.7). Cookies alone prove nothing, and neither does status 200.
func (p *Proxy) landed(res *http.Response) (landing, error) {
	if res.StatusCode >= http.StatusInternalServerError {
		return landing{}, identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: redeem: status %d", res.StatusCode)
	}
	marks, _, cookies := readCookies(res.Header["Set-Cookie"], true)
	if !opensSession(res.Header["Set-Cookie"]) {
		return landing{}, identity.Fail(identity.Upstream, identity.CodeLinkRefused, "proxy: redeem: status %d without a session", res.StatusCode)
	}
	address := res.Header.Get("Location")
	if res.StatusCode == http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, maxLanding))
		if err != nil {
			return landing{}, identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: redeem: %s", reason(err))
		}
		address = scriptTarget(string(text))
	}
	path, ok := p.landingPath(res, address)
	if !ok {
		return landing{}, identity.Fail(identity.Upstream, identity.CodeLinkRefused, "proxy: redeem: status %d leads nowhere of ours", res.StatusCode)
	}
	return landing{path: path, cookies: cookies, marks: marks}, nil
}

func opensSession(lines []string) bool {
	for _, line := range lines {
		if _, name, value := rescoped(line, true); sessionName(name) == sessionCookie && value != "" {
			return true
		}
	}
	return false
}

// landingPath is the address as a path of ours below /K3Cloud/, and not an
// entrance: a link that ends at the login page was refused.
func (p *Proxy) landingPath(res *http.Response, address string) (string, bool) {
	home, ok := p.homeward(address)
	if !ok {
		return "", false
	}
	target, err := res.Request.URL.Parse(home)
	if err != nil || !gateway.IsProxied(target.Path) {
		return "", false
	}
	if p.policy.judge(target.Path, target.RawQuery) != open {
		return "", false
	}
	return target.RequestURI(), true
}

// consoleAddress finds the console's address in a landing page's script: a
// quoted text that names a page and the user token.
var consoleAddress = lazyregexp.New(`["']([^"'<>\s]*usertoken[^"'<>\s]*)["']`)

// scriptTarget is the address that a page's script goes to, empty when none is found.
func scriptTarget(page string) string {
	found := consoleAddress().FindStringSubmatch(page)
	if found == nil {
		return ""
	}
	text := html.UnescapeString(found[1])
	text = strings.ReplaceAll(text, `\/`, `/`)
	if plain, err := strconv.Unquote(`"` + text + `"`); err == nil { // \u0026 and its like
		text = plain
	}
	return text
}

// Leave ends what the browser holds of Kingdee, at sign-out. That Kingdee's own
// session ends is asked of Kingdee by whoever signs out.
func (p *Proxy) Leave(w http.ResponseWriter, r *http.Request, who identity.Principal) {
	ctx := context.WithoutCancel(r.Context())
	var own []mark
	c := claimsOf(r)
	for _, m := range c.marks[:c.count] {
		if p.holds(ctx, m, who) {
			own = append(own, m)
		}
	}
	if err := p.bindings.release(ctx, own); err != nil {
		p.cfg.Logger.Warn("proxy: a Kingdee session stays bound to a session that has ended", "error", err)
	}
	for _, name := range [...]string{sessionCookie, aspCookie} {
		w.Header().Add("Set-Cookie", expired(name))
	}
}
