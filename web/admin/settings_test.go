package admin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"kdgate/web/admin"
)

// inForce is a configuration of more than a page.
func inForce() []admin.Setting {
	settings := []admin.Setting{
		{Key: "listen.leave", Value: "45s", Default: "0s", About: "how long to serve on", Own: true},
		{Key: "listen.connections", Value: "4096", Default: "4096", About: "connections at once"},
		{Key: "corps[0].app_secret", Secret: true, Own: true, About: "Client Secret (AppSecret)"},
		{Key: "corps[0].app_key", Value: "<b>ding</b>", Own: true, About: "Client ID"},
		{Key: "none[0].such", Value: "1", Default: "1", About: "of no catalogue"},
	}
	for i := range 150 {
		settings = append(settings, admin.Setting{Key: fmt.Sprintf("forms[%d].name", i), Value: fmt.Sprintf("form-%d", i), Own: true, About: "name in a link"})
	}
	return settings
}

// F31, F33: what is in force is looked through by text, with the defaults or
// without, page by page, all by address.
func TestSettingsAreShown(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	b.get("/admin/settings").has(t, http.StatusOK, "listen.leave", "45s", "2026-03-02 09:00", "listen.min_version: 1.2", "153 settings", "there, not shown", "&lt;b&gt;ding")
	if strings.Contains(b.get("/admin/settings").main(), "listen.connections") {
		t.Error("a default is shown unasked")
	}
	b.get("/admin/settings?all=1&text=LISTEN").has(t, http.StatusOK, "listen.connections", "2 settings")
	b.get("/admin/settings?text=form-149").has(t, http.StatusOK, "forms[149].name", "1 settings")

	seen := map[string]bool{}
	for at := "/admin/settings?text=forms"; at != ""; {
		page := b.get(at)
		for _, key := range regexp.MustCompile(`<code>([^<]+)</code>`).FindAllStringSubmatch(page.body, -1) {
			seen[key[1]] = true
		}
		next := regexp.MustCompile(`id="next" href="([^"]+)"`).FindStringSubmatch(page.body)
		if at = ""; next != nil {
			at = html.UnescapeString(next[1])
		}
	}
	if len(seen) != 150 {
		t.Errorf("%d of 150 settings on all pages", len(seen))
	}
	b.get("/admin/settings?all=yes").has(t, http.StatusBadRequest)
	b.get("/admin/settings?text="+strings.Repeat("x", 201)).has(t, http.StatusBadRequest)
	b.get("/admin/settings?cursor=forged").has(t, http.StatusBadRequest)
}

// F31, F34: what a key is stands beneath it in the reader's language, whichever
// element of a list it is of, and is found by those words. What the catalogue
// does not know keeps the words of the configuration.
func TestSettingsAreDescribed(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	for lang, words := range map[string]struct{ leave, secret, search, title string }{
		"zh-Hans": {"收到停止信号后", "应用的 Client Secret（AppSecret）", "停止信号", "键、值或说明"},
		"zh-Hant": {"收到停止訊號後", "應用程式的 Client Secret（AppSecret）", "停止訊號", "鍵、值或說明"},
		"en":      {"how long to serve on", "Client Secret (AppSecret)", "TO SERVE", "key, value or description"},
	} {
		page := b.get("/admin/settings?lang=" + lang)
		page.has(t, http.StatusOK, words.leave, words.secret, words.title)
		for other, foreign := range map[string]string{"zh-Hans": "收到停止信号后", "zh-Hant": "收到停止訊號後", "en": "how long to serve on"} {
			if other != lang && strings.Contains(page.body, foreign) {
				t.Errorf("%s: %q on the page", lang, foreign)
			}
		}
		found := b.get("/admin/settings?lang=" + lang + "&text=" + url.QueryEscape(words.search))
		found.has(t, http.StatusOK, "listen.leave")
		if rows := strings.Count(found.body, `<th scope="row">`); rows != 1 {
			t.Errorf("%s: %d settings speak of %q", lang, rows, words.search)
		}
		b.get("/admin/settings?all=1&lang="+lang+"&text=no+Catalogue").has(t, http.StatusOK, "none[0].such")
	}
}

// F35: programs read the same.
func TestSettingsOfTheAPI(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	var page admin.SettingsPage
	decode(t, b.get("/admin/api/v1/settings?text=app_secret"), &page)
	if len(page.Settings) != 1 || !page.Settings[0].Secret || page.Settings[0].Value != "" || page.Total != 1 || len(page.Warnings) != 1 {
		t.Errorf("%+v", page)
	}
	decode(t, b.get("/admin/api/v1/settings?lang=zh-Hans&text=client+id"), &page)
	if len(page.Settings) != 1 || page.Settings[0].About != "Client ID" {
		t.Errorf("in another language programs read %+v", page.Settings)
	}
	decode(t, b.get("/admin/api/v1/settings"), &page)
	if len(page.Settings) != 100 || page.Next == "" || page.Total != 153 {
		t.Errorf("%d of %d, next %q", len(page.Settings), page.Total, page.Next)
	}
	next := page.Next
	page = admin.SettingsPage{}
	decode(t, b.get("/admin/api/v1/settings?cursor="+url.QueryEscape(next)), &page)
	if len(page.Settings) != 53 || page.Next != "" {
		t.Errorf("%d on the last page, next %q", len(page.Settings), page.Next)
	}
}
