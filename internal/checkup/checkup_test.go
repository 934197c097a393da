package checkup_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/internal/checkup"
	"kdgate/kingdee"
	"kdgate/web"
)

var now = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// examine runs one peer and gives its tests by name.
func examine(t *testing.T, p checkup.Peer) map[string]checkup.Item {
	t.Helper()
	doctor := checkup.Doctor{Peers: []checkup.Peer{p}, Now: clock}
	items := map[string]checkup.Item{}
	for _, item := range doctor.Run(t.Context(), "", nil).Items {
		items[item.Check] = item
		wantWords(t, item)
	}
	return items
}

// wantWords: each cause has words in each language, with every place filled.
func wantWords(t *testing.T, item checkup.Item) {
	t.Helper()
	pages, err := web.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"zh-Hans", "zh-Hant", "en"} {
		words := pages.Catalogue().In(lang)
		what, fix := item.Advice(words)
		if item.Cause != "" && (!words.Has("word.cause."+item.Cause) || !words.Has("word.fix."+item.Cause) || what == "" || fix == "") {
			t.Errorf("%s in %s: %q %q", item.Cause, lang, what, fix)
		}
		if slices.ContainsFunc([]rune(what+fix), func(r rune) bool { return r == '{' || r == '}' }) {
			t.Errorf("%s in %s: a place is not filled: %s %s", item.Cause, lang, what, fix)
		}
	}
}

// ding answers a probe as it is told to.
type ding struct {
	report dingtalk.Report
	err    error
	quota  dingtalk.Quota
	failed error
	events []dingtalk.Event
	uses   map[string]error // by the name of the probe
}

func (d ding) Probe(context.Context) (dingtalk.Report, error) { return d.report, d.err }
func (d ding) FailedEvents(context.Context) ([]dingtalk.Event, bool, error) {
	return d.events, false, d.failed
}
func (d ding) Quota(context.Context) dingtalk.Quota                { return d.quota }
func (d ding) ProbeStream(context.Context) error                   { return d.uses["stream"] }
func (d ding) ProbeDepartments(context.Context) error              { return d.uses["departments"] }
func (d ding) ProbeMembers(context.Context) error                  { return d.uses["members"] }
func (d ding) ProbeApprovals(_ context.Context, code string) error { return d.uses[code] }
func (d ding) ProbeComments(context.Context) error                 { return d.uses["comments"] }
func (d ding) ProbeAgent(context.Context) error                    { return d.uses["agent"] }

func report(checks ...dingtalk.Check) dingtalk.Report {
	return dingtalk.Report{Corp: "dingcorp1", WholeCompany: true, Checks: checks}
}

func kind(k identity.Kind) error { return identity.Fail(k, identity.CodeDingTalkDown, "as told") }

// F32: each cause at DingTalk has its name, with what the words need.
func TestDingTalkCauses(t *testing.T) {
	partly := report(dingtalk.Check{Name: "token"})
	partly.WholeCompany, partly.Departments, partly.Users, partly.Skew = false, []int64{1, 2}, 3, 10*time.Minute
	missing := &dingtalk.CallError{Permission: "qyapi_get_member", ApplyLink: "https://open.dingtalk.com/x"}
	for name, c := range map[string]struct {
		ding
		app    checkup.App
		check  string
		status checkup.Status
		cause  string
		value  [2]string
	}{
		"well":         {ding: ding{report: report(dingtalk.Check{Name: "token"})}, check: "token", status: checkup.OK},
		"address":      {ding: ding{report: report(dingtalk.Check{Name: "token", Err: kind(identity.Forbidden), OurAddress: "203.0.113.7"}), err: errors.New("no")}, check: "token", status: checkup.Fault, cause: "dingtalk-ip", value: [2]string{"ip", "203.0.113.7"}},
		"permission":   {ding: ding{report: report(dingtalk.Check{Name: "qyapi_get_member", Err: missing, ApplyLink: missing.ApplyLink})}, check: "qyapi_get_member", status: checkup.Fault, cause: "dingtalk-permission", value: [2]string{"link", missing.ApplyLink}},
		"credentials":  {ding: ding{report: report(dingtalk.Check{Name: "token", Err: kind(identity.Misconfigured)}), err: errors.New("no")}, check: "token", status: checkup.Fault, cause: "dingtalk-credentials"},
		"network":      {ding: ding{report: report(dingtalk.Check{Name: "token", Err: kind(identity.Unavailable)}), err: errors.New("no")}, check: "token", status: checkup.Fault, cause: "dingtalk-unreachable"},
		"limit":        {ding: ding{report: report(dingtalk.Check{Name: "token", Err: kind(identity.Throttled)}), err: errors.New("no")}, check: "token", status: checkup.Fault, cause: "dingtalk-quota"},
		"range":        {ding: ding{report: partly}, app: checkup.App{Directory: true}, check: "range", status: checkup.Warning, cause: "dingtalk-range", value: [2]string{"people", "3"}},
		"range alone":  {ding: ding{report: partly}, check: "range", status: checkup.OK},
		"clock":        {ding: ding{report: partly}, check: "clock", status: checkup.Fault, cause: "clock", value: [2]string{"skew", "10m0s"}},
		"few calls":    {ding: ding{report: report(), quota: dingtalk.Quota{Calls: dingtalk.Budget{Limit: 5000, Left: 999}}}, check: "quota", status: checkup.Warning, cause: "dingtalk-quota-low", value: [2]string{"left", "999"}},
		"a fifth left": {ding: ding{report: report(), quota: dingtalk.Quota{Calls: dingtalk.Budget{Limit: 5000, Left: 1000}}}, check: "quota", status: checkup.OK},
		"banned":       {ding: ding{report: report(), quota: dingtalk.Quota{Banned: time.Minute}}, check: "quota", status: checkup.Fault, cause: "dingtalk-banned"},
		"undelivered":  {ding: ding{report: report(), events: make([]dingtalk.Event, 4)}, app: checkup.App{Events: "callback"}, check: "events", status: checkup.Warning, cause: "dingtalk-undelivered", value: [2]string{"n", "4"}},
		"no events":    {ding: ding{report: report(), failed: missing}, app: checkup.App{Events: "callback"}, check: "events", status: checkup.Fault, cause: "dingtalk-permission"},
	} {
		t.Run(name, func(t *testing.T) {
			item, found := examine(t, checkup.DingTalkPeer("dingcorp1", c.ding, c.app))[c.check]
			if !found || item.Status != c.status || item.Cause != c.cause || item.Peer != "dingtalk/dingcorp1" {
				t.Errorf("%+v, want %s %s", item, c.status, c.cause)
			}
			if c.value[0] != "" && item.Values[c.value[0]] != c.value[1] {
				t.Errorf("%v, want %v", item.Values, c.value)
			}
		})
	}
}

// king finds what it is told.
type king struct{ findings, forms, bills []kingdee.Finding }

func (k king) Examine(context.Context) []kingdee.Finding                 { return k.findings }
func (k king) ExamineForms(context.Context) []kingdee.Finding            { return k.forms }
func (k king) ExamineBills(context.Context, ...string) []kingdee.Finding { return k.bills }

// F32: findings at Kingdee keep the vendor's row as their cause; what no call
// tells is not called fine.
func TestKingdeeCauses(t *testing.T) {
	fault := func(name string) error { return &kingdee.Fault{Name: name, Advice: "look there"} }
	found := examine(t, checkup.KingdeePeer("live", king{
		findings: []kingdee.Finding{{Item: "BD_Empinfo"}, {Item: "SEC_User", Err: fault("login-refused")}, {Item: "clock", Err: errors.New("ahead")}},
		forms:    []kingdee.Finding{{Item: "BD_Department", Err: fault("bad-request")}},
		bills:    []kingdee.Finding{{Item: "GL_VOUCHER", Err: fault("no-rights")}},
	}, checkup.Centre{Jobs: true, Bills: []string{"GL_VOUCHER"}, Now: clock}))
	for check, want := range map[string]string{"BD_Empinfo": "", "SEC_User": "kingdee-login-refused", "clock": "kingdee-time-refused", "BD_Department (jobs)": "kingdee-bad-request", "GL_VOUCHER (bills)": "kingdee-no-rights", "once-only": "kingdee-once-only"} {
		if item, ok := found[check]; !ok || item.Cause != want {
			t.Errorf("%s: %+v, want %s", check, item, want)
		}
	}
	if found["once-only"].Status != checkup.Unknown {
		t.Error("what nobody tells is called known")
	}
	odd := checkup.Item{Check: "x", Status: checkup.Fault, Cause: "kingdee-new-row", Detail: "its own words", Values: map[string]string{"advice": "look there"}}
	pages, err := web.New()
	if err != nil {
		t.Fatal(err)
	}
	if what, fix := odd.Advice(pages.Catalogue().In("en")); what != "its own words" || fix != "look there" {
		t.Errorf("a cause without words: %q %q", what, fix)
	}
}

// F93: certificate age 30, 7 and 1 days; secret age; disk; plaintext.
func TestHost(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	for days, want := range map[int]checkup.Status{90: checkup.OK, 30: checkup.Warning, 7: checkup.Warning, 0: checkup.Fault, -3: checkup.Fault} {
		path := filepath.Join(dir, fmt.Sprintf("cert%d", days))
		certificate(t, path, now.Add(time.Duration(days)*24*time.Hour+time.Hour))
		if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(secret, now, now.AddDate(-2, 0, 0)); err != nil {
			t.Fatal(err)
		}
		found := examine(t, checkup.HostPeer(checkup.Host{
			Certificate: path, Secrets: []string{secret}, Plaintext: []string{"Redis at 10.0.0.1"}, Now: clock,
			Disk: func(context.Context) error { return errors.New("97 % full") },
		}))
		if found["certificate"].Status != want {
			t.Errorf("%d days: %+v", days, found["certificate"])
		}
		if found["secrets"].Cause != "secret-old" || found["disk"].Cause != "disk" || found["plaintext"].Cause != "plaintext" {
			t.Errorf("%+v", found)
		}
	}
}

func certificate(t *testing.T, path string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.AddDate(-1, 0, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// F93: latency, persistence, eviction, role; a store that does not answer is one fault.
func TestStore(t *testing.T) {
	well := func(context.Context) error { return nil }
	rows := func(context.Context) (int, error) { return 7, nil }
	told := checkup.Condition{Role: "slave", Eviction: "allkeys-lru", Snapshots: "no", Used: 95, Most: 100}
	found := examine(t, checkup.StorePeer(checkup.Store{Driver: "redis", Ping: well, Read: rows, Now: clock, Condition: func(context.Context) (checkup.Condition, error) { return told, nil }}))
	for check, want := range map[string]string{"role": "redis-role", "persistence": "redis-memory-only", "eviction": "redis-eviction", "memory": "redis-memory", "seals": "", "answers": ""} {
		if found[check].Cause != want {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
	untold := examine(t, checkup.StorePeer(checkup.Store{
		Driver: "redis", Ping: well, Now: clock, Read: func(context.Context) (int, error) { return 0, errors.New("seal") },
		Condition: func(context.Context) (checkup.Condition, error) { return told, errors.New("NOPERM") },
	}))
	if untold["redis"].Status != checkup.Unknown || untold["seals"].Cause != "store-tampered" {
		t.Errorf("%+v", untold)
	}
	away := examine(t, checkup.StorePeer(checkup.Store{Ping: func(context.Context) error { return errors.New("gone") }, Now: clock}))
	if len(away) != 1 || away["answers"].Cause != "store-unreachable" {
		t.Errorf("%+v", away)
	}
}

// F93: a log that cannot be written, records that no checkpoint names, an anchor
// and a feed that are behind, and no anchor at all.
func TestAudit(t *testing.T) {
	broken := errors.New("full")
	found := examine(t, checkup.AuditPeer(checkup.Log{
		Ping: func(context.Context) error { return broken }, Anchor: func() error { return broken }, Now: clock, Away: true,
		Chains: func(context.Context) ([]audit.Chain, error) {
			return []audit.Chain{{Replica: "a", Last: 9, Sworn: 3, LastAt: now.Add(-time.Hour)}, {Replica: "b", Last: 9, Sworn: 3, LastAt: now}}, nil
		},
		Feeds: map[string]func() error{"syslog": func() error { return broken }},
	}))
	for check, want := range map[string]string{"writable": "audit-down", "chain a": "audit-unsworn", "chain b": "", "anchor": "audit-anchor", "feed syslog": "audit-feed"} {
		if found[check].Cause != want {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
	fine := func() error { return nil }
	found = examine(t, checkup.AuditPeer(checkup.Log{
		Ping: func(context.Context) error { return nil }, Anchor: fine, Now: clock,
		Chains: func(context.Context) ([]audit.Chain, error) { return nil, nil },
	}))
	if found["anchor"].Cause != "audit-no-anchor" || found["writable"].Status != checkup.OK {
		t.Errorf("%+v", found)
	}
}
