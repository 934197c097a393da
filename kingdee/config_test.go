package kingdee_test

import (
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/kingdee"
)

// TestConfigMistakes proves that every mistake is told at once, and that none
// repeats a secret.
func TestConfigMistakes(t *testing.T) {
	cfg := testConfig("ftp://user:hunter2@erp.example.com")
	cfg.ID, cfg.DBID, cfg.AppID, cfg.IntegrationUser, cfg.LCID = "", "x|y", "a\nb", "", 7
	cfg.AppSecret = identity.NewSecret("s3cr3t\n")
	cfg.Link = kingdee.LinkConfig{
		Version: 5, Hash: "md5", MobileHash: "md5", Permitcount: "2", Characters: "latin1", UDEncoding: "utf-8&x=",
		Entry: "fax", HTML5Page: "../x", LightPage: "/x", MobilePage: "a?b", Window: -1, Extra: []kingdee.ExtraField{{Name: "loginAgain"}},
	}
	cfg.Users = kingdee.UsersConfig{Route: "phone", Listed: []string{""}}
	cfg.Users.Staff.Number, cfg.Users.Staff.Person = "FNumber' or 1", "a b"
	cfg.API = kingdee.APIConfig{
		Auth: "basic", Hash: "md5", PageSize: 2001, SessionIdle: 20 * time.Minute, MaxSessions: 99, MaxConcurrency: 99,
		MinInterval: -1, HeaderTimestamp: "us", OrgNumber: "1,2",
	}
	_, err := kingdee.New(cfg)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{
		"id:", "url: must begin with https", "url: must be scheme", "db_id", "app_id", "app_secret", "integration_user", "lcid",
		"link.version", "link.hash", "link.mobile_hash", "link.permitcount", "link.characters", "link.udencoding", "link.entry",
		`page "../x"`, `page "/x"`, `page "a?b"`, "link.window", "link.extra", "users.route", "users.listed", "FNumber' or 1", "users.staff.person",
		"api.auth", "api.hash", "api.page_size", "api.session_idle", "api.max_sessions", "api.max_concurrency", "api.min_interval",
		"api.header_timestamp", "api.org_number",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told", part)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("a secret is told: %v", err)
	}
}

// TestConfigRules holds the rules between settings.
func TestConfigRules(t *testing.T) {
	cases := map[string]struct {
		change func(*kingdee.Config)
		want   string // empty: accepted
	}{
		"defaults":            {func(*kingdee.Config) {}, ""},
		"no last slash":       {func(c *kingdee.Config) { c.BaseURL = "https://erp.example.com/K3Cloud" }, ""},
		"plain http":          {func(c *kingdee.Config) { c.BaseURL = "http://erp.example.com/K3Cloud/" }, "plain http"},
		"plain http allowed":  {func(c *kingdee.Config) { c.BaseURL, c.AllowPlainHTTP = "http://erp.example.com/K3Cloud/", true }, ""},
		"plain http loopback": {func(c *kingdee.Config) { c.BaseURL = "http://[::1]:8082/K3Cloud/" }, ""},
		"gbk as utf-8":        {func(c *kingdee.Config) { c.Link.Characters = "gbk" }, "udencoding"},
		"gbk":                 {func(c *kingdee.Config) { c.Link.Characters, c.Link.UDEncoding = "gbk", kingdee.None }, ""},
		"mobile entry off":    {func(c *kingdee.Config) { c.Link.Entry = kingdee.EntryMobile }, "mobile"},
		"signed headers, free app id": {func(c *kingdee.Config) {
			c.API.Auth, c.AppID = kingdee.AuthSignedHeaders, "DataView"
		}, "signed_headers"},
		"V1 with a bar":   {func(c *kingdee.Config) { c.Link.Version, c.AppID = 1, "a|b" }, "bar"},
		"V1 permitcount":  {func(c *kingdee.Config) { c.Link.Version, c.Link.Permitcount = 1, "1" }, ""},
		"V1 extra fields": {func(c *kingdee.Config) { c.Link.Version, c.Link.Extra = 1, []kingdee.ExtraField{{Name: "formargs"}} }, "link.extra"},
	}
	for name, tc := range cases {
		cfg := testConfig("https://erp.example.com")
		tc.change(&cfg)
		_, err := kingdee.New(cfg)
		if (err == nil) != (tc.want == "") || !strings.Contains(errorText(err), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWeakHash proves T34: SHA-256 unless somebody asks for less, and then it shows.
func TestWeakHash(t *testing.T) {
	cases := map[string]struct {
		link kingdee.LinkConfig
		weak bool
	}{
		"default": {kingdee.LinkConfig{}, false}, "V3": {kingdee.LinkConfig{Version: 3}, true},
		"V3 with SHA-256": {kingdee.LinkConfig{Version: 3, Hash: kingdee.SHA256}, false},
		"mobile":          {kingdee.LinkConfig{Mobile: true}, true},
	}
	for name, tc := range cases {
		log := &logbook{}
		cfg := testConfig("https://erp.example.com")
		cfg.Link, cfg.Logger = tc.link, log.logger()
		if c := newClient(t, cfg); c.WeakHash() != tc.weak || strings.Contains(log.String(), "SHA-1") != tc.weak {
			t.Errorf("%s: weak %v, log %q", name, c.WeakHash(), log.String())
		}
	}
}
