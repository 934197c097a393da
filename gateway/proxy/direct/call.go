package direct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
)

// Errors of Do, beside those of the connection.
var (
	// ErrAborted is a call that Abort ended.
	ErrAborted = errors.New("direct: aborted")
	// ErrSwitched is an answer that switches protocols, which nobody asked for.
	ErrSwitched = errors.New("direct: the origin switched protocols unasked")

	errHeadTooLarge = errors.New("direct: head of the answer too large")
	errManyInterim  = errors.New("direct: too many interim answers")
)

const (
	maxInterim = 16 // interim answers to one request
	maxStale   = 2  // connections that turn out dead before a new one is made
)

// Call is one request and its answer. Do uses it once.
type Call struct {
	Request *http.Request        // whom the answer is for; net/http's reader looks at its method
	Message []byte               // the whole request as it stands on the wire
	Safe    bool                 // nothing happens when the origin gets it twice
	Interim func(*http.Response) // hears of 1xx answers but 101; nil: nobody does

	pool    *Pool
	mu      sync.Mutex
	conn    *conn // while it is ours
	aborted bool
}

// Do sends the request and reads the head of its answer. The answer's Body is
// to be closed; not reading it to its end costs the connection. The context
// bounds connecting alone; what comes after is ended by Abort.
func (p *Pool) Do(ctx context.Context, call *Call) (*http.Response, error) {
	call.pool = p
	for try := 0; ; try++ {
		c, used, err := p.take(ctx, try >= maxStale)
		if err != nil {
			return nil, err
		}
		if !call.hold(c) {
			return nil, ErrAborted
		}
		res, begun, err := call.exchange(c)
		if err == nil {
			return res, nil
		}
		aborted := call.drop()
		switch {
		case aborted:
			return nil, ErrAborted
		case !used || begun || !call.Safe:
			return nil, err
		}
	}
}

// exchange is one request and the head of its answer on one connection. begun
// says that the origin has answered something.
func (call *Call) exchange(c *conn) (res *http.Response, begun bool, err error) {
	c.room = call.pool.cfg.MaxHead
	if _, err := c.Write(call.Message); err != nil {
		return nil, false, err
	}
	if _, err := c.in.Peek(1); err != nil {
		return nil, false, noEOF(err)
	}
	for range maxInterim {
		if res, err = http.ReadResponse(c.in, call.Request); err != nil {
			return nil, true, noEOF(err)
		}
		switch {
		case res.StatusCode == http.StatusSwitchingProtocols:
			return nil, true, ErrSwitched
		case res.StatusCode >= http.StatusOK:
			c.room = math.MaxInt64
			return call.deliver(res), true, nil
		case call.Interim != nil:
			call.Interim(res)
		}
	}
	return nil, true, errManyInterim
}

// noEOF says that an end which came too early is a failure.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("direct: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// deliver ties the body to the connection.
func (call *Call) deliver(res *http.Response) *http.Response {
	if res.Body == http.NoBody {
		call.release(!res.Close)
		return res
	}
	res.Body = &body{inner: res.Body, call: call, last: res.Close}
	return res
}

// body is an answer's body. Its end gives the connection back.
type body struct {
	inner io.ReadCloser
	call  *Call
	last  bool  // the connection ends with this answer
	end   error // what Read ended with
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.end != nil {
		return 0, b.end
	}
	n, err := b.inner.Read(p)
	if err != nil {
		b.end = err
		b.call.release(err == io.EOF && !b.last) //nolint:errorlint // the reader's own word, never wrapped: anything else is no end
	}
	return n, err
}

// Close implements io.Closer. A body that was not read to its end takes the
// connection with it: how much would come is the origin's to say.
func (b *body) Close() error {
	if b.end == nil {
		b.end = http.ErrBodyReadAfterClose
		b.call.release(false)
	}
	return nil
}

// hold makes c ours, unless the call was aborted before.
func (call *Call) hold(c *conn) bool {
	call.mu.Lock()
	defer call.mu.Unlock()
	if call.aborted {
		_ = c.Close()
		return false
	}
	call.conn = c
	return true
}

// release parts with the connection: back to the pool when the answer was whole
// and nothing stands behind it, else closed.
func (call *Call) release(whole bool) {
	call.mu.Lock()
	c, aborted := call.conn, call.aborted
	call.conn = nil
	call.mu.Unlock()
	switch {
	case c == nil:
	case whole && !aborted && c.in.Buffered() == 0:
		call.pool.give(c)
	default:
		_ = c.Close()
	}
}

// drop closes the connection and says whether the call was aborted.
func (call *Call) drop() bool {
	call.release(false)
	call.mu.Lock()
	defer call.mu.Unlock()
	return call.aborted
}

// Abort ends the call wherever it is: whoever waits for the origin gets an
// error. It may be called at any time, from anywhere, more than once; after the
// end of the answer it does nothing.
func (call *Call) Abort() {
	call.mu.Lock()
	defer call.mu.Unlock()
	call.aborted = true
	if call.conn != nil {
		_ = call.conn.Close()
	}
}
