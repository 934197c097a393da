package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestConsentOfAPerson proves F44 in a real browser: a person reads what goes to
// Kingdee in three languages, agrees, and withdraws; the register in the console
// and the export of what is held show each word.
func TestConsentOfAPerson(t *testing.T) {
	tr := start(t, "--consent", "required")
	ctx := chromium(t, clientAgent)
	do(t, ctx, chromedp.EmulateViewport(390, 844), chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.Click(appIcon))
	landedAs(t, ctx, "zhangsan")
	do(t, ctx, chromedp.Navigate(tr.gateway+"/"), chromedp.WaitVisible("#consent"), chromedp.Click("#consent"), chromedp.WaitVisible("#give"))
	for lang, words := range map[string]string{"en": "mobile number", "zh-Hant": "手機號碼", "zh-Hans": "手机号码"} {
		do(t, ctx, chromedp.Navigate(tr.gateway+"/consent?lang="+lang), chromedp.WaitVisible("#give"))
		if kinds := read(t, ctx, chromedp.Text("#kinds")); !strings.Contains(kinds, words) {
			t.Errorf("%s: %s", lang, kinds)
		}
	}
	do(t, ctx, chromedp.Navigate(tr.gateway+"/consent?lang=zh-Hans"), chromedp.WaitVisible("#give"))
	both(t, ctx, "consent")
	do(t, ctx, chromedp.Click("#give"), chromedp.WaitVisible(`#state[data-state="given"]`))
	both(t, ctx, "consent-given")

	office := enterConsole(t, tr, "manager01")
	do(t, office, chromedp.Navigate(tr.gateway+"/admin/consents?text=zhang"), chromedp.WaitVisible("#rows .state.ok"))
	both(t, office, "console-consents")

	ctx = tab(t, ctx)
	do(t, ctx, chromedp.Navigate(tr.gateway+"/consent"))
	bringToFront(t, ctx)
	do(t, ctx, chromedp.Click("#withdraw"), chromedp.WaitVisible(`#state[data-state="withdrawn"]`), chromedp.WaitVisible("#give"))
	office = tab(t, office)
	do(t, office, chromedp.Navigate(tr.gateway+"/admin/consents?state=withdrawn"))
	bringToFront(t, office)
	do(t, office, chromedp.WaitVisible("#rows .state.bad"))
	do(t, office, chromedp.SetValue("#userid", "lisi"), chromedp.SetValue("#note", "人事档案 7 号柜"), chromedp.Click("#write"))
	do(t, office, chromedp.WaitVisible("#rows .state.ok"))
	do(t, office, chromedp.Navigate(tr.gateway+"/admin/personal?person=zhangsan"), chromedp.WaitVisible("a[download]"))
	if held := read(t, office, chromedp.Text("main")); !strings.Contains(held, `"state": "withdrawn"`) || !strings.Contains(held, `"way": "self"`) {
		t.Errorf("what is held does not name the consent: %s", held)
	}
}
