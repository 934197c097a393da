package kingdeesim_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdgate/kingdee/kingdeesim"
)

// TestHashByTenant proves SIM-K84.
func TestHashByTenant(t *testing.T) {
	w := startOffice(t)
	lands := func(hash string) bool {
		l := w.ticket("zhangsan")
		l.timestamp = w.later()
		l.sign = l.signed(hash)
		return w.land(w.url(l.path()))["login-user"] == "zhangsan"
	}
	if !lands("sha256") || lands("sha1") {
		t.Error("a new tenant takes SHA256 and nothing else")
	}
	w.sim.SetSwitches(kingdeesim.Switches{NewerTakesSHA1: true})
	if !lands("sha256") || !lands("sha1") {
		t.Error("switched, a new tenant takes both")
	}
	if status := w.control(http.MethodPatch, "/sim/datacentres/"+centreID, map[string]string{"hash": "sha1"}, nil); status != http.StatusOK {
		t.Fatalf("patch: %d", status)
	}
	if lands("sha256") || !lands("sha1") {
		t.Error("an old tenant takes SHA1 and nothing else")
	}
}

// TestMobileHash proves that the mobile page takes SHA1 whatever the tenant's
// version, and the tenant's digest when switched (reference 1.5, SIM-K79).
func TestMobileHash(t *testing.T) {
	w := startOffice(t)
	for _, byTenant := range []bool{false, true} {
		w.sim.SetSwitches(kingdeesim.Switches{MobileByTenant: byTenant})
		for hash, good := range map[string]bool{"sha1": !byTenant, "sha256": byTenant} {
			at := w.later()
			link := fmt.Sprintf("/K3Cloud/mobile/k3cloudForPhone.html?acctid=%s&username=zhangsan&appid=%s&sign=%s&timestamp=%s&lcid=2052&formid=X&formtype=mobileform",
				centreID, appID, digest(hash, centreID, "zhangsan", appID, secret, at), at)
			if landed := w.land(w.url(link))["login-user"] == "zhangsan"; landed != good {
				t.Errorf("by tenant %t, %s: landed %t for %s", byTenant, hash, landed, w.lastReason())
			}
		}
	}
}

// TestUnsignedFields proves SIM-K85: a changed pkid lands all the same.
func TestUnsignedFields(t *testing.T) {
	w := startOffice(t)
	l := w.ticket("zhangsan")
	l.formID, l.formType, l.pkID = "ER_ExpReimbursement", "bill", "100001"
	changed := strings.Replace(l.json(), "100001", "666", 1)
	if shown := w.land(w.url(linkPath("", changed))); shown["pk-id"] != "666" {
		t.Errorf("%v", shown)
	}
}

// TestOnceOnly proves SIM-K87 and K88: permitcount against the row's setting.
func TestOnceOnly(t *testing.T) {
	for _, test := range []struct {
		permit         string
		reusable, wins bool
		second         bool
	}{
		{"1", false, false, false},
		{"1", true, false, false},
		{"0", true, false, true},
		{"", true, false, true},
		{"0", false, false, false},
		{"", false, false, false},
		{"0", false, true, true},
		{"1", false, true, false},
	} {
		w := startOffice(t)
		w.sim.SetSwitches(kingdeesim.Switches{LinkWinsOverRow: test.wins})
		once := !test.reusable
		if err := w.sim.PatchRow("", appID, kingdeesim.RowPatch{Once: &once}); err != nil {
			t.Fatal(err)
		}
		l := w.ticket("zhangsan")
		l.permit = test.permit
		link := w.url(l.path())
		for use, want := range []bool{true, test.second} {
			if landed := w.land(link)["login-user"] == "zhangsan"; landed != want {
				t.Errorf("%+v use %d: landed %v", test, use+1, landed)
			}
		}
		if !test.second && w.lastReason() != "used" {
			t.Errorf("%+v: refused for %s", test, w.lastReason())
		}
	}
}

// TestUsedLinksSurviveRestart proves SIM-K87 over a restart of the process.
func TestUsedLinksSurviveRestart(t *testing.T) {
	cfg := office()
	cfg.StateFile = filepath.Join(t.TempDir(), "used")
	first := start(t, cfg)
	link := first.ticket("zhangsan").path()
	if shown := first.land(first.url(link)); shown["login-user"] != "zhangsan" {
		t.Fatalf("%v", shown)
	}
	first.sim.Restart()
	first.refused(first.url(link))
	second := start(t, cfg)
	second.refused(second.url(link))
	if second.lastReason() != "used" {
		t.Errorf("refused for %s", second.lastReason())
	}
}

// TestParallelUses proves SIM-K87 under a race: of many openings at once,
// exactly one lands.
func TestParallelUses(t *testing.T) {
	w := startOffice(t)
	link := w.url(w.ticket("zhangsan").path())
	landed := make(chan bool, 30)
	for range cap(landed) {
		go func() { landed <- w.do(http.MethodGet, link, "", nil).status == http.StatusFound }()
	}
	n := 0
	for range cap(landed) {
		if <-landed {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d landed", n)
	}
}

// TestWindow proves SIM-K89.
func TestWindow(t *testing.T) {
	w := startOffice(t)
	for _, test := range []struct {
		age    time.Duration
		window *int
		lands  bool
	}{
		{0, nil, true},
		{10 * time.Minute, nil, true},
		{10*time.Minute + time.Second, nil, false},
		{-time.Minute, nil, true},
		{-time.Minute - time.Second, nil, false},
		{0, new(int), false},
	} {
		if err := w.sim.PatchRow("", appID, kingdeesim.RowPatch{WindowMinutes: test.window}); err != nil {
			t.Fatal(err)
		}
		l := w.ticket("zhangsan")
		w.clock.Advance(time.Hour) // so that every link is another one
		l.timestamp = w.seconds()
		w.sim.SetSkew(test.age)
		if landed := w.land(w.url(l.path()))["login-user"] == "zhangsan"; landed != test.lands {
			t.Errorf("%v %v: landed %v for %s", test.age, test.window, landed, w.lastReason())
		}
	}
	w.sim.SetSkew(0)
	five := 5
	if err := w.sim.PatchRow("", appID, kingdeesim.RowPatch{WindowMinutes: &five}); err != nil {
		t.Fatal(err)
	}
	for _, odd := range []string{"-1", "1e9", " 1700000000", "99999999999999999999"} {
		l := w.ticket("zhangsan")
		l.timestamp = odd
		w.refused(w.url(l.path()))
	}
}

// TestRefusals proves SIM-K90, K91 and K92: one page for every reason, and each
// reason in the log view.
func TestRefusals(t *testing.T) {
	w := startOffice(t)
	for want, l := range map[string]func(*ticket){
		"data-centre-unknown": func(l *ticket) { l.dbid = "00000000000000" },
		"row-missing":         func(l *ticket) { l.appID = "nothing" },
		"user-unknown":        func(l *ticket) { l.user = "ZhangSan" },
		"signature":           func(l *ticket) { l.secret = "wrong" },
		"user-forbidden":      func(l *ticket) { l.user = "qianqi" },
		"user-locked":         func(l *ticket) { l.user = "张三2" },
		"unreadable":          func(l *ticket) { l.dbid = "" },
	} {
		one := w.ticket("zhangsan")
		l(&one)
		w.refused(w.url(one.path()))
		if got := w.lastReason(); got != want {
			t.Errorf("refused for %s, want %s", got, want)
		}
	}
	patches := []struct {
		want string
		body string
	}{
		{"user-not-listed", `{"listed":false}`},
		{"user-no-licence", `{"listed":true,"licence":false}`},
		{"user-forbidden", `{"FForbidStatus":"B"}`},
		{"user-locked", `{"FForbidStatus":"A","locked":true}`},
	}
	for _, p := range patches {
		if got := w.do(http.MethodPatch, w.url("/sim/users/zhangsan"), p.body, nil); got.status != http.StatusOK {
			t.Fatalf("%s: %s", p.body, got.body)
		}
		w.refused(w.url(w.ticket("zhangsan").path()))
		if got := w.lastReason(); got != p.want {
			t.Errorf("%s: refused for %s, want %s", p.body, got, p.want)
		}
	}
	w.sim.SetSwitches(kingdeesim.Switches{RefusalRedirects: true, NamesIgnoreCase: true})
	got := w.do(http.MethodGet, w.url(w.ticket("nobody").path()), "", nil)
	if got.status != http.StatusFound || got.header.Get("Location") != "/K3Cloud/html5/index.aspx" {
		t.Errorf("redirecting refusal: %d %v", got.status, got.header)
	}
	if shown := w.land(w.url(w.ticket("ZHAOLIU").path())); shown["login-user"] != "zhaoliu" {
		t.Errorf("names without case: %v for %s", shown, w.lastReason())
	}
}

// TestExpiredPasswordAtLanding proves SIM-K95.
func TestExpiredPasswordAtLanding(t *testing.T) {
	w := startOffice(t)
	expired := true
	if err := w.sim.PatchUser("", "zhangsan", kingdeesim.UserPatch{PasswordExpired: &expired}); err != nil {
		t.Fatal(err)
	}
	shown := w.land(w.url(w.ticket("zhangsan").path()))
	if shown["password-user"] != "zhangsan" || shown["login-user"] != "" {
		t.Errorf("landed on %v", shown)
	}
	id := w.sim.Sessions()[0].ID
	if got := w.query(http.Header{"Kdservice-Sessionid": {id}}, probe); got != "401 Forbidden ByRspRetStatusCode -- N001: Unexpectable request." {
		t.Errorf("API: %s", got)
	}
}

// TestLogoutByOtherSystem proves the rest of SIM-K96: every session of the user
// and nobody else's; an unknown user is no error, a wrong signature is.
func TestLogoutByOtherSystem(t *testing.T) {
	w := startOffice(t)
	const path = "/K3Cloud/Kingdee.BOS.ServiceFacade.ServicesStub.User.UserService.LogoutByOtherSystem.common.kdsvc"
	body := func(user, secret string) string {
		at := w.seconds()
		return `{"ap0":{"AcctID":"` + centreID + `","AppId":"` + appID + `","Username":"` + user + `","SignedData":"` +
			digest("sha256", centreID, user, appID, secret, at) + `","Timestamp":"` + at + `"}}`
	}
	for range 2 {
		l := w.ticket("zhangsan")
		l.timestamp = w.later()
		w.land(w.url(l.path()))
	}
	w.session()
	for _, test := range []struct {
		body, want string
		left       int
	}{
		{body("zhangsan", "wrong"), "response_error:", 3},
		{`{"ap0":"not JSON"}`, "response_error:", 3},
		{`{}`, "response_error:", 3},
		{body("nobody", secret), "true", 3},
		{body("zhangsan", secret), "true", 1},
	} {
		got := w.post(path, test.body, nil)
		if got.status != http.StatusOK || !strings.HasPrefix(got.body, test.want) || len(w.sim.Sessions()) != test.left {
			t.Errorf("%d %q, %d sessions left, want %d", got.status, got.body, len(w.sim.Sessions()), test.left)
		}
	}
}

// TestHead proves SIM-K97: a HEAD uses a link up, unless switched.
func TestHead(t *testing.T) {
	for _, harmless := range []bool{false, true} {
		w := startOffice(t)
		w.sim.SetSwitches(kingdeesim.Switches{HeadIsHarmless: harmless})
		link := w.url(w.ticket("zhangsan").path())
		if got := w.do(http.MethodHead, link, "", nil); got.status != http.StatusFound || got.body != "" {
			t.Errorf("HEAD: %d %q", got.status, got.body)
		}
		if landed := w.land(link)["login-user"] == "zhangsan"; landed != harmless {
			t.Errorf("harmless %v: GET after HEAD landed %v", harmless, landed)
		}
	}
}

// TestResplit shows what T33 warns of, because a real server has no delimiter
// either: the once-only link of user 1 reads as a reusable link of user 11.
func TestResplit(t *testing.T) {
	cfg := office()
	cfg.DataCentres[0].Tables.Users = append(cfg.DataCentres[0].Tables.Users, kingdeesim.User{Name: "1"}, kingdeesim.User{Name: "11"})
	cfg.DataCentres[0].Rows[0].Reusable = true
	w := start(t, cfg)
	own := w.ticket("1")
	other := own
	other.user, other.permit, other.sign = "11", "", own.signed("sha256")
	for range 2 {
		if shown := w.land(w.url(other.path())); shown["login-user"] != "11" {
			t.Errorf("landed on %v for %s", shown, w.lastReason())
		}
	}
}
