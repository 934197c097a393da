package proxy

import (
	"net/http"
	"strings"
)

// AssertionHeader carries the signed assertion of who is there, upstream.
const AssertionHeader = "X-Kdgate-Assertion"

// ownCookies begin the names of cookies that are between the browser and the
// gateway. They never go upstream, and an upstream never sets one.
var ownCookies = [...]string{"__host-kdgate", "kdgate-"}

// identityPrefixes begin header names that some program believes to name a
// person, or that log in to Kingdee's Web API by themselves (reference 2.5).
// A client's never go upstream (T51). Kingdee's own browser calls use none of
// them: kdbiz-info, kdservice-sessionid, csrf-token, pvfgsdhsfg.
var identityPrefixes = [...]string{
	"x-kd", "x-staff", "x-remote", "x-auth", "x-user", "x-webauth", "x-forwarded", "x-api-", "x-ms-client-principal",
	"remote-user", "remote-name", "remote-email", "remote-groups", "auth-user", "forwarded",
}

// isIdentity reports whether a header name, in any spelling, begins with one of
// them. CGI, WSGI and their like fold whatever is no letter or digit into one
// sign, so that X_Kd.User reads as X-Kd-User there.
func isIdentity(name string) bool {
	if len(name) < 4 || strings.IndexByte("xXrRaAfF", name[0]) < 0 || isAccept(name) {
		return false // most names are neither
	}
	for _, prefix := range identityPrefixes {
		if hasFoldedPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isAccept spares the headers that every browser sends.
func isAccept(name string) bool { return strings.HasPrefix(name, "Accept") }

func hasFoldedPrefix(name, prefix string) bool {
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

// cleanRequest takes out of a request what must not go upstream. It runs after
// the hop-by-hop headers were removed, so that no Connection header can take
// out again what is set afterwards (T53).
func cleanRequest(header http.Header) {
	for name := range header {
		if isIdentity(name) {
			delete(header, name)
		}
	}
	if lines, ok := header["Cookie"]; ok {
		cleanCookies(header, lines)
	}
}

// cleanCookies leaves every byte of the other cookies as it came.
func cleanCookies(header http.Header, lines []string) {
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = withoutOwn(line); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(header, "Cookie")
		return
	}
	header["Cookie"] = kept
}

func withoutOwn(line string) string {
	var kept strings.Builder
	for rest, more := line, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, ";")
		name, _, _ := strings.Cut(pair, "=")
		if isOwnCookie(strings.Trim(name, " \t")) {
			continue
		}
		if kept.Len() > 0 {
			kept.WriteByte(';')
		} else {
			pair = strings.TrimLeft(pair, " \t")
		}
		kept.WriteString(pair)
	}
	return kept.String()
}

func isOwnCookie(name string) bool {
	for _, prefix := range ownCookies {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// stripped are response headers that tell about the upstream, would let other
// origins read a person's pages, or act on our whole host, which is not the
// upstream's to decide (T57).
var stripped = [...]string{
	"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Sourcefiles",
	"Alt-Svc", "Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "Public-Key-Pins",
	"Report-To", "Reporting-Endpoints", "Nel", "X-Request-Id", AssertionHeader,
}

func cleanResponse(header http.Header) {
	for _, name := range stripped {
		delete(header, name)
	}
	for name := range header {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(header, name)
		}
	}
}
