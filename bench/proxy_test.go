package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	proxiedSize        = 1 << 10 // bytes of a body
	proxiedConnections = 32
	proxiedRounds      = 5
	proxiedSpan        = 1500 * time.Millisecond // of one round of one line
	proxiedPath        = "/K3Cloud/html5/bench.ashx"
)

// bareOrder is what the bare proxy's process is told.
type bareOrder struct{ Upstream string }

// playBare is the floor of a proxied request: httputil.ReverseProxy with a
// tuned transport and pooled buffers, no session, no log, no header looked at.
func playBare(ctx context.Context, text string) error {
	var order bareOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	target, err := url.Parse(order.Upstream)
	if err != nil {
		return err
	}
	reverse := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(target); pr.SetXForwarded() },
		Transport: &http.Transport{
			DisableCompression: true, MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute,
		},
		BufferPool: &barePool{},
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: reverse, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("ready", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type barePool struct{ pool sync.Pool }

func (b *barePool) Get() []byte {
	if room, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return room[:]
	}
	return make([]byte, 32<<10)
}

func (b *barePool) Put(room []byte) { b.pool.Put((*[32 << 10]byte)(room)) }

// hop is a keep-alive connection that asks for one thing again and again.
type hop struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func newHop(tb testing.TB, addr, cookies string) *hop {
	tb.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(tb.Context(), "tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	_, port, _ := net.SplitHostPort(addr)
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: localhost:%s\r\nUser-Agent: %s\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"+
		"Accept-Language: zh-CN,zh;q=0.9\r\nKdbiz-Info: {\"formId\":\"X\"}\r\nCookie: %s\r\n\r\n", proxiedPath, port, clientAgent, cookies)
	return &hop{conn: conn, in: bufio.NewReaderSize(conn, 8<<10), request: request}
}

var contentLength = []byte("Content-Length: ")

// ask sends the request and reads the answer, by hand: the load shares its core
// with the upstream.
func (h *hop) ask() error {
	if _, err := h.conn.Write(h.request); err != nil {
		return err
	}
	size, first := -1, true
	for {
		line, err := h.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer: %s", line)
		}
		first = false
		if value, ok := bytes.CutPrefix(line, contentLength); ok {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if size != proxiedSize {
		return fmt.Errorf("body of %d bytes", size)
	}
	_, err := h.in.Discard(size)
	return err
}

// run drives all hops for a while.
func runHops(tb testing.TB, hops []*hop, span time.Duration) result {
	tb.Helper()
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	times := make([][]time.Duration, len(hops))
	began := time.Now()
	for i, h := range hops {
		all.Go(func() {
			for time.Since(began) < span {
				sent := time.Now()
				if err := h.ask(); err != nil {
					failed.Store(&err)
					return
				}
				times[i] = append(times[i], time.Since(sent))
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		tb.Fatal(*err)
	}
	each := slices.Concat(times...)
	slices.Sort(each)
	return result{rate: float64(len(each)) / took.Seconds(), p50: at(each, 0.5), p99: at(each, 0.99)}
}

// proxiedLine is one of the two, ready to be measured.
type proxiedLine struct {
	name string
	part *process
	hops []*hop
}

// BenchmarkProxied puts a proxied request with its session check beside a bare
// tuned reverse proxy, in turns, and prints the ratio (performance: at least 0.95).
func BenchmarkProxied(b *testing.B) {
	toOtherCores(b)
	gateway := startProduction
	if os.Getenv(profileEnv) != "" {
		gateway = startProxying // which writes a profile, but is the test's own binary
	}
	lines := proxiedLines(b, gateway)
	for b.Loop() {
		all := results{}
		for range proxiedRounds {
			for _, line := range lines {
				used := line.part.cpu(b)
				r := runHops(b, line.hops, proxiedSpan)
				r.cpu = (line.part.cpu(b) - used).Seconds() * 10_000 / max(1, r.rate*proxiedSpan.Seconds())
				all[line.name] = append(all[line.name], r)
			}
		}
		bare, gate := all.median("bare"), all.median("gateway")
		for _, name := range []string{"bare", "gateway"} {
			r := all.median(name)
			b.Logf("%-8s %8.0f rps  p50 %6.2f ms  p99 %6.2f ms  %5.2f CPU s per 10,000", name, r.rate, ms(r.p50), ms(r.p99), r.cpu)
		}
		for _, line := range lines {
			b.Logf("%-8s RSS %.0f MiB, of it %.0f of the binary's own pages; at most %.0f", line.name,
				line.part.memory(b, "VmRSS"), line.part.memory(b, "RssFile"), line.part.memory(b, "VmHWM"))
		}
		b.ReportMetric(gate.rate/bare.rate, "of-bare")
		b.ReportMetric(bare.cpu/gate.cpu, "of-bare-by-cpu")
		b.ReportMetric(ms(gate.p50), "p50-ms")
		b.ReportMetric(ms(bare.p50), "bare-p50-ms")
		b.ReportMetric(0, "ns/op")
	}
}

// TestProxiedRig proves that what the benchmark counts is proxied, checked and whole.
func TestProxiedRig(t *testing.T) {
	lines := proxiedLines(t, startProxying)
	for _, line := range lines {
		if err := line.hops[0].ask(); err != nil {
			t.Errorf("%s: %v", line.name, err)
		}
	}
	if err := newHop(t, lines[1].part.addr, "a=b").ask(); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without a session: %v", err)
	}
}

// startProxying is the gateway in a process of the test's own binary.
func startProxying(tb testing.TB, v *vendors) *process {
	tb.Helper()
	return startGateway(tb, v, settings{mode: "proxy", raised: true})
}

// startProduction is the binary that people run, so that its memory is its own:
// the mapping imported by its command, served by another process of it.
func startProduction(tb testing.TB, v *vendors) *process {
	tb.Helper()
	binary, config := build(tb), writeConfig(tb, v, settings{mode: "proxy", raised: true})
	rows := filepath.Join(filepath.Dir(config), "rows.csv")
	text := fmt.Sprintf("corp,userid,data_centre,staff_number\n%s,%s,%s,%s\n", corpID, userid(0), centreID, userid(0))
	if err := os.WriteFile(rows, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if out, err := exec.Command(binary, "mapping", "import", "--config", config, rows).CombinedOutput(); err != nil {
		tb.Fatalf("import: %v\n%s", err, out)
	}
	p, stop := startServe(tb, onFirstCore(binary, "serve", "--config", config), config)
	tb.Cleanup(stop)
	return p
}

// proxiedLines starts both, before one upstream, with everybody connected.
func proxiedLines(tb testing.TB, gateway func(testing.TB, *vendors) *process) []*proxiedLine {
	tb.Helper()
	v := startVendors(tb)
	body := bytes.Repeat([]byte("k"), proxiedSize)
	kingdee := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: v.kingAddr})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != proxiedPath {
			kingdee.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	}))
	tb.Cleanup(upstream.Close)
	v.kingAddr = strings.TrimPrefix(upstream.URL, "http://")
	order, err := json.Marshal(bareOrder{Upstream: upstream.URL})
	if err != nil {
		tb.Fatal(err)
	}
	bare := &proxiedLine{name: "bare", part: startPart(tb, "bare", string(order))}
	gate := &proxiedLine{name: "gateway", part: gateway(tb, v)}
	cookies := enterProxied(tb, v, gate.part.addr)
	for range proxiedConnections {
		bare.hops = append(bare.hops, newHop(tb, bare.part.addr, cookies))
		gate.hops = append(gate.hops, newHop(tb, gate.part.addr, cookies))
	}
	return []*proxiedLine{bare, gate}
}

// enterProxied is one person's click, and the cookies it ends with.
func enterProxied(tb testing.TB, v *vendors, addr string) string {
	tb.Helper()
	visitor, err := dial(addr, 0)
	if err != nil {
		tb.Fatal(err)
	}
	form, err := visitor.begin()
	if err != nil {
		tb.Fatal(err)
	}
	form.Set("code", v.code(tb, 0))
	if _, err := visitor.post("/signin/dingtalk", form); err != nil {
		tb.Fatal(err)
	}
	a, err := visitor.get(launchPath)
	if err != nil || !strings.HasPrefix(a.location, "/K3Cloud/") {
		tb.Fatalf("launch: %d %s %v", a.status, a.location, err)
	}
	pairs := make([]string, 0, len(visitor.cookies))
	for name, value := range visitor.cookies {
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, "; ")
}
