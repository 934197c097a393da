package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// F9, F14: a person who is signed in twice sees both, ends the other one, and it is
// over there at once; their last sign-ins stand below; each act is on record as theirs.
func TestOwnSessions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run("mapping", "import", h.put("people.csv", "corp,userid,data_centre,staff_number,login_user\n"+corpID+",lisi,"+centreID+",1002,李四（财务）\n")).want(t, 0)
	g := h.start()
	elsewhere, here := g.visitor(), g.visitor()
	elsewhere.signIn("1001")
	here.signIn("1001")
	other := g.visitor()
	other.signIn("lisi")
	_, page, err := here.ask(http.MethodGet, "/me?lang=en", nil)
	must(t, err)
	handles := regexp.MustCompile(`name="session" value="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if strings.Count(page, "data-here=") != 2 || len(handles) != 2 || handles[1][1] != "others" { // the other one, and all others
		t.Fatalf("%q\n%s", handles, page)
	}
	if n := strings.Count(page, `data-outcome="ok"`); n != 4 { // two sign-ins, two links
		t.Errorf("%d sign-ins and launches\n%s", n, page)
	}
	res, _, err := here.ask(http.MethodPost, "/me/end", url.Values{"session": {handles[0][1]}})
	must(t, err)
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/me" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if link, _ := elsewhere.launch(); link != "" {
		t.Error("the ended session still gets a link")
	}
	for name, v := range map[string]*visitor{"this browser": here, "another person": other} {
		if link, _ := v.launch(); link == "" {
			t.Errorf("%s was signed out", name)
		}
	}
	g.stop()
	g.run("audit", "export", "--action", "session.end").want(t, 0, `"actor":"dingcorp1/1001"`, handles[0][1])
}
