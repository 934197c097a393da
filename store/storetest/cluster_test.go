package storetest

import (
	"strings"
	"testing"
	"time"
)

// TestCluster: three masters share the slots, one of them can go and come back,
// and a slot can change hands with what is in it.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, "--appendonly", "yes")
	const key = "{tag}k"
	owner := c.Owner(key)
	owner.Do("SET", key, "v")
	if got := len(strings.Fields(strings.Join(c.Addrs(), " "))); got != 3 {
		t.Errorf("%d addresses", got)
	}
	to, steps := c.Other(key), 0
	c.Move(key, to, func() {
		steps++
		if _, err := owner.Try("GET", key); err == nil || !strings.HasPrefix(err.Error(), "ASK ") {
			t.Errorf("half moved, the old owner says %v", err)
		}
	})
	if got := to.Do("GET", key); got != "v" || c.Owner(key) != to || steps == 0 {
		t.Errorf("after the move: %q at %s, %d steps", got, c.Owner(key).Addr, steps)
	}
	to.Kill()
	to.Start()
	c.Await()
	if got := c.Owner(key).Do("GET", key); got != "v" {
		t.Errorf("after a kill: %q", got)
	}
}

// TestReplicaSet: the sentinels agree on a successor, with a password too.
func TestReplicaSet(t *testing.T) {
	t.Parallel()
	set := StartReplicaSet(t, 300*time.Millisecond, "--requirepass", "pw")
	if set.Current() != set.Master || len(set.SentinelAddrs()) != 3 {
		t.Errorf("begins with %s, sentinels %v", set.Current().Addr, set.SentinelAddrs())
	}
	set.Master.Kill()
	until(t, "a successor", func() bool { return set.Current() == set.Replicas[0] })
	until(t, "the successor takes writes", func() bool {
		_, err := set.Replicas[0].Try("SET", "k", "v")
		return err == nil
	})
}

// TestPause: a server that hangs keeps its connections and answers later.
func TestPause(t *testing.T) {
	r := StartRedis(t)
	r.Pause()
	answered := make(chan error, 1)
	go func() {
		_, err := r.Try("PING")
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("answered while it hung: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	r.Resume()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
