package dingtalk

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/internal/sleep"
)

// TestTokenIsSharedAtExpiry proves R24: a hundred logins at the moment of
// expiry cost at most two token calls, before and after.
func TestTokenIsSharedAtExpiry(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	login := func(from int) {
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() {
				if _, err := b.InClient(context.Background(), code(from+n)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	login(0)
	if n := b.fake.count(pathToken); n != 1 {
		t.Errorf("%d token calls for the first hundred", n)
	}
	b.clock.Advance(2 * time.Hour)
	login(100)
	if n := b.fake.count(pathToken); n > 3 {
		t.Errorf("%d token calls at expiry", n-1)
	}
}

// TestTokenIsRenewedEarly proves R24: ten minutes before its end a token is
// fetched anew, and nobody waits for it.
func TestTokenIsRenewedEarly(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	if _, err := b.InClient(context.Background(), code(1)); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(2*time.Hour - refreshEarly - time.Second)
	if _, err := b.InClient(context.Background(), code(2)); err != nil || b.fake.count(pathToken) != 1 {
		t.Fatalf("%v, %d token calls before it is due", err, b.fake.count(pathToken))
	}
	b.clock.Advance(time.Second)
	asked, answer := make(chan struct{}), make(chan struct{})
	b.fake.with(pathToken, func(*http.Request) (int, string) {
		close(asked)
		<-answer
		return 200, `{"accessToken":"second-token","expireIn":7200}`
	})
	if _, err := b.InClient(context.Background(), code(3)); err != nil {
		t.Fatal("a login waited for the renewal, or failed:", err)
	}
	<-asked
	close(answer)
	b.fake.with(pathUserInfo, func(r *http.Request) (int, string) {
		if r.URL.Query().Get("access_token") != "second-token" {
			return 200, `{"errcode":88,"sub_code":"40014"}`
		}
		return 200, goodUserInfo
	})
	if _, err := b.tokens.wait(context.Background()); err != nil { // joins the flight
		t.Fatal(err)
	}
	if _, err := b.InClient(context.Background(), code(4)); err != nil || b.fake.count(pathToken) != 2 {
		t.Errorf("%v, %d token calls", err, b.fake.count(pathToken))
	}
}

// TestDeadTokenIsReplacedOnce proves R24: a refused token costs one refresh,
// and the call goes again, even with a code, because it was not looked at.
func TestDeadTokenIsReplacedOnce(t *testing.T) {
	for _, refusal := range []string{
		`{"errcode":88,"sub_code":"40014"}`, `{"errcode":88,"sub_code":"42001"}`, `{"errcode":40014}`, `{"errcode":42001}`,
		`{"errcode":88,"errmsg":"ding talk error[subcode=40014,submsg=x]"}`,
	} {
		b := newBench(t)
		b.fake.turns(pathUserInfo, refusal, goodUserInfo)
		if _, err := b.InClient(context.Background(), code(1)); err != nil {
			t.Error(refusal, err)
		}
		if b.fake.count(pathToken) != 2 || b.fake.count(pathUserInfo) != 2 {
			t.Errorf("%s: %v", refusal, b.fake.calls)
		}
	}
}

// TestTokenAlwaysRefused proves R24: one refresh, then failure, and no loop of
// token calls however many people come.
func TestTokenAlwaysRefused(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, `{"errcode":88,"sub_code":"40014"}`)
	for n := range 20 {
		_, err := b.InClient(context.Background(), code(n))
		wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
	}
	if n := b.fake.count(pathToken); n != 2 {
		t.Errorf("%d token calls", n)
	}
	if n := strings.Count(b.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d alerts, want one", n)
	}
}

// TestWrongSecretBacksOff: decision table row 6, minutes and not seconds.
func TestWrongSecretBacksOff(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathToken, 400, `{"requestid":"x","code":"invalidClientIdOrSecret","message":"无效的clientId或者clientSecret"}`)
	ask := func(n int) {
		_, err := b.InClient(context.Background(), code(n))
		wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
	}
	for n := range 20 {
		ask(n)
	}
	b.clock.Advance(time.Minute)
	ask(20)
	if n := b.fake.count(pathToken); n != 1 {
		t.Errorf("%d token calls within a minute", n)
	}
	b.clock.Advance(pauseLong)
	ask(21)
	if n := b.fake.count(pathToken); n != 2 {
		t.Errorf("%d token calls after the pause", n)
	}
	if strings.Contains(b.log.String(), testSecret) || strings.Count(b.log.String(), "level=ERROR") != 1 {
		t.Errorf("log: %s", b.log)
	}
}

// TestTokenNonsense: a token call that brings no token is no success.
func TestTokenNonsense(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"accessToken":""}`, `{"accessToken":"x"}`, `{"accessToken":"x","expireIn":0}`, `{"accessToken":"x","expireIn":-1}`,
		`{"accessToken":7,"expireIn":7200}`, `{"accessToken":"a\r\nb","expireIn":7200}`, `{"accessToken":"x","expireIn":1.5}`,
	} {
		b := newBench(t)
		b.fake.on(pathToken, 200, body)
		_, err := b.InClient(context.Background(), code(1))
		wants(t, err, identity.Upstream, identity.CodeDingTalkDown)
		if b.fake.count(pathUserInfo) != 0 {
			t.Errorf("%s: the code was sent", body)
		}
	}
}

// TestTokenCalls: the three ways to ask for a token (reference 1.1).
func TestTokenCalls(t *testing.T) {
	b := newBench(t, func(c *Config) { c.TokenCall = TokenGetToken })
	b.fake.with("/gettoken", func(r *http.Request) (int, string) {
		if q := r.URL.Query(); r.Method != http.MethodGet || q.Get("appkey") != "dingkey1" || q.Get("appsecret") != testSecret {
			return 200, `{"errcode":40096}`
		}
		return 200, `{"errcode":"0","access_token":"x","errmsg":"ok","expires_in":"7200"}`
	})
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	if _, err := b.InClient(context.Background(), code(1)); err != nil {
		t.Error(err)
	}
	corp := newBench(t, func(c *Config) { c.TokenCall = TokenCorp })
	corp.fake.on("/v1.0/oauth2/dingcorp1/token", 200, `{"access_token":"x","expires_in":7200}`)
	corp.fake.on(pathUserInfo, 200, goodUserInfo)
	if _, err := corp.InClient(context.Background(), code(1)); err != nil {
		t.Error(err)
	}
	want := map[string]string{"client_id": "dingkey1", "client_secret": testSecret, "grant_type": "client_credentials"}
	for name, value := range want {
		if got := corp.fake.sent(t, "/v1.0/oauth2/dingcorp1/token", 0)[name]; got != value {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestReadsAreRepeated proves R19 and row 15: reads go again within the
// budget, at most as often as the table says.
func TestReadsAreRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := `{"errcode":0,"result":{"userid":"a"}}`
	b.fake.turns(pathUser, `{"errcode":0`, good)
	if _, err := b.Profile(context.Background(), "a"); err != nil {
		t.Error(err)
	}
	var n atomic.Int32
	b.fake.with(pathUser, func(*http.Request) (int, string) {
		if n.Add(1) < 3 {
			panic(http.ErrAbortHandler)
		}
		return 200, good
	})
	if _, err := b.Profile(context.Background(), "a"); err != nil || n.Load() != 3 {
		t.Errorf("%v after %d calls", err, n.Load())
	}
	b.fake.on(pathUser, 200, `{"errcode":0`)
	before := b.fake.count(pathUser)
	_, err := b.Profile(context.Background(), "a")
	wants(t, err, identity.Upstream, identity.CodeDingTalkDown)
	if n := b.fake.count(pathUser) - before; n != 2 {
		t.Errorf("%d calls", n)
	}
}

// TestBudget proves R18: a person is not asked to wait longer than the budget,
// and waits that do not fit into it are not begun.
func TestBudget(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Budget = 500 * time.Millisecond })
	b.fake.on(pathToken, 200, `{"accessToken":"x","expireIn":7200}`)
	if _, err := b.tokens.get(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.fake.on(pathUser, 200, `{"errcode":-1}`)
	_, err := b.Profile(context.Background(), "a")
	wants(t, err, identity.Unavailable, identity.CodeDingTalkBusy)
	if n := b.fake.count(pathUser); n != 1 {
		t.Errorf("%d calls: a wait of a second does not fit", n)
	}
	release := make(chan struct{})
	b.fake.with(pathUserInfo, func(*http.Request) (int, string) { <-release; return 200, goodUserInfo })
	_, err = b.InClient(context.Background(), code(1))
	close(release)
	wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
	if b.result.count("getuserinfo timeout") != 1 {
		t.Errorf("observed %v", b.result.n)
	}
}

// TestBreaker proves R23 and R26: a host that cannot be reached is left alone
// after three failures.
func TestBreaker(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	if _, err := b.InClient(context.Background(), code(0)); err != nil {
		t.Fatal(err)
	}
	b.fake.with(pathUserInfo, func(*http.Request) (int, string) { panic(http.ErrAbortHandler) })
	for n := range 10 {
		_, err := b.InClient(context.Background(), code(n+1))
		wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
	}
	if n := b.fake.count(pathUserInfo); n != 4 {
		t.Errorf("%d exchanges, want one good and three that failed", n)
	}
	if b.hosts[newHost].IsOpen() {
		t.Error("the other host is left alone too")
	}
}

// TestBreakerProbesOnce proves R26: after the pause one call finds out whether
// the host is back.
func TestBreakerProbesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, b := range map[string]breaker{"host": newHostBreaker(), "ban": NewEgress(EgressConfig{}).ban} {
			for range 3 {
				b.RecordFailure()
			}
			if b.TryAcquirePermit() {
				t.Fatalf("%s: open at once", name)
			}
			if err := sleep.For(t.Context(), b.RemainingDelay()); err != nil {
				t.Fatal(err)
			}
			if !b.TryAcquirePermit() || b.TryAcquirePermit() {
				t.Fatalf("%s: not one probe", name)
			}
			b.RecordSuccess()
			if !b.IsClosed() {
				t.Errorf("%s: still open after a good probe", name)
			}
		}
	})
}

// TestBanSilencesTheAddress proves R20: after the ban page no client behind
// the same address calls anything, and one probe ends it.
func TestBanSilencesTheAddress(t *testing.T) {
	for _, page := range []string{"<!DOCTYPE html><html>x</html>", `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}`} {
		egress := NewEgress(EgressConfig{})
		shared := func(c *Config) { c.Egress = egress }
		first, second := newBench(t, shared), newBench(t, shared)
		second.fake.on(pathUserInfo, 200, goodUserInfo)
		first.fake.on(pathUserInfo, 200, page)
		_, err := first.InClient(context.Background(), code(1))
		wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
		calls := first.fake.total()
		for n := range 20 {
			_, err := first.InClient(context.Background(), code(n+2))
			wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
			_, err = first.Profile(context.Background(), "a")
			wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
			_, err = second.InClient(context.Background(), code(n))
			wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
		}
		if first.fake.total() != calls || second.fake.total() != 0 {
			t.Errorf("%d and %d calls during the ban", first.fake.total()-calls, second.fake.total())
		}
		if left := egress.BannedFor(); left < 4*time.Minute || left > 5*time.Minute {
			t.Errorf("banned for %v", left)
		}
		if n := strings.Count(first.log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d alerts", n)
		}
		egress.ban.HalfOpen() // five minutes later
		if _, err := second.InClient(context.Background(), code(99)); err != nil || !egress.ban.IsClosed() {
			t.Errorf("after the ban: %v", err)
		}
	}
}

// TestThrottledAPIRests proves R20: the API that throttles rests, the others
// go on, and reads come through once the second is over.
func TestThrottledAPIRests(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	b.fake.on(pathUser, 200, `{"errcode":88,"sub_code":"90006"}`)
	_, err := b.Profile(context.Background(), "a")
	wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	for range 5 {
		_, err := b.Profile(context.Background(), "a")
		wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	}
	if n := b.fake.count(pathUser); n != 1 {
		t.Errorf("%d calls to an API that must rest", n)
	}
	if _, err := b.InClient(context.Background(), code(1)); err != nil {
		t.Error("another API:", err)
	}
	b.clock.Advance(5 * time.Minute)
	b.fake.on(pathUser, 200, `{"errcode":0,"result":{"userid":"a"}}`)
	if _, err := b.Profile(context.Background(), "a"); err != nil {
		t.Error("after the pause:", err)
	}
}

// TestThrottledReadGoesAgain: row 10, the wait is a real second.
func TestThrottledReadGoesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Now = time.Now })
	b.fake.turns(pathUser, `{"errcode":88,"sub_code":"90018"}`, `{"errcode":0,"result":{"userid":"a"}}`)
	started := time.Now()
	if _, err := b.Profile(context.Background(), "a"); err != nil || b.fake.count(pathUser) != 2 {
		t.Errorf("%v after %d calls", err, b.fake.count(pathUser))
	}
	if took := time.Since(started); took < time.Second {
		t.Errorf("again after %v", took)
	}
}

// TestThrottleIsConfigured (open question 20 of the reference): the first wait and
// the number of tries.
func TestThrottleIsConfigured(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) {
		c.Now, c.Limits.ThrottleWait, c.Limits.ThrottleTries = time.Now, time.Millisecond, 3
	})
	b.fake.on(pathUser, 200, `{"errcode":88,"sub_code":"90018"}`)
	_, err := b.Profile(context.Background(), "a")
	wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	if n := b.fake.count(pathUser); n != 3 {
		t.Errorf("%d tries", n)
	}
}

// TestMinuteLimitRestsToTheMinute (row 10, per-minute form).
func TestMinuteLimitRestsToTheMinute(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathMe, 403, `{"code":"Forbidden.AccessDenied.QpmLimitForAppkeyAndApi"}`)
	err := b.do(boundedContext(t), call{op: opMe, user: identity.NewSecret("x")})
	wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	now := b.clock.Now()
	if got, want := b.pauses.left("usersme"), now.Truncate(time.Minute).Add(time.Minute).Sub(now); got != want {
		t.Errorf("rests for %v, want %v", got, want)
	}
}

func boundedContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestQuotaStopsOptionalCalls (row 12): to the end of the Beijing month, and
// never the sign-in.
func TestQuotaStopsOptionalCalls(t *testing.T) {
	b := newBench(t)
	b.fake.on("/auth/scopes", 200, `{"errcode":90020,"errmsg":"x"}`)
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	for range 3 {
		err := b.do(context.Background(), call{op: opScopes})
		wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	}
	if n := b.fake.count("/auth/scopes"); n != 1 {
		t.Errorf("%d calls without quota", n)
	}
	if _, err := b.InClient(context.Background(), code(1)); err != nil {
		t.Error("sign-in:", err)
	}
	at := time.Date(2026, 12, 31, 17, 0, 0, 0, time.UTC) // January already in Beijing
	if got, want := nextMonth(at), time.Date(2027, 1, 31, 16, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("next month is %v, want %v", got, want)
	}
}

// TestPermissionAlert proves row 7: said once, with scope and page, and the
// next try after a minute takes a new token (reference 1.5).
func TestPermissionAlert(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUser, 200, `{"errcode":88,"errmsg":"ding talk error[subcode=60011,submsg=应用尚未开通所需的权限：[qyapi_get_member]，点击链接申请并开通即可：https://open-dev.dingtalk.com/appscope/apply?content=dingabc%23qyapi_get_member, {requiredScopes=[qyapi_get_member]}]"}`)
	for range 5 {
		_, err := b.Profile(context.Background(), "a")
		wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
		if e, ok := errors.AsType[*CallError](err); !ok || e.Permission != "qyapi_get_member" || e.ApplyLink == "" {
			t.Errorf("%+v", e)
		}
	}
	log := b.log.String()
	if strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "permission=qyapi_get_member") || !strings.Contains(log, "appscope/apply") {
		t.Errorf("log: %s", log)
	}
	if n := b.fake.count(pathToken); n != 1 {
		t.Errorf("%d token calls at once", n)
	}
	for range 2 {
		b.clock.Advance(youngest + time.Second)
		_, err := b.Profile(context.Background(), "a")
		wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
	}
	if n := b.fake.count(pathToken); n != 2 {
		t.Errorf("%d token calls, want a new token for the try after the refusal", n)
	}
	b.clock.Advance(alertAgain)
	_, _ = b.Profile(context.Background(), "a")
	if n := strings.Count(b.log.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d alerts after an hour", n)
	}
}

// TestAddressAlert proves row 8: the administrator is told our own address.
func TestAddressAlert(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, `{"errcode":60020,"errmsg":"访问ip不在白名单之中,request ip=203.119.196.81 appKey(dingeqqp)"}`)
	_, err := b.InClient(context.Background(), code(1))
	wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
	if !strings.Contains(b.log.String(), "our_address=203.119.196.81") {
		t.Errorf("log: %s", b.log)
	}
}

// TestNothingSecretIsLogged: whatever goes wrong, logs and errors hold no
// token, code or secret, even when the vendor echoes them.
func TestNothingSecretIsLogged(t *testing.T) {
	b := newBench(t)
	echo := testToken + " " + testCode + " " + testSecret
	for _, body := range []string{
		`{"errcode":60020,"errmsg":"` + echo + `"}`, `{"errcode":12345,"errmsg":"` + echo + `","request_id":"r"}`,
		`{"errcode":0,"result":{"userid":["` + echo + `"]}}`, `{"errcode":0,"result":` + echo,
	} {
		b.fake.on(pathUserInfo, 200, body)
		_, err := b.InClient(context.Background(), identity.NewSecret(testCode+body[len(body)-1:]+body[11:13]))
		if err == nil {
			t.Fatal("signed in by", body)
		}
		wants(t, err, identity.KindOf(err), identity.CodeOf(err))
	}
	b.fake.Close()
	_, err := b.InClient(context.Background(), code(9))
	wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
	for _, secret := range []string{testSecret, testToken, testCode} {
		if strings.Contains(b.log.String(), secret) {
			t.Errorf("the log tells a secret: %s", b.log)
		}
	}
}

// TestLimits proves the self-limit: in no second more calls than allowed, and
// jobs leave sign-in its share.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(Limits{QPS: 20, PerAPI: map[string]float64{"slow": 2}})
		for _, c := range []struct {
			api        string
			background bool
			most       int
		}{{"a", false, 20}, {"b", true, 10}, {"slow", false, 2}} {
			start, times := time.Now(), []time.Duration{}
			for range 60 {
				for _, bucket := range l.of(operation{name: c.api}, c.background) {
					if err := turn(context.Background(), bucket); err != nil {
						t.Fatal(err)
					}
				}
				times = append(times, time.Since(start))
			}
			for first := range times {
				n := 0
				for _, at := range times[first:] {
					if at-times[first] < time.Second {
						n++
					}
				}
				if n > c.most {
					t.Fatalf("%s: %d calls in one second, most is %d", c.api, n, c.most)
				}
			}
			if took := times[len(times)-1]; took > 2*time.Duration(60/c.most)*time.Second {
				t.Errorf("%s: 60 calls took %v", c.api, took)
			}
		}
	})
}

// TestEgressLimit proves R21: 80 % of 10,000 in 20 s, in every window.
func TestEgressLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, start, n := NewEgress(EgressConfig{}), time.Now(), 0
		for {
			if err := turn(context.Background(), e.rate); err != nil {
				t.Fatal(err)
			}
			if time.Since(start) >= 20*time.Second {
				break
			}
			n++
		}
		if n > 8000 || n < 7000 {
			t.Errorf("%d calls in 20 s", n)
		}
	})
}

// TestQueueIsBounded: whoever would wait too long is told at once.
func TestQueueIsBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits = Limits{QPS: 0.1, QueueWait: time.Second} })
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	if _, err := b.InClient(context.Background(), code(1)); err != nil {
		t.Fatal(err)
	}
	_, err := b.InClient(context.Background(), code(2))
	wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
}

// TestBackgroundSharesEverything: a view for jobs uses the same token and the
// same pauses.
func TestBackgroundSharesEverything(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUser, 200, `{"errcode":0,"result":{"userid":"a"}}`)
	if _, err := b.Profile(context.Background(), "a"); err != nil {
		t.Fatal(err)
	}
	jobs := b.Background()
	if _, err := jobs.Profile(context.Background(), "a"); err != nil || b.fake.count(pathToken) != 1 {
		t.Errorf("%v, %d token calls", err, b.fake.count(pathToken))
	}
}

// TestCallerGone: nobody waits for a caller who has left.
func TestCallerGone(t *testing.T) {
	b := newBench(t)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := b.InClient(gone, code(1))
	wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
	if err := b.do(gone, call{op: opUser}); err == nil || b.fake.count(pathUser) != 0 {
		t.Errorf("%v, %d calls", err, b.fake.count(pathUser))
	}
}

// TestUntrustedCertificate proves T11 and R23 from the client's side: fails
// closed, is classified, and is not tried again.
func TestUntrustedCertificate(t *testing.T) {
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	b := newBench(t, func(c *Config) { c.Endpoints.API = stranger.URL })
	_, err := b.InClient(context.Background(), code(1))
	wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
	if b.result.count("accesstoken tls") != 1 || len(b.result.n) != 1 {
		t.Errorf("observed %v", b.result.n)
	}
	if !strings.Contains(b.log.String(), "certificate") {
		t.Errorf("log: %s", b.log)
	}
}

// TestNobodyListens proves R19 and R23: at most three connects, then silence.
func TestNobodyListens(t *testing.T) {
	b := newBench(t)
	b.fake.Close()
	for n := range 5 {
		_, err := b.InClient(context.Background(), code(n))
		wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
	}
	if n := b.result.count("accesstoken refused"); n != 3 {
		t.Errorf("%d connects: %v", n, b.result.n)
	}
}

// TestProbeReports: skew of the clocks, and a quota stop that is taken back.
func TestProbeReports(t *testing.T) {
	b := newBench(t)
	b.fake.on("/auth/scopes", 200, `{"errcode":0,"auth_org_scopes":{"authed_user":["a"],"authed_dept":[7,9]},"auth_user_field":["name"]}`)
	b.fake.on(pathUser, 200, `{"errcode":60121}`)
	b.pauses.set(quotaPause, b.clock.Now().Add(time.Hour))
	r, err := b.Probe(context.Background())
	if err != nil || !r.OK() || r.WholeCompany || len(r.Departments) != 2 || r.Users != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r.Skew == 0 || r.Skew.Truncate(time.Second) != r.Skew {
		t.Errorf("skew %v against a clock of 2027", r.Skew)
	}
}

func TestNewReportsEverything(t *testing.T) {
	_, err := New(Config{Endpoints: Endpoints{OAPI: "http://oapi.dingtalk.com", API: "ftp://x", Login: "https://u@x"}, TokenCall: "x", Digest: "md5"})
	if err == nil {
		t.Fatal("made a client of nothing")
	}
	for _, part := range []string{"corp id", "app key", "app secret", "outbound client", "token call", "digest", "oapi.dingtalk.com", "ftp://x", "https://u@x"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("does not mention %q: %v", part, err)
		}
	}
	good := Config{Corp: "c", AppKey: "k", AppSecret: identity.NewSecret("s"), Peer: peer.New(peer.Config{})}
	for address, fine := range map[string]bool{
		"http://localhost:8081": true, "http://127.0.0.1:1": true, "http://[::1]:1": true, "https://api.dingtalk.io/": true,
		"http://example.com": false, "https://x?y=z": false, "https://x#y": false, "//x": false, "": true,
	} {
		good.Endpoints.API = address
		if _, err := New(good); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
	good.Endpoints.API, good.AllowPlainHTTP = "http://example.com", true
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

func TestPageConfig(t *testing.T) {
	b := newBench(t)
	b.fake.on("/v1.0/oauth2/jsapiTickets", 200, `{"jsapiTicket":"ticket-abc","expireIn":7200}`)
	page, err := b.PageConfig(context.Background(), "https://gate.example.com/launch?corpId=dingcorp1#x")
	if err != nil {
		t.Fatal(err)
	}
	want := signPage(identity.NewSecret("ticket-abc"), page, "https://gate.example.com/launch?corpId=dingcorp1", SHA256)
	if page.Signature != want || page.AgentID != "4711" || page.CorpID != "dingcorp1" || len(page.NonceStr) < 16 {
		t.Errorf("%+v", page)
	}
	again, err := b.PageConfig(context.Background(), "https://gate.example.com/launch")
	if err != nil || again.NonceStr == page.NonceStr || b.fake.count("/v1.0/oauth2/jsapiTickets") != 1 {
		t.Errorf("%+v, %v, %d ticket calls", again, err, b.fake.count("/v1.0/oauth2/jsapiTickets"))
	}
	_, err = b.PageConfig(context.Background(), "https://gate.example.com/?a=%zz")
	wants(t, err, identity.Invalid, identity.CodeBadRequest)
}
