package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// appears is a page that a browser comes to: its address and what has to be seen there.
type appears struct{ path, see string }

// looksSound opens a page wide and on a phone, and holds it to F33 and T102.
func looksSound(t *testing.T, ctx context.Context, tr *trial, name, lang string, page appears) {
	t.Helper()
	join := "?"
	if strings.Contains(page.path, "?") {
		join = "&"
	}
	for view, size := range map[string][2]int64{"": {1280, 900}, "-phone": {390, 844}} {
		do(t, ctx, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(tr.gateway+page.path+join+"lang="+lang), chromedp.WaitVisible(page.see))
		soundPage(t, ctx, name+view+" "+lang)
		shot(t, ctx, fmt.Sprintf("console-%s%s-%s", name, view, lang))
	}
}

// TestConsolePeopleAndWork proves F11, F13, F33 in a real browser: an unmapped
// person asks with one click, an administrator sees what both vendors say and
// lets them in, and every page about people and work is sound.
func TestConsolePeopleAndWork(t *testing.T) {
	tr := start(t)
	person := chromium(t, clientAgent)
	do(t, person, chromedp.EmulateViewport(390, 844), chromedp.Navigate(tr.workbench+"/workbench?as=wangwu"), chromedp.WaitVisible(appIcon),
		chromedp.Navigate(tr.gateway+"/launch/kingdee"), chromedp.WaitVisible("#ask"))
	shot(t, person, "access-ask")
	do(t, person, chromedp.Click("#ask"), chromedp.WaitVisible("#asked"))
	shot(t, person, "access-asked")

	ctx := enterConsole(t, tr, "manager01")
	request := "/admin/requests/" + centreID + "/" + corpID + "/wangwu"
	languages := []string{"zh-Hans"}
	if *shots != "" {
		languages = []string{"zh-Hans", "en"}
	}
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/directory"), chromedp.WaitVisible("#preview"), chromedp.Click("#preview"),
		chromedp.WaitVisible("#runs tbody th a")) // the page looks again by itself
	for _, lang := range languages {
		for name, page := range map[string]appears{
			"requests": {"/admin/requests", `a[href="` + request + `"]`}, "request": {request, "#approve"},
			"people": {"/admin/people?text=" + "KD-201", "#lines"}, "person": {"/admin/people/" + corpID + "/zhaoliu", "#doctor .chain .end"},
			"sessions": {"/admin/sessions", "#everybody-more"}, "jobs": {"/admin/jobs", "#tasks tbody th"}, "task": {"/admin/jobs/task/directory", "#runs"},
			"directory": {"/admin/directory", "#runs tbody th a"}, "quota": {"/admin/quota", "#streams"},
		} {
			looksSound(t, ctx, tr, name, lang, page)
		}
	}
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/directory"), chromedp.WaitVisible("#runs tbody th a"))
	run := read(t, ctx, chromedp.Evaluate[string](`new URL(document.querySelector("#runs tbody th a").href).pathname`))
	looksSound(t, ctx, tr, "comparison", "zh-Hans", appears{run, "#changes"})
	do(t, ctx, chromedp.Navigate(tr.gateway+request), chromedp.WaitVisible("#approve"), chromedp.SetValue("#staff_number", "1001"),
		chromedp.SetValue("#login_user", "zhangsan"), chromedp.Click("#approve"), chromedp.WaitVisible("#refusal")) // held by 张三
	shot(t, ctx, "console-request-taken")
	do(t, ctx, chromedp.SetValue("#reason", "请先办理入职"), chromedp.Click("#refuse"), chromedp.WaitVisible("#requests"))
	do(t, person, chromedp.Navigate(tr.gateway+"/launch/kingdee"), chromedp.WaitVisible("#refused"))
	if told := read(t, person, chromedp.Text("#refused")); !strings.Contains(told, "请先办理入职") {
		t.Errorf("the person reads %q", told)
	}
	shot(t, person, "access-refused")
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/people/"+corpID+"/wangwu"), chromedp.WaitVisible("#sessions form"), chromedp.Click("#sessions form button"), chromedp.WaitNotPresent("#sessions form"))
	do(t, person, chromedp.Navigate(tr.gateway+"/"), chromedp.WaitVisible("#open"))
	if text := read(t, person, chromedp.Text("body")); strings.Contains(text, "王五") {
		t.Errorf("the session lives on: %s", text)
	}
}
