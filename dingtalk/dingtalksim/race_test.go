package dingtalksim_test

import (
	"fmt"
	"sync"
	"testing"

	"kdgate/dingtalk/dingtalksim"
)

// TestEverythingAtOnce drives calls, changes, faults, switches and readers
// together; it is for the race detector, and checks that nothing is lost.
func TestEverythingAtOnce(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) { c.QPS, c.AddressLimit, c.KeepCalls = -1, -1, 50 })
	const rounds = 15
	tok := s.token()
	work := []func(i int){
		func(i int) {
			s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+tok, obj{"code": s.authCode("zhangwei")})
		},
		func(i int) { s.call("POST", "/topapi/v2/user/get?access_token="+s.token(), obj{"userid": "wangfang"}) },
		func(i int) {
			s.call("POST", "/topapi/v2/user/list?access_token="+tok, obj{"dept_id": 102, "cursor": 0, "size": 10})
		},
		func(i int) {
			s.control("POST", "/sim/people", obj{"userid": fmt.Sprintf("r%d", i), "name": "并发", "dept_id_list": []int{102}}, nil, 201)
		},
		func(i int) {
			s.control("PATCH", "/sim/people/wangfang", obj{"title": fmt.Sprint(i), "dept_id_list": []int{101 + i%5}}, nil, 200)
		},
		func(i int) {
			s.fault(obj{"match": "nothing", "kind": "slow"})
			s.ClearFaults(0)
		},
		func(i int) { s.set("english", i%2 == 0) },
		func(i int) { s.KillTokens(key2); s.SetClock(0) },
		func(i int) { s.Calls(""); s.People(); s.call("GET", "/workbench?as=zhangwei", nil) },
		func(i int) {
			if err := s.ChangeApp(key1, func(a *dingtalksim.App) { a.Icon = fmt.Sprint(i) }); err != nil {
				t.Error(err)
			}
		},
		func(i int) {
			s.userToken(back(t, s.decide(request(), "userid", "zhangwei", "decision", "agree")).Get("code"))
		},
	}
	var wg sync.WaitGroup
	for _, f := range work {
		wg.Go(func() {
			for i := range rounds {
				f(i)
			}
		})
	}
	wg.Wait()
	if n := len(s.People()); n != 14+rounds {
		t.Errorf("%d people, want %d", n, 14+rounds)
	}
	if u := s.result("/topapi/v2/user/get", obj{"userid": "wangfang"}).(obj); u["title"] != fmt.Sprint(rounds-1) {
		t.Errorf("last change lost: %v", u["title"])
	}
}

// BenchmarkGetUserInfo is the call that every sign-in makes, without network.
func BenchmarkGetUserInfo(b *testing.B) {
	cfg := dingtalksim.Sample(homeURL, "gate.example.com")
	cfg.QPS, cfg.AddressLimit = -1, -1
	s, err := dingtalksim.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	tok := tokenDirect(b, s)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			code, err := s.AuthCode("zhangwei", "", "")
			if err != nil {
				b.Error(err)
				return
			}
			if body := postDirect(s, "/topapi/v2/user/getuserinfo?access_token="+tok, `{"code":"`+code+`"}`); len(body) < 100 {
				b.Error(body)
				return
			}
		}
	})
}
