package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// cleanTarget reports whether a request target has exactly one reading. The
// mux, the session check and, later, an upstream must all see the same path
// (T47), so whatever two programs could read differently is refused here:
// encoded slashes, backslashes and dots, empty and dot segments, path
// parameters, NUL and other controls, bytes that should have been encoded,
// escapes that are none, and escapes of escapes.
func cleanTarget(target string) bool {
	if !strings.HasPrefix(target, "/") {
		return false // absolute form, authority form and "*" are for proxies
	}
	path, query, _ := strings.Cut(target, "?")
	return cleanPath(path) && cleanQuery(query)
}

func cleanPath(path string) bool {
	var decoded []byte // only when it differs from path, which then is ASCII throughout
	if strings.IndexByte(path, '%') >= 0 {
		decoded = make([]byte, 0, len(path))
	}
	for i := 0; i < len(path); i++ {
		b := path[i]
		if b <= ' ' || b >= 0x7f || b == '\\' || b == ';' || b == '#' {
			return false
		}
		if b == '%' {
			var ok bool
			if b, ok = unescape(path[i:]); !ok || b < ' ' || b == 0x7f || strings.IndexByte(`/\.;#%?`, b) >= 0 {
				return false
			}
			i += 2
		}
		if decoded != nil {
			decoded = append(decoded, b)
		}
	}
	return utf8.Valid(decoded) && cleanSegments(path[1:])
}

func cleanSegments(path string) bool {
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if segment == "." || segment == ".." || segment == "" && more {
			return false
		}
	}
	return true
}

// cleanQuery allows what a browser writes; it is never used for routing.
func cleanQuery(query string) bool {
	for i := 0; i < len(query); i++ {
		b := query[i]
		if b <= ' ' || b >= 0x7f || b == '#' || b == '\\' {
			return false
		}
		if b == '%' {
			if _, ok := unescape(query[i:]); !ok {
				return false
			}
		}
	}
	return true
}

// unescape reads the %XX at the start of text.
func unescape(text string) (byte, bool) {
	if len(text) < 3 {
		return 0, false
	}
	high, ok1 := hexDigit(text[1])
	low, ok2 := hexDigit(text[2])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	default:
		return 0, false
	}
}

// cleanHeaders refuses names that some upstream would read as another name:
// CGI-like programs fold X_Staff_Id into X-Staff-Id (T52).
// allowed names the exceptions.
func cleanHeaders(header http.Header, allowed func(name string) bool) bool {
	for name := range header {
		underscore := false
		for i := 0; i < len(name); i++ {
			if !tokenByte(name[i]) {
				return false
			}
			underscore = underscore || name[i] == '_'
		}
		if underscore && !allowed(name) {
			return false
		}
	}
	return true
}

// headSize counts as HTTP/1.1 writes a head: HTTP/2 compresses it, so that a
// few bytes on the wire can become many (R59).
func headSize(header http.Header) int {
	const around = len(": \r\n")
	size := 0
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value) + around
		}
	}
	return size
}

func noUnderscores(string) bool { return false }

// tokenByte is tchar of RFC 9110, section 5.6.2.
func tokenByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
}

// ownHost reports whether the request was meant for us (T50).
func (g *Gateway) ownHost(host string) bool {
	return host == g.cfg.PublicURL.Host || canonicalHost(host, g.cfg.PublicURL.Scheme) == canonicalHost(g.cfg.PublicURL.Host, g.cfg.PublicURL.Scheme)
}

// canonicalHost folds the case and leaves out the scheme's own port, and no port
// behind another one.
func canonicalHost(host, scheme string) string {
	host = strings.ToLower(host)
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	name, ok := strings.CutSuffix(host, port)
	if !ok || strings.Contains(name[strings.LastIndexByte(name, ']')+1:], ":") {
		return host
	}
	return name
}

// The headers by which a proxy, or whoever plays one, says where a request came
// from, or what it was before. Only clientAddress and originalOf read some of
// them, and only from a trusted peer.
var (
	forwardedNames = [...]string{
		"forwarded", "x-forwarded", "x-real-ip", "true-client-ip", "client-ip", "fastly-client-ip", "x-client-ip", "x-cluster-client-ip",
		"proxy-client-ip", "wl-proxy-client-ip", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override",
	}
	forwardedPrefixes = [...]string{"x-forwarded-", "x-original-", "cf-"}
)

func isForwarded(name string) bool {
	for _, one := range forwardedNames {
		if len(name) == len(one) && BeginsFolded(name, one) {
			return true
		}
	}
	for _, prefix := range forwardedPrefixes {
		if BeginsFolded(name, prefix) {
			return true
		}
	}
	return false
}

// BeginsFolded reports whether a header name begins with prefix, which is lower
// case with dashes, as CGI, WSGI and their like compare it: they fold whatever is no
// letter or digit into one sign, so that X.Real.IP reads as X-Real-IP there.
func BeginsFolded(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		b := name[i]
		switch {
		case b >= 'A' && b <= 'Z':
			b += 'a' - 'A'
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9':
		default:
			b = '-'
		}
		if b != prefix[i] {
			return false
		}
	}
	return true
}

// dropForwarded removes them, so that no handler can trust one by mistake (T49). A
// name with an underscore is left: the request is refused for it, or it is allowed.
func dropForwarded(header http.Header) {
	for name := range header {
		if name == "" || strings.IndexByte("FXTCPWfxtcpw", name[0]) < 0 {
			continue // there are many headers, and these are few
		}
		if isForwarded(name) && !strings.Contains(name, "_") {
			delete(header, name)
		}
	}
}

// clientAddress is the direct peer, or, behind trusted proxies, the nearest
// address in X-Forwarded-For that is not one of them. Every proxy appends what
// it saw, so the list is read from its end; at the first thing that is not an
// address reading stops, and the last address that a trusted proxy vouched for stands.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	client := peerAddress(r.RemoteAddr)
	if !client.IsValid() || !isTrusted(client, trusted) {
		return client
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil || addr.Zone() != "" {
			return client
		}
		client = addr.Unmap()
		if !isTrusted(client, trusted) {
			return client
		}
	}
	return client
}

func peerAddress(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	for _, prefix := range trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
