package strictwire

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Config says how a listener vets. Zero values take the defaults named.
type Config struct {
	// TLS makes the listener do the handshake; nil is plain HTTP. NextProtos
	// default to h2 and http/1.1.
	TLS *tls.Config
	// Headers stand on every refusal (T59).
	Headers http.Header
	// RequestID gives the reference for a refusal. Default: empty.
	RequestID func() string
	// OnRefuse hears of every refusal, with a fixed text from a small set that
	// holds no input. It must be quick, and safe for concurrent use.
	OnRefuse func(reason string, remote net.Addr)

	MaxTarget   int // bytes of the request target, default 8 KiB (R59)
	MaxHead     int // bytes of request line and fields, default 32 KiB (R59); at most the server's MaxHeaderBytes
	MaxTrailers int // bytes after the last chunk, default 2 KiB; net/http takes 4 KiB

	// MaxLongHeads is how many unfinished heads of more than 4 KiB are read at
	// once, default 128; the others wait (R58).
	MaxLongHeads int

	HandshakeTimeout time.Duration // default 5 s (R58)
	// MaxHandshakes is how many may be under way, default 1024. One more ends the
	// oldest: an honest client is done in a moment.
	MaxHandshakes int

	Now func() time.Time // real time, for deadlines and Date; default time.Now
}

func (cfg Config) withDefaults() Config {
	if cfg.RequestID == nil {
		cfg.RequestID = func() string { return "" }
	}
	if cfg.OnRefuse == nil {
		cfg.OnRefuse = func(string, net.Addr) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	for _, size := range []struct {
		value   *int
		initial int
	}{{&cfg.MaxTarget, 8 << 10}, {&cfg.MaxHead, 32 << 10}, {&cfg.MaxTrailers, 2 << 10}, {&cfg.MaxLongHeads, 128}, {&cfg.MaxHandshakes, 1024}} {
		if *size.value <= 0 {
			*size.value = size.initial
		}
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 5 * time.Second
	}
	return cfg
}

// Listen wraps inner so that http.Server.Serve (not ServeTLS, which would do a
// second handshake) sees well-formed HTTP/1.x only. With TLS, connections that
// negotiated h2 come out as *tls.Conn; for them the server's own TLSConfig is
// nil or names h2 in NextProtos. Errors of Accept are those of inner.
func Listen(inner net.Listener, cfg Config) net.Listener {
	cfg = cfg.withDefaults()
	plain := &listener{
		Listener: inner, refuser: newRefuser(cfg),
		limits: limits{target: cfg.MaxTarget, head: cfg.MaxHead, trailers: cfg.MaxTrailers},
		heads:  make(heads, cfg.MaxLongHeads),
	}
	if cfg.TLS == nil {
		return plain
	}
	return newSecureListener(plain, cfg)
}

// listener vets plain HTTP.
type listener struct {
	net.Listener
	refuser *refuser
	limits  limits
	heads   heads
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return plainConn{l.newConn(inner)}, nil
}
