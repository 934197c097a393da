package proxy

import (
	"strings"

	"kdgate/gateway"
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
	"x-ding", "x-employee", "x-login", "x-principal", "x-identity", "x-sso", "x-oidc", "x-saml", "x-jwt", "x-goog-authenticated", "x-goog-iap", "x-amzn-oidc",
	"x-arr-clientcert", "x-client-cert", "x-ssl-", "ssl-client", "client-cert", // IIS and others take a certificate's holder from them
}

// isIdentity reports whether a header name, in any spelling, begins with one of them.
func isIdentity(name string) bool {
	if len(name) < 4 || strings.IndexByte("xXrRaAfFsScC", name[0]) < 0 || isAccept(name) {
		return false // most names are neither
	}
	for _, prefix := range identityPrefixes {
		if gateway.BeginsFolded(name, prefix) {
			return true
		}
	}
	return false
}

// isAccept spares the headers that every browser sends.
func isAccept(name string) bool { return strings.HasPrefix(name, "Accept") }

// appendForeign appends the cookies of a line that are not ours, every byte as it came.
func appendForeign(b []byte, line string) []byte {
	before := len(b)
	for rest, more := line, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, ";")
		name, _, _ := strings.Cut(pair, "=")
		if isOwnCookie(strings.Trim(name, " \t")) {
			continue
		}
		if len(b) > before {
			b = append(b, ';')
		} else {
			pair = strings.TrimLeft(pair, " \t")
		}
		b = append(b, pair...)
	}
	return b
}

func isOwnCookie(name string) bool {
	name = strings.TrimSpace(name) // also of U+2000 and its like, which browsers keep
	for _, prefix := range ownCookies {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// isStripped names response headers that tell about the upstream, would let
// other origins read a person's pages, or act on our whole host, which is not
// the upstream's to decide, or on a proxy in front of us, which some make read
// files and addresses of its own (T57). The Date is our server's, as with nginx: whose
// clock goes wrong is the upstream's own affair.
func isStripped(name string) bool {
	switch name {
	case "Server", "Date", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Sourcefiles",
		"Alt-Svc", "Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "Public-Key-Pins",
		"Report-To", "Reporting-Endpoints", "Nel", "X-Request-Id", "X-Sendfile", "X-Lighttpd-Send-File", AssertionHeader:
		return true
	default:
		return strings.HasPrefix(name, "Access-Control-") || strings.HasPrefix(name, "X-Accel-") && name != "X-Accel-Buffering"
	}
}

// passesBack reports a response header that the browser gets as it is. Content-
// Length is one: it is the answer's own, and our server holds us to it.
func passesBack(name string, connection []string) bool {
	if name == "Content-Length" {
		return true
	}
	return !isOfHop(name) && !isStripped(name) && (len(connection) == 0 || !isNamed(connection, name))
}

// isTrailing reports a header that may stand behind a body: none that decides
// how the answer is taken.
func isTrailing(name string) bool {
	switch name {
	case "Content-Length", "Set-Cookie", "Location", "Content-Location", "Refresh", "Cache-Control", "Content-Type", "Content-Encoding", "Content-Security-Policy":
		return false
	default:
		return passesBack(name, nil)
	}
}
