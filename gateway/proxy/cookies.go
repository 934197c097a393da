package proxy

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
)

// The cookies that are a Kingdee session (reference 1.7). The first one is
// enough for Kingdee, also as a request header or in an address.
const (
	sessionCookie = "kdservice-sessionid"
	aspCookie     = "ASP.NET_SessionId"
	sessionParam  = "kdsid"
)

// mark names one cookie of a Kingdee session without telling it.
type mark [sha256.Size]byte

func markOf(name, value string) mark {
	var room [128]byte
	text := append(room[:0], name...)
	text = append(append(text, 0), value...)
	return sha256.Sum256(text)
}

// sessionName is our spelling of a session cookie's name, empty for any other.
// ASP.NET compares cookie names without case.
func sessionName(name string) string {
	switch {
	case strings.EqualFold(name, sessionCookie):
		return sessionCookie
	case strings.EqualFold(name, aspCookie):
		return aspCookie
	default:
		return ""
	}
}

// claims are the Kingdee sessions that a request asks to be taken for: each
// must be this person's own, since any one of them may decide upstream.
type claims struct {
	marks   [8]mark
	count   int
	session int  // which of them is a kdservice-sessionid, -1: none
	tooMany bool // more than any browser sends
}

func (c *claims) add(name, value string) {
	if c.count == len(c.marks) {
		c.tooMany = true
		return
	}
	c.marks[c.count] = markOf(name, value)
	if name == sessionCookie {
		c.session = c.count
	}
	c.count++
}

// claimsOf reads cookies and headers of a request, cookies as the most lenient
// reader would: ASP.NET takes any white space of Unicode off a name, and others
// part a line at commas too.
func claimsOf(r *http.Request) claims {
	c := claims{session: -1}
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			pair := line
			if i := strings.IndexAny(line, ";,"); i >= 0 {
				pair, line = line[:i], line[i+1:]
			} else {
				line = ""
			}
			name, value, _ := strings.Cut(pair, "=")
			if name := sessionName(bareName(name)); name != "" {
				c.add(name, strings.Trim(value, " \t"))
			}
		}
	}
	for _, header := range [...]string{"Kdservice-Sessionid", "Sid"} {
		for _, value := range r.Header[header] {
			c.add(sessionCookie, value)
		}
	}
	return c
}

// bareName is a cookie's name without anything at its ends that could be white
// space in some encoding: whatever is no visible ASCII.
func bareName(name string) string {
	visible := func(b byte) bool { return b > ' ' && b < 0x7f }
	for name != "" && !visible(name[0]) {
		name = name[1:]
	}
	for name != "" && !visible(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	return name
}

// addressed are the session ids that stand in an address.
func addressed(query string) []string {
	var found []string
	eachParameter(query, func(name, value string) {
		if strings.EqualFold(name, sessionParam) && value != "" {
			found = append(found, value)
		}
	})
	return found
}

// eachParameter visits a query as the most lenient reader would: both
// separators, and names decoded.
func eachParameter(query string, visit func(name, value string)) {
	for query != "" {
		var pair string
		if i := strings.IndexAny(query, "&;"); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			pair, query = query, ""
		}
		name, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		visit(strings.TrimSpace(name), value)
	}
}

// isSecretParameter names what must not stay in an address that we keep.
func isSecretParameter(name string) bool {
	return strings.EqualFold(name, sessionParam) || strings.EqualFold(name, "usertoken") || strings.EqualFold(name, "ud")
}

// rescoped is an upstream's Set-Cookie line for our own host: the same name,
// value, path and life, and our own rules for the rest (T35). Cookies of a
// session, and with hidden every cookie, are kept from scripts; others only
// when the upstream says so, because its scripts may read them. It is empty for
// a cookie that is not the upstream's to set. name and value are what it sets.
func rescoped(line string, hidden bool) (out, name, value string) {
	pair, rest, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	if !ok || name == "" || isOwnCookie(name) || strings.ContainsAny(name+value, "\r\n\x00") {
		return "", "", ""
	}
	var b strings.Builder
	b.WriteString(name + "=" + value)
	for rest != "" {
		var attribute string
		attribute, rest, _ = strings.Cut(rest, ";")
		attribute = strings.Trim(attribute, " \t")
		key, _, _ := strings.Cut(attribute, "=")
		switch strings.ToLower(strings.Trim(key, " \t")) {
		case "path", "expires", "max-age":
			b.WriteString("; " + attribute)
		case "httponly":
			hidden = true
		}
	}
	if hidden || sessionName(name) != "" {
		b.WriteString("; HttpOnly")
	}
	b.WriteString("; Secure; SameSite=Lax")
	return b.String(), name, value
}

// expired is a Set-Cookie line that ends a session cookie in the browser.
func expired(name string) string {
	return name + "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
}
