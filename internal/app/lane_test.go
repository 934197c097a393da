package app

import (
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/kingdee"
)

// TestLanesAreHeldByOne: as many replicas as there are lanes hold one each, the
// others none; one that stops keeping its lane loses it by its own clock before
// another can take it.
func TestLanesAreHeldByOne(t *testing.T) {
	r := newRig(t)
	now := time.Now()
	r.now = func() time.Time { return now }
	core := r.core(r.load())
	replicas := make([]*lane, kingdee.OwnLanes+1)
	for i := range replicas {
		replicas[i] = newLane(core.store, r.now)
	}
	renew := func(which ...*lane) map[int]bool {
		t.Helper()
		held := map[int]bool{}
		for _, l := range which {
			l.renew(t.Context())
			if n, ok := l.held(); ok {
				if held[n] {
					t.Errorf("lane %d is held twice", n)
				}
				held[n] = true
			}
		}
		return held
	}
	for range 4 {
		if held := renew(replicas...); len(held) != kingdee.OwnLanes {
			t.Errorf("%d lanes are held", len(held))
		}
		now = now.Add(laneEvery)
	}
	late := replicas[kingdee.OwnLanes]
	if _, ok := late.held(); ok {
		t.Error("the last one holds a lane")
	}
	now = now.Add(laneLife - laneEvery)
	if _, ok := replicas[0].held(); ok {
		t.Error("a lane is held beyond its end")
	}
	late.renew(t.Context())
	if _, ok := late.held(); ok {
		t.Error("another holds a lane that would still be held, had a failover not forgotten when it was kept last")
	}
	now = now.Add(laneSpare)
	if held := renew(late, replicas[1], replicas[2]); len(held) != kingdee.OwnLanes {
		t.Errorf("%d lanes are held after one was left", len(held))
	}
	renew(replicas[0])
	if _, ok := replicas[0].held(); ok {
		t.Error("the one that was away has its lane back")
	}
}

// TestLinksAreClaimedOnce: what one replica claimed another does not get, for
// users of any name, until nobody can come back to it.
func TestLinksAreClaimedOnce(t *testing.T) {
	r := newRig(t)
	now := time.Now()
	r.now = func() time.Time { return now }
	core := r.core(r.load())
	if core.linkClaim("live") != nil {
		t.Error("the embedded store claims")
	}
	core.options.Config.Store.Driver = "redis" // only the name is looked at
	claim := core.linkClaim("live")
	for _, user := range []string{"zhangsan", "李四 （华东）/2", "a\nb"} {
		for i, want := range []bool{true, false} {
			if got, err := claim(t.Context(), user, 17); err != nil || got != want {
				t.Errorf("%q, time %d: %v, %v", user, i, got, err)
			}
		}
	}
	if got, err := core.linkClaim("test")(t.Context(), "zhangsan", 17); err != nil || !got {
		t.Errorf("another data centre: %v, %v", got, err)
	}
	now = now.Add(kingdee.ClaimMemory + time.Second)
	if got, err := claim(t.Context(), "zhangsan", 17); err != nil || !got {
		t.Errorf("long after: %v, %v", got, err)
	}
	must(t, core.driver.Close())
	if _, err := claim(t.Context(), "zhangsan", 18); identity.KindOf(err) != identity.Unavailable || identity.CodeOf(err) != identity.CodeStoreDown {
		t.Errorf("the store is away: %v", err)
	}
}

// TestRedisConfig: what a person writes is what the driver is told.
func TestRedisConfig(t *testing.T) {
	got, err := redisConfig(config.Store{
		URLs: []string{"rediss://look@a:1/2", "rediss://look@b:2/2"}, Sentinel: "gate", Tenant: "acme",
		Password: identity.NewSecret("pw"), SentinelUsername: "s", SentinelPassword: identity.NewSecret("spw"),
		TLS: config.StoreTLS{ServerName: "redis.example"},
	})
	must(t, err)
	if len(got.Addrs) != 2 || got.MasterName != "gate" || got.Cluster || got.Tenant != "acme" || got.DB != 2 || got.Username != "look" ||
		got.Password.Reveal() != "pw" || got.SentinelUsername != "s" || got.SentinelPassword.Reveal() != "spw" ||
		got.TLS == nil || got.TLS.ServerName != "redis.example" {
		t.Errorf("sentinel: %+v", got)
	}
	got, err = redisConfig(config.Store{URL: "redis://a:1", Cluster: true, Username: "gate"})
	must(t, err)
	if !got.Cluster || got.Username != "gate" || got.TLS != nil {
		t.Errorf("cluster: %+v", got)
	}
	if _, err := redisConfig(config.Store{URL: "rediss://a:1", TLS: config.StoreTLS{CAFile: "/nonexistent"}}); err == nil {
		t.Error("roots that are not there")
	}
}
