package storetest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// MasterName is what the sentinels call the master they watch.
const MasterName = "gate"

// ReplicaSet is a master, its replicas and the sentinels that watch them.
type ReplicaSet struct {
	Master    *Redis // the first one; after a failover one of Replicas is master
	Replicas  []*Redis
	Sentinels []*Redis
}

// StartReplicaSet starts a master, one replica and three sentinels, of whom two
// must agree that the master is dead after downAfter of silence. It returns
// when everybody knows everybody.
func StartReplicaSet(tb testing.TB, downAfter time.Duration, options ...string) *ReplicaSet {
	tb.Helper()
	set := &ReplicaSet{Master: StartRedis(tb, options...)}
	host, port, err := net.SplitHostPort(set.Master.Addr)
	if err != nil {
		tb.Fatal(err)
	}
	options = append([]string{"--replicaof", host + " " + port}, options...)
	if set.Master.Password != "" {
		options = append(options, "--masterauth", set.Master.Password)
	}
	set.Replicas = append(set.Replicas, StartRedis(tb, options...))
	until(tb, "the replica follows", func() bool {
		return strings.Contains(set.Replicas[0].Do("INFO", "replication"), "master_link_status:up")
	})
	const sentinels, quorum = 3, 2
	for range sentinels {
		set.Sentinels = append(set.Sentinels, startSentinel(tb, set.Master, quorum, downAfter))
	}
	for _, sentinel := range set.Sentinels {
		until(tb, "the sentinels know each other", func() bool {
			known := " " + sentinel.Do("SENTINEL", "MASTER", MasterName) + " "
			return strings.Contains(known, " num-slaves 1 ") &&
				strings.Contains(known, fmt.Sprintf(" num-other-sentinels %d ", sentinels-1))
		})
	}
	return set
}

// SentinelAddrs are the addresses of the sentinels.
func (s *ReplicaSet) SentinelAddrs() []string { return addrs(s.Sentinels) }

// Current is whom the sentinels take for the master now.
func (s *ReplicaSet) Current() *Redis {
	text := s.Sentinels[0].Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName)
	for _, r := range s.Replicas {
		if strings.Join(strings.Fields(text), ":") == r.Addr {
			return r
		}
	}
	return s.Master
}

// AwaitReplica returns when the master of now has a replica in step. For one that
// was killed and started again that takes fifteen seconds and more: the sentinels
// wait until they are sure of it, and then everything is copied. A master killed
// before that takes with it all since the failover before, not the last moment.
func (s *ReplicaSet) AwaitReplica(tb testing.TB) {
	tb.Helper()
	until(tb, "a replica is in step", func() bool {
		return strings.Contains(s.Current().Do("INFO", "replication"), "state=online")
	})
}

// StartSentinel starts a sentinel, alone a quorum, that watches master under
// MasterName and takes it for dead after half a second of silence.
func StartSentinel(tb testing.TB, master *Redis) *Redis {
	tb.Helper()
	return startSentinel(tb, master, 1, 500*time.Millisecond)
}

func startSentinel(tb testing.TB, master *Redis, quorum int, downAfter time.Duration) *Redis {
	tb.Helper()
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	config := fmt.Sprintf("sentinel monitor %s %s %s %d\n", MasterName, host, port, quorum) +
		fmt.Sprintf("sentinel down-after-milliseconds %s %d\n", MasterName, downAfter.Milliseconds()) +
		fmt.Sprintf("sentinel failover-timeout %s 3000\n", MasterName)
	if master.Password != "" {
		config += fmt.Sprintf("sentinel auth-pass %s %s\n", MasterName, master.Password)
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	r := &Redis{tb: tb, ready: "+monitor master", options: []string{file, "--sentinel"}}
	r.first()
	return r
}

func addrs(servers []*Redis) []string {
	list := make([]string, len(servers))
	for i, r := range servers {
		list[i] = r.Addr
	}
	return list
}

// until asks again and again, and fails when patience is over.
func until(tb testing.TB, what string, ask func() bool) {
	tb.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(2 * patience) // sentinels greet every two seconds
	for !ask() {
		select {
		case <-ticker.C:
		case <-end:
			tb.Fatalf("not within %s: %s", 2*patience, what)
		}
	}
}
