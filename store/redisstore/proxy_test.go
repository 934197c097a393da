package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"kdgate/store"
	"kdgate/store/storetest"
)

// TestSwappedReplies: connections that lose step, and replies given to the wrong
// question, never give one person another's record, never make a record vanish
// and never make one up (T20, R8; CVE-2025-29923).
func TestSwappedReplies(t *testing.T) {
	t.Parallel()
	const people, lookups, workers = 50, 800, 4
	server := storetest.StartRedis(t)
	direct := sealTest(t, openTest(t, configOf(server)))
	for i := range people {
		commit(t, direct, store.Create(fmt.Sprint("id/", i), []byte(fmt.Sprint("person ", i))))
	}
	addr := storetest.StartProxy(t, server.Addr, func([]byte, []byte) storetest.Fate {
		switch rand.IntN(20) {
		case 0:
			return storetest.Lag
		case 1:
			return storetest.Swap
		default:
			return storetest.Pass
		}
	})
	s := sealTest(t, openTest(t, Config{Addrs: []string{addr}}))
	var good, refused atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range lookups {
				if err := lookUp(t.Context(), s, rand.IntN(people), &good, &refused); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d good answers, %d refused", good.Load(), refused.Load())
	if good.Load() == 0 || refused.Load() == 0 {
		t.Error("the proxy swapped nothing, or everything")
	}
}

// lookUp asks about somebody who is there, somebody who is not, and for a list.
func lookUp(ctx context.Context, s store.Store, i int, good, refused *atomic.Int64) error {
	note := func(err error) {
		if err == nil || errors.Is(err, store.ErrNotFound) {
			good.Add(1)
		} else {
			refused.Add(1)
		}
	}
	entry, err := s.Get(ctx, fmt.Sprint("id/", i))
	if err == nil && string(entry.Value) != fmt.Sprint("person ", i) {
		return fmt.Errorf("person %d was taken for %q", i, entry.Value)
	}
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("person %d vanished: %w", i, err)
	}
	note(err)
	entry, err = s.Get(ctx, fmt.Sprint("stranger/", i))
	if err == nil {
		return fmt.Errorf("stranger %d was taken for %q", i, entry.Value)
	}
	note(err)
	page, err := s.Scan(ctx, fmt.Sprint("id/", i), "", 1)
	if err == nil && (len(page) != 1 || page[0].Key != fmt.Sprint("id/", i)) {
		return fmt.Errorf("scan for person %d gave %+v", i, page)
	}
	note(err)
	return nil
}

// TestSwappedVerdicts: a commit is only acknowledged by its own answer (T20).
func TestSwappedVerdicts(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	direct := sealTest(t, openTest(t, configOf(server)))
	commit(t, direct, store.Put("taken", nil))
	addr := storetest.StartProxy(t, server.Addr, func([]byte, []byte) storetest.Fate {
		if rand.IntN(4) == 0 {
			return storetest.Lag
		}
		return storetest.Pass
	})
	s := sealTest(t, openTest(t, Config{Addrs: []string{addr}}))
	acknowledged := 0
	for i := range 150 {
		if err := s.Commit(t.Context(), store.Create("taken", nil)); err == nil {
			t.Fatalf("commit %d: told that it holds what it does not", i)
		}
		key := fmt.Sprint("mine/", i)
		err := s.Commit(t.Context(), store.Create(key, nil))
		if errors.Is(err, store.ErrConflict) {
			t.Fatalf("commit %d: told that it failed: %v", i, err)
		}
		if err == nil {
			acknowledged++
			if _, err := direct.Get(t.Context(), key); err != nil {
				t.Fatalf("commit %d was acknowledged and is not there: %v", i, err)
			}
		}
	}
	if acknowledged == 0 {
		t.Error("nothing was acknowledged")
	}
}

// TestRepeatsApplyOnce: a commit that was applied while its connection broke is
// repeated by go-redis and applied once, and says so (R13).
func TestRepeatsApplyOnce(t *testing.T) {
	t.Parallel()
	const steps = 40
	server := storetest.StartRedis(t)
	var cuts atomic.Int64
	addr := storetest.StartProxy(t, server.Addr, func(command, _ []byte) storetest.Fate {
		if bytes.Contains(bytes.ToLower(command), []byte("eval")) && cuts.Add(1)%2 == 0 {
			return storetest.Cut
		}
		return storetest.Pass
	})
	s := sealTest(t, openTest(t, Config{Addrs: []string{addr}, Timeout: unhurried}))
	commit(t, s, store.Create("count", nil))
	for i := range steps {
		entry, err := s.Get(t.Context(), "count")
		if err != nil {
			t.Fatal(err)
		}
		if len(entry.Value) != i {
			t.Fatalf("step %d was applied %d times", i, len(entry.Value))
		}
		commit(t, s, store.Replace("count", append(entry.Value, '+'), entry.Version))
		commit(t, s, store.Create("ticket", nil))
		ticket, err := s.Get(t.Context(), "ticket")
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, store.DeleteAt("ticket", ticket.Version)) // a delete leaves no trace to recognise
	}
	if cuts.Load() < steps {
		t.Errorf("only %d commits met the proxy", cuts.Load())
	}
}
