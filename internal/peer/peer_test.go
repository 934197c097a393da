package peer

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func get(t *testing.T, c *Client, url string) (Response, error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(context.Background(), req)
}

// TestRedirectIsNotFollowed proves T120: credentials go nowhere else.
func TestRedirectIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer srv.Close()
	res, err := get(t, New(Config{}), srv.URL)
	if err != nil || res.Status != http.StatusFound {
		t.Errorf("got %d, %v; want the 302 itself", res.Status, err)
	}
}

// TestBoundsAnswers proves T120, R22: a huge body and a gzip bomb end at the bound.
func TestBoundsAnswers(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(zip, zeros{}, 8<<20); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bomb" {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
			return
		}
		_, _ = io.CopyN(w, zeros{}, 2<<20)
	}))
	defer srv.Close()
	c := New(Config{MaxBody: 1 << 20})
	for _, path := range []string{"/huge", "/bomb"} {
		if _, err := get(t, c, srv.URL+path); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", path, err)
		}
	}
}

// TestAnnouncedLength: a Content-Length is no more than a hint. One over the bound
// is refused without reading, and a body that ends before it is no answer (R22).
func TestAnnouncedLength(t *testing.T) {
	const bound = 1 << 20
	for name, c := range map[string]struct {
		announced, sent int
		whole           bool
		err             error // nil: any, unless whole
	}{
		"small":        {announced: 1000, sent: 1000, whole: true},
		"not believed": {announced: bound, sent: bound, whole: true},
		"nothing":      {whole: true},
		"over":         {announced: bound + 1, sent: bound + 1, err: ErrTooLarge},
		"far over":     {announced: 1 << 40, err: ErrTooLarge},
		"cut off":      {announced: 1000, sent: 999},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(c.announced))
			_, _ = w.Write(bytes.Repeat([]byte("x"), c.sent))
		}))
		res, err := get(t, New(Config{MaxBody: bound}), srv.URL)
		srv.Close()
		switch {
		case c.whole && (err != nil || len(res.Body) != c.sent):
			t.Errorf("%s: %d bytes of %d, %v", name, len(res.Body), c.sent, err)
		case !c.whole && (err == nil || c.err != nil && !errors.Is(err, c.err)):
			t.Errorf("%s: %d bytes, %v", name, len(res.Body), err)
		}
	}
}

// TestBoundsHeads proves T120: a head that does not end is no answer.
func TestBoundsHeads(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.URL.Query().Get("size"))
		if err != nil {
			t.Error(err)
		}
		for i := range size / 1000 {
			w.Header().Set(fmt.Sprintf("X-Filler-%d", i), strings.Repeat("x", 1000))
		}
	}))
	defer srv.Close()
	if _, err := get(t, New(Config{}), srv.URL+"?size=50000"); err != nil {
		t.Errorf("a head within the bound: %v", err)
	}
	if res, err := get(t, New(Config{}), srv.URL+"?size=500000"); err == nil {
		t.Errorf("a head of half a megabyte is an answer: %d", res.Status)
	}
}

// TestDeadlineCoversTheBody proves R22: a dripping body ends at the deadline.
func TestDeadlineCoversTheBody(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{"))
		w.(http.Flusher).Flush()
		<-release
	}))
	defer srv.Close()
	defer close(release)
	_, err := get(t, New(Config{Timeout: 50 * time.Millisecond}), srv.URL)
	if e, ok := errors.AsType[*Error](err); !ok || !e.Sent {
		t.Errorf("got %v; want an error that says it was sent", err)
	}
}

// TestErrorNamesNoAddress proves T29: a token in the address is in no error.
func TestErrorNamesNoAddress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, err = get(t, New(Config{}), "http://"+address+"/x?access_token=canary")
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Sent {
		t.Errorf("got %v; want an error that says nothing was sent", err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error tells the token: %v", err)
	}
}

// TestVerifiesTLS proves T11: wrong host, unknown issuer, a certificate that is
// past its end or before its beginning, and TLS 1.1 fail.
func TestVerifiesTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	if _, err := get(t, New(Config{TLS: &tls.Config{RootCAs: roots}}), srv.URL); err != nil {
		t.Errorf("the right issuer was refused: %v", err)
	}
	if _, err := get(t, New(Config{TLS: &tls.Config{InsecureSkipVerify: true}}), srv.URL); err == nil {
		t.Error("an unknown issuer passed")
	}
	wrongHost := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	if _, err := get(t, New(Config{TLS: &tls.Config{RootCAs: roots}}), wrongHost); err == nil {
		t.Error("a certificate for another host passed")
	}
	for name, at := range map[string]time.Time{"expired": srv.Certificate().NotAfter.Add(time.Hour), "not yet valid": srv.Certificate().NotBefore.Add(-time.Hour)} {
		if _, err := get(t, New(Config{TLS: &tls.Config{RootCAs: roots, Time: func() time.Time { return at }}}), srv.URL); err == nil {
			t.Errorf("a certificate that is %s passed", name)
		}
	}
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	defer old.Close()
	roots.AddCert(old.Certificate())
	if _, err := get(t, New(Config{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10}}), old.URL); err == nil {
		t.Error("TLS 1.1 passed")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
