package redisstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kdgate/store"
	"kdgate/store/storetest"
)

// TestFailoverForgetsNothingConfirmed proves R14 with wait_replicas: what counts
// is on the replica, so kill -9 of the master takes no use of a single-use item
// back; and while the replica does not confirm, a change does not count.
func TestFailoverForgetsNothingConfirmed(t *testing.T) {
	t.Parallel()
	set := storetest.StartReplicaSet(t, time.Second)
	d, err := Open(Config{Addrs: set.SentinelAddrs(), MasterName: storetest.MasterName, WaitReplicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	s := sealTest(t, d)
	commit(t, s, store.Create("code/used", nil))
	commit(t, s, store.Put("mapping/id/x", []byte("suspended")))
	commit(t, s, store.Create("handover/t", nil))
	commit(t, s, store.Delete("handover/t"))
	if err := s.Commit(t.Context(), store.Create("code/used", nil)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("used twice: %v", err)
	}

	set.Replicas[0].Pause()
	err = s.Commit(t.Context(), store.Create("code/late", nil))
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "store.wait_replicas") {
		t.Errorf("what no replica has counts: %v", err)
	}
	if _, err := s.Get(t.Context(), "mapping/id/x"); err != nil {
		t.Errorf("reading waits for nobody: %v", err)
	}
	set.Master.Kill() // the last write dies with it
	set.Replicas[0].Resume()
	within(t, 20*time.Second, func() error { _, err := s.Get(t.Context(), "mapping/id/x"); return err })
	if got, err := s.Get(t.Context(), "mapping/id/x"); err != nil || string(got.Value) != "suspended" {
		t.Errorf("the suspension is %q, %v", got.Value, err)
	}
	raw := sealTest(t, openOn(t, set.Replicas[0])) // one that waits for nobody: the new master is alone
	if err := raw.Commit(t.Context(), store.Create("code/used", nil)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("used again after the failover: %v", err)
	}
	if _, err := raw.Get(t.Context(), "handover/t"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a ticket that was used is back: %v", err)
	}
}

// openOn opens a driver on one server.
func openOn(t *testing.T, server *storetest.Redis) *Driver {
	t.Helper()
	d, err := Open(Config{Addrs: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// TestWaitWithoutReplicas: a single Redis cannot confirm, and says so; a cluster
// cannot be asked to.
func TestWaitWithoutReplicas(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	d, err := Open(Config{Addrs: []string{server.Addr}, WaitReplicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	s := sealTest(t, d)
	if err := s.Commit(t.Context(), store.Put("a", nil)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("alone: %v", err)
	}
	if _, err := Open(Config{Addrs: []string{server.Addr}, Cluster: true, WaitReplicas: 1}); err == nil {
		t.Error("a cluster is waited for")
	}
}
