package config

import (
	"net/url"
	"strings"
)

// HostOrigins are the hosts as origins: a bare name is https.
func (f ForwardAuth) HostOrigins() []string {
	var origins []string
	for _, host := range f.Hosts {
		if !strings.Contains(host, "://") {
			host = "https://" + host
		}
		origins = append(origins, strings.ToLower(host))
	}
	return origins
}

func (c *Config) checkForwardHosts(m *Mistakes) {
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return // said already
	}
	for i, origin := range c.ForwardAuth.HostOrigins() {
		u, err := url.Parse(origin)
		switch {
		case err != nil || u.Hostname() == "" || u.Scheme+"://"+u.Host != origin || strings.ContainsAny(u.Host, "*;,'\" ") ||
			(u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname()))):
			m.add("forward_auth.hosts[%d]: %q is not a host such as app.example.com", i, c.ForwardAuth.Hosts[i])
		case strings.EqualFold(u.Hostname(), public.Hostname()):
			m.add("forward_auth.hosts[%d]: %s is the gateway's own host name, whose session cookie reaches every port; write it into forward_auth.origins", i, c.ForwardAuth.Hosts[i])
		}
	}
	if len(c.ForwardAuth.Hosts) > 0 && len(c.Listen.TrustedProxies) == 0 {
		m.add("forward_auth.hosts: name the proxy that asks for them in listen.trusted_proxies; nobody else is believed which host a request is for")
	}
}
