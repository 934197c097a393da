// Package peer is the outbound HTTP door to the vendors. It owns the hard
// limits of a call: no redirects, bounded headers and bodies (after
// decompression), a deadline over the whole exchange, TLS 1.2 or later with
// verification that cannot be switched off. It refuses to know what an answer
// means: retries, refreshes and pauses belong to each vendor's decision table.
package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// Config bounds the calls to one peer. Zero values take the defaults named.
type Config struct {
	Timeout        time.Duration // whole exchange, default 8 s (R18, R19)
	MaxBody        int64         // bytes after decompression, default 4 MiB (T120)
	MaxConnections int           // to one host, default 64
	TLS            *tls.Config   // roots and client certificate; the minimum version is raised to 1.2
	Guard          *Guard        // for addresses that people type in; nil: the address is the operator's own
}

// Client calls one peer. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	timeout time.Duration
	maxBody int64
}

// Response is a whole answer, read within the bounds.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Error is a call without a usable answer. It never holds the URL, because
// vendors want tokens and secrets there.
type Error struct {
	// Sent says that the request may have reached the peer: a write must not
	// simply be repeated.
	Sent bool
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("peer: no answer: %v", e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge is a body over the bound.
var ErrTooLarge = errors.New("answer is larger than allowed")

const (
	defaultTimeout  = 8 * time.Second
	defaultMaxBody  = 4 << 20
	defaultMaxConns = 64
	maxHeaderBytes  = 64 << 10
	maxTrusted      = 256 << 10 // bytes that are set aside on the word of a Content-Length
)

// New makes a client with its own connection pool.
func New(cfg Config) *Client {
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = defaultMaxBody
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = defaultMaxConns
	}
	return &Client{
		timeout: cfg.Timeout,
		maxBody: cfg.MaxBody,
		http: &http.Client{
			Transport: newTransport(cfg),
			// A redirect would carry credentials to a place nobody configured;
			// the caller sees the 3xx itself.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func newTransport(cfg Config) *http.Transport {
	tlsConfig := &tls.Config{}
	if cfg.TLS != nil {
		tlsConfig = cfg.TLS.Clone()
	}
	tlsConfig.MinVersion = max(tlsConfig.MinVersion, tls.VersionTLS12)
	tlsConfig.InsecureSkipVerify = false
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	if cfg.Guard != nil {
		dialer.Control = cfg.Guard.control
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    3 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        cfg.MaxConnections,
		MaxIdleConnsPerHost:    cfg.MaxConnections,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// Do sends req and reads the whole answer. Any status is an answer; an error
// means there was none within the bounds, and is always an *Error.
func (c *Client) Do(ctx context.Context, req *http.Request) (Response, error) {
	return c.DoInto(ctx, req, nil)
}

// DoInto is Do for whoever calls again and again: the body is read into room,
// which has to be left alone until nothing of the answer is needed any more.
func (c *Client) DoInto(ctx context.Context, req *http.Request, room *bytes.Buffer) (Response, error) {
	if room == nil {
		room = &bytes.Buffer{}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
	})
	res, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return Response{}, &Error{Sent: sent.Load(), Err: withoutURL(err)}
	}
	defer res.Body.Close()
	body, err := c.read(res, room)
	if err != nil {
		return Response{}, &Error{Sent: true, Err: withoutURL(err)}
	}
	return Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// read reads the whole body. One whose length is announced and small is given
// its room at once; growing towards it would cost several times as much.
func (c *Client) read(res *http.Response, body *bytes.Buffer) ([]byte, error) {
	if res.ContentLength > c.maxBody {
		return nil, ErrTooLarge
	}
	body.Reset()
	if res.ContentLength > 0 && res.ContentLength <= maxTrusted {
		body.Grow(int(res.ContentLength) + bytes.MinRead) // the rest is for the read that meets the end
	}
	if _, err := body.ReadFrom(io.LimitReader(res.Body, c.maxBody+1)); err != nil {
		return nil, err
	}
	if int64(body.Len()) > c.maxBody {
		return nil, ErrTooLarge
	}
	return body.Bytes(), nil
}

// Patient is a view of the client that waits up to timeout for an answer, for
// jobs: it shares the connections and every other bound.
func (c *Client) Patient(timeout time.Duration) *Client {
	view := *c
	view.timeout = timeout
	return &view
}

// Upgrader speaks to the same peer for protocols that begin as HTTP and go on
// by themselves, such as web sockets: same connections, TLS rules and refusal
// of redirects. The bounds of Do on time and size are then its user's to set.
func (c *Client) Upgrader() *http.Client { return c.http }

// CloseIdle ends the idle connections of the pool.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// withoutURL strips the address that net/http puts into its errors.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
