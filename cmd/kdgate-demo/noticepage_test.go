package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestNoticesPage proves F70, F71 and F33 as an administrator sees them in a real
// browser: a watched query fires and its message stands there as delivered, one
// that DingTalk dropped in silence says so, and is sent again.
func TestNoticesPage(t *testing.T) {
	tr := start(t)
	ctx := enterConsole(t, tr, "manager01")
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/notices"), chromedp.WaitVisible("#preview-low-stock"), chromedp.Click("#preview-low-stock"),
		chromedp.WaitVisible("#nothing-sent"), chromedp.WaitVisible("#words"))
	if text := read(t, ctx, chromedp.Text("main")); !strings.Contains(text, "螺丝 M6") || !strings.Contains(text, "user:mapper01") || !strings.Contains(text, "robot:ops") {
		t.Errorf("the preview says %s", text)
	}
	if got := tr.inbox(t, ""); len(got) != 0 {
		t.Fatalf("a preview sent %+v", got)
	}
	soundPage(t, ctx, "preview")
	shot(t, ctx, "console-notice-preview")
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/notices"), chromedp.WaitVisible("#run-low-stock"), chromedp.Click("#run-low-stock"), chromedp.WaitVisible("#tasks"))
	sim(t, http.MethodPost, tr.workbench+"/sim/switches", `{"message_forbidden":"测试消息"}`)
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/notices"), chromedp.WaitVisible("#test"), chromedp.Click("#test"), chromedp.WaitVisible("#list .state.bad"))
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/notices"), chromedp.WaitVisible("#list .state.bad"), chromedp.WaitVisible("#list .state.ok"))
	rows := read(t, ctx, chromedp.Text("#letters tbody"))
	for _, want := range []string{"库存低于安全库存", "已送达", "kdgate 测试消息", "被静默丢弃"} {
		if !strings.Contains(rows, want) {
			t.Errorf("the outbox lacks %q:\n%s", want, rows)
		}
	}
	languages := []string{"zh-Hans"}
	if *shots != "" {
		languages = []string{"zh-Hans", "zh-Hant", "en"}
	}
	for _, lang := range languages {
		looksSound(t, ctx, tr, "notices", lang, appears{"/admin/notices", "#letters tbody th a"})
	}
	do(t, ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(tr.gateway+"/admin/notices?state=dropped"), chromedp.Click("#letters tbody th a"), chromedp.WaitVisible("#resend"))
	letter := strings.TrimPrefix(read(t, ctx, chromedp.Location()), tr.gateway)
	if told := read(t, ctx, chromedp.Text("#attempts")); !strings.Contains(told, "1430002") {
		t.Errorf("what DingTalk said is %s", told)
	}
	for _, lang := range languages {
		looksSound(t, ctx, tr, "notice", lang, appears{letter, "#resend"})
	}
	sim(t, http.MethodPost, tr.workbench+"/sim/switches", `{"message_forbidden":""}`)
	do(t, ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(tr.gateway+letter), chromedp.Click("#resend"), chromedp.WaitVisible("#again"), chromedp.Click("#again a"),
		chromedp.WaitVisible("#list .state.ok"))
}
