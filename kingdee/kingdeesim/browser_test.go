package kingdeesim_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kdgate/kingdee/kingdeesim"
)

// window is one tab of a real Chromium.
type window struct {
	context.Context                 // ends in time
	parent          context.Context // for a look at the page after that
	t               *testing.T
}

func chromium(t *testing.T) window {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no Chromium: install the Debian package chromium")
		}
		t.Skip("no Chromium: install the Debian package chromium")
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute), chromedp.Flag("disable-background-networking", true), chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() })
	parent := ctx
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return window{ctx, parent, t}
}

func (w window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w, steps...); err != nil {
		look, cancel := context.WithTimeout(w.parent, 5*time.Second)
		defer cancel()
		at, _ := chromedp.Run(look, chromedp.Location())
		text, _ := chromedp.Run(look, chromedp.Text("body"))
		w.t.Fatalf("%v at %s\n%s", err, at, text)
	}
}

func (w window) text(selector string) string {
	w.t.Helper()
	text, err := chromedp.Run(w, chromedp.Text(selector))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// result waits until a part shows what came of it, and gives the text after the
// word that says so.
func (w window) result(id string) string {
	w.t.Helper()
	w.do(chromedp.WaitVisible(`#` + id + `[data-state=ok], #` + id + `[data-state=failed]`))
	text, good := strings.CutPrefix(w.text("#"+id), "成功 ")
	if !good {
		w.t.Errorf("#%s shows %q", id, text)
	}
	return text
}

// press clicks a part's button and gives its result.
func (w window) press(button, result string) string {
	w.t.Helper()
	w.do(chromedp.Click("#" + button))
	return w.result(result)
}

// TestConsoleInChromium proves SIM-K98–K100 with a real browser: every part of
// the console works with nothing in between, and at another address behind a
// proxy that changes nothing but the connection.
func TestConsoleInChromium(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		w := startNow(t)
		w.clickThrough(t, w.web.URL)
	})
	t.Run("behind a proxy", func(t *testing.T) {
		w := startNow(t)
		behind, err := url.Parse(w.web.URL)
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(behind)
			r.Out.Host = r.In.Host
		}})
		t.Cleanup(front.Close)
		w.sim.SetSwitches(kingdeesim.Switches{StrictHeaders: true, StrictHost: true})
		w.clickThrough(t, front.URL)
	})
}

// startNow is the office at the time of the browser's clock.
func startNow(t *testing.T) *world {
	t.Helper()
	cfg := office()
	cfg.Now = time.Now
	w := start(t, cfg)
	w.clock.Advance(time.Since(w.clock.Now()))
	return w
}

// clickThrough uses every part of the console, as the browser sees it at origin.
func (w *world) clickThrough(t *testing.T, origin string) {
	t.Helper()
	win := chromium(t)
	win.do(chromedp.Navigate(origin + w.ticket("zhangsan").path()))
	host := strings.TrimPrefix(origin, "http://")

	for _, test := range []struct{ button, result, want string }{
		{"", "page-state", "zhangsan"},
		{"", "static-result", ""},
		{"call", "call-result", "21 你好 & <K3Cloud> + 100%"},
		{"call-compressed", "call-result", "21000 你好 & <K3Cloud> + 100%"},
		{"check", "check-result", "accept-encoding_wpf x-trace-unknown"},
		{"ws", "ws-result", "hello zhangsan | echo 你好 & <K3Cloud> + 100%"},
		{"download-check", "download-result", "1000000 "},
		{"upload", "upload-result", "附件.bin 300000 "},
		{"cookies", "cookie-result", "kdPlain kdDomain kdPath kdExpires kdHttpOnly kdLax | kdDomain kdExpires kdLax kdPath kdPlain"},
		{"redirect-check", "redirect-result", host},
	} {
		var got string
		if test.button == "" {
			got = win.result(test.result)
		} else {
			got = win.press(test.button, test.result)
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: #%s shows %q, want %q", test.button, test.result, got, test.want)
		}
	}
	win.uploads(t)
	win.hears(t)
	for _, one := range w.sim.Arrived() {
		if len(one.Faults) != 0 {
			t.Errorf("%s arrived with %v", one.Part, one.Faults)
		}
	}
	win.leaves(t, w)
}

// uploads sends a file of our own and compares its digest.
func (w window) uploads(t *testing.T) {
	t.Helper()
	content := []byte(strings.Repeat("发票 invoice\r\n", 20_000))
	path := filepath.Join(t.TempDir(), "invoice.txt")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	w.do(chromedp.SetUploadFiles("#upload-file", []string{path}))
	if got, want := w.press("upload", "upload-result"), fmt.Sprintf("invoice.txt %d %x", len(content), sha256.Sum256(content)); got != want {
		t.Errorf("upload shows %q, want %q", got, want)
	}
}

// hears waits in the progress poll and the socket until something happens.
func (w window) hears(t *testing.T) {
	t.Helper()
	w.do(chromedp.Click("#poll"), chromedp.WaitVisible("#poll-result[data-state=busy]"), chromedp.Click("#poll-finish"))
	if got := w.result("poll-result"); !strings.HasPrefix(got, "任务完成 ") {
		t.Errorf("poll shows %q", got)
	}
	if got := w.text("#ws-result"); !strings.HasSuffix(got, "notice 任务完成") {
		t.Errorf("socket shows %q", got)
	}
}

// leaves follows the absolute link and redirect, then signs out.
func (w window) leaves(t *testing.T, sim *world) {
	t.Helper()
	console, err := chromedp.Run(w, chromedp.Location())
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := url.Parse(console); err != nil || entry.Query().Get("kdsid") == "" {
		t.Errorf("the console is at %s", console)
	}
	for link, from := range map[string]string{"absolute-link": "link", "redirect-own": "redirect"} {
		w.do(chromedp.Click("#"+link), chromedp.WaitVisible(`#frame-page[data-from=`+from+`]`))
		if got := w.text("#frame-user"); got != "zhangsan" {
			t.Errorf("%s leads to a page of %q", link, got)
		}
		w.do(chromedp.Navigate(console), chromedp.WaitVisible("#page-state[data-state=ok]"))
	}
	w.press("ws", "ws-result")
	sim.sim.Restart()
	w.do(chromedp.WaitVisible("#ws-result[data-state=closed]"), chromedp.Click("#call"), chromedp.WaitVisible("#call-result[data-state=failed]"))
	w.do(chromedp.Click("#sign-out"), chromedp.WaitVisible("#signed-out"))
}
