package dingtalk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/internal/lockedbuffer"
	"kdgate/internal/peer"
)

// Secrets that must never be seen in an error or a log.
const (
	testSecret = "app-secret-0123456789"
	testToken  = "app-token-0123456789"
	testCode   = "code-0123456789abcdef"
)

// handler answers one call with a status and a body.
type handler func(r *http.Request) (int, string)

// fake is a DingTalk whose every answer is written by the test.
type fake struct {
	*httptest.Server
	mu     sync.Mutex
	routes map[string]handler
	calls  map[string]int
	bodies map[string][]string
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{routes: map[string]handler{}, calls: map[string]int{}, bodies: map[string][]string{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	f.on("/v1.0/oauth2/accessToken", 200, `{"accessToken":"`+testToken+`","expireIn":7200}`)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	r.Body = http.NoBody
	f.mu.Lock()
	f.calls[r.URL.Path]++
	f.bodies[r.URL.Path] = append(f.bodies[r.URL.Path], body.String())
	h := f.routes[r.URL.Path]
	f.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	status, text := h(r)
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

// on answers a path the same way each time, with in turns.
func (f *fake) on(path string, status int, body string) {
	f.with(path, func(*http.Request) (int, string) { return status, body })
}

func (f *fake) with(path string, h handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.routes[path] = h
}

// turns answers a path with one body after the other; the last one stays.
func (f *fake) turns(path string, bodies ...string) {
	next := make(chan string, len(bodies))
	for _, body := range bodies {
		next <- body
	}
	last := bodies[len(bodies)-1]
	f.with(path, func(*http.Request) (int, string) {
		select {
		case body := <-next:
			return 200, body
		default:
			return 200, last
		}
	})
}

func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[path]
}

func (f *fake) total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		n += c
	}
	return n
}

// sent decodes the n-th body that came to a path.
func (f *fake) sent(t *testing.T, path string, n int) map[string]string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var body map[string]string
	if err := json.Unmarshal([]byte(f.bodies[path][n]), &body); err != nil {
		t.Fatal(err)
	}
	return body
}

func newClock() *handclock.Clock { return handclock.New(time.Unix(1_800_000_000, 0)) }

// bench is a client, the fake it speaks to, its clock and what it logged.
type bench struct {
	*Client
	fake   *fake
	clock  *handclock.Clock
	log    *lockedbuffer.Buffer
	result *results
}

// results is an Observer that counts.
type results struct {
	mu sync.Mutex
	n  map[string]int
}

func (r *results) PeerCall(operation, result string, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n[operation+" "+result]++
}

func (r *results) count(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n[key]
}

// newBench makes a client that speaks to a new fake, with rates out of the way.
func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{fake: newFake(t), clock: newClock(), log: &lockedbuffer.Buffer{}, result: &results{n: map[string]int{}}}
	door := peer.New(peer.Config{})
	t.Cleanup(door.CloseIdle)
	cfg := Config{
		Corp: "dingcorp1", AppKey: "dingkey1", AppSecret: identity.NewSecret(testSecret), AgentID: "4711",
		Endpoints: Endpoints{OAPI: b.fake.URL, API: b.fake.URL, Login: b.fake.URL},
		Peer:      door, Limits: Limits{QPS: 10_000}, Now: b.clock.Now,
		Logger: slog.New(slog.NewTextHandler(b.log, nil)), Observer: b.result,
	}
	for _, f := range change {
		f(&cfg)
	}
	client, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Client = client
	return b
}
