package dingtalk_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

func TestSimBothDoors(t *testing.T) {
	for name, set := range map[string]func(*dingtalksim.Switches){
		"plain":              func(*dingtalksim.Switches) {},
		"documentation mode": func(s *dingtalksim.Switches) { s.DocMode = true },
	} {
		t.Run(name, func(t *testing.T) {
			u := newTown(t)
			if err := u.sim.SetSwitches(set); err != nil {
				t.Fatal(err)
			}
			want := identity.Subject{Corp: corpA, UserID: "zhangsan"}
			in, err := u.InClient(ctx, u.inClientCode(t, "zhangsan"))
			if err != nil || in.Subject != want || in.Name != "张三" || in.Door != identity.DoorInClient {
				t.Errorf("in-client: %+v, %v", in, err)
			}
			out, err := u.Browser(ctx, u.browserCode(t, "zhangsan", "", true))
			if err != nil || out.Subject != want || out.UnionID != in.UnionID || out.Door != identity.DoorBrowser {
				t.Errorf("browser: %+v, %v", out, err)
			}
			p, err := u.Profile(ctx, "zhangsan")
			if err != nil || p.Subject != want || p.JobNumber != "A001" || p.Extension["级别"] != "7" || !p.Active || p.HiredAt.UnixMilli() != 1600000000000 {
				t.Errorf("profile: %+v, %v", p, err)
			}
			if n := u.calls("accessToken"); n != 1 {
				t.Errorf("%d token calls", n)
			}
		})
	}
}

// TestSimCodes proves T1 and T3 and the kinds of codes: used, made up, of the
// other door, of another application.
func TestSimCodes(t *testing.T) {
	u := newTown(t)
	used := u.inClientCode(t, "zhangsan")
	if _, err := u.InClient(ctx, used); err != nil {
		t.Fatal(err)
	}
	other := u.client(t, corpA, keyA, secretA, nil) // another replica, which has not seen the code
	_, err := other.InClient(ctx, used)
	wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	_, err = u.InClient(ctx, identity.NewSecret("made-up"))
	wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	_, err = u.InClient(ctx, u.browserCode(t, "zhangsan", "", true))
	wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	_, err = u.Browser(ctx, u.inClientCode(t, "zhangsan"))
	wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	_, err = u.client(t, corpB, keyB, secretB, nil).InClient(ctx, u.inClientCode(t, "zhangsan"))
	wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	old := u.inClientCode(t, "zhangsan")
	u.sim.Advance(6 * time.Minute)
	_, err = u.InClient(ctx, old)
	wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	_, err = u.InClient(ctx, u.inClientCode(t, "faraway"))
	wants(t, err, identity.Forbidden, identity.CodeNotInScope)
}

// TestSimTwoCorps: the same userid in two organisations is two people.
func TestSimTwoCorps(t *testing.T) {
	u := newTown(t)
	b := u.client(t, corpB, keyB, secretB, nil)
	text, err := u.sim.AuthCode("zhangsan", corpB, keyB)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.InClient(ctx, identity.NewSecret(text))
	if err != nil || got.Subject != (identity.Subject{Corp: corpB, UserID: "zhangsan"}) || got.Name != "另一个张三" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.Profile(ctx, "lisi"); err != nil {
		t.Error(err)
	}
	_, err = u.Profile(ctx, "lisi")
	wants(t, err, identity.NotFound, identity.CodeNotEmployee)
}

// TestSimBrowserStrangers proves T3: foreign organisation, organisation not
// told, external contact.
func TestSimBrowserStrangers(t *testing.T) {
	u := newTown(t)
	if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.OAuthForeign = true }); err != nil {
		t.Fatal(err)
	}
	_, err := u.Browser(ctx, u.browserCode(t, "lisi", corpB, true))
	wants(t, err, identity.Forbidden, identity.CodeForeignCorp)
	_, err = u.Browser(ctx, u.browserCode(t, "zhangsan", "", false))
	wants(t, err, identity.Forbidden, identity.CodeForeignCorp)
	_, err = u.Browser(ctx, u.browserCode(t, "guest", corpA, true))
	wants(t, err, identity.Forbidden, identity.CodeNotEmployee)
}

// TestSimTokenHeals proves R24: killed and expired tokens, under both reasons,
// cost one refresh and no failed sign-in.
func TestSimTokenHeals(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*town) error{
		"killed":        func(u *town) error { u.sim.KillTokens(keyA); return nil },
		"expired 40014": func(u *town) error { u.sim.Advance(3 * time.Hour); return nil },
		"expired 42001": func(u *town) error {
			u.sim.Advance(3 * time.Hour)
			return u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.Expired42001 = true })
		},
		"killed, text only": func(u *town) error {
			u.sim.KillTokens(keyA)
			return u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.ErrmsgOnly = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newTown(t)
			if _, err := u.InClient(ctx, u.inClientCode(t, "zhangsan")); err != nil {
				t.Fatal(err)
			}
			if err := end(u); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 50 {
				code := u.inClientCode(t, "zhangsan")
				wg.Go(func() {
					if _, err := u.InClient(ctx, code); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := u.calls("accessToken"); n > 3 {
				t.Errorf("%d token calls", n)
			}
		})
	}
}

// TestSimTokenCalls: every token call is understood by both sides, and wrong
// secrets are told apart from everything else.
func TestSimTokenCalls(t *testing.T) {
	u := newTown(t)
	for _, how := range []dingtalk.TokenCall{dingtalk.TokenAccessToken, dingtalk.TokenGetToken, dingtalk.TokenCorp} {
		choose := func(c *dingtalk.Config) { c.TokenCall = how }
		if _, err := u.client(t, corpA, keyA, secretA, choose).InClient(ctx, u.inClientCode(t, "zhangsan")); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		_, err := u.client(t, corpA, keyA, "wrong", choose).InClient(ctx, u.inClientCode(t, "zhangsan"))
		wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
	}
}

// TestSimBan proves R20: the ban page in both forms silences the client.
func TestSimBan(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		u := newTown(t)
		if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.BanJSON = asJSON }); err != nil {
			t.Fatal(err)
		}
		u.sim.Ban("127.0.0.1", 5*time.Minute)
		_, err := u.InClient(ctx, u.inClientCode(t, "zhangsan"))
		wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
		u.sim.ForgetCalls()
		for range 10 {
			_, err = u.InClient(ctx, u.inClientCode(t, "zhangsan"))
			wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
			_, err = u.Profile(ctx, "zhangsan")
			wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
		}
		if n := u.sim.CallCount(); n != 0 {
			t.Errorf("%d calls during the ban", n)
		}
	}
}

// TestSimBanEnds proves R20 and R26: after the silence the first call goes
// through and everything is as before.
func TestSimBanEnds(t *testing.T) {
	u := newTown(t)
	egress := dingtalk.NewEgress(dingtalk.EgressConfig{Ban: 100 * time.Millisecond})
	c := u.client(t, corpA, keyA, secretA, func(cfg *dingtalk.Config) { cfg.Egress = egress })
	if _, err := c.Profile(ctx, "zhangsan"); err != nil {
		t.Fatal(err)
	}
	u.fault(t, dingtalksim.Fault{Kind: "html-ban"})
	_, err := c.Profile(ctx, "zhangsan")
	wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	<-time.After(egress.BannedFor() + 10*time.Millisecond)
	for range 3 {
		if _, err := c.Profile(ctx, "zhangsan"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSimThrottle: our own limit keeps below the vendor's 20 a second.
func TestSimThrottle(t *testing.T) {
	t.Parallel()
	u := newTown(t)
	if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.QPS = 20 }); err != nil {
		t.Fatal(err)
	}
	c := u.client(t, corpA, keyA, secretA, func(cfg *dingtalk.Config) { cfg.Limits = dingtalk.Limits{} })
	var wg sync.WaitGroup
	for range 40 {
		code := u.inClientCode(t, "zhangsan")
		wg.Go(func() {
			if _, err := c.InClient(ctx, code); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	u.fault(t, dingtalksim.Fault{Kind: "throttle", Match: "user/get"})
	if _, err := c.Profile(ctx, "zhangsan"); err != nil {
		t.Error("a throttled read does not come through:", err)
	}
}

// TestSimBrokenAnswers proves T4, T5 and R22 on every fault the simulator has:
// no sign-in, one exchange, and well again with the next code.
func TestSimBrokenAnswers(t *testing.T) {
	t.Parallel()
	down, busy := identity.CodeDingTalkDown, identity.CodeDingTalkBusy
	for _, c := range []struct {
		fault dingtalksim.Fault
		kind  identity.Kind
		code  identity.Code
	}{
		{dingtalksim.Fault{Kind: "truncate"}, identity.Upstream, down},
		{dingtalksim.Fault{Kind: "garbage"}, identity.Upstream, down},
		{dingtalksim.Fault{Kind: "duplicate-key"}, identity.Upstream, down},
		{dingtalksim.Fault{Kind: "empty"}, identity.Upstream, down},
		{dingtalksim.Fault{Kind: "reset"}, identity.Unavailable, down},
		{dingtalksim.Fault{Kind: "huge", Size: 8 << 20}, identity.Unavailable, down},
		{dingtalksim.Fault{Kind: "status", Status: 500}, identity.Unavailable, busy},
		{dingtalksim.Fault{Kind: "status", Status: 503}, identity.Unavailable, busy},
		{dingtalksim.Fault{Kind: "status", Status: 504}, identity.Unavailable, busy},
		{dingtalksim.Fault{Kind: "status", Status: 403}, identity.Upstream, identity.CodeDingTalkSetup},
		{dingtalksim.Fault{Kind: "errcode", ErrCode: "-1"}, identity.Unavailable, busy},
		{dingtalksim.Fault{Kind: "errcode", ErrCode: "60020"}, identity.Misconfigured, identity.CodeDingTalkSetup},
		{dingtalksim.Fault{Kind: "throttle"}, identity.Throttled, busy},
		{dingtalksim.Fault{Kind: "throttle", ErrCode: "90002"}, identity.Throttled, busy},
		{dingtalksim.Fault{Kind: "quota"}, identity.Throttled, busy},
	} {
		name := c.fault.Kind + " " + string(c.fault.ErrCode)
		u := newTown(t)
		c.fault.Match = "getuserinfo"
		u.fault(t, c.fault)
		got, err := u.InClient(ctx, u.inClientCode(t, "zhangsan"))
		if err == nil || identity.KindOf(err) != c.kind || identity.CodeOf(err) != c.code || got != (identity.Assertion{}) {
			t.Errorf("%s: %+v, %v; want %v %s", name, got, err, c.kind, c.code)
		}
		if n := u.calls("getuserinfo"); n != 1 {
			t.Errorf("%s: %d exchanges", name, n)
		}
		if _, err := u.InClient(ctx, u.inClientCode(t, "zhangsan")); err != nil {
			t.Errorf("%s: the next sign-in: %v", name, err)
		}
	}
}

// TestSimSlow proves R18, R22 and R25: what does not come in time is given up
// within the deadline and never sent again.
func TestSimSlow(t *testing.T) {
	t.Parallel()
	for _, f := range []dingtalksim.Fault{
		{Kind: "slow", DelayMS: 10_000, Match: "getuserinfo"},
		{Kind: "drip", DelayMS: 1_000, Match: "getuserinfo"},
	} {
		u := newTown(t)
		c := u.client(t, corpA, keyA, secretA, func(cfg *dingtalk.Config) { cfg.Budget = time.Second }) // enough to ask, on a busy machine too
		u.fault(t, f)
		started := time.Now()
		_, err := c.InClient(ctx, u.inClientCode(t, "zhangsan"))
		wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
		if took := time.Since(started); took > 8*time.Second {
			t.Errorf("%s: gave up after %v", f.Kind, took)
		}
		if e, ok := errors.AsType[*dingtalk.CallError](err); !ok || !e.Ambiguous {
			t.Errorf("%s: not marked ambiguous: %v", f.Kind, err)
		}
		if n := u.calls("getuserinfo"); n > 1 {
			t.Errorf("%s: %d exchanges", f.Kind, n)
		}
	}
}

// TestSimReadsHeal proves R19: a read survives one fault of any passing kind.
func TestSimReadsHeal(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"truncate", "garbage", "duplicate-key", "empty", "reset", "bom"} {
		u := newTown(t)
		u.fault(t, dingtalksim.Fault{Kind: kind, Match: "user/get"})
		if _, err := u.Profile(ctx, "zhangsan"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestSimProbe: what the doctor reports of a good application and of one
// without the permission to read people, in every spelling of the refusal.
func TestSimProbe(t *testing.T) {
	u := newTown(t)
	r, err := u.Probe(ctx)
	if err != nil || !r.OK() || !r.WholeCompany || r.Corp != corpA {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := u.sim.ChangeApp(keyA, func(a *dingtalksim.App) { a.Permissions = []string{"qyapi_base"} }); err != nil {
		t.Fatal(err)
	}
	for _, textOnly := range []bool{false, true} {
		if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.ErrmsgOnly = textOnly }); err != nil {
			t.Fatal(err)
		}
		r, err = u.Probe(ctx)
		if err != nil || r.OK() {
			t.Fatalf("%+v, %v", r, err)
		}
		last := r.Checks[len(r.Checks)-1]
		if last.Name != "qyapi_get_member" || !strings.Contains(last.ApplyLink, keyA) || identity.KindOf(last.Err) != identity.Misconfigured {
			t.Errorf("%+v", last)
		}
	}
	if !strings.Contains(u.log.String(), "permission=qyapi_get_member") {
		t.Errorf("log: %s", u.log)
	}
	bad := u.client(t, corpA, keyA, "wrong", nil)
	if r, err := bad.Probe(ctx); err == nil || r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSimPermissionOfBrowserDoor: the new host's refusal names its scope.
func TestSimPermissionOfBrowserDoor(t *testing.T) {
	for _, lower := range []bool{false, true} {
		u := newTown(t)
		if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.LowerAccessDenied = lower }); err != nil {
			t.Fatal(err)
		}
		if err := u.sim.ChangeApp(keyA, func(a *dingtalksim.App) {
			a.Permissions = []string{"qyapi_base", "qyapi_get_member", "open_app_api_base"}
		}); err != nil {
			t.Fatal(err)
		}
		_, err := u.Browser(ctx, u.browserCode(t, "zhangsan", "", true))
		wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
		if e, ok := errors.AsType[*dingtalk.CallError](err); !ok || e.Permission != "Contact.User.Read" {
			t.Errorf("%v", err)
		}
	}
}

// TestSimAllowList proves row 8 end to end.
func TestSimAllowList(t *testing.T) {
	u := newTown(t)
	if err := u.sim.ChangeApp(keyA, func(a *dingtalksim.App) { a.AllowedIPs = []string{"192.0.2.1"} }); err != nil {
		t.Fatal(err)
	}
	_, err := u.Profile(ctx, "zhangsan")
	wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
	if e, ok := errors.AsType[*dingtalk.CallError](err); !ok || e.Rule != "address" {
		t.Errorf("%v", err)
	}
}

// TestSimTicket: the ticket of both sides is one (section 4).
func TestSimTicket(t *testing.T) {
	u := newTown(t)
	page, err := u.PageConfig(ctx, "http://localhost:1/launch/kingdee?corpId="+corpA)
	if err != nil || page.Signature == "" || page.CorpID != corpA {
		t.Errorf("%+v, %v", page, err)
	}
}
