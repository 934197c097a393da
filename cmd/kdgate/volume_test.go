package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"kdgate/dingtalk/dingtalksim"
)

// TestLogUnderFaults proves R70's other half: what a sign-in writes to the log while
// a vendor is away, or refuses, is at most ten times what a good one writes, and
// the request id on the page is found in the log and in the audit record.
func TestLogUnderFaults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	const clicks = 20
	mark := func() { // what was said before it has been read
		t.Helper()
		const words = "the new configuration is in force"
		said := strings.Count(g.log(), words)
		g.signal(syscall.SIGHUP)
		eventually(t, "the configuration is read", func() bool { return strings.Count(g.log(), words) > said })
	}
	volume := func(what string, good bool) int {
		t.Helper()
		mark()
		before := len(g.log())
		for range clicks {
			if _, err := g.visitor().arrive("1001"); (err == nil) != good {
				t.Fatalf("%s: %v", what, err)
			}
		}
		mark()
		return len(g.log()) - before
	}
	normal := volume("well", true)
	h.ding.ClearFaults(0)
	_, err := h.ding.AddFault(dingtalksim.Fault{Match: "/getuserinfo", Kind: "reset", Times: -1})
	must(t, err)
	away := volume("DingTalk away", false)
	h.ding.ClearFaults(0)
	t.Logf("%d bytes of log for %d good sign-ins, %d with DingTalk away", normal, clicks, away)
	if away > 10*normal {
		t.Errorf("%d bytes of log while DingTalk is away, %d while all is well", away, normal)
	}
	eventually(t, "people sign in again", func() bool { _, err := g.visitor().arrive("1001"); return err == nil })
	v := g.visitor()
	form, err := v.begin("zhaoliu")
	must(t, err)
	_, _, err = v.ask(http.MethodPost, "/signin/dingtalk", form)
	must(t, err)
	res, _, err := v.ask(http.MethodGet, "/launch/kingdee", nil)
	if err != nil || res.StatusCode < 400 {
		t.Fatalf("nobody without a login user lands: %d %v", res.StatusCode, err)
	}
	id := res.Header.Get("X-Request-Id")
	g.logged(id)
	if out := h.run("audit", "export", "--request-id", id).want(t, 0).stdout; !strings.Contains(out, id) {
		t.Errorf("the audit log does not know %s: %s", id, out)
	}
	g.stop()
}
