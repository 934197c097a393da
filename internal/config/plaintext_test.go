package config

import (
	"slices"
	"testing"
)

// T121: what was allowed without TLS is said, with the setting that allowed it
// and without a password; TLS, loopback and socket files are not.
func TestPlaintext(t *testing.T) {
	c := Config{
		Store: Store{Driver: "redis", URLs: []string{
			"redis://kdgate:hunter2@redis.example.com:6379/0", "rediss://safe.example.com:6379", "redis://127.0.0.1:6379", "unix:///run/redis.sock",
		}},
		DataCentres: []DataCentre{
			{ID: "live", URL: "http://erp.example.com/K3Cloud/"}, {ID: "test", URL: "https://erp.example.com/K3Cloud/"}, {ID: "sim", URL: "http://localhost:8082/K3Cloud/"},
		},
	}
	want := []string{
		"store: Redis at redis.example.com:6379 without TLS (store.insecure)",
		"data centre live: Kingdee at erp.example.com without TLS (data_centres.insecure)",
	}
	if got := c.Plaintext(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	c.Store.Driver, c.DataCentres = "sqlite", nil
	if got := c.Plaintext(); len(got) != 0 {
		t.Errorf("the embedded store: %q", got)
	}
	for address, want := range map[string]int{
		"udp://log.example.com:514": 1, "tcp://log.example.com:514": 1, "tls://log.example.com:6514": 0, "udp://127.0.0.1:514": 0,
	} {
		c.Audit.Syslog = address
		if got := c.Plaintext(); len(got) != want || want == 1 && got[0] != "audit log: syslog at log.example.com:514 without TLS (audit.syslog)" {
			t.Errorf("%s: %q", address, got)
		}
	}
}
