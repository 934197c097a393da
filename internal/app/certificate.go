package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certificateEvery is how often the files are looked at: a new pair is served
// within five seconds, with or without SIGHUP (R56).
const certificateEvery = 2 * time.Second

// certificate serves the newest pair that was loaded.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger
	now               func() time.Time
	pair              atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	seen   stamps        // of the files when they were last read
	warned time.Duration // the last warning given before the end of this pair
}

// stamps tell files from their successors without reading them.
type stamps [2]struct {
	changed time.Time
	size    int64
}

func newCertificate(certFile, keyFile string, logger *slog.Logger, now func() time.Time) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger, now: now}
	return c, c.load()
}

// load reads the pair; one that does not fit together leaves the old one (R56).
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = c.stamps()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("listen.cert: %w", err)
	}
	c.pair.Store(&pair)
	c.warned = 0
	return nil
}

// stamps of the files as they lie there now; zero for one that cannot be looked at.
func (c *certificate) stamps() (s stamps) {
	for i, path := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(path); err == nil {
			s[i].changed, s[i].size = info.ModTime(), info.Size()
		}
	}
	return s
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil }

// watch looks at the files until ctx ends.
func (c *certificate) watch(ctx context.Context) {
	ticker := time.NewTicker(certificateEvery)
	defer ticker.Stop()
	for {
		c.look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look loads the files when they changed. Cert and key are two files, so a pair
// caught half-way is tried again when the other one follows.
func (c *certificate) look() {
	c.mu.Lock()
	changed := c.stamps() != c.seen
	c.mu.Unlock()
	if changed {
		if err := c.load(); err != nil {
			c.logger.Error("the new certificate is not served; the old one goes on", "error", err)
		} else {
			c.logger.Info("a new certificate is served", "until", c.pair.Load().Leaf.NotAfter)
		}
	}
	c.warn()
}

// warn speaks 30, 7 and 1 days before the end, and at the end (R56).
func (c *certificate) warn() {
	const day = 24 * time.Hour
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.pair.Load().Leaf.NotAfter
	left := until.Sub(c.now())
	for _, mark := range []time.Duration{1, day, 7 * day, 30 * day} { // the nearest that has come
		if left > mark {
			continue
		}
		if c.warned == 0 || mark < c.warned {
			c.warned = mark
			c.logger.Warn("the certificate of the public listener ends soon; put a new pair into the files of listen.cert and listen.key",
				"until", until, "days_left", int(left/day))
		}
		return
	}
}
