package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withStore loads a configuration whose store section is text.
func withStore(t *testing.T, text string, env ...string) (*Config, error) {
	t.Helper()
	dir := install(t, "seal: {key_file: seal.key}\nstore: "+text+"\n")
	for name, content := range map[string]string{
		"seal.key": strings.Repeat("k", MinSealKey), "redis.secret": "redis-pass\n", "sentinel.secret": "sentinel-pass\n", "ca.pem": "rubbish",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, dir, env...)
}

// TestRedisForms: single, Sentinel and Cluster through one section.
func TestRedisForms(t *testing.T) {
	for name, step := range map[string]struct {
		text string
		want []string
		warn string
	}{
		"single":            {"{driver: redis, url: 'redis://localhost:6379/2', username: gate, password_file: redis.secret}", []string{"redis://localhost:6379/2"}, ""},
		"single in urls":    {"{driver: redis, urls: ['rediss://r:6379']}", []string{"rediss://r:6379"}, ""},
		"socket":            {"{driver: redis, url: 'unix:///run/redis.sock'}", []string{"unix:///run/redis.sock"}, ""},
		"one sentinel":      {"{driver: redis, url: 'redis://127.0.0.1:26379/1', sentinel: gate}", []string{"redis://127.0.0.1:26379/1"}, ""},
		"cluster":           {"{driver: redis, urls: ['rediss://a:1/0', 'rediss://b:2/0'], cluster: true, tls: {server_name: redis.example}}", []string{"rediss://a:1/0", "rediss://b:2/0"}, ""},
		"plain and allowed": {"{driver: redis, url: 'redis://r:6379', insecure: true}", []string{"redis://r:6379"}, "store.url: plaintext to r:6379"},
		"sentinels": {
			"{driver: redis, urls: ['rediss://a:26379', 'rediss://b:26379'], sentinel: gate-1, password_file: redis.secret, sentinel_username: look, sentinel_password_file: sentinel.secret}",
			[]string{"rediss://a:26379", "rediss://b:26379"},
			"",
		},
	} {
		cfg, err := withStore(t, step.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := cfg.Store.Addresses(); !slices.Equal(got, step.want) {
			t.Errorf("%s: addresses %q", name, got)
		}
		if got := strings.Join(cfg.Warnings, "\n"); strings.Contains(got, "plaintext") != (step.warn != "") || !strings.Contains(got, step.warn) {
			t.Errorf("%s: warnings %q", name, got)
		}
		if name == "sentinels" && (cfg.Store.SentinelPassword.Reveal() != "sentinel-pass" || cfg.Store.Password.Reveal() != "redis-pass") {
			t.Errorf("passwords %q, %q", cfg.Store.SentinelPassword.Reveal(), cfg.Store.Password.Reveal())
		}
	}
	cfg, err := withStore(t, "{driver: redis, sentinel: gate}", "KDGATE_STORE_URLS=redis://localhost:1, redis://localhost:2", "KDGATE_STORE_SENTINEL_PASSWORD=by-env")
	if err != nil || len(cfg.Store.Addresses()) != 2 || cfg.Store.SentinelPassword.Reveal() != "by-env" {
		t.Errorf("by the environment: %v", err)
	}
}

// TestRedisMistakes: what would not work, or would not do what it seems to, is
// found before serve, with all its neighbours (T122, T124), and no password is
// repeated.
func TestRedisMistakes(t *testing.T) {
	for name, step := range map[string]struct {
		text string
		want []string
	}{
		"no address":       {"{driver: redis}", []string{"store.url: missing"}},
		"no sentinels":     {"{driver: redis, sentinel: gate}", []string{"store.urls: missing; write the addresses of the sentinels"}},
		"no nodes":         {"{driver: redis, cluster: true}", []string{"store.urls: missing; write some nodes"}},
		"both":             {"{driver: redis, url: 'redis://localhost', urls: ['redis://localhost']}", []string{"url and urls are both there"}},
		"two ways":         {"{driver: redis, url: 'redis://localhost', sentinel: gate, cluster: true}", []string{"sentinel and cluster are two ways"}},
		"several of what?": {"{driver: redis, urls: ['redis://localhost:1', 'redis://localhost:2']}", []string{"store.urls: several addresses"}},
		"a spaced master":  {"{driver: redis, url: 'redis://localhost', sentinel: 'my master'}", []string{`store.sentinel: "my master" is not`}},
		"idle password":    {"{driver: redis, url: 'redis://localhost', sentinel_password_file: sentinel.secret}", []string{"store.sentinel: missing"}},
		"written password": {"{driver: redis, url: 'redis://localhost', sentinel_password: hunter2}", []string{"store.sentinel_password: a secret does not belong in this file"}},
		"mixed transports": {"{driver: redis, urls: ['rediss://a:1', 'redis://localhost:2'], cluster: true}", []string{"store.urls[1]: differs from the first"}},
		"mixed numbers":    {"{driver: redis, urls: ['redis://localhost:1/1', 'redis://localhost:2/2'], sentinel: g}", []string{"store.urls[1]: differs from the first"}},
		"numbered cluster": {"{driver: redis, url: 'redis://localhost/3', cluster: true}", []string{"a cluster has no database numbers; remove /3"}},
		"socket cluster":   {"{driver: redis, url: 'unix:///run/x', cluster: true}", []string{"a socket leads to one Redis"}},
		"two users":        {"{driver: redis, url: 'redis://one@localhost', username: two}", []string{"store.username"}},
		"a query":          {"{driver: redis, url: 'redis://localhost?db=3'}", []string{"is not read"}},
		"a path":           {"{driver: redis, url: 'redis://localhost/live'}", []string{"database number"}},
		"tls of nothing":   {"{driver: redis, url: 'redis://localhost', tls: {server_name: x}}", []string{"store.tls: the addresses do not begin with rediss://"}},
		"half a pair":      {"{driver: redis, url: 'rediss://r', tls: {client_key: x.pem}}", []string{"client_cert and client_key belong together"}},
		"no pair":          {"{driver: redis, url: 'rediss://r', tls: {client_cert: x.pem, client_key: x.pem}}", []string{"store.tls.client_cert: "}},
		"no roots":         {"{driver: redis, url: 'rediss://r', tls: {ca_file: gone.pem}}", []string{"store.tls.ca_file: "}},
		"rubbish roots":    {"{driver: redis, url: 'rediss://r', tls: {ca_file: ca.pem}}", []string{"holds no certificate"}},
		"of the other":     {"{driver: sqlite, sentinel: gate, cluster: true, username: u, insecure: true}", []string{"store.sentinel: belongs", "store.cluster: belongs", "store.username: belongs", "store.insecure: belongs"}},
		"all at once": {
			"{driver: redis, urls: ['redis://:hunter2@r:1', 'http://hunter2@x', 'rediss://b/9'], cluster: true, sentinel: g, tenant: 'A B'}",
			[]string{"two ways", "store.urls[0]: a password does not belong", "store.urls[0]: Redis off loopback needs TLS", "store.urls[1]: write redis://", "store.urls[2]: differs", "store.tenant"},
		},
	} {
		_, err := withStore(t, step.text)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, want := range step.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in:\n%v", name, want, err)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: repeats the password:\n%v", name, err)
		}
	}
}
