package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// tunnel joins the browser's connection to Kingdee's after a switch of protocols
// (RFC 9110, 7.8), which is a WebSocket's handshake.
func (p *Proxy) tunnel(ps *passage, r *http.Request, res *http.Response) error {
	behind, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		return fmt.Errorf("proxy: a body of type %T cannot be written to", res.Body)
	}
	defer behind.Close()
	asked, given := upgradeOf(r.Header), upgradeOf(res.Header)
	if asked == "" || !strings.EqualFold(asked, given) || !cleanText(given) {
		return fmt.Errorf("proxy: Kingdee switches to another protocol than was asked for")
	}
	ps.waiting.Store(0)
	if err := p.takeCookies(ps, r, res); err != nil {
		return err
	}
	header := ps.Header()
	p.dress(header, r, res)
	header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{given}
	conn, buffered, err := ps.Hijack()
	if err != nil {
		return fmt.Errorf("proxy: connection not taken over: %w", err)
	}
	defer conn.Close()
	if !ps.endBy(func() { _ = behind.Close() }) {
		return nil // nothing can be answered any more
	}
	opening := http.Response{
		StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
	}
	if err := opening.Write(buffered); err != nil || buffered.Flush() != nil {
		return nil // the browser has gone
	}
	join(conn, early(conn, buffered.Reader.Buffered(), buffered.Reader), behind)
	return nil
}

// early is the browser's side with what came in right behind its request, which
// the server has read already.
func early(conn net.Conn, waiting int, read io.Reader) io.Reader {
	if waiting == 0 {
		return conn
	}
	return io.MultiReader(io.LimitReader(read, int64(waiting)), conn)
}

// join copies both ways until either way fails, or both are at their end.
func join(front net.Conn, from io.Reader, behind io.ReadWriteCloser) {
	ends := make(chan error, 2)
	go func() { ends <- pump(behind, from) }()
	go func() { ends <- pump(front, behind) }()
	for range 2 {
		if err := <-ends; err != nil {
			return
		}
	}
}

// pump copies one way and passes its end on. An end that cannot be passed on by
// itself ends both ways.
func pump(to io.Writer, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return io.EOF
	}
	return half.CloseWrite()
}
