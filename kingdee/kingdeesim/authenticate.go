package kingdeesim

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// sessionOf finds the session a call belongs to: the header alone, the cookie
// alone, or both (K34). Cookie headers of sloppy clients are read leniently.
func (s *Server) sessionOf(r *request) (*session, bool) {
	for _, id := range sessionIDs(r.Request) {
		if current, ok := s.sessions.use(id, s.now()); ok {
			return current, true
		}
	}
	return nil, false
}

func sessionIDs(r *http.Request) []string {
	var out []string
	if id := r.Header.Get(sessionCookie); id != "" {
		out = append(out, id)
	}
	for _, line := range r.Header.Values("Cookie") {
		for part := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if strings.EqualFold(name, sessionCookie) {
				out = append(out, value)
			}
		}
	}
	return out
}

// denial is a call that may not go on: an operation error, or plain text.
type denial struct {
	op     *opError
	status int
	text   string
}

func (d *denial) write(s *Server, w http.ResponseWriter, method string) {
	if d.op != nil {
		s.writeOperationError(w, method, d.op)
		return
	}
	writeText(w, d.status, d.text)
}

func lost() *denial { return &denial{op: failed(codeLost, textLostSession)} }

// authenticate finds the session of a call, or opens one for signed headers.
// A valid session wins and the signature is then not looked at (K45), unless
// the headers name another data centre (K40).
func (s *Server) authenticate(w http.ResponseWriter, r *request) (*session, *denial) {
	signed, hasHeaders := readSigned(r.Request)
	if current, ok := s.sessionOf(r); ok && (!hasHeaders || signed.centreID == current.centre.id) {
		return current, nil
	}
	if !hasHeaders {
		s.note("session", &refusal{"session-lost", textLostSession}, claim{address: address(r.Request)})
		return nil, lost()
	}
	return s.signedSession(w, r, signed)
}

// signedHeaders are the X-Kd-* headers of the official SDKs.
type signedHeaders struct {
	appID, appData, signature string
	centreID, user, lcid      string
}

func readSigned(r *http.Request) (signedHeaders, bool) {
	h := signedHeaders{
		appID: r.Header.Get("X-Kd-Appkey"), appData: r.Header.Get("X-Kd-Appdata"), signature: r.Header.Get("X-Kd-Signature"),
	}
	if h.appID == "" && h.signature == "" {
		return h, false
	}
	raw, err := base64.StdEncoding.DecodeString(h.appData)
	if err != nil {
		return h, true
	}
	h.appData = string(raw)
	parts := strings.Split(h.appData, ",")
	if len(parts) >= 3 {
		h.centreID, h.user, h.lcid = parts[0], parts[1], parts[2]
	}
	return h, true
}

// signedSession opens a session for good headers (K46). Bad ones get MsgCode 1
// and a session id that is worth nothing (K47); a wrong data centre is not even
// 200 (K48).
func (s *Server) signedSession(w http.ResponseWriter, r *request, h signedHeaders) (*session, *denial) {
	c := claim{
		centreID: h.centreID, user: h.user, appID: h.appID, noTime: true, address: address(r.Request),
		verify: func(row Row, _ User) bool {
			return same(h.signature, headerDigest(row.Secret, h.appID+h.appData)) && knownLanguage(h.lcid) &&
				(!s.Switches().SharedGateway || gatewaySigned(r.Request))
		},
	}
	p, no := s.admit(c)
	if no == nil && s.Switches().CheckHeaderTime && !headerTimeGood(r.Header.Get("x-api-timestamp"), p.row, s.now()) {
		no = &refusal{"time-window", textBadTime}
	}
	s.note("header", no, c)
	switch {
	case no == nil:
		current := s.sessions.open(p.centre, p.user, byHeader, "x-kd-signature", s.now())
		s.setSessionCookies(w, current)
		return current, nil
	case no.reason == "data-centre-unknown":
		return nil, &denial{status: http.StatusInternalServerError, text: textBadCentre}
	case no.reason == "address":
		return nil, &denial{op: failed(codeException, "%s", no.text)}
	}
	s.setSessionCookies(w, &session{id: uuid.NewString(), aspID: aspID()})
	return nil, lost()
}

func knownLanguage(lcid string) bool { return lcid == "2052" || lcid == "1033" || lcid == "3076" }

// gatewaySigned checks X-Api-Signature, as the shared API gateway does.
func gatewaySigned(r *http.Request) bool {
	id, secret, ok := clientSecret(r.Header.Get("X-Kd-Appkey"))
	names := strings.ReplaceAll(strings.ToLower(r.Header.Get("x-api-signheaders")), " ", "")
	nonce, timestamp := r.Header.Get("x-api-nonce"), r.Header.Get("x-api-timestamp")
	if !ok || r.Header.Get("X-Api-ClientID") != id || r.Header.Get("X-Api-Auth-Version") != "2.0" ||
		names != "x-api-timestamp,x-api-nonce" || nonce != timestamp && !randomNonce(nonce) {
		return false
	}
	path := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	want := headerDigest(secret, gatewayMessage(path, nonce, timestamp))
	return same(want, r.Header.Get("X-Api-Signature"))
}

// randomNonce is 32 hex digits, the other nonce that official clients send beside
// the timestamp itself (reference 2.5).
func randomNonce(nonce string) bool {
	raw, err := hex.DecodeString(nonce)
	return err == nil && len(raw) == 16
}

// headerTimeGood takes seconds or milliseconds (K44, K49).
func headerTimeGood(text string, row Row, now time.Time) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false
	}
	if n > 1<<36 {
		n /= 1000
	}
	return withinWindow(strconv.FormatInt(n, 10), row, now)
}

// setSessionCookies sets the two cookies of a login (K21).
func (s *Server) setSessionCookies(w http.ResponseWriter, current *session) {
	tail := ""
	if s.Switches().CookieExpires {
		tail = "; expires=" + s.now().Add(24*time.Hour).UTC().Format(http.TimeFormat)
	}
	w.Header().Add("Set-Cookie", sessionCookie+"="+current.id+tail+"; path=/")
	w.Header().Add("Set-Cookie", aspCookie+"="+current.aspID+"; path=/; HttpOnly")
}
