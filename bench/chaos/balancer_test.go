package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

const (
	probeEvery = 50 * time.Millisecond // how often a balancer looks at /readyz
	probeTime  = 2500 * time.Millisecond
)

// balancer sends each request to any replica that is ready, without sticky
// sessions. Where none is ready it sends it to any: somebody has to say so.
type balancer struct {
	transport *http.Transport
	probes    *http.Transport

	mu      sync.Mutex
	members map[string]*member // by public address
}

type member struct {
	ready   bool
	looked  time.Time // when the balancer last knew
	forget  context.CancelFunc
	stopped chan struct{}
}

func newBalancer(tb testing.TB, replicas ...*replica) *balancer {
	tb.Helper()
	b := &balancer{
		transport: &http.Transport{MaxIdleConnsPerHost: 200, DisableCompression: true},
		probes:    &http.Transport{DisableKeepAlives: true},
		members:   map[string]*member{},
	}
	for _, r := range replicas {
		b.add(r)
	}
	tb.Cleanup(b.close)
	return b
}

// add takes a replica in; it gets requests once it says that it is ready.
func (b *balancer) add(r *replica) {
	ctx, forget := context.WithCancel(context.Background())
	m := &member{forget: forget, stopped: make(chan struct{})}
	b.mu.Lock()
	b.members[r.PublicAddr().String()] = m
	b.mu.Unlock()
	b.probe(ctx, m, r.OpsAddr().String())
	go func() {
		defer close(m.stopped)
		ticker := time.NewTicker(probeEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				b.probe(ctx, m, r.OpsAddr().String())
			}
		}
	}()
}

func (b *balancer) probe(ctx context.Context, m *member, ops string) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+"/readyz", nil)
	if err != nil {
		return
	}
	ready := false
	if res, err := b.probes.RoundTrip(req); err == nil {
		ready = res.StatusCode == http.StatusOK
		_ = res.Body.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m.ready, m.looked = ready, time.Now()
}

// remove forgets a replica.
func (b *balancer) remove(r *replica) {
	b.mu.Lock()
	m := b.members[r.PublicAddr().String()]
	delete(b.members, r.PublicAddr().String())
	b.mu.Unlock()
	m.forget()
	<-m.stopped
}

func (b *balancer) close() {
	b.mu.Lock()
	members := b.members
	b.members = map[string]*member{}
	b.mu.Unlock()
	for _, m := range members {
		m.forget()
		<-m.stopped
	}
	b.transport.CloseIdleConnections()
}

// choose gives the addresses to try, at random, those that are ready first.
func (b *balancer) choose() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ready, rest []string
	for address, m := range b.members {
		if m.ready {
			ready = append(ready, address)
		} else {
			rest = append(rest, address)
		}
	}
	rand.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	return append(ready, rest...)
}

// lost says of a request that broke off what the balancer knew: one that has not
// looked for longer than a replica takes to leave sends people to a closed door,
// which is not the replica's fault.
func (b *balancer) lost(address string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.members[address]
	if m == nil {
		return "lost by a replica that is gone"
	}
	return fmt.Sprintf("lost by a replica (ready: %t when the balancer looked %v ago, every %v)",
		m.ready, time.Since(m.looked).Round(time.Millisecond), probeEvery)
}

// RoundTrip implements http.RoundTripper. A replica that takes no connection is
// passed over; what a replica has begun to answer is its answer.
func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	err := errors.New("no replica")
	for _, address := range b.choose() {
		out := req.Clone(req.Context())
		if req.GetBody != nil {
			if out.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		out.Host, out.URL.Host = req.URL.Host, address
		var res *http.Response
		if res, err = b.transport.RoundTrip(out); err == nil {
			return res, nil
		}
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
			return nil, fmt.Errorf("%s: %w", b.lost(address), err)
		}
	}
	return nil, err
}
