package config

import (
	"fmt"
	"net/url"
)

// Plaintext says in words which connections leave this machine without TLS
// because the configuration allows it (T121). What stays on loopback or in a
// socket file is not among them.
func (c *Config) Plaintext() []string {
	var words []string
	if c.Store.Driver != "sqlite" {
		for _, address := range c.Store.Addresses() {
			if host, plain := plainHost(address, "redis"); plain {
				words = append(words, fmt.Sprintf("store: Redis at %s without TLS (store.insecure)", host))
			}
		}
	}
	for _, dc := range c.DataCentres {
		if host, plain := plainHost(dc.URL, "http"); plain {
			words = append(words, fmt.Sprintf("data centre %s: Kingdee at %s without TLS (data_centres.insecure)", dc.ID, host))
		}
	}
	for _, scheme := range []string{"udp", "tcp"} {
		if host, plain := plainHost(c.Audit.Syslog, scheme); plain {
			words = append(words, fmt.Sprintf("audit log: syslog at %s without TLS (audit.syslog)", host))
		}
	}
	return words
}

// plainHost is the host of an address of this scheme, if it is another machine.
// Nothing else of the address is given: it may hold a password.
func plainHost(address, scheme string) (host string, plain bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != scheme || isLoopback(u.Hostname()) {
		return "", false
	}
	return u.Host, true
}
