package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestOverviewTells proves F15 and F31 in a real browser: people who cannot get
// in appear on the open overview by themselves, by hour and reason, and the
// peers as they were last tested stand beside them.
func TestOverviewTells(t *testing.T) {
	tr := start(t)
	ctx := enterConsole(t, tr, "manager01")
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/connections"), chromedp.WaitVisible("#check-all"), chromedp.Click("#check-all"), chromedp.WaitVisible("#items"),
		chromedp.Navigate(tr.gateway+"/admin/"), chromedp.WaitVisible("#live"))
	for _, who := range []string{"wangwu", "zhaoliu", "sunqi", "wangwu"} {
		tr.clickInClient(t, newBrowser(t, clientAgent), who, "/launch/kingdee?corpId="+corpID)
	}
	do(t, ctx, chromedp.WaitVisible("#peers"), chromedp.WaitVisible("#failures")) // without a click
	legend := read(t, ctx, chromedp.Text("#failures"))
	for _, want := range []string{"KD-201 2", "KD-203 1", "KD-204 1"} {
		if !strings.Contains(strings.Join(strings.Fields(legend), " "), want) {
			t.Errorf("no %q in %q", want, legend)
		}
	}
	looksSound(t, ctx, tr, "overview", "zh-Hans", appears{"/admin/", "#failures"})
}
