package proxy

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"

	"kdgate/gateway/proxy/direct"
)

// smallBody is how large a body may be that is read whole before anything goes
// upstream. Nearly every call of a page is smaller.
const smallBody = 16 << 10

// pass sends the request through.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, one *passage) error {
	began := p.cfg.Now()
	one.waiting.Store(began.UnixNano())
	one.ResponseWriter, one.proxy, one.request = w, p, r
	guard, ok := guardFor(r)
	if !ok {
		return p.refusePath(r, one.who, closed)
	}
	if r.Body != nil && r.Body != http.NoBody {
		one.body = &body{ReadCloser: r.Body, passage: one, guard: guard}
	}
	if err := p.assert(r.Context(), one); err != nil {
		return err
	}
	timer := time.AfterFunc(lingers, one.linger)
	defer one.finish(timer)
	err := p.ask(one, r)
	p.cfg.Observer.Proxied(p.cfg.Now().Sub(began))
	if err != nil {
		return one.verdict(r.Context(), err)
	}
	return nil
}

// ask takes the short way where it can: one write, and the answer read right
// here. net/http's Transport has the rest.
func (p *Proxy) ask(ps *passage, r *http.Request) error {
	if p.direct != nil && isShort(r) {
		return p.askDirect(ps, r)
	}
	return p.askTransport(ps, r)
}

// isShort reports a request of the usual kind: nothing in it that the message
// which is written for it could not say.
func isShort(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if r.ContentLength != 0 {
			return false
		}
	case http.MethodPost:
		if r.ContentLength < 0 || r.ContentLength > smallBody {
			return false
		}
	default:
		return false
	}
	_, expects := r.Header["Expect"]
	return !expects && len(r.TransferEncoding) == 0 && len(r.Trailer) == 0 && upgradeOf(r.Header) == ""
}

// messages are the buffers that requests are written into.
type messages struct{ pool sync.Pool }

func (m *messages) get() *[]byte {
	if room, ok := m.pool.Get().(*[]byte); ok {
		return room
	}
	room := make([]byte, 0, 2<<10)
	return &room
}

func (p *Proxy) askDirect(ps *passage, r *http.Request) error {
	size := int(r.ContentLength)
	room := p.messages.get()
	message, err := p.message(*room, r, ps.bound, size)
	defer func() {
		*room = message
		p.messages.pool.Put(room)
	}()
	if err != nil {
		return err
	}
	if size > 0 {
		if err := ps.body.fill(message[len(message)-size:]); err != nil {
			return err
		}
	}
	call := &direct.Call{Request: r, Message: message, Safe: r.Method != http.MethodPost, Interim: ps.interim}
	if !ps.endBy(call.Abort) {
		return direct.ErrAborted
	}
	res, err := p.direct.Do(r.Context(), call)
	if err != nil {
		return err
	}
	return p.answer(ps, r, res)
}

func (p *Proxy) askTransport(ps *passage, r *http.Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if !ps.endBy(cancel) {
		return context.Canceled
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			ps.interim(&http.Response{StatusCode: code, Header: http.Header(header)})
			return nil
		},
	})
	res, err := p.transport.RoundTrip(p.request(ctx, r, ps))
	if err != nil {
		return err
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return p.tunnel(ps, r, res)
	}
	return p.answer(ps, r, res)
}
