package redisstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kdgate/store"
	"kdgate/store/storetest"
)

// proxy stands between a driver and Redis and mistreats replies.
type proxy struct {
	addr string
	// fate decides about one reply: pass it, swap it, or cut the connection.
	fate func(command, reply []byte) fate

	mu   sync.Mutex
	last []byte // the reply last seen on any connection
}

type fate int

const (
	pass fate = iota
	lag       // from here on this connection gets each reply one question late
	swap      // this question gets the reply last given to anybody
	cut       // executed, but the reply never arrives
)

func startProxy(t *testing.T, upstream string, fate func(command, reply []byte) fate) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{addr: l.Addr().String(), fate: fate}
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", upstream)
			if err != nil {
				down.Close()
				continue
			}
			go p.serve(down, up)
		}
	}()
	return p
}

// serve takes turns: one command up, one reply down, as go-redis does outside
// of subscriptions.
func (p *proxy) serve(down, up net.Conn) {
	defer down.Close()
	defer up.Close()
	commands, replies := bufio.NewReader(down), bufio.NewReader(up)
	var late []byte // set once the connection has lost step
	for {
		command, err := readMessage(commands)
		if err != nil {
			return
		}
		if _, err := up.Write(command); err != nil {
			return
		}
		if bytes.Contains(bytes.ToLower(command), []byte("subscribe")) {
			go func() { _, _ = io.Copy(up, commands) }()
			_, _ = io.Copy(down, replies)
			return
		}
		reply, err := readMessage(replies)
		if err != nil {
			return
		}
		send, ok := p.mistreat(command, reply, &late)
		if !ok {
			return
		}
		if _, err := down.Write(send); err != nil {
			return
		}
	}
}

// mistreat gives what to send instead of reply; false cuts the connection.
func (p *proxy) mistreat(command, reply []byte, late *[]byte) ([]byte, bool) {
	if bytes.Contains(bytes.ToLower(command), []byte("hello")) {
		return reply, true
	}
	p.mu.Lock()
	before := p.last
	p.last = reply
	p.mu.Unlock()
	if *late != nil {
		send := *late
		*late = reply
		return send, true
	}
	switch p.fate(command, reply) {
	case cut:
		return nil, false
	case lag:
		*late = reply
		return before, true
	case swap:
		return before, true
	default:
		return reply, true
	}
}

// readMessage reads one RESP2 message, command or reply, as bytes.
func readMessage(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadBytes('\n')
	if err != nil || len(line) < 3 {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	size, _ := strconv.Atoi(strings.TrimSpace(string(line[1:])))
	switch line[0] {
	case '$':
		if size < 0 {
			return line, nil
		}
		body := make([]byte, size+2)
		_, err := io.ReadFull(in, body)
		return append(line, body...), err
	case '*':
		for range size {
			part, err := readMessage(in)
			if err != nil {
				return nil, err
			}
			line = append(line, part...)
		}
	}
	return line, nil
}

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
	p := startProxy(t, server.Addr, func([]byte, []byte) fate {
		switch rand.IntN(20) {
		case 0:
			return lag
		case 1:
			return swap
		default:
			return pass
		}
	})
	s := sealTest(t, openTest(t, Config{Addrs: []string{p.addr}}))
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
	p := startProxy(t, server.Addr, func([]byte, []byte) fate {
		if rand.IntN(4) == 0 {
			return lag
		}
		return pass
	})
	s := sealTest(t, openTest(t, Config{Addrs: []string{p.addr}}))
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
	p := startProxy(t, server.Addr, func(command, _ []byte) fate {
		if bytes.Contains(bytes.ToLower(command), []byte("eval")) && cuts.Add(1)%2 == 0 {
			return cut
		}
		return pass
	})
	s := sealTest(t, openTest(t, Config{Addrs: []string{p.addr}, Timeout: unhurried}))
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
