package config

import (
	"net/url"
	"strings"

	"kdgate/internal/lazyregexp"
)

var underscored = lazyregexp.New(`^[A-Za-z0-9_-]*_[A-Za-z0-9_-]*$`)

// checkProxy holds what only a proxied data centre needs. Its addresses cannot
// be moved: Kingdee's scripts and cookies know their path.
func checkProxy(m *Mistakes, at string, dc *DataCentre) {
	if dc.Mode != "proxy" {
		return
	}
	if u, err := url.Parse(dc.URL); err == nil && !strings.EqualFold(u.Path, "/K3Cloud/") {
		m.add("%s.url: the path is %q; mode proxy wants /K3Cloud/", at, u.Path)
	}
	if dc.Link.Entry == "wpf" {
		m.add("%s.link.entry: wpf starts the desktop client, which mode proxy cannot serve; use html5 or light", at)
	}
	oneOf(m, at+".proxy.host", dc.Proxy.Host, "upstream", "public")
	for _, name := range dc.Proxy.AllowHeaders {
		if !underscored().MatchString(name) || strings.HasPrefix(strings.ToLower(name), "x") {
			m.add("%s.proxy.allow_headers: %q; only names with an underscore that do not begin with X need a line here", at, name)
		}
	}
	for _, list := range [...]struct {
		name     string
		patterns []string
	}{{"deny_paths", dc.Proxy.DenyPaths}, {"allow_paths", dc.Proxy.AllowPaths}} {
		for _, pattern := range list.patterns {
			if len(strings.Trim(pattern, "*/ ")) < 3 || strings.Contains(pattern, "..") || strings.HasPrefix(pattern, "http") {
				m.add("%s.proxy.%s: %q; name a path below /K3Cloud/, such as Reports/*", at, list.name, pattern)
			}
		}
	}
}

// checkOneProxy: all of Kingdee's addresses begin with /K3Cloud/, so one host can be the way to one data centre.
func (c *Config) checkOneProxy(m *Mistakes) {
	var proxied []string
	for _, dc := range c.DataCentres {
		if dc.Mode == "proxy" {
			proxied = append(proxied, dc.ID)
		}
	}
	if len(proxied) > 1 {
		m.add("data_centres: %s have mode proxy; one gateway host proxies one data centre, leave mode link for the others or run a gateway on another host", strings.Join(proxied, " and "))
	}
}

func (c *Config) checkForwardAuth(m *Mistakes) {
	c.checkForwardHosts(m)
	for i, text := range c.ForwardAuth.Origins {
		u, err := url.Parse(text)
		if err != nil || u.Scheme+"://"+u.Host != text || (u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname()))) {
			m.add("forward_auth.origins[%d]: %q is not an origin such as https://app.example.com, without a path", i, text)
		}
	}
}
