package strictwire

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
)

// verdict is what the vetter makes of a stream.
type verdict struct {
	ends  []int // where each whole request ends
	fault fault
}

// judgeStream feeds a stream in pieces whose sizes come from cuts.
func judgeStream(data, cuts []byte) verdict {
	v := vetter{limits: limits{target: 64, head: 512, trailers: 64}}
	var out verdict
	for at, piece := 0, 0; at < len(data); piece++ {
		size := len(data) - at
		if len(cuts) > 0 {
			size = min(size, int(cuts[piece%len(cuts)])%16+1)
		}
		for end := at + size; at < end; {
			at += v.feed(data[at:end])
			if v.fault != clean {
				out.fault = v.fault
				return out
			}
			if v.phase == finished {
				out.ends = append(out.ends, at)
				v.reset()
			}
		}
	}
	return out
}

func seed(f *testing.F) {
	for _, test := range refusals {
		f.Add([]byte(test.input), []byte{1, 3})
	}
	for _, test := range passes {
		f.Add([]byte(test.input), []byte{0})
	}
}

// FuzzSplits: the verdict does not depend on how the bytes are cut.
func FuzzSplits(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		whole, cut := judgeStream(data, nil), judgeStream(data, cuts)
		if whole.fault != cut.fault || len(whole.ends) != len(cut.ends) {
			t.Fatalf("whole %v, cut %v", whole, cut)
		}
		for i := range whole.ends {
			if whole.ends[i] != cut.ends[i] {
				t.Fatalf("whole %v, cut %v", whole, cut)
			}
		}
	})
}

// counting says how far a reader has come.
type counting struct {
	*bytes.Reader
	buffered *bufio.Reader
	size     int
}

func (c *counting) at() int { return c.size - c.Len() - c.buffered.Buffered() }

// FuzzAgainstNetHTTP: T54. What passes is read by net/http as exactly the same
// requests, each ending at the same byte.
func FuzzAgainstNetHTTP(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		ends := judgeStream(data, cuts).ends
		if len(ends) == 0 {
			return
		}
		passed := data[:ends[len(ends)-1]]
		c := counting{Reader: bytes.NewReader(passed), size: len(passed)}
		c.buffered = bufio.NewReader(c.Reader)
		for i, end := range ends {
			r, err := http.ReadRequest(c.buffered)
			if err != nil {
				t.Fatalf("request %d of %q: %v", i, passed, err)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Fatalf("body %d of %q: %v", i, passed, err)
			}
			if c.at() != end {
				t.Fatalf("request %d of %q ends at %d for net/http, at %d for us", i, passed, c.at(), end)
			}
		}
	})
}

// FuzzServer: T59, T130. Whatever is sent, every answer on the wire is the
// handler's or ours, never one that net/http makes by itself, and there are no
// more of them than requests.
func FuzzServer(f *testing.F) {
	seed(f)
	g := start(f, func(*rig) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Mark", "1")
			_, _ = io.Copy(io.Discard, r.Body)
		})
	}, func(cfg *Config) {
		cfg.Headers = http.Header{"X-Mark": {"1"}}
		cfg.MaxTarget, cfg.MaxHead, cfg.MaxTrailers, cfg.OnRefuse = 64, 512, 64, nil
	})
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		if len(data) > 1<<13 { // more than is drained would be cut off by a reset
			return
		}
		conn := g.dial(t)
		_, _ = conn.Write(data)
		_ = conn.(*net.TCPConn).CloseWrite()
		stream, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil {
			t.Fatalf("%q: %v", stream, err)
		}
		count := func(s string) int { return bytes.Count(stream, []byte(s)) }
		all := count("HTTP/1.1 ") + count("HTTP/1.0 ") - count("HTTP/1.1 100 ")
		if marked := count("X-Mark: 1\r\n"); marked != all {
			t.Fatalf("%d answers, %d of them with our headers: %q", all, marked, stream)
		}
		if most := len(judgeStream(data, cuts).ends) + 1; all > most {
			t.Fatalf("%d answers to %d requests: %q", all, most, stream)
		}
	})
}
