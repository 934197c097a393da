package feed_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"kdgate/audit"
	"kdgate/audit/feed"
	"kdgate/identity"
)

var key = bytes.Repeat([]byte("k"), 32)

func openLog(t *testing.T, replica string, anchors ...audit.Anchor) *audit.Log {
	t.Helper()
	l, err := audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: replica, Key: key, Anchors: anchors})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func write(t *testing.T, l *audit.Log, n int) {
	t.Helper()
	outcomes := []audit.Outcome{audit.OK, audit.Refused, audit.Failed}
	for i := range n {
		err := l.Append(t.Context(), audit.Event{
			Action: audit.ActionSignIn, Outcome: outcomes[i%3], Actor: "dingcorp1/张三\r\n<script>", RequestID: fmt.Sprint(i),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// run starts a feed and gives what stops it.
func run(t *testing.T, l *audit.Log, sink feed.Sink, dir string) (f *feed.Feed, stop func()) {
	t.Helper()
	f = feed.New(feed.Config{Name: "siem", Source: l, Replica: "node1", Sink: sink, Dir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return f, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the feed ended with %v", err)
		}
	}
}

// receiver collects messages of RFC 6587's octet counting, read by another's parser.
func receiver(t *testing.T, l net.Listener) <-chan *rfc5424.SyslogMessage {
	t.Helper()
	out := make(chan *rfc5424.SyslogMessage, 1000)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			octetcounting.NewParser(syslog.WithListener(func(r *syslog.Result) {
				if r.Error == nil {
					message, _ := r.Message.(*rfc5424.SyslogMessage)
					out <- message
				}
			}), syslog.WithMaxMessageLength(1<<20)).Parse(conn)
		}
	}()
	return out
}

func next[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
	}
	return v
}

// TestSyslog proves F41: every record comes as one RFC 5424 message, over TCP
// and TLS, hostile names included (T113), and after an interruption it goes on
// at the same record.
func TestSyslog(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	for way, listen := range map[string]func() (net.Listener, error){
		"tcp": func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		"tls": func() (net.Listener, error) {
			return tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates})
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			l, err := listen()
			if err != nil {
				t.Fatal(err)
			}
			came := receiver(t, l)
			log, dir := openLog(t, "node1"), t.TempDir()
			write(t, log, 7)
			config := feed.SyslogConfig{Address: way + "://" + l.Addr().String(), Host: "gate 01", TLS: &tls.Config{RootCAs: roots}}
			sink, err := feed.NewSyslog(config)
			if err != nil {
				t.Fatal(err)
			}
			_, stop := run(t, log, sink, dir)
			for i := range 7 {
				m := next(t, came)
				if *m.Appname != "kdgate" || *m.MsgID != "signin" || *m.Hostname != "gate01" || *m.Facility != 13 {
					t.Fatalf("message %+v", m)
				}
				if want := []uint8{6, 4, 3}[i%3]; *m.Severity != want {
					t.Errorf("severity %d of record %d", *m.Severity, i)
				}
				if !strings.Contains(*m.Message, fmt.Sprintf(`"request_id":"%d"`, i)) || strings.ContainsAny(*m.Message, "\r\n<") {
					t.Errorf("record %d came as %q", i, *m.Message)
				}
			}
			stop()
			write(t, log, 1)
			sink, err = feed.NewSyslog(config)
			if err != nil {
				t.Fatal(err)
			}
			_, stop = run(t, log, sink, dir)
			defer stop()
			if m := next(t, came); !strings.Contains(*m.Message, `"seq":8`) {
				t.Errorf("after the restart came %q", *m.Message)
			}
		})
	}
}

func TestSyslogByDatagram(t *testing.T) { // F41
	t.Parallel()
	at, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	log := openLog(t, "node1")
	write(t, log, 1)
	sink, err := feed.NewSyslog(feed.SyslogConfig{Address: "udp://" + at.LocalAddr().String(), Host: "gate"})
	if err != nil {
		t.Fatal(err)
	}
	_, stop := run(t, log, sink, t.TempDir())
	defer stop()
	buf := make([]byte, 4096)
	n, _, err := at.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rfc5424.NewParser().Parse(buf[:n]); err != nil {
		t.Errorf("%v in %q", err, buf[:n])
	}
}

// TestReceiverAway: records wait, nothing is left out, and Err tells meanwhile.
func TestReceiverAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first, err := feed.NewSyslog(feed.SyslogConfig{Address: "tcp://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	log := openLog(t, "node1")
	write(t, log, 3)
	broken := make(chan struct{}, 100)
	sink := sinkFunc(func(ctx context.Context, records []audit.Record) error {
		if len(broken) < 1 {
			broken <- struct{}{}
			return errors.New("away")
		}
		return first.Send(ctx, records)
	})
	f, stop := run(t, log, sink, t.TempDir())
	defer stop()
	next(t, broken)
	broken <- struct{}{}
	came := receiver(t, l)
	for i := range 3 {
		if m := next(t, came); !strings.Contains(*m.Message, fmt.Sprintf(`"seq":%d,`, i+1)) {
			t.Errorf("record %d came as %q", i, *m.Message)
		}
	}
	_ = f
}

type sinkFunc func(context.Context, []audit.Record) error

func (f sinkFunc) Send(ctx context.Context, records []audit.Record) error { return f(ctx, records) }

// hook is a webhook receiver that checks the signature by its own hand.
func hook(t *testing.T, status *atomic.Int32) (*httptest.Server, <-chan string) {
	t.Helper()
	lines := make(chan string, 100)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if sum := r.Header.Get(identity.HeaderSignature); sum != "" && sum != identity.NewSecret("shared").SignMessage(r.Header.Get(identity.HeaderTimestamp), body) {
			t.Errorf("signature %q", sum)
		}
		if code := int(status.Load()); code != 200 {
			status.Store(200)
			http.Redirect(w, r, "https://example.com/", code)
			return
		}
		for scanner := bufio.NewScanner(bytes.NewReader(body)); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}))
	t.Cleanup(server.Close)
	return server, lines
}

func newHook(t *testing.T, server *httptest.Server, allowed string) *feed.Webhook {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	w, err := feed.NewWebhook(feed.WebhookConfig{
		URL: server.URL, Secret: identity.NewSecret("shared"), TLS: &tls.Config{RootCAs: roots},
		Private: []netip.Prefix{netip.MustParsePrefix(allowed)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWebhook proves F41, and T112 for checkpoints: a redirect is no
// acknowledgement, what was not taken comes again, and a checkpoint reaches a
// place off the host.
func TestWebhook(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	status.Store(http.StatusTemporaryRedirect)
	server, lines := hook(t, &status)
	webhook := newHook(t, server, "127.0.0.0/8")
	log := openLog(t, "node1", webhook)
	write(t, log, 2)
	_, stop := run(t, log, webhook, t.TempDir())
	defer stop()
	var records, checkpoints int
	for records < 2 || checkpoints < 1 {
		line := next(t, lines)
		if strings.Contains(line, `"kind":"checkpoint"`) {
			checkpoints++
			continue
		}
		if records++; !strings.Contains(line, fmt.Sprintf(`"seq":%d,`, records)) {
			t.Errorf("came %q", line)
		}
		if checkpoints == 0 && records == 2 {
			if err := log.Close(); err != nil { // its last checkpoint is sent now, if the first met the redirect
				t.Error(err)
			}
		}
	}
}

// TestWebhookStaysOutside proves T119: an address inside the network is not called.
func TestWebhookStaysOutside(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	status.Store(200)
	server, lines := hook(t, &status)
	err := newHook(t, server, "10.0.0.0/8").Keep(t.Context(), []byte("{}"))
	if err == nil || len(lines) > 0 {
		t.Errorf("called: %v", err)
	}
	for _, address := range []string{"http://siem.example.com/", "https://user:pass@siem.example.com/", "ftp://x", "https://", "::"} {
		if _, err := feed.NewWebhook(feed.WebhookConfig{URL: address}); err == nil {
			t.Errorf("%s was accepted", address)
		}
	}
	for _, address := range []string{"siem:514", "tcp://siem", "http://siem:514", "tcp://siem:514/path", "tcp://u@siem:514"} {
		if _, err := feed.NewSyslog(feed.SyslogConfig{Address: address}); err == nil {
			t.Errorf("%s was accepted", address)
		}
	}
}

// TestTornCursorStops: a cursor that cannot be read must not send everything
// again or leave something out by itself.
func TestTornCursorStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "feed-siem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := feed.New(feed.Config{Name: "siem", Source: openLog(t, "node1"), Replica: "node1", Dir: dir})
	if err := f.Run(t.Context()); err == nil || f.Err() == nil {
		t.Error("it went on")
	}
}
