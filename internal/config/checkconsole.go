package config

import (
	"net"
	"net/url"
)

func (c *Config) checkConsole(m *Mistakes) {
	if len(c.Admins) == 0 && !c.Console.BreakGlass {
		c.warn("admins: nobody is named and console.break_glass is off: the console opens for nobody")
	}
	if proxied := c.proxiedCentre(); proxied != "" && c.Console.Address == "" {
		c.warn("console: it has one origin with the proxied data centre %s: a script that somebody gets into a page of Kingdee could act in the console as whoever reads that page; give the console an address and a name of its own (console.address, console.url)", proxied)
	}
	for i, network := range c.Console.Allow {
		if prefix, err := ParsePrefix(network); err != nil {
			m.add("console.allow[%d]: %q is neither an address nor a network such as 10.0.0.0/24", i, network)
		} else if prefix.Bits() == 0 {
			m.add("console.allow[%d]: %s allows everybody; leave the list empty if that is meant", i, network)
		}
	}
	if c.Console.Address == "" {
		if c.Console.URL != "" {
			m.add("console.url: belongs to console.address; without it the console stands at public_url")
		}
		return
	}
	host, _, err := net.SplitHostPort(c.Console.Address)
	if err != nil {
		m.add("console.address: %q is not host:port, for example 10.0.0.5:8444", c.Console.Address)
	} else if c.Listen.Cert == "" && !isLoopback(host) && len(c.Listen.TrustedProxies) == 0 {
		m.add("console.address: %s would speak plain HTTP off loopback; give listen.cert and listen.key, or name the proxy that speaks TLS in listen.trusted_proxies", c.Console.Address)
	}
	c.checkConsoleURL(m)
}

// proxiedCentre is the data centre whose pages come from our own host, empty for none.
func (c *Config) proxiedCentre() string {
	for _, dc := range c.DataCentres {
		if dc.Mode == "proxy" {
			return dc.ID
		}
	}
	return ""
}

func (c *Config) checkConsoleURL(m *Mistakes) {
	u, err := url.Parse(c.Console.URL)
	switch {
	case c.Console.URL == "":
		m.add("console.url: missing; write the address that browsers use for console.address, for example https://gate-admin.example.com")
	case err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		m.add("console.url: %q is not scheme://host[:port]; for example https://gate-admin.example.com", c.Console.URL)
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		m.add("console.url: must begin with https:// (plain http is for loopback only)")
	}
}
