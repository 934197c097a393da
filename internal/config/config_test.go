package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// install writes a configuration with its secrets into a folder.
func install(t *testing.T, extra string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{"ding.secret": "s3cr3t-of-ding\n", "kd.secret": "0123456789abcdef0123456789abcdef\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kdgate.yaml"), []byte(good+extra), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const good = `
public_url: https://gate.example.com
listen: {address: "127.0.0.1:8080", cert: , key: , min_version: "1.3", trusted_proxies: []}
corps:
  - id: dingcorp1
    app_key: dingkey1
    app_secret_file: ding.secret
    agent_id: 1001
data_centres:
  - id: live
    url: https://erp.example.com/K3Cloud/
    db_id: 61cd78fbc6aa78
    app_id: 231784_Test
    app_secret_file: kd.secret
    integration_user: kdgate
    link: {version: 4, permitcount: 1, window: 10m, entry: html5}
forms: [{name: expense, form_id: ER_ExpReimbursement, types: [bill, list]}]
admins: [{corp: dingcorp1, userid: manager01, role: admin}]
`

func load(t *testing.T, dir string, env ...string) (*Config, error) {
	t.Helper()
	return Load(filepath.Join(dir, "kdgate.yaml"), env)
}

func TestLoad(t *testing.T) {
	dir := install(t, "")
	cfg, err := load(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Corps[0].AppSecret.Reveal(); got != "s3cr3t-of-ding" {
		t.Errorf("secret %q", got)
	}
	if cfg.Corps[0].AgentID != "1001" || cfg.DataCentres[0].Link.Permitcount != "1" {
		t.Errorf("unquoted ids: %q, %q", cfg.Corps[0].AgentID, cfg.DataCentres[0].Link.Permitcount)
	}
	if cfg.Sessions.Idle != 30*time.Minute || cfg.Audit.Retain != 184*24*time.Hour {
		t.Errorf("defaults: %v, %v", cfg.Sessions.Idle, cfg.Audit.Retain)
	}
	if want := filepath.Join(dir, "data", "kdgate.db"); cfg.Store.Path != want {
		t.Errorf("path %q, want %q", cfg.Store.Path, want)
	}
	if cfg.DataCentres[0].Users.UserNameField != "FName" || len(cfg.Mapping.PrivilegedUsers) != 1 {
		t.Errorf("defaults inside lists are missing: %+v", cfg.DataCentres[0].Users)
	}
}

// TestMistakesAllAtOnce proves T123, T124: every mistake is there, each with a way out.
func TestMistakesAllAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		replace, with string
		env           []string
		want          []string
	}{
		"unknown key":        {"agent_id:", "agentid:", nil, []string{"corps[0].agentid: unknown key; did you mean corps.agent_id?"}},
		"unknown section":    {"forms:", "fomrs:", nil, []string{"fomrs: unknown key; did you mean forms"}},
		"bare duration":      {"window: 10m", "window: 10", nil, []string{"not a duration", "30m"}},
		"secret in the file": {"app_secret_file: ding.secret", "app_secret: oops", nil, []string{"does not belong in this file", "KDGATE_CORPS_0_APP_SECRET"}},
		"plain http":         {"public_url: https://gate", "public_url: http://gate", nil, []string{"public_url: must begin with https://"}},
		"off loopback":       {`"127.0.0.1:8080"`, `":8080"`, nil, []string{"plain HTTP off loopback"}},
		"leaves for hours":   {`cert: , key: ,`, `leave: 2h,`, nil, []string{"listen.leave: 2h0m0s; at most 1m"}},
		"trusts everybody":   {"trusted_proxies: []", `trusted_proxies: ["0.0.0.0/0"]`, nil, []string{"trusts everybody"}},
		"trusts two halves":  {"trusted_proxies: []", `trusted_proxies: ["0.0.0.0/1", "128.0.0.0/1", "::/1", "10.0.0.0/8", "fc00::/7"]`, nil, []string{"3 mistake(s)", "[0]: 0.0.0.0/1 trusts everybody", "[1]", "[2]"}},
		"no secret file":     {"kd.secret", "nothere", nil, []string{"data_centres[0].app_secret_file: there is no file"}},
		"unknown mode":       {"link: {", "mode: tunnel\n    link: {", nil, []string{`mode: "tunnel" is none of link, proxy`}},
		"proxied elsewhere":  {"url: https://erp.example.com/K3Cloud/", "mode: proxy\n    url: https://erp.example.com/erp/", nil, []string{"mode proxy wants /K3Cloud/"}},
		"proxied desktop":    {"entry: html5}", "entry: wpf}\n    mode: proxy", nil, []string{"link.entry: wpf starts the desktop client"}},
		"proxied wide open":  {"link: {", "mode: proxy\n    proxy: {host: theirs, allow_headers: [X_Staff_Id, plain], allow_paths: ['*']}\n    link: {", nil, []string{"proxy.host", `"X_Staff_Id"`, `"plain"`, `proxy.allow_paths: "*"`}},
		"a page to return":   {"forms:", "forward_auth: {origins: ['https://app.example.com/', 'http://app.example.com']}\nforms:", nil, []string{"origins[0]", "origins[1]"}},
		"two roles":          {"admins: [{", "admins: [{corp: dingcorp1, userid: manager01, role: auditor}, {", nil, []string{"admins[1]: dingcorp1/manager01 is there twice"}},
		"foreign admin":      {"admins: [{corp: dingcorp1", "admins: [{corp: dingother", nil, []string{"not one of corps"}},
		"unknown variable":   {"", "", []string{"KDGATE_PUBLIC_ULR=https://x"}, []string{"KDGATE_PUBLIC_ULR: this environment variable names no key"}},
		"not yaml":           {"corps:", "corps: [", nil, []string{"not YAML"}},
		"two at once":        {"id: live", "id: Live Centre\n    db_idd: x", nil, []string{"db_idd: unknown key", `data_centres[0].id: "Live Centre"`}},
		"of every sort":      {"forms:", "sessions: {idle: 30, absolute: 90d}\nfomrs:", []string{"KDGATE_PUBLIC_URL=nonsense"}, []string{"fomrs: unknown key", "sessions.idle: 30 is not a duration", "sessions.absolute: 2160h0m0s", `public_url: "nonsense"`}},
		"too long an id":     {"id: live", "id: " + strings.Repeat("n", 65), nil, []string{`data_centres[0].id: "nnn`}},
		"too long a corp":    {"corps:\n  - id: dingcorp1", "corps:\n  - id: ding" + strings.Repeat("1", 61), nil, []string{`corps[0].id: "ding111`}},
		"several documents":  {"corps:", "---\ncorps:", nil, []string{"several YAML documents"}},
		"which certificate":  {"link: {", "ca_file: none.pem\n    link: {", nil, []string{"data_centres[0].ca_file: there is no file"}},
		"no list":            {"admins: [{corp: dingcorp1, userid: manager01, role: admin}]", "admins: {corp: dingcorp1, userid: manager01, role: admin}", nil, []string{"1 mistake(s)", "admins: a list is wanted"}},
		"half a callback":    {"agent_id: 1001", "agent_id: 1001\n    callback: {token_file: ding.secret}", nil, []string{"corps[0].callback.aes_key_file: missing"}},
		"an unknown digest":  {"agent_id: 1001", "wire: {jsapi_digest: md5, invalid_token: ['a b'], members_page: 200, message_bytes: 9, scope: 'openid;x'}", nil, []string{"wire.jsapi_digest", "wire.invalid_token[0]", "wire.members_page: 200", "wire.message_bytes: 9", "wire.scope"}},
		"rates":              {"agent_id: 1001", "quota: {free: ['Get User'], counted: [userget, ''], per_api: [{api: 'Get User', qps: 0}], throttle: {wait: 1ms, tries: 0}}", nil, []string{"quota.free[0]", "quota.counted[1]", "per_api[0].api", "per_api[0].qps", "throttle.wait", "throttle.tries"}},
		"pages of a link":    {"entry: html5}", "entry: html5, pages: {html5: ../x.aspx}, mobile_hash: md5, extra: [{name: loginAgain}, {name: loginthen, value: a, is_null: true}]}", nil, []string{"pages.html5", "mobile_hash", `extra[0].name: "loginAgain"`, "extra[1]: has a value and says is_null"}},
		"a short ban":        {"forms:", "outbound: {dingtalk_ban: 1s}\nforms:", nil, []string{"outbound.dingtalk_ban: 1s; between 1m and 1h"}},
		"login by names":     {"link: {", "api: {auth: app_secret, login_body: named, header_timestamp: min}\n    link: {", nil, []string{"login_body: named is known of login_by_sign only", "header_timestamp"}},
		"several":            {"db_id: 61cd78fbc6aa78\n    app_id: 231784_Test", "db_id:", nil, []string{"db_id: missing", "app_id: missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := install(t, "")
			path := filepath.Join(dir, "kdgate.yaml")
			text := good
			if c.replace != "" {
				text = strings.Replace(good, c.replace, c.with, 1)
				if text == good {
					t.Fatal("the test replaces nothing")
				}
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, c.env)
			if _, ok := errors.AsType[Mistakes](err); !ok {
				t.Fatalf("got %v, want mistakes", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
		})
	}
}

// TestOneMistakeIsOneLine: what could not be read is not judged too, and a secret
// whose file is not there is not missing besides.
func TestOneMistakeIsOneLine(t *testing.T) {
	for replace, with := range map[string]string{
		"kd.secret":              "nothere",
		"window: 10m":            "window: 10",
		"link: {version: 4, per": "link: [version]\n    old: {version: 4, per",
		"agent_id: 1001":         "agent_id: 1001\n    quota: {qps: fast}",
	} {
		dir := install(t, "")
		text := strings.Replace(good, replace, with, 1)
		if err := os.WriteFile(filepath.Join(dir, "kdgate.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want := 1 + strings.Count(with, "old:") // an unknown key of its own
		_, err := load(t, dir)
		if mistakes, ok := errors.AsType[Mistakes](err); !ok || len(mistakes) != want {
			t.Errorf("%s: %v", with, err)
		}
	}
}

// TestCallbackChosen: describing a callback is asking for it, unless the file says otherwise.
func TestCallbackChosen(t *testing.T) {
	for events, want := range map[string]string{"": "callback", "\n    events: stream": "stream"} {
		dir := install(t, "")
		key := strings.Repeat("k", 43)
		if err := os.WriteFile(filepath.Join(dir, "aes.secret"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(good, "agent_id: 1001", "agent_id: 1001\n    callback: {token_file: ding.secret, aes_key_file: aes.secret}"+events, 1)
		if err := os.WriteFile(filepath.Join(dir, "kdgate.yaml"), []byte(strings.ReplaceAll(text, "token_file: ding.secret", "token_file: token.secret")), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "token.secret"), []byte("abc123"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := load(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		warned := strings.Contains(strings.Join(cfg.Warnings, "\n"), "corps[0].callback: does nothing")
		if cfg.Corps[0].Events != want || warned != (want == "stream") {
			t.Errorf("events %q, want %q; warnings %q", cfg.Corps[0].Events, want, cfg.Warnings)
		}
	}
}

// TestManyElementsFromTheEnvironment: eleven administrators, none in the file.
func TestManyElementsFromTheEnvironment(t *testing.T) {
	var env []string
	for i := range 11 {
		at := fmt.Sprintf("KDGATE_ADMINS_%d_", i+1)
		env = append(env, at+"CORP=dingcorp1", fmt.Sprintf("%sUSERID=a%d", at, i+1), at+"ROLE=auditor")
	}
	cfg, err := load(t, install(t, ""), env...)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Admins) != 12 || cfg.Admins[11].UserID != "a11" {
		t.Errorf("got %+v", cfg.Admins)
	}
}

func TestEnvironmentSetsEveryKey(t *testing.T) {
	dir := install(t, "")
	cfg, err := load(t, dir,
		"PATH=/bin", "KDGATE_PUBLIC_URL=https://other.example.com", "KDGATE_SESSIONS_IDLE=5m",
		"KDGATE_LISTEN_TRUSTED_PROXIES=10.0.0.1, 10.0.1.0/24", "KDGATE_DATA_CENTRES_0_DB_ID=99cd78fbc6aa78",
		"KDGATE_CORPS_1_ID=dingcorp2", "KDGATE_CORPS_1_APP_KEY=k2", "KDGATE_CORPS_1_APP_SECRET=hidden-in-env", "KDGATE_CORPS_0_QUOTA_QPS=7")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.PublicURL != "https://other.example.com" || cfg.Sessions.Idle != 5*time.Minute || len(cfg.Listen.TrustedProxies) != 2 {
		t.Errorf("got %q, %v, %q", cfg.PublicURL, cfg.Sessions.Idle, cfg.Listen.TrustedProxies)
	}
	if cfg.DataCentres[0].DBID != "99cd78fbc6aa78" || cfg.Corps[0].Quota.QPS != 7 {
		t.Errorf("keys inside lists: %q, %d", cfg.DataCentres[0].DBID, cfg.Corps[0].Quota.QPS)
	}
	if cfg.Corps[1].AppSecret.Reveal() != "hidden-in-env" || cfg.Corps[1].Endpoints.OAPI == "" {
		t.Error("an element made by the environment lacks its secret or its defaults")
	}
}

// TestSecretFileOpenToAll proves T122.
func TestSecretFileOpenToAll(t *testing.T) {
	dir := install(t, "")
	if err := os.Chmod(filepath.Join(dir, "ding.secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v, want the command that mends it", err)
	}
}

// TestPrivateKeyOpenToAll proves T123 for keys of TLS: one that everybody may
// read is refused, wherever it is named; certificates are anybody's.
func TestPrivateKeyOpenToAll(t *testing.T) {
	dir := install(t, "")
	for _, name := range []string{"dc.crt", "dc.key", "gate.crt", "gate.key", "redis.crt", "redis.key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	text := strings.Replace(good, "    link: {", "    client_cert: dc.crt\n    client_key: dc.key\n    link: {", 1)
	text = strings.Replace(text, "cert: , key: ,", "cert: gate.crt, key: gate.key,", 1)
	text += `store: {driver: redis, url: "rediss://redis.example.com:6379", tls: {client_cert: redis.crt, client_key: redis.key}}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "kdgate.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		_, err := Load(filepath.Join(dir, "kdgate.yaml"), nil)
		if err == nil {
			t.Fatal("accepted") // the files are no certificates
		}
		return err.Error()
	}
	for _, want := range []string{"listen.key: everybody may read", "data_centres[0].client_key: everybody may read", "store.tls.client_key: everybody may read"} {
		if got := read(); !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	for _, name := range []string{"dc.key", "gate.key", "redis.key"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(); strings.Contains(got, "everybody may read") {
		t.Errorf("only certificates are open:\n%s", got)
	}
}

// TestSecretsDoNotPrint proves T122: a dumped configuration tells nothing.
func TestSecretsDoNotPrint(t *testing.T) {
	cfg, err := load(t, install(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if text := strings.ToLower(fmt.Sprintf(format, cfg.Corps[0])); strings.Contains(text, "s3cr3t") {
			t.Errorf("%s prints the secret", format)
		}
	}
}

func TestSealKeys(t *testing.T) {
	cfg, err := load(t, install(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	first, err := cfg.SealKeys()
	if err != nil || len(first) != 1 || len(first[0]) != MinSealKey {
		t.Fatalf("first run: %d keys, %v", len(first), err)
	}
	again, err := cfg.SealKeys()
	if err != nil || string(again[0]) != string(first[0]) {
		t.Errorf("second run: another key, %v", err)
	}
	if err := os.WriteFile(cfg.Store.Path, []byte("db"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(cfg.Store.Path), "seal.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.SealKeys(); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("a database without its key: %v", err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Seal.KeyFile = short
	if _, err := cfg.SealKeys(); err == nil || !strings.Contains(err.Error(), "openssl rand") {
		t.Errorf("a short key: %v", err)
	}
}

// TestSealIsChecked proves T123: check-config finds a bad sealing key before
// serve does, and makes none itself.
func TestSealIsChecked(t *testing.T) {
	dir := install(t, "seal: {key_file: seal.key, old_key_files: [old.key, open.key]}\n")
	write := func(name string, size int, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	write("old.key", 31, 0o600)
	write("open.key", 32, 0o644)
	_, err := load(t, dir)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"seal.key_file: there is no file", "old_key_files[0]: ", "31 bytes", "old_key_files[1]: everybody may read"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "seal.key")); err == nil {
		t.Error("a check made a key")
	}
	write("seal.key", 32, 0o600)
	write("old.key", 40, 0o600)
	if err := os.Chmod(filepath.Join(dir, "open.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := load(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := cfg.SealKeys(); err != nil || len(keys) != 3 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	names := map[string]Key{}
	for _, key := range Reference() {
		if key.Doc == "" {
			t.Errorf("%s has no words", key.Name)
		}
		names[key.Name] = key
	}
	if got := names["corps.app_secret_file"].Env; got != "KDGATE_CORPS_N_APP_SECRET_FILE" {
		t.Errorf("variable %q", got)
	}
	if got := names["audit.retain"]; got.Default != "184d" || got.Kind != "duration" {
		t.Errorf("audit.retain: %+v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good), "KDGATE_CORPS_0_ID=dingx")
	f.Add([]byte("corps: 5\nlisten: []"), "KDGATE_=")
	f.Fuzz(func(t *testing.T, text []byte, env string) {
		_, _ = Parse(text, "/nonexistent", []string{env})
	})
}

// TestProxyMode: the defaults of a proxied data centre, and no second one (F8).
func TestProxyMode(t *testing.T) {
	dir := install(t, "forward_auth: {origins: ['https://app.example.com', 'http://localhost:8090']}\n")
	path := filepath.Join(dir, "kdgate.yaml")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	proxied := strings.Replace(string(whole), "    link: {", "    mode: proxy\n    link: {", 1)
	if err := os.WriteFile(path, []byte(proxied), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := load(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if p := cfg.DataCentres[0].Proxy; p.Host != "upstream" || len(p.AllowHeaders) != 1 || p.AllowHeaders[0] != "accept-encoding_wpf" {
		t.Errorf("defaults: %+v", p)
	}
	if len(cfg.ForwardAuth.Origins) != 2 {
		t.Errorf("origins %q", cfg.ForwardAuth.Origins)
	}
	from, to := strings.Index(proxied, "  - id: live"), strings.Index(proxied, "forms:")
	second := strings.Replace(proxied[from:to], "id: live", "id: test", 1)
	if err := os.WriteFile(path, []byte(proxied[:to]+second+proxied[to:]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, dir); err == nil || !strings.Contains(err.Error(), "live and test have mode proxy") {
		t.Errorf("two proxied data centres: %v", err)
	}
}
