package config

import (
	"slices"
	"strings"
	"testing"
)

// T49, T58: what is not plainly one other host, or that nobody is trusted to
// speak for, is a mistake.
func TestForwardHosts(t *testing.T) {
	for host, want := range map[string]string{
		"app.example.com": "", "App.Example.com:8443": "", "https://app.example.com": "", "http://localhost:8090": "",
		"http://app.example.com": "not a host", "app.example.com/x": "not a host", "*.example.com": "not a host", "": "not a host", "u@app.example.com": "not a host",
		"ftp://app.example.com": "not a host", "app.example.com;x": "not a host", "gate.example.com": "own host name", "GATE.example.com:9": "own host name",
	} {
		c := Config{PublicURL: "https://gate.example.com", ForwardAuth: ForwardAuth{Hosts: []string{host}}, Listen: Listen{TrustedProxies: []string{"10.0.0.5"}}}
		var m Mistakes
		c.checkForwardHosts(&m)
		if said := strings.Join(m, "\n"); (want == "") != (said == "") || !strings.Contains(said, want) {
			t.Errorf("%q: %q, want %q", host, said, want)
		}
	}
	c := Config{PublicURL: "https://gate.example.com", ForwardAuth: ForwardAuth{Hosts: []string{"app.example.com"}}}
	var m Mistakes
	if c.checkForwardHosts(&m); !strings.Contains(strings.Join(m, "\n"), "trusted_proxies") {
		t.Errorf("nobody trusted: %q", m)
	}
	got := ForwardAuth{Hosts: []string{"App.example.com:8443", "http://localhost:1"}}.HostOrigins()
	if want := []string{"https://app.example.com:8443", "http://localhost:1"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// T107: a console on the host of a proxied Kingdee is said to be one; one with an
// address of its own, or beside links, is not.
func TestConsoleBesideProxiedKingdee(t *testing.T) {
	for name, c := range map[string]struct {
		mode    string
		console Console
		warned  bool
	}{
		"link": {"link", Console{BreakGlass: true}, false}, "proxy": {"proxy", Console{BreakGlass: true}, true},
		"apart": {"proxy", Console{BreakGlass: true, Address: "127.0.0.1:8444", URL: "https://gate-admin.example.com"}, false},
	} {
		cfg := Config{DataCentres: []DataCentre{{ID: "live", Mode: c.mode}}, Console: c.console}
		var m Mistakes
		cfg.checkConsole(&m)
		if warned := strings.Contains(strings.Join(cfg.Warnings, "\n"), "one origin with the proxied data centre live"); warned != c.warned {
			t.Errorf("%s: %q", name, cfg.Warnings)
		}
	}
}
