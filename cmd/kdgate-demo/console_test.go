package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// enterConsole signs a member of the cast in to the console as people do it:
// DingTalk proves who they are, then one click enters (T14).
func enterConsole(t *testing.T, tr *trial, userid string) context.Context {
	t.Helper()
	ctx := chromium(t, clientAgent)
	do(t, ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(tr.workbench+"/workbench?as="+userid), chromedp.WaitVisible(appIcon),
		chromedp.Navigate(tr.gateway+"/admin/"), chromedp.WaitVisible("#fresh"))
	shot(t, ctx, "console-enter")
	do(t, ctx, chromedp.Click("#fresh"), chromedp.WaitVisible("#enter"))
	shot(t, ctx, "console-click")
	do(t, ctx, chromedp.Click("#enter"), chromedp.WaitVisible("#leave"))
	return ctx
}

// watchComplaints makes the page count what its content security policy refused (T102).
const watchComplaints = `window.__csp = 0; document.addEventListener("securitypolicyviolation", function () { window.__csp++; }); true`

// soundPage proves F33, T102 for the page that is open: axe finds nothing
// serious, the policy refused nothing, and neither the page nor a table in it is
// wider than the window.
func soundPage(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	read(t, ctx, chromedp.Evaluate[bool](watchComplaints))
	axe, err := os.ReadFile(filepath.Join("testdata", "axe", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, ctx, chromedp.Evaluate[bool](string(axe)+"\n;true"))
	const ask = `axe.run(document, {resultTypes: ["violations"]}).then(function (r) {
		return r.violations.filter(function (v) { return v.impact === "serious" || v.impact === "critical"; })
			.map(function (v) { return v.id + ": " + v.nodes.map(function (n) { return n.html; }).slice(0, 3).join(" | "); }).join("\n"); })`
	if found := read(t, ctx, chromedp.Evaluate[string](ask, chromedp.EvalAwaitPromise)); found != "" {
		t.Errorf("%s: axe: %s", name, found)
	}
	if wide := read(t, ctx, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > window.innerWidth")); wide {
		t.Errorf("%s scrolls sideways", name)
	}
	const cut = `Array.from(document.querySelectorAll(".wide")).filter(function (box) { return box.scrollWidth > box.clientWidth; })
		.map(function (box) { return box.getAttribute("aria-label"); }).join(", ")`
	if out := read(t, ctx, chromedp.Evaluate[string](cut)); out != "" {
		t.Errorf("%s: out of sight: %s", name, out)
	}
	if refused := read(t, ctx, chromedp.Evaluate[int]("window.__csp")); refused > 0 {
		t.Errorf("%s: the policy refused %d times", name, refused)
	}
}

// TestConsolePages looks at every page, wide and on a phone, in three languages.
func TestConsolePages(t *testing.T) {
	tr := start(t)
	languages := []string{"zh-Hans", "zh-Hant", "en"}
	row := "?data_centre=" + centreID + "&corp=" + corpID + "&userid="
	admin := enterConsole(t, tr, "manager01")
	do(t, admin, chromedp.Navigate(tr.gateway+"/admin/connections"), chromedp.WaitVisible("#check-all"), chromedp.Click("#check-all"),
		chromedp.WaitVisible("#facts")) // the page looks again by itself
	for _, lang := range languages {
		ctx := enterConsole(t, tr, "manager01")
		for name, path := range map[string]string{
			"overview": "/admin/?", "mapping": "/admin/mapping?", "row": "/admin/mapping/row" + row + "zhangsan&", "row-broken": "/admin/mapping/row" + row + "zhaoliu&",
			"row-privileged": "/admin/mapping/row" + row + "qianyi&", "new": "/admin/mapping/new?", "conflicts": "/admin/mapping/conflicts?",
			"import": "/admin/mapping/import?", "suggestions": "/admin/mapping/suggestions?data_centre=" + centreID + "&", "confirm": "/admin/confirm?", "not-found": "/admin/nothing?",
			"audit": "/admin/audit?", "proof": "/admin/audit/proof?", "review": "/admin/review?", "connections": "/admin/connections?", "setup": "/admin/setup?", "settings": "/admin/settings?all=1&",
			"personal": "/admin/personal?person=zhangsan&",
		} {
			for view, size := range map[string][2]int64{"": {1280, 900}, "-phone": {390, 844}} {
				do(t, ctx, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(tr.gateway+path+"lang="+lang), chromedp.WaitVisible("h1"))
				if strings.HasPrefix(name, "row") {
					do(t, ctx, chromedp.WaitVisible("#chain .end"))
				}
				soundPage(t, ctx, name+view+" "+lang)
				shot(t, ctx, fmt.Sprintf("console-%s%s-%s", name, view, lang))
			}
		}
	}
}

// TestConsoleWork proves T26, T102, F22, F23 in a real browser: search as one
// types, an edit that meets another, and an import with preview, commit and undo.
func TestConsoleWork(t *testing.T) {
	tr := start(t, "--people", "3")
	ctx := enterConsole(t, tr, "manager01")
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/mapping"), chromedp.WaitVisible("#rows"), chromedp.SendKeys("#text", "zhangs"),
		chromedp.WaitVisible(`a[href*="userid=zhangsan"]`), chromedp.WaitNotPresent("#rows tbody tr:nth-child(2)"))
	const zhangsan = "/admin/mapping/row?data_centre=" + centreID + "&corp=" + corpID + "&userid=zhangsan"
	do(t, ctx, chromedp.Navigate(tr.gateway+zhangsan), chromedp.WaitVisible("#chain .end.ok"), chromedp.WaitVisible("#save"))

	other := enterConsole(t, tr, "mapper01")
	do(t, other, chromedp.Navigate(tr.gateway+zhangsan), chromedp.WaitVisible("#save"),
		chromedp.SetValue("#note", "<img src=x onerror=alert(1)>"), chromedp.Click("#save"), chromedp.WaitVisible(`input[name=version][value="2"] ~ div #save`))
	do(t, ctx, chromedp.SetValue("#note", "mine"), chromedp.Click("#save"), chromedp.WaitVisible("#conflict"))
	soundPage(t, ctx, "conflict")
	shot(t, ctx, "console-conflict")
	if kept, now := read(t, ctx, chromedp.Value("#note")), read(t, ctx, chromedp.Text("#conflict")); kept != "mine" || !strings.Contains(now, "<img src=x") {
		t.Errorf("kept %q, shown %q", kept, now)
	}

	file := filepath.Join(t.TempDir(), "new.csv")
	lines := "corp,userid,data_centre,staff_number,login_user\r\n" + corpID + ",8000001," + centreID + ",8000001,员工000001\r\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, other, chromedp.Navigate(tr.gateway+"/admin/mapping/import"), chromedp.WaitVisible("#file"), chromedp.SetUploadFiles("#file", []string{file}),
		chromedp.Click("#upload"), chromedp.WaitVisible("#apply"))
	soundPage(t, other, "preview")
	shot(t, other, "console-preview")
	do(t, other, chromedp.Click("#apply"), chromedp.WaitVisible("#done"))
	do(t, other, chromedp.Navigate(tr.gateway+"/admin/mapping?text=8000001"), chromedp.WaitVisible(`a[href*="userid=8000001"]`))
	do(t, other, chromedp.Navigate(tr.gateway+"/admin/mapping/import"), chromedp.Click(".undo"), chromedp.WaitNotPresent(".undo"))
	for undone := false; !undone; {
		do(t, other, chromedp.Navigate(tr.gateway+"/admin/mapping/import"), chromedp.WaitVisible("#runs")) // until the window's time is over
		undone = strings.Contains(read(t, other, chromedp.Text("#runs")), "已撤销")
	}
	do(t, other, chromedp.Navigate(tr.gateway+"/admin/mapping?text=8000001"), chromedp.WaitVisible("#total"))
	if text := read(t, other, chromedp.Text("#rows")); strings.Contains(text, "员工000001") {
		t.Errorf("the import is still there: %s", text)
	}
}
