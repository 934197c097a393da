package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// sink is a ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// BenchmarkPassage is the price of a proxied request beside a bare reverse
// proxy's, both over one real loopback connection to the same upstream.
func BenchmarkPassage(b *testing.B) {
	g := newRig(b)
	body := []byte(strings.Repeat("k", 1024))
	g.kingdee.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	})
	r := g.replica()
	person := r.browser(b).open("a1")
	target, err := url.Parse(g.kingdee.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := &httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(target); pr.SetXForwarded() },
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
	}
	for name, handler := range map[string]http.Handler{"bare": bare, "gateway": r.Config.Handler} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequest(http.MethodGet, "/K3Cloud/html5/bench.ashx", http.NoBody)
				req.Host = strings.TrimPrefix(r.URL, "http://")
				req.Header.Set("Cookie", person.cookieHeader())
				req.Header.Set("Accept", "*/*")
				req.Header.Set("Accept-Language", "zh-CN,zh;q=0.9")
				w := &sink{header: http.Header{}}
				if handler.ServeHTTP(w, req); w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}
