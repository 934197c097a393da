package strictwire

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// browser is a GET as a browser sends it.
const browser = "GET /k3cloud/html5/index.aspx?lcid=2052 HTTP/1.1\r\nHost: gateway.example.com\r\nConnection: keep-alive\r\n" +
	"User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\nCookie: __Host-kdgate=0123456789abcdef0123456789abcdef0123456789abcdef\r\n\r\n"

// BenchmarkVetter is the vetting alone: no allocation.
func BenchmarkVetter(b *testing.B) {
	v := vetter{limits: limits{8 << 10, 32 << 10, 2 << 10}}
	data := []byte(browser)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if v.feed(data) != len(data) || v.phase != finished {
			b.Fatal(v.fault)
		}
		v.reset()
	}
}

// BenchmarkServe is keep-alive GETs through http.Server with and without us.
func BenchmarkServe(b *testing.B) {
	for _, name := range []string{"bare", "strict"} {
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			addr := l.Addr().String()
			if name == "strict" {
				l = Listen(l, Config{})
			}
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Date"] = nil
				_, _ = io.WriteString(w, "hello")
			})}
			done := make(chan error, 1)
			go func() { done <- server.Serve(l) }()
			get(b, addr)
			_ = server.Close()
			<-done
		})
	}
}

func get(b *testing.B, addr string) {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answer := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(conn, browser); err != nil {
			b.Fatal(err)
		}
		if n, err := conn.Read(answer); err != nil || !strings.HasSuffix(string(answer[:n]), "hello") {
			b.Fatalf("%q %v", answer[:n], err)
		}
	}
}

// TestNoAllocation: a request costs nothing on the heap.
func TestNoAllocation(t *testing.T) {
	v := vetter{limits: limits{8 << 10, 32 << 10, 2 << 10}}
	data := []byte(browser)
	if n := testing.AllocsPerRun(100, func() { v.feed(data); v.reset() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
