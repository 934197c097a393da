package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "folder for screenshots of the pages the browser tests meet")

// chromium starts a real browser of its own; tab opens further tabs in it.
func chromium(t *testing.T, agent string) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no Chromium: install the Debian package chromium")
		}
		t.Skip("no Chromium: install the Debian package chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "zh-CN"), chromedp.Flag("accept-lang", "zh-CN"), chromedp.UserDataDir(t.TempDir()))
	if agent != "" {
		options = append(options, chromedp.UserAgent(agent))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	return tab(t, ctx)
}

func tab(t *testing.T, parent context.Context) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() })
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	read(t, ctx, chromedp.Location()) // the tab lives as long as the context that it is first used with
	return ctx
}

// do runs steps and fails with what stands on the page.
func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, 90*time.Second) // less than the tab has, to look at what went wrong
	defer cancel()
	if err := chromedp.Do(within, steps...); err != nil {
		look, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		at, _ := chromedp.Run(look, chromedp.Location())
		text, _ := chromedp.Run(look, chromedp.Text("body"))
		t.Fatalf("%v at %s\n%s", err, at, text)
	}
}

func read[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// shot keeps a picture of the page when the flag asks for it.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	picture := read(t, ctx, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}

func landedAs(t *testing.T, ctx context.Context, want string) {
	t.Helper()
	bringToFront(t, ctx)
	do(t, ctx, chromedp.WaitVisible("#login-user"))
	if got := strings.TrimSpace(read(t, ctx, chromedp.Text("#login-user"))); got != want {
		t.Errorf("landed as %q, want %q", got, want)
	}
}

// bringToFront makes a tab the one that is seen: in the background nothing is
// drawn, so nothing there becomes visible.
func bringToFront(t *testing.T, ctx context.Context) {
	t.Helper()
	if _, err := chromedp.Call(ctx, cdppage.BringToFront, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
}

// scripts lets the pages of a tab run theirs, or not.
func scripts(t *testing.T, ctx context.Context, run bool) {
	t.Helper()
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run}); err != nil {
		t.Fatal(err)
	}
}

// historyIsClean proves T6, T30: neither a code nor a link stands in a history
// entry, and Kingdee's page does not know where it was linked from.
func historyIsClean(t *testing.T, ctx context.Context) {
	t.Helper()
	for _, entry := range read(t, ctx, chromedp.NavigationEntries()).Entries {
		for _, bad := range []string{"ud=", "code=", "authCode=", "signeddata"} {
			if strings.Contains(entry.URL, bad) {
				t.Errorf("a history entry holds %q: %s", bad, entry.URL)
			}
		}
	}
	if referrer := read(t, ctx, chromedp.Evaluate[string]("document.referrer")); strings.Contains(referrer, "ud=") || strings.Contains(referrer, "code=") {
		t.Errorf("the page knows its link: %s", referrer)
	}
}

const appIcon = `a.app-icon[data-door="client"]`

// TestChromium proves F1 and F3 as people do it: a real browser, a real click
// on the icon, every door.
func TestChromium(t *testing.T) {
	tr := start(t)
	t.Run("in-client door, DingTalk user agent", func(t *testing.T) {
		ctx := chromium(t, clientAgent)
		do(t, ctx, chromedp.EmulateViewport(390, 844), chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.WaitVisible(appIcon))
		shot(t, ctx, "workbench-phone")
		do(t, ctx, chromedp.Click(appIcon))
		landedAs(t, ctx, "zhangsan")
		shot(t, ctx, "landed-phone")
		historyIsClean(t, ctx)
		// A reload of the landing and a second click both stay signed in.
		do(t, ctx, chromedp.Reload())
		landedAs(t, ctx, "zhangsan")
		do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench"), chromedp.Click(appIcon))
		landedAs(t, ctx, "zhangsan")
	})
	t.Run("in-client door, ordinary browser at the workbench", func(t *testing.T) {
		ctx := chromium(t, "")
		do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench?as=lisi"), chromedp.WaitVisible(appIcon))
		shot(t, ctx, "workbench")
		do(t, ctx, chromedp.Click(appIcon))
		landedAs(t, ctx, "李四（财务）")
		shot(t, ctx, "landed")
		historyIsClean(t, ctx)
	})
	t.Run("browser door", func(t *testing.T) {
		ctx := chromium(t, "")
		do(t, ctx, chromedp.Navigate(tr.gateway+"/launch/kingdee"), chromedp.WaitVisible("#agree"))
		shot(t, ctx, "dingtalk-consent")
		do(t, ctx, chromedp.Click(`label[data-userid="zhangsan"]`), chromedp.Click("#agree"))
		landedAs(t, ctx, "zhangsan")
		historyIsClean(t, ctx)
	})
	t.Run("deep link with query and fragment", func(t *testing.T) {
		ctx := chromium(t, clientAgent)
		do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.WaitVisible(appIcon),
			chromedp.Navigate(tr.gateway+"/launch/kingdee/expense/100023?from=card#row-3"))
		landedAs(t, ctx, "zhangsan")
		if form, key := read(t, ctx, chromedp.Text("#form-id")), read(t, ctx, chromedp.Text("#pk-id")); strings.TrimSpace(form) != "ER_ExpReimbursement" || strings.TrimSpace(key) != "100023" {
			t.Errorf("opened %q %q", form, key)
		}
		if at := read(t, ctx, chromedp.Location()); !strings.HasSuffix(at, "#row-3") {
			t.Errorf("the fragment is lost: %s", at)
		}
		shot(t, ctx, "landed-deep-link")
	})
	t.Run("broken chains are friendly", func(t *testing.T) {
		for userid, code := range map[string]string{"wangwu": "KD-201", "zhaoliu": "KD-203", "sunqi": "KD-204"} {
			ctx := chromium(t, clientAgent)
			do(t, ctx, chromedp.EmulateViewport(390, 844), chromedp.Navigate(tr.workbench+"/workbench?as="+userid), chromedp.Click(appIcon),
				chromedp.WaitVisible("#error-code"))
			if got := read(t, ctx, chromedp.Text("#error-code")); !strings.Contains(got, code) {
				t.Errorf("%s met %q, want %s", userid, got, code)
			}
			shot(t, ctx, "error-"+code)
		}
	})
}

// TestChromiumTabsAndBack proves F4, T12: two tabs sign in side by side, back
// and a double tap break nothing.
func TestChromiumTabsAndBack(t *testing.T) {
	tr := start(t)
	first := chromium(t, clientAgent)
	do(t, first, chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.WaitVisible(appIcon))
	second := tab(t, first)
	// Both tabs have their own state before either is done: without scripts the
	// sign-in page stays. They do not land at the same moment, because the cookies of
	// one landing would reach Kingdee with the address of the other.
	for ctx, bill := range map[context.Context]string{first: "1", second: "2"} {
		scripts(t, ctx, false)
		do(t, ctx, chromedp.Navigate(tr.gateway+"/launch/kingdee/expense/"+bill))
	}
	for _, ctx := range []context.Context{first, second} {
		scripts(t, ctx, true)
		do(t, ctx, chromedp.Reload())
		landedAs(t, ctx, "zhangsan")
	}
	for ctx, want := range map[context.Context]string{first: "1", second: "2"} {
		if got := strings.TrimSpace(read(t, ctx, chromedp.Text("#pk-id"))); got != want {
			t.Errorf("a tab that asked for %s got %s", want, got)
		}
	}
	t.Run("back", func(t *testing.T) {
		bringToFront(t, first)
		// By script: a page from the back-forward cache fires no load event to wait for.
		read(t, first, chromedp.Evaluate[bool]("history.back(), true"))
		do(t, first, chromedp.WaitVisible(appIcon))
		do(t, first, chromedp.Click(appIcon))
		landedAs(t, first, "zhangsan")
	})
	t.Run("double tap", func(t *testing.T) {
		ctx := chromium(t, clientAgent)
		do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench?as=lisi"), chromedp.WaitVisible(appIcon))
		read(t, ctx, chromedp.Evaluate[bool](`(function(){var a=document.querySelector('a.app-icon');a.click();a.click();return true})()`))
		landedAs(t, ctx, "李四（财务）")
	})
}

// TestChromiumHome looks at the pages around the click.
func TestChromiumHome(t *testing.T) {
	tr := start(t)
	ctx := chromium(t, clientAgent)
	do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.Click(appIcon))
	landedAs(t, ctx, "zhangsan")
	for name, size := range map[string][2]int64{"home-phone": {390, 844}, "home": {1280, 800}} {
		do(t, ctx, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(tr.gateway+"/"), chromedp.WaitVisible("#signout"))
		if wide := read(t, ctx, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > window.innerWidth")); wide {
			t.Errorf("%s scrolls sideways", name)
		}
		shot(t, ctx, name)
	}
	for name, size := range map[string][2]int64{"own-phone": {390, 844}, "own": {1280, 800}} { // F9, F14
		do(t, ctx, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(tr.gateway+"/"), chromedp.Click("#own"), chromedp.WaitVisible("#sign-ins"))
		if wide := read(t, ctx, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > window.innerWidth")); wide {
			t.Errorf("%s scrolls sideways", name)
		}
		if lines := read(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll('#sessions li[data-here="true"]').length`)); lines != 1 {
			t.Errorf("%s: %d sessions are of this browser", name, lines)
		}
		shot(t, ctx, name)
	}
	do(t, ctx, chromedp.Navigate(tr.gateway+"/"), chromedp.WaitVisible("#signout"))
	do(t, ctx, chromedp.Click("#signout"), chromedp.WaitVisible(".page-signed-out h1"))
	shot(t, ctx, "signed-out")
}
