package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"kdgate/gateway"
)

// errBadValue is a header value or target that no listener of ours lets in.
var errBadValue = errors.New("proxy: a byte that may not stand in a message")

// upstream are parts of every request upstream, made once; nobody writes into them.
type upstream struct {
	host    string   // what Kingdee is called: the Host header
	proto   []string // header values of their own
	public  []string
	opening string // of a message: the version and Host, behind method and target
	closing string // its last header fields
}

func newUpstream(cfg Config) (upstream, error) {
	host := cfg.Upstream.Host
	if cfg.KeepHost {
		host = cfg.PublicURL.Host
	}
	written, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return upstream{}, err
	}
	if !cleanValue(written) || !cleanValue(cfg.PublicURL.Host) {
		return upstream{}, errBadValue
	}
	return upstream{
		host: host, proto: []string{cfg.PublicURL.Scheme}, public: []string{cfg.PublicURL.Host},
		opening: " HTTP/1.1\r\nHost: " + written + "\r\n",
		closing: "X-Forwarded-Proto: " + cfg.PublicURL.Scheme + "\r\nX-Forwarded-Host: " + cfg.PublicURL.Host + "\r\n\r\n",
	}, nil
}

// eachPassed visits every header field of a request that goes upstream as it
// came; of the cookies, ours are still to be left out. What a Connection header
// names is gone before anything of ours is added, so that no client can take
// that away (T53).
func eachPassed(header http.Header, visit func(name, value string)) {
	named := header["Connection"]
	for name, values := range header {
		if isOfHop(name) || isIdentity(name) || isRequestID(name) || len(named) > 0 && isNamed(named, name) {
			continue
		}
		for _, value := range values {
			visit(name, value)
		}
	}
}

// isRequestID knows the header that is ours to set, in any spelling.
func isRequestID(name string) bool {
	const ours = "x-request-id"
	return len(name) == len(ours) && gateway.BeginsFolded(name, ours)
}

// isOfHop names the fields that concern one connection alone (RFC 9110, 7.6.1),
// or that are written anew for the next.
func isOfHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Host", "Content-Length":
		return true
	default:
		return false
	}
}

// isNamed reports whether a Connection header names the field.
func isNamed(connection []string, name string) bool {
	for _, line := range connection {
		for rest, more := line, true; more; {
			var token string
			token, rest, more = strings.Cut(rest, ",")
			if strings.EqualFold(textproto.TrimString(token), name) {
				return true
			}
		}
	}
	return false
}

// takesTrailers reports a client that reads trailers, which is all of TE that is passed on.
func takesTrailers(header http.Header) bool {
	te, ok := header["Te"]
	return ok && httpguts.HeaderValuesContainsToken(te, "trailers")
}

// message is a whole request with a body of size bytes, as it stands on the
// wire; the body itself is still to be filled in at its end.
func (p *Proxy) message(room []byte, r *http.Request, bound *binding, size int) ([]byte, error) {
	target := r.URL.RequestURI()
	clean := cleanText(target) && cleanText(r.Method)
	b := append(append(append(room[:0], r.Method...), ' '), target...)
	b = append(b, p.upstream.opening...)
	eachPassed(r.Header, func(name, value string) {
		clean = clean && cleanValue(value)
		if name == "Cookie" {
			b = cookieField(b, value)
			return
		}
		b = field(b, name, value)
	})
	if takesTrailers(r.Header) {
		b = append(b, "Te: trailers\r\n"...)
	}
	if size > 0 || r.Method == http.MethodPost {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(size), 10), "\r\n"...)
	}
	b = field(b, "X-Forwarded-For", gateway.SourceOf(r.Context()))
	b = field(b, "X-Request-Id", gateway.RequestIDOf(r.Context()))
	if held := bound.badge.Load(); held != nil {
		b = field(b, AssertionHeader, held.header[0])
	}
	b = append(b, p.upstream.closing...)
	if !clean {
		return b, errBadValue
	}
	head := len(b)
	return append(b, make([]byte, size)...)[:head+size], nil
}

func field(b []byte, name, value string) []byte {
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}

// cookieField is the Cookie field without cookies of ours, and nothing when no
// other is left.
func cookieField(b []byte, line string) []byte {
	const name = "Cookie: "
	before := len(b)
	b = append(b, name...)
	if b = appendForeign(b, line); len(b) == before+len(name) {
		return b[:before]
	}
	return append(b, "\r\n"...)
}

// cleanValue reports a value with no control byte but the tab (RFC 9110, 5.5).
func cleanValue(value string) bool {
	for i := range len(value) {
		if b := value[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// cleanText reports a text that ends nowhere on a request line.
func cleanText(text string) bool {
	for i := range len(text) {
		if b := text[i]; b <= ' ' || b == 0x7f {
			return false
		}
	}
	return text != ""
}

// request is the same for net/http's Transport: for bodies that are passed on
// as they come, other methods, and switches of protocols.
func (p *Proxy) request(ctx context.Context, r *http.Request, ps *passage) *http.Request {
	out := (&http.Request{}).WithContext(ctx)
	out.Method, out.ContentLength, out.Host = r.Method, r.ContentLength, p.upstream.host
	out.URL = &url.URL{
		Scheme: p.cfg.Upstream.Scheme, Host: p.cfg.Upstream.Host, Path: r.URL.Path, RawPath: r.URL.RawPath,
		RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery, // byte for byte; the edge has judged it
	}
	header := make(http.Header, len(r.Header)+8)
	eachPassed(r.Header, func(name, value string) {
		if name == "Cookie" {
			value = string(appendForeign(nil, value))
		}
		if name != "Cookie" || value != "" {
			header[name] = append(header[name], value)
		}
	})
	if _, given := header["User-Agent"]; !given {
		header["User-Agent"] = []string{""} // else net/http writes its own
	}
	if takesTrailers(r.Header) {
		header["Te"] = []string{"trailers"}
	}
	if kind := upgradeOf(r.Header); kind != "" {
		header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{kind}
	}
	header["X-Forwarded-For"] = []string{gateway.SourceOf(r.Context())}
	header["X-Forwarded-Proto"], header["X-Forwarded-Host"] = p.upstream.proto, p.upstream.public
	header["X-Request-Id"] = []string{gateway.RequestIDOf(r.Context())}
	if held := ps.bound.badge.Load(); held != nil {
		header[AssertionHeader] = held.header
	}
	out.Header = header
	if ps.body != nil {
		out.Body = ps.body
		out.Trailer = ps.body.announce(r.Trailer)
	}
	return out
}

// upgradeOf is the protocol that a message wants to switch to, empty for none.
// WebSocket is the only one that passes: over h2c, which some servers speak, a
// client could say whatever it likes to Kingdee, past every rule here (T54, T56).
func upgradeOf(header http.Header) string {
	kinds := header["Upgrade"]
	if len(kinds) != 1 || !strings.EqualFold(kinds[0], webSocket) || !httpguts.HeaderValuesContainsToken(header["Connection"], "Upgrade") {
		return ""
	}
	return kinds[0]
}

const webSocket = "websocket"

// fill reads a body whose size was announced into room.
func (b *body) fill(room []byte) error {
	_, err := io.ReadFull(b, room)
	if err != nil {
		b.broken.Store(true)
	}
	return err
}
