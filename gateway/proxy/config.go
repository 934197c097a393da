package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// Config is everything a Proxy needs. New checks it and changes nothing in it.
type Config struct {
	Centre    string   // id of the data centre, for the audit log
	Upstream  *url.URL // Kingdee's base address, ending in /K3Cloud/
	PublicURL *url.URL // scheme and host of our own addresses
	KeepHost  bool     // send our own host name upstream instead of Kingdee's
	TLS       *tls.Config

	AllowHeaders []string // header names with an underscore that pass; nil: accept-encoding_wpf (reference 6)
	DenyPaths    []string // patterns below /K3Cloud/ that are closed, beside the ones that always are
	AllowPaths   []string // patterns that open what is closed by default; what is always closed stays so

	Store    store.Store
	Sessions Sessions
	Standing Standing // nil: whoever was let in stays for as long as their session
	Recorder Recorder
	Signer   Signer       // nil: no assertion is sent
	Observer Observer     // nil: nothing is counted
	Logger   *slog.Logger // nil: slog.Default
	Limits   Limits
	Now      func() time.Time // nil: time.Now
}

// Limits bounds a passage. Zero values mean the defaults.
type Limits struct {
	Wait        time.Duration // for the first byte of an answer: reports and long polls take long (10 min)
	Stall       time.Duration // without a byte moving, on the browser's side (60 s)
	Redeem      time.Duration // of one redemption (8 s)
	Standing    time.Duration // how often a request that lasts is held against Standing (2 s)
	Idle        time.Duration // after which Kingdee has forgotten a session (20 min; reference 2.4)
	Connections int           // idle connections kept to Kingdee (256)
}

// Sessions tells who sits behind a request. It stands here so that proxy need
// not import identity/session and its cookie library.
type Sessions interface {
	// Attend is the person behind the request's cookie, and a channel that is
	// closed when the session has ended, wherever that was.
	Attend(r *http.Request) (identity.Principal, <-chan struct{}, error)
}

// Standing tells whether somebody who was let in may still act as that login
// user: an administrator may have suspended or changed their row since (T40). It
// is asked at every request, and while one lasts; whoever cannot say says yes,
// because no way in depends on it. It stands here so that proxy need not import
// mapping.
type Standing interface {
	Stands(ctx context.Context, who identity.Subject, loginUser string) bool
}

// Signer makes the assertion that tells an upstream who is there. It stands
// here so that proxy need not import identity/token.
type Signer interface {
	// Assert signs for the person and their login user, and says until when the
	// assertion holds.
	Assert(ctx context.Context, who identity.Principal, loginUser string) (token identity.Secret, until time.Time, err error)
}

// Recorder writes the audit log; it returns when the record is durable.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Observer counts passages; it must not block.
type Observer interface {
	Proxied(took time.Duration)
}

type nobody struct{}

func (nobody) Proxied(time.Duration) {}

// basePath is where Kingdee lives on every server; its letter case is free
// (reference 6), this is how we write it.
const basePath = "/K3Cloud/"

func (c Config) withDefaults() Config {
	if c.AllowHeaders == nil {
		c.AllowHeaders = []string{"accept-encoding_wpf"}
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

func (l Limits) withDefaults() Limits {
	for _, one := range []struct {
		limit    *time.Duration
		standard time.Duration
	}{
		{&l.Wait, 10 * time.Minute}, {&l.Stall, time.Minute}, {&l.Redeem, 8 * time.Second}, {&l.Standing, 2 * time.Second}, {&l.Idle, 20 * time.Minute},
	} {
		if *one.limit <= 0 {
			*one.limit = one.standard
		}
	}
	if l.Connections <= 0 {
		l.Connections = 256
	}
	return l
}

// check reports every mistake at once.
func (c Config) check() error {
	var errs []error
	need := func(missing bool, what string) {
		if missing {
			errs = append(errs, errors.New(what+": missing"))
		}
	}
	need(c.Centre == "", "data centre")
	need(c.Store == nil, "store")
	need(c.Sessions == nil, "sessions")
	need(c.Recorder == nil, "recorder")
	need(c.PublicURL == nil || c.PublicURL.Host == "", "public URL")
	switch u := c.Upstream; {
	case u == nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		errs = append(errs, errors.New("upstream: not an http address"))
	case !strings.EqualFold(u.Path, basePath):
		// Its scripts hold absolute addresses and its cookies this path, so it cannot be moved.
		errs = append(errs, fmt.Errorf("upstream: the path is %q; only %s can be proxied", u.Path, basePath))
	}
	for _, name := range c.AllowHeaders {
		if !strings.Contains(name, "_") || isIdentity(name) {
			errs = append(errs, fmt.Errorf("header %q: holds no underscore, or names a person", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("proxy: configuration: %w", err)
	}
	return nil
}
