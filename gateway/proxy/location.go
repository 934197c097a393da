package proxy

import (
	"net/url"
	"strings"
)

// homeward is an upstream's redirect as an address on our own host. It is not
// ok for one that leads elsewhere, or that two programs could read differently
// (T57, T58): browsers take a backslash for a slash and skip tabs and line ends.
func (p *Proxy) homeward(location string) (string, bool) {
	if location == "" || strings.ContainsAny(location, "\\") {
		return "", false
	}
	for i := range len(location) {
		if location[i] <= ' ' || location[i] == 0x7f {
			return "", false
		}
	}
	u, err := url.Parse(location)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", false
	}
	if u.Host == "" {
		return location, u.Scheme == "" && !strings.HasPrefix(location, "//")
	}
	if u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	if !p.isUpstream(u) && !strings.EqualFold(u.Host, p.cfg.PublicURL.Host) {
		return "", false
	}
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
