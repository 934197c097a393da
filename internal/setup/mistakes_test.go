package setup

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"kdgate/internal/checkup"
)

// F32: the mistakes that people make are told in their language, at the field that
// they are about, as the configuration itself finds them; what it says stands below.
func TestMistakesInWords(t *testing.T) {
	used := map[string]bool{}
	for name, c := range map[string]struct {
		step   checkup.Step
		values []string
		field  string // empty: of no field
		words  string
	}{
		"no address":        {checkup.StepAddress, []string{"public_url", ""}, "public_url", "missing"},
		"plain address":     {checkup.StepAddress, []string{"public_url", "http://gate.example.com"}, "public_url", "https"},
		"address with path": {checkup.StepAddress, []string{"public_url", "https://gate.example.com/x"}, "public_url", "public_url"},
		"certificate alone": {checkup.StepAddress, []string{"cert", "a.pem"}, "", "pair"},
		"no TLS":            {checkup.StepAddress, []string{"listen", ":8443", "proxies", ""}, "", "plain"},
		"no port":           {checkup.StepAddress, []string{"listen", "8443"}, "listen", "listen"},
		"no certificate":    {checkup.StepAddress, []string{"cert", "a.pem", "key", "b.pem"}, "cert", "cert"},
		"everybody":         {checkup.StepAddress, []string{"proxies", "0.0.0.0/0"}, "proxies", "everybody"},
		"a second proxy":    {checkup.StepAddress, []string{"proxies", "10.0.0.1, proxy.example.com"}, "proxies", "proxies"},
		"no Redis":          {checkup.StepStore, []string{"driver", "redis", "redis_url", ""}, "redis_url", "missing"},
		"password in it":    {checkup.StepStore, []string{"driver", "redis", "redis_url", "redis://u:p@127.0.0.1:6379/0"}, "redis_url", "redis_password"},
		"plain Redis":       {checkup.StepStore, []string{"driver", "redis", "redis_url", "redis://10.0.0.1:6379/0"}, "redis_url", "redis_tls"},
		"host of Redis":     {checkup.StepStore, []string{"driver", "redis", "redis_url", "10.0.0.1:6379"}, "redis_url", "redis_url"},
		"two users":         {checkup.StepStore, []string{"driver", "redis", "redis_url", "redis://a@127.0.0.1:6379/0", "redis_user", "b"}, "redis_user", "redis_user"},
		"no corpId":         {checkup.StepDingTalk, []string{"corp", "Example GmbH"}, "corp", "corp"},
		"no AppKey":         {checkup.StepDingTalk, []string{"app_key", ""}, "app_key", "missing"},
		"no AppSecret":      {checkup.StepDingTalk, []string{"app_secret", ""}, "app_secret", "missing"},
		"an example":        {checkup.StepDingTalk, []string{"app_secret", "changeme"}, "app_secret", "placeholder"},
		"plain Kingdee":     {checkup.StepKingdee, []string{"url", "http://erp.example.com/K3Cloud/"}, "url", "url_https"},
		"no Kingdee":        {checkup.StepKingdee, []string{"url", "erp.example.com"}, "url", "url"},
		"no data centre":    {checkup.StepKingdee, []string{"db_id", ""}, "db_id", "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			d := whole()
			for i := 0; i < len(c.values); i += 2 {
				d.Values[c.values[i]] = c.values[i+1]
			}
			w := newWizard(t, t.TempDir(), d)
			_, mistakes, err := w.read(d, form{Trial: t.TempDir(), Only: c.step}, c.step)
			if err != nil || len(mistakes) == 0 {
				t.Fatalf("%q %v", mistakes, err)
			}
			shown, rest := w.shownFields(c.step, mistakes)
			found := mistake{}
			for _, f := range shown {
				if f.Name == c.field {
					found = f.Mistake
				}
			}
			if c.field == "" && len(rest) > 0 {
				found = rest[0]
			}
			if found.Words != c.words || found.Text == "" {
				t.Errorf("%+v, want %s; all: %q", found, c.words, mistakes)
			}
			used[c.words] = true
			for _, lang := range []string{"zh-Hans", "zh-Hant", "en"} {
				if !w.pages.Catalogue().In(lang).Has("word.setup-mistake." + c.words) {
					t.Errorf("%s has no words for %s", lang, c.words)
				}
			}
		})
	}
	for _, one := range readable {
		if !used[one.words] {
			t.Errorf("nothing leads to %s", one.words)
		}
	}
}

// The page of a step that was refused speaks the reader's language, and keeps the
// configuration's own words.
func TestRefusedStepOnThePage(t *testing.T) {
	w := newWizard(t, t.TempDir(), whole())
	r := httptest.NewRequest(http.MethodPost, "/step/address", strings.NewReader(url.Values{
		"public_url": {"http://gate.example.com"}, "listen": {":8443"}, "cert": {filepath.Join("no", "such.pem")},
	}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept-Language", "zh-CN")
	r.SetPathValue("step", "address")
	answer := httptest.NewRecorder()
	w.enter(answer, r)
	page := answer.Body.String()
	for _, want := range []string{"须以 https:// 开头", "<code>must begin with https:// (plain http is for loopback only)</code>", "证书和私钥须同时填写", `aria-invalid="true"`} {
		if !strings.Contains(page, want) {
			t.Errorf("%d: no %q in %s", answer.Code, want, page)
		}
	}
}
