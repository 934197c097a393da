package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/storetest"
)

// clusterConfig is how to reach c, by one seed: the rest is found out.
func clusterConfig(c *storetest.Cluster) Config {
	return Config{Addrs: c.Addrs()[:1], Cluster: true, Tenant: "acme"}
}

// TestClusterOfThree: the suite again on three masters, where a tenant lives on
// one of them and every connection begins at another.
func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t)
	cfg := clusterConfig(c)
	tag := newNames(cfg.Tenant).index
	for c.Owner(tag) == c.Nodes[0] { // the seed must not be the one that answers
		cfg.Tenant += "x"
		tag = newNames(cfg.Tenant).index
	}
	cfg.Timeout = unhurried
	runConformance(t, c.Owner(tag), cfg)
}

// writers count upwards, each on a key of its own, until ctx ends, and hold that
// every answer is right: what was acknowledged is read, and nothing else.
func writers(ctx context.Context, t *testing.T, s store.Store, n int) (done func() (good, refused int)) {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	var good, refused int
	for w := range n {
		group.Go(func() {
			key, least := fmt.Sprint("count/", w), 0
			for i := 1; ctx.Err() == nil; i++ {
				err := s.Commit(t.Context(), store.Put(key, []byte(fmt.Sprint(i))))
				if err == nil {
					least = i
				}
				entry, getErr := s.Get(t.Context(), key)
				if getErr == nil {
					var got int
					if _, err := fmt.Sscan(string(entry.Value), &got); err != nil || got < least || got > i {
						t.Errorf("%s holds %q, want between %d and %d", key, entry.Value, least, i)
						return
					}
				}
				for _, err := range []error{err, getErr} {
					if err != nil && (!errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound)) && (least > 0 || !errors.Is(err, store.ErrNotFound)) {
						t.Errorf("%s: %v", key, err)
						return
					}
				}
				mu.Lock()
				if err == nil && getErr == nil {
					good++
				} else {
					refused++
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, int) { group.Wait(); return good, refused }
}

// TestMovedSlot proves R7 for MOVED, ASK and TRYAGAIN: while the slot of the
// tenant moves to another master under load, writes are refused rather than
// lost or misjudged; afterwards the new owner is found by itself.
func TestMovedSlot(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t)
	cfg := clusterConfig(c)
	d := openTest(t, cfg)
	s := sealTest(t, d)
	for i := range 300 {
		commit(t, s, store.Create(fmt.Sprintf("id/%03d", i), []byte(fmt.Sprint("person ", i))))
	}
	events, err := s.Watch(t.Context(), "told")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := writers(ctx, t, s, 4)
	half := 0
	c.Move(d.names.index, c.Other(d.names.index), func() {
		half++
		if half%8 != 0 {
			return
		}
		for _, key := range []string{"id/007", "nobody"} { // here or there, but never "gone" when it is not
			_, err := s.Get(t.Context(), key)
			if missing := errors.Is(err, store.ErrNotFound); missing && key != "nobody" || err == nil && key == "nobody" {
				t.Errorf("half moved: %s: %v", key, err)
			}
		}
	})
	began := time.Now()
	within(t, 2*time.Second, func() error { return s.Commit(t.Context(), store.Put("told", nil)) })
	t.Logf("%d steps; writes again %v after the move", half, time.Since(began))
	stop()
	good, refused := done()
	t.Logf("%d good, %d refused", good, refused)
	if good == 0 || half < 30 {
		t.Errorf("%d good answers, %d steps: nothing was tested", good, half)
	}
	if ev := next(events); ev.Key != "told" {
		t.Errorf("heard %+v", ev)
	}
	page, err := s.Scan(t.Context(), "id/", "", 500)
	if err != nil || len(page) != 300 {
		t.Fatalf("%d records after the move, %v", len(page), err)
	}
	for i, entry := range page {
		if string(entry.Value) != fmt.Sprint("person ", i) {
			t.Errorf("%s holds %q", entry.Key, entry.Value)
		}
	}
}

// TestClusterNodeDies: the master that holds the tenant is killed under load and
// comes back; nothing acknowledged is lost, nothing reads as missing, and the
// gap is the time it was away and what the cluster needs to trust it again.
func TestClusterNodeDies(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t, "--appendonly", "yes", "--appendfsync", "always")
	d := openTest(t, clusterConfig(c))
	s := sealTest(t, d)
	commit(t, s, store.Put("k", []byte("v")))
	ctx, stop := context.WithCancel(t.Context())
	done := writers(ctx, t, s, 4)
	owner := c.Owner(d.names.index)
	owner.Kill()
	noAnswer(t, s, "")
	owner.Start()
	began := time.Now()
	within(t, 10*time.Second, func() error { return s.Commit(t.Context(), store.Put("k2", nil)) })
	t.Logf("writes again %v after it came back", time.Since(began))
	stop()
	if good, refused := done(); good == 0 || refused == 0 {
		t.Errorf("%d good, %d refused", good, refused)
	}
	if entry, err := s.Get(t.Context(), "k"); err != nil || string(entry.Value) != "v" {
		t.Errorf("afterwards: %q, %v", entry.Value, err)
	}
	// Another node's death is nobody's business but the cluster's: by default it
	// then serves nothing, and says so.
	other := c.Other(d.names.index)
	other.Kill()
	within(t, 10*time.Second, func() error {
		_, err := s.Get(t.Context(), "k")
		if err == nil {
			return errors.New("still served")
		}
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "cluster is down") {
			t.Fatal(err)
		}
		return nil
	})
	other.Start()
	within(t, 10*time.Second, func() error { return s.Commit(t.Context(), store.Put("k3", nil)) })
}

// TestPlannedFailover proves R7 where the old master lives on and becomes a
// replica, which answers READONLY: it is left within 2 s of the switch, without
// an error that could be read as "missing". min-replicas-to-write is what keeps
// it from taking writes that nobody will ever see (R14).
func TestPlannedFailover(t *testing.T) {
	t.Parallel()
	set := storetest.StartReplicaSet(t, time.Second)
	for _, sentinel := range set.Sentinels { // the rights that the operations guide lists for sentinels
		sentinel.Do(append([]string{"ACL", "SETUSER", "look", "on", ">pw", "&*"}, strings.Fields("+sentinel|get-master-addr-by-name "+
			"+sentinel|sentinels +subscribe +unsubscribe +ping +hello +auth +client")...)...)
	}
	s := sealTest(t, openTest(t, Config{
		Addrs: set.SentinelAddrs(), MasterName: storetest.MasterName,
		SentinelUsername: "look", SentinelPassword: identity.NewSecret("pw"),
	}))
	commit(t, s, store.Put("k", []byte("v")))
	within(t, 5*time.Second, func() error { // or the failover is refused
		if got := set.Replicas[0].Do("INFO", "replication"); !strings.Contains(got, "master_last_io_seconds_ago:0") {
			return errors.New(got)
		}
		return nil
	})
	set.Master.Do("CONFIG", "SET", "min-replicas-to-write", "1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reads := make(chan error, 1)
	go func() {
		defer close(reads)
		for ctx.Err() == nil {
			if _, err := s.Get(t.Context(), "k"); errors.Is(err, store.ErrNotFound) {
				reads <- err
				return
			}
		}
	}()
	set.Sentinels[0].Do("SENTINEL", "FAILOVER", storetest.MasterName)
	within(t, 15*time.Second, func() error {
		info, err := set.Replicas[0].Try("INFO", "replication") // it drops its clients as it is promoted
		if err == nil && !strings.Contains(info, "role:master") {
			err = errors.New("not promoted")
		}
		return err
	})
	began := time.Now()
	within(t, 5*time.Second, func() error { return s.Commit(t.Context(), store.Put("after", nil)) })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("writes again %v after the promotion", took)
	}
	if set.Replicas[0].Do("EXISTS", newNames("default").value+"after") != "1" {
		t.Error("written to the old master")
	}
	stop()
	if err := <-reads; err != nil {
		t.Error(err)
	}
}

// TestClusterRights: the rights that the operations guide lists for a cluster
// are enough to find the node, also when the slot moves.
func TestClusterRights(t *testing.T) {
	t.Parallel()
	c := storetest.StartCluster(t)
	for _, node := range c.Nodes {
		node.Do(append([]string{"ACL", "SETUSER", "gate", "on", ">pw"}, strings.Fields("~{kdgate:acme}* &{kdgate:acme}* +get +mget +set +del "+
			"+exists +getrange +zadd +zrem +zrangebylex +zrangebyscore +time +publish +subscribe +unsubscribe +eval +evalsha +ping +hello "+
			"+auth +select +client +cluster|slots +asking")...)...)
	}
	cfg := clusterConfig(c)
	cfg.Username, cfg.Password, cfg.Timeout = "gate", identity.NewSecret("pw"), unhurried
	d := openTest(t, cfg)
	s := sealTest(t, d)
	events, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, store.Create("k", nil))
	c.Move(d.names.index, c.Other(d.names.index), func() {
		if _, err := s.Get(t.Context(), "k"); err != nil { // here, or asked for over there
			t.Errorf("half moved: %v", err)
		}
	})
	commit(t, s, store.Put("k", []byte("v")))
	if _, err := s.Scan(t.Context(), "", "", 9); err != nil {
		t.Error(err)
	}
	for range 2 {
		if ev := next(events); ev.Key != "k" {
			t.Errorf("heard %+v", ev)
		}
	}
}
