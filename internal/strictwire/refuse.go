package strictwire

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
)

const (
	// writeTime bounds the answer to somebody who does not read.
	writeTime = time.Second
	// lingerTime and lingerBytes bound how long we listen to somebody who goes on
	// sending: closing at once would reset the connection under our answer.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// refuser answers for all connections of a listener.
type refuser struct {
	headers   string // the fixed lines
	requestID func() string
	onRefuse  func(string, net.Addr)
	now       func() time.Time
}

func newRefuser(cfg Config) *refuser {
	var lines strings.Builder
	// A header map has no order; sorted, the answer is the same at every start.
	for _, name := range sortedKeys(cfg.Headers) {
		for _, value := range cfg.Headers[name] {
			fmt.Fprintf(&lines, "%s: %s\r\n", name, value)
		}
	}
	return &refuser{headers: lines.String(), requestID: cfg.RequestID, onRefuse: cfg.OnRefuse, now: cfg.Now}
}

func sortedKeys(header http.Header) []string {
	var names []string
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tell reports a refusal.
func (r *refuser) tell(f fault, remote net.Addr) { r.onRefuse(f.String(), remote) }

// answer writes the refusal, ends our direction, and waits a little for the
// other side to see it. Errors are left out: the connection is over either way.
func (r *refuser) answer(conn net.Conn, f fault) {
	now := r.now()
	_ = conn.SetWriteDeadline(now.Add(writeTime))
	if _, err := conn.Write(r.response(f, now)); err != nil {
		return
	}
	closeWrite(conn)
	_ = conn.SetReadDeadline(now.Add(lingerTime))
	_, _ = io.CopyN(io.Discard, conn, lingerBytes)
}

func (r *refuser) response(f fault, now time.Time) []byte {
	id := r.requestID()
	body := string(identity.CodeBadRequest) + " " + id + "\n"
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: %d\r\nDate: %s\r\nX-Request-Id: %s\r\n%s\r\n%s",
		f.status(), http.StatusText(f.status()), len(body), now.UTC().Format(http.TimeFormat), id, r.headers, body)
}

// closeWrite ends our direction, of TLS and of the TCP under it.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		closeWrite(secure.NetConn())
	}
}
