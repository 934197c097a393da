package proxy

import (
	"net/url"
	"strings"
)

// homeward is an upstream's redirect as an address on our own host. It is not
// ok for one that leads elsewhere, or that two programs could read differently
// (T57, T58): browsers take a backslash for a slash and skip tabs and line ends.
func (p *Proxy) homeward(location string) (string, bool) {
	if location == "" || strings.ContainsFunc(location, unclear) {
		return "", false
	}
	u, err := url.Parse(location)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", false
	}
	if u.Host == "" {
		return location, u.Scheme == "" && !strings.HasPrefix(location, "//")
	}
	if !p.isHome(u) {
		return "", false
	}
	return afterHost(u)
}

// unclear are characters that programs read differently in an address.
func unclear(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }

// isHome reports whether an absolute address is Kingdee's or our own.
func (p *Proxy) isHome(u *url.URL) bool {
	switch u.Scheme {
	case "", "http", "https":
		return p.isUpstream(u) || strings.EqualFold(u.Host, p.cfg.PublicURL.Host)
	default:
		return false
	}
}

// afterHost is what stands behind the host, as an address of its own.
func afterHost(u *url.URL) (string, bool) {
	rest := u.EscapedPath()
	if rest == "" {
		rest = "/"
	}
	if strings.HasPrefix(rest, "//") {
		return "", false
	}
	if u.ForceQuery || u.RawQuery != "" {
		rest += "?" + u.RawQuery
	}
	if u.Fragment != "" {
		rest += "#" + u.EscapedFragment()
	}
	return rest, true
}

// isUpstream knows Kingdee's own name, with its port, with the scheme's own, or
// with none: behind a terminator it may write another than it is called by.
func (p *Proxy) isUpstream(u *url.URL) bool {
	if !strings.EqualFold(u.Hostname(), p.cfg.Upstream.Hostname()) {
		return false
	}
	switch u.Port() {
	case "", "80", "443", p.cfg.Upstream.Port():
		return true
	default:
		return false
	}
}

// homewardRefresh is a Refresh header ("5; url=…") for our own host.
func (p *Proxy) homewardRefresh(value string) (string, bool) {
	seconds, rest, ok := strings.Cut(value, ";")
	if !ok {
		return value, !strings.ContainsAny(value, ":/\\")
	}
	rest = strings.TrimSpace(rest)
	if len(rest) >= 4 && strings.EqualFold(rest[:3], "url") {
		rest = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest[3:]), "="))
	}
	address, ok := p.homeward(strings.Trim(rest, `"'`))
	return seconds + "; url=" + address, ok
}
