package notice_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"mime"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/jobs/notice"
)

// receiver is a mail server for tests: RFC 5321 as far as one mail needs it,
// with STARTTLS, AUTH PLAIN and faults.
type receiver struct {
	t      *testing.T
	at     net.Listener
	tls    *tls.Config
	plain  bool   // offers no STARTTLS
	at465  bool   // speaks TLS from the first byte
	answer string // to the data; 250 when empty
	cut    bool   // drops the connection instead of answering to the data

	mu    sync.Mutex
	rcpt  map[string]string // answers to recipients; 250 when there is none
	said  []string          // MAIL and RCPT lines
	mails []string
	auths []string
	clear bool // MAIL was heard without TLS
}

func newReceiver(t *testing.T, change ...func(*receiver)) (*receiver, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	at, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{t: t, at: at, tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	for _, f := range change {
		f(r)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := at.Accept()
			if err != nil {
				return
			}
			open.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = at.Close(); open.Wait() })
	return r, &tls.Config{RootCAs: roots}
}

// serve speaks with one client until it goes.
func (r *receiver) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	text := textproto.NewConn(conn)
	secure := r.at465
	if secure {
		conn = tls.Server(conn, r.tls)
		text = textproto.NewConn(conn)
	}
	_ = text.PrintfLine("220 localhost ready")
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			lines := []string{"250-localhost", "250-8BITMIME", "250-SMTPUTF8", "250-DSN"}
			if secure {
				lines = append(lines, "250-AUTH PLAIN LOGIN")
			} else if !r.plain {
				lines = append(lines, "250-STARTTLS")
			}
			_ = text.PrintfLine("%s\r\n250 SIZE 1000000", strings.Join(lines, "\r\n"))
		case "STARTTLS":
			_ = text.PrintfLine("220 go")
			conn = tls.Server(conn, r.tls)
			text, secure = textproto.NewConn(conn), true
		case "AUTH":
			_, encoded, _ := strings.Cut(rest, " ")
			plain, _ := base64.StdEncoding.DecodeString(encoded)
			r.note(func() { r.auths = append(r.auths, string(plain)) })
			if !strings.HasSuffix(string(plain), "\x00right") {
				_ = text.PrintfLine("535 5.7.8 wrong")
				continue
			}
			_ = text.PrintfLine("235 ok")
		case "DATA":
			if !r.data(text, conn) {
				return
			}
		case "QUIT":
			_ = text.PrintfLine("221 bye")
			return
		case "MAIL", "RCPT":
			_ = text.PrintfLine("%s", r.envelope(line, secure))
		default:
			_ = text.PrintfLine("250 ok")
		}
	}
}

// envelope answers to MAIL and RCPT.
func (r *receiver) envelope(line string, secure bool) (answer string) {
	r.note(func() {
		r.said = append(r.said, line)
		r.clear = r.clear || !secure
		_, rest, _ := strings.Cut(line, "<")
		who, _, _ := strings.Cut(rest, ">")
		if answer = r.rcpt[who]; answer == "" || !strings.HasPrefix(line, "RCPT") {
			answer = "250 ok"
		}
	})
	return answer
}

// refuses sets the answers to recipients: address, answer, …
func (r *receiver) refuses(pairs ...string) {
	r.note(func() {
		r.rcpt = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			r.rcpt[pairs[i]] = pairs[i+1]
		}
	})
}

// recipients are those of the mails that were taken so far, told by the RCPT
// lines that had a good answer; it forgets them.
func (r *receiver) recipients() (list []string, mails int) {
	r.note(func() {
		for _, line := range r.said {
			_, rest, _ := strings.Cut(line, "<")
			who, _, _ := strings.Cut(rest, ">")
			if strings.HasPrefix(line, "RCPT") && r.rcpt[who] == "" {
				list = append(list, who)
			}
		}
		mails, r.said, r.mails = len(r.mails), nil, nil
	})
	return list, mails
}

// data takes a mail in; false when the connection is cut after it.
func (r *receiver) data(text *textproto.Conn, conn net.Conn) bool {
	_ = text.PrintfLine("354 go on")
	body, err := text.ReadDotBytes()
	if err != nil {
		return false
	}
	r.note(func() { r.mails = append(r.mails, string(body)) })
	if r.cut {
		_ = conn.Close()
		return false
	}
	answer := r.answer
	if answer == "" {
		answer = "250 taken"
	}
	_ = text.PrintfLine("%s", answer)
	return true
}

func (r *receiver) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *receiver) port() int { return r.at.Addr().(*net.TCPAddr).Port }

func (r *receiver) smtp(password string, secure *tls.Config) *notice.SMTP {
	r.t.Helper()
	s, err := notice.NewSMTP(notice.SMTPConfig{
		Host: "localhost", Port: r.port(), User: "kdgate", Password: identity.NewSecret(password),
		From: "kdgate@example.com", TLS: secure, Timeout: 5 * time.Second, Implicit: r.at465,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

var letterMail = notice.Mail{ID: "abc-0", To: []string{"ops@example.com"}, Subject: "库存不足", Text: "5 < 10\nhttps://gate.example.com/launch/live/stock", At: noon}

// TestMail proves the mail of F72: by TLS, with the account, and the same
// Message-ID when it is sent again.
func TestMail(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		testMail(t, implicit)
	}
}

func testMail(t *testing.T, implicit bool) {
	t.Helper()
	r, secure := newReceiver(t, func(r *receiver) { r.at465 = implicit })
	s := r.smtp("right", secure)
	for range 2 {
		if err := s.Send(t.Context(), letterMail); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.mails) != 2 || r.clear || len(r.auths) != 2 {
		t.Fatalf("%d mails, %d sign-ins, in the clear: %v", len(r.mails), len(r.auths), r.clear)
	}
	for _, raw := range r.mails {
		m, err := mail.ReadMessage(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || subject != "库存不足" || m.Header.Get("Message-Id") != "<kdgate-abc-0@example.com>" || m.Header.Get("To") != "<ops@example.com>" {
			t.Errorf("%q, %v: %v", subject, err, m.Header)
		}
	}
}

// TestMailRefused: what stands in the way is told apart, TLS is never given up,
// and the password never told.
func TestMailRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*receiver)
		password string
		trust    bool
		want     identity.Kind
	}{
		"wrong password":     {func(*receiver) {}, "wrong-password", true, identity.Misconfigured},
		"unknown authority":  {func(*receiver) {}, "right", false, identity.Misconfigured},
		"no TLS":             {func(r *receiver) { r.plain = true }, "right", true, identity.Unavailable},
		"mailbox is not one": {func(r *receiver) { r.answer = "550 5.1.1 no such user" }, "right", true, identity.Invalid},
		"not now":            {func(r *receiver) { r.answer = "451 4.3.0 later" }, "right", true, identity.Unavailable},
		"no answer":          {func(r *receiver) { r.cut = true }, "right", true, identity.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r, secure := newReceiver(t, c.change)
			if !c.trust {
				secure = nil
			}
			err := r.smtp(c.password, secure).Send(t.Context(), letterMail)
			wants(t, err, c.want)
			if strings.Contains(err.Error(), c.password) || r.clear {
				t.Errorf("%v, in the clear: %v", err, r.clear)
			}
		})
	}
	for name, cfg := range map[string]notice.SMTPConfig{
		"no host":     {From: "a@example.com"},
		"no sender":   {Host: "localhost"},
		"no password": {Host: "localhost", From: "a@example.com", User: "a"},
	} {
		if _, err := notice.NewSMTP(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
