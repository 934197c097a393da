package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/audit"
	"kdgate/internal/lockedbuffer"
)

// TestHealthTellsOnce: one line when it begins, one when it ends, whoever asks
// and however often; a check that hangs is a check that fails.
func TestHealthTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lockedbuffer.Buffer{}
		var fault atomic.Pointer[error]
		fail := func(err error) { fault.Store(&err) }
		fail(nil)
		h := newHealth(slog.New(slog.NewTextHandler(log, nil)), func(string, bool) {},
			check{name: "store", ask: func(context.Context) error { return *fault.Load() }},
			check{name: "hint", ask: func(context.Context) error { return errors.New("look at me") }, advisory: true},
		)
		ctx, cancel := context.WithCancel(t.Context())
		go h.watch(ctx)
		time.Sleep(3*healthEvery + time.Second) // between two rounds from here on
		if answer := h.ask(ctx); !answer.Ready || answer.Checks["hint"] != "look at me" {
			t.Errorf("well: %+v", answer)
		}
		fail(errors.New("away: do this"))
		time.Sleep(healthEvery)
		fail(errors.New("away: in other words"))
		time.Sleep(3 * healthEvery)
		if answer := h.ask(ctx); answer.Ready || answer.Checks["store"] != "away: in other words" {
			t.Errorf("away: %+v", answer)
		}
		fail(nil)
		time.Sleep(healthEvery)
		cancel()
		synctest.Wait()
		for line, want := range map[string]int{"away: do this": 1, "other words": 0, "ready again": 1, "look at me": 1} {
			if got := strings.Count(log.String(), line); got != want {
				t.Errorf("%q is told %d times, want %d:\n%s", line, got, want, log)
			}
		}
	})
}

// TestHealthDoesNotHang proves R4's bound, and that a caller who hangs up does
// not make the answer a fault.
func TestHealthDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lockedbuffer.Buffer{}
		slow := time.Duration(0)
		h := newHealth(slog.New(slog.NewTextHandler(log, nil)), func(string, bool) {}, check{name: "store", ask: func(ctx context.Context) error {
			select {
			case <-time.After(slow):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		slow = time.Second
		if answer := h.ask(gone); !answer.Ready || log.String() != "" {
			t.Errorf("a caller that is gone: %+v, %s", answer, log)
		}
		began := time.Now()
		slow = time.Hour
		if answer := h.ask(t.Context()); answer.Ready || time.Since(began) != askTime {
			t.Errorf("a check that hangs: %+v after %s", answer, time.Since(began))
		}
	})
}

// pair writes a certificate that ends at until.
func pair(t *testing.T, dir string, until time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(until.Unix()), NotBefore: until.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certFile, keyFile
}

// TestCertificateWarns proves R56: at 30, 7 and 1 days and at the end, each once,
// and anew for a new pair.
func TestCertificateWarns(t *testing.T) {
	const day = 24 * time.Hour
	dir, log := t.TempDir(), &lockedbuffer.Buffer{}
	end := time.Now().Truncate(time.Second).Add(100 * day)
	certFile, keyFile := pair(t, dir, end)
	now := end.Add(-40 * day)
	c, err := newCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)), func() time.Time { return now })
	must(t, err)
	warnings := 0
	for _, step := range []struct {
		left time.Duration
		more bool
	}{
		{40 * day, false},
		{31 * day, false},
		{30 * day, true},
		{29 * day, false},
		{8 * day, false},
		{7 * day, true},
		{2 * day, false},
		{day, true},
		{time.Hour, false},
		{-time.Hour, true},
		{-day, false},
	} {
		now = end.Add(-step.left)
		c.look()
		c.look()
		got := strings.Count(log.String(), "ends soon") - warnings
		if want := map[bool]int{true: 1}[step.more]; got != want {
			t.Errorf("%s before the end: %d warnings, want %d", step.left, got, want)
		}
		warnings += got
	}
	pair(t, dir, end.Add(5*day))
	must(t, os.Chtimes(certFile, end, end)) // a new stamp even on a coarse clock
	now = end
	c.look()
	if got := strings.Count(log.String(), "ends soon") - warnings; got != 1 {
		t.Errorf("a new pair with 5 days left: %d warnings", got)
	}
	if got := c.pair.Load().Leaf.NotAfter; !got.Equal(end.Add(5 * day)) {
		t.Errorf("serves the pair that ends %s", got)
	}
}

// TestHalfAPairIsRefusedOnce: the log tells it once, not every two seconds.
func TestHalfAPairIsRefusedOnce(t *testing.T) {
	dir, log := t.TempDir(), &lockedbuffer.Buffer{}
	end := time.Now().Add(1000 * time.Hour)
	certFile, keyFile := pair(t, dir, end)
	c, err := newCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)), time.Now)
	must(t, err)
	first := c.pair.Load()
	must(t, os.WriteFile(keyFile, []byte("half"), 0o600))
	for range 5 {
		c.look()
	}
	if got := strings.Count(log.String(), "not served"); got != 1 || c.pair.Load() != first {
		t.Errorf("told %d times:\n%s", got, log)
	}
	must(t, os.Remove(certFile))
	c.look()
	if c.pair.Load() != first {
		t.Error("a missing file took the certificate away")
	}
}

// TestAuditKey: the log's own key is found wherever it stands in the list (R57).
func TestAuditKey(t *testing.T) {
	a, b, c := []byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 32)), []byte(strings.Repeat("c", 32))
	begun := t.TempDir()
	must(t, keepAuditKey(begun, b))
	must(t, keepAuditKey(begun, c)) // the first stays
	for name, step := range map[string]struct {
		dir  string
		keys [][]byte
		want []byte
	}{
		"alone": {begun, [][]byte{b}, b}, "first": {begun, [][]byte{b, a}, b}, "last": {begun, [][]byte{a, b}, b},
		"a log that does not say": {t.TempDir(), [][]byte{a, b, c}, c}, "gone": {begun, [][]byte{a, c}, nil},
	} {
		got, err := AuditKey(step.dir, step.keys)
		if string(got) != string(step.want) || (err == nil) != (step.want != nil) {
			t.Errorf("%s: key %.1q, error %v", name, got, err)
		}
	}
	public, err := audit.PublicKey(b)
	must(t, err)
	if read, err := ReadPublicKey(filepath.Join(begun, auditKeyFile)); err != nil || !read.Equal(public) {
		t.Errorf("the file holds %s, %v", read, err)
	}
	must(t, os.WriteFile(filepath.Join(begun, auditKeyFile), []byte("rubbish"), 0o600))
	if _, err := AuditKey(begun, [][]byte{b}); err == nil || !strings.Contains(err.Error(), "no public key") {
		t.Errorf("rubbish: %v", err)
	}
}
