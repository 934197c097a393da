package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

func (c *Config) checkStore(m *Mistakes) {
	s := &c.Store
	switch s.Driver {
	case "sqlite":
		c.checkNoRedis(m)
	case "redis":
		c.checkRedis(m)
	default:
		m.add("store.driver: %q is neither sqlite nor redis", s.Driver)
	}
	if !isID(s.Tenant) {
		m.add("store.tenant: %q; use lower-case letters, digits, - and _", s.Tenant)
	}
}

// checkNoRedis refuses Redis settings that the embedded store would not heed.
func (c *Config) checkNoRedis(m *Mistakes) {
	s := &c.Store
	for _, key := range []struct {
		name    string
		written bool
	}{
		{"url", s.URL != ""},
		{"urls", len(s.URLs) > 0},
		{"sentinel", s.Sentinel != ""},
		{"cluster", s.Cluster},
		{"username", s.Username != ""},
		{"password", !s.Password.IsZero()},
		{"sentinel_username", s.SentinelUsername != ""},
		{"sentinel_password", !s.SentinelPassword.IsZero()},
		{"tls", s.TLS != StoreTLS{}},
		{"insecure", s.Insecure},
		{"wait_replicas", s.WaitReplicas != 0},
	} {
		if key.written {
			m.add("store.%s: belongs to driver: redis, but driver is sqlite; remove one", key.name)
		}
	}
}

func (c *Config) checkRedis(m *Mistakes) {
	c.checkRedisShape(m)
	c.checkRedisAddresses(m)
	c.checkRedisTLS(m)
	if c.Seal.KeyFile == "" {
		m.add("seal.key_file: missing; replicas on Redis share one key: openssl rand -out seal.key 32, mode 0600")
	}
}

// checkRedisShape: one Redis, Sentinel or Cluster, and nothing of another.
func (c *Config) checkRedisShape(m *Mistakes) {
	s := &c.Store
	addresses := s.Addresses()
	if s.URL != "" && len(s.URLs) > 0 {
		m.add("store: url and urls are both there; keep one")
	}
	s.checkWait(m)
	switch {
	case s.Sentinel != "" && s.Cluster:
		m.add("store: sentinel and cluster are two ways to run Redis; keep the one yours runs")
	case s.Sentinel == "" && !s.Cluster && len(addresses) > 1:
		m.add("store.urls: several addresses are sentinels or a cluster; write sentinel: NAME (of the master) or cluster: true")
	case len(addresses) == 0 && s.Sentinel != "":
		m.add("store.urls: missing; write the addresses of the sentinels, for example [redis://10.0.0.1:26379, redis://10.0.0.2:26379]")
	case len(addresses) == 0 && s.Cluster:
		m.add("store.urls: missing; write some nodes of the cluster, for example [redis://10.0.0.1:6379, redis://10.0.0.2:6379]")
	case len(addresses) == 0:
		m.add("store.url: missing; write redis://host:6379/0, rediss://… for TLS, or unix:///path/to/redis.sock")
	}
	c.checkSentinel(m)
}

func (s *Store) checkWait(m *Mistakes) {
	switch {
	case s.WaitReplicas < 0 || s.WaitReplicas > 9:
		m.add("store.wait_replicas: %d; 0 waits for none, 1 is what two replicas beside the master are for", s.WaitReplicas)
	case s.WaitReplicas > 0 && s.Cluster:
		m.add("store.wait_replicas: nodes of a cluster cannot be waited for; remove it and set min-replicas-to-write there")
	}
}

// checkSentinel: the master's name, and nothing of the sentinels without it.
func (c *Config) checkSentinel(m *Mistakes) {
	s := &c.Store
	if strings.ContainsFunc(s.Sentinel, func(r rune) bool { return r <= ' ' || r > '~' }) {
		m.add("store.sentinel: %q is not a master's name; it stands in sentinel.conf: sentinel monitor NAME …", s.Sentinel)
	}
	if s.Sentinel == "" && (s.SentinelUsername != "" || !s.SentinelPassword.IsZero()) {
		m.add("store.sentinel: missing; sentinel_username and sentinel_password are for the sentinels only")
	}
}

// checkRedisAddresses reads each address, then holds them to one another: all
// lead to one database, over one kind of transport, as one user.
func (c *Config) checkRedisAddresses(m *Mistakes) {
	s := &c.Store
	var first *url.URL
	for i, address := range s.Addresses() {
		name := "store.url"
		if s.URL == "" {
			name = fmt.Sprintf("store.urls[%d]", i)
		}
		u := c.checkRedisURL(m, name, address)
		switch {
		case u == nil:
		case first == nil:
			first = u
		case u.Scheme != first.Scheme || u.Path != first.Path || u.User.Username() != first.User.Username():
			m.add("%s: differs from the first address in more than host and port; all lead to one Redis in one way", name)
		}
	}
	if first != nil {
		c.checkRedisTarget(m, first)
	}
}

// checkRedisTarget holds what all addresses share to the other settings.
func (c *Config) checkRedisTarget(m *Mistakes, first *url.URL) {
	s := &c.Store
	if user := first.User.Username(); user != "" && s.Username != "" && user != s.Username {
		m.add("store.username: %q, and another user stands in the address; keep one", s.Username)
	}
	switch db := strings.Trim(first.Path, "/"); {
	case first.Scheme == "unix" && (s.Sentinel != "" || s.Cluster):
		m.add("store.url: a socket leads to one Redis; Sentinel and Cluster need host:port")
	case s.Cluster && db != "" && db != "0":
		m.add("store.urls: a cluster has no database numbers; remove /%s", db)
	}
}

// checkRedisURL gives the address, or nil when it cannot be read. It never
// repeats it: a password may stand in it.
func (c *Config) checkRedisURL(m *Mistakes, name, address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil || (u.Host == "") != (u.Scheme == "unix") || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) {
		m.add("%s: write redis://host:6379/0, rediss://… for TLS, or unix:///path/to/redis.sock", name)
		return nil
	}
	if _, written := u.User.Password(); written {
		m.add("%s: a password does not belong in the address; use store.password_file", name)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		m.add("%s: what stands behind the address (?…) is not read; remove it", name)
	}
	if db := strings.Trim(u.Path, "/"); u.Scheme != "unix" && strings.Trim(db, "0123456789") != "" {
		m.add("%s: the path is a database number, for example /0", name)
	}
	if u.Scheme == "redis" && !isLoopback(u.Hostname()) {
		if !c.Store.Insecure {
			m.add("%s: Redis off loopback needs TLS (rediss://), or insecure: true if the network is yours alone", name)
		} else {
			c.warn("%s: plaintext to %s; whoever is on that network reads and changes what passes", name, u.Host)
		}
	}
	return u
}

// checkRedisTLS reads the certificates, so that a bad one is found before serve (T121).
func (c *Config) checkRedisTLS(m *Mistakes) {
	files := c.Store.TLS
	if files == (StoreTLS{}) {
		return
	}
	encrypted := func(address string) bool { return strings.HasPrefix(address, "rediss://") }
	if addresses := c.Store.Addresses(); len(addresses) > 0 && !slices.ContainsFunc(addresses, encrypted) {
		m.add("store.tls: the addresses do not begin with rediss://, so nothing would be encrypted; change them, or remove tls")
	}
	switch {
	case (files.ClientCert == "") != (files.ClientKey == ""):
		m.add("store.tls: client_cert and client_key belong together; name both files")
	case files.ClientCert != "":
		if _, err := tls.LoadX509KeyPair(files.ClientCert, files.ClientKey); err != nil {
			m.add("store.tls.client_cert: %v", err)
		}
		checkKeyFile(m, "store.tls.client_key", files.ClientKey)
	}
	if files.CAFile == "" {
		return
	}
	if text, err := os.ReadFile(files.CAFile); err != nil {
		m.add("store.tls.ca_file: %v", err)
	} else if !x509.NewCertPool().AppendCertsFromPEM(text) {
		m.add("store.tls.ca_file: %s holds no certificate", files.CAFile)
	}
}
