package notice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/jobs"
)

// Mail is one mail to several people, who see each other.
type Mail struct {
	ID      string // left part of the Message-ID: the same again is the same mail
	To      []string
	Only    []string // of To, who does not have it yet; empty: all
	Subject string
	Text    string
	At      time.Time
}

var markdownLink = lazyregexp.New(`\[([^\]\n]*)\]\(([^()\s]+)\)`)

// mail writes w as plain text: links stand behind their words.
func (w words) mail(id string, to, only []string, at time.Time) Mail {
	text := Plain(w.text)
	for _, b := range w.buttons {
		text += "\n\n" + b.Title + ": " + b.URL
	}
	return Mail{ID: id, To: to, Only: only, Subject: w.title, Text: text, At: at}
}

// Plain is a text of ours without its Markdown: links stand behind their words.
func Plain(text string) string {
	text = markdownLink().ReplaceAllString(text, "$1: $2")
	return fontTag().ReplaceAllString(strings.ReplaceAll(text, "**", ""), "")
}

// fontTag is the one tag of DingTalk's Markdown that our texts use.
var fontTag = lazyregexp.New(`</?font[^>]*>`)

// SMTPConfig is a mail server. TLS is always required.
type SMTPConfig struct {
	Host     string
	Port     int  // 587 by default
	Implicit bool // TLS from the first byte, as on port 465; else by STARTTLS
	User     string
	Password identity.Secret
	From     string
	Envelope string        // envelope sender, where the servers on the way send what they cannot deliver; From by default
	TLS      *tls.Config   // roots; the server's name is always verified
	Timeout  time.Duration // of the whole sending; 30 s by default
}

// SMTP sends mail over one server. It is safe for concurrent use.
type SMTP struct{ cfg SMTPConfig }

// NewSMTP checks the configuration and calls nobody.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	if cfg.Port == 0 {
		cfg.Port = 587
	}
	cfg.Implicit = cfg.Implicit || cfg.Port == 465
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Envelope == "" {
		cfg.Envelope = cfg.From
	}
	if cfg.Host == "" || cfg.From == "" || (cfg.User == "") != cfg.Password.IsZero() {
		return nil, errors.New("notice: mail needs a host and a sender, and a user exactly with a password")
	}
	s := &SMTP{cfg}
	if _, err := s.client(&line{}); err != nil {
		return nil, err
	}
	return s, nil
}

// line is the connection of one mail by STARTTLS. The library leaves it open
// where the greeting, TLS or the sign-in fails; we do not.
type line struct{ conn net.Conn }

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var err error
	l.conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	return l.conn, err
}

func (l *line) hangUp() {
	if l.conn != nil {
		_ = l.conn.Close() // closed already after a mail that went well
	}
}

func (s *SMTP) client(l *line) (*mail.Client, error) {
	secure := &tls.Config{}
	if s.cfg.TLS != nil {
		secure = s.cfg.TLS.Clone()
	}
	secure.ServerName, secure.InsecureSkipVerify, secure.MinVersion = s.cfg.Host, false, max(secure.MinVersion, tls.VersionTLS12)
	options := []mail.Option{
		mail.WithPort(s.cfg.Port), mail.WithTimeout(s.cfg.Timeout), mail.WithTLSConfig(secure), mail.WithTLSPolicy(mail.TLSMandatory),
	}
	if s.cfg.Implicit { // over a dialer of ours the library would not know that it may say the password
		options = append(options, mail.WithSSL())
	} else {
		options = append(options, mail.WithDialContextFunc(l.dial))
	}
	if s.cfg.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.cfg.User), mail.WithPassword(s.cfg.Password.Reveal()))
	}
	client, err := mail.NewClient(s.cfg.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("notice: mail: %w", err)
	}
	return client, nil
}

// Unserved is a mail that the server took for some of its recipients or for
// none. Who is not named has it.
type Unserved struct {
	Refusals []Refusal
}

// Refusal is what the server answered to one recipient.
type Refusal struct {
	To    string
	Code  int    // RFC 5321, 4.2.1
	Words string // the server's own, at most 200 characters
}

// Passing reports an answer after which a later try may succeed.
func (r Refusal) Passing() bool { return r.Code < 500 }

// String is the answer as the server gave it.
func (r Refusal) String() string { return strings.TrimSpace(strconv.Itoa(r.Code) + " " + r.Words) }

// Error names no recipient: it stands in logs.
func (u *Unserved) Error() string { return "not taken for all recipients: " + u.words() }

// words are the server's answers, each once.
func (u *Unserved) words() string {
	var words []string
	for _, r := range u.Refusals {
		if !slices.Contains(words, r.String()) {
			words = append(words, r.String())
		}
	}
	return cut(strings.Join(words, "; "), 2*maxAnswer)
}

// kind is Unavailable as long as a later try may help somebody.
func (u *Unserved) kind() identity.Kind {
	if slices.ContainsFunc(u.Refusals, Refusal.Passing) {
		return identity.Unavailable
	}
	return identity.Invalid
}

// maxAnswer bounds what is kept of a server's words, in characters.
const maxAnswer = 200

// Send hands one mail to the server, recipient by recipient: whom it refuses
// keeps nobody else from having it, and is named by an *Unserved in the error.
// Kind Invalid means that the server will never take it, Misconfigured that it
// does not take us, Unavailable that a later try may help.
//
// A server that has taken a mail may find only later that it cannot deliver it.
// That bounce (RFC 3464) goes to the envelope sender and is not read here.
func (s *SMTP) Send(ctx context.Context, m Mail) error {
	message, err := s.message(m)
	if err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "notice: mail: %w", err)
	}
	l := &line{}
	defer l.hangUp()
	client, err := s.client(l)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	wire, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return mailFault(err)
	}
	defer func() { _ = client.CloseWithSMTPClient(wire) }() // the answer to the mail is what counts
	to := m.Only
	if len(to) == 0 {
		to = m.To
	}
	return s.hand(wire, message, to)
}

// message is m as RFC 5322 writes it.
func (s *SMTP) message(m Mail) (*mail.Msg, error) {
	message := mail.NewMsg()
	if err := errors.Join(message.From(s.cfg.From), message.EnvelopeFrom(s.cfg.Envelope), message.To(m.To...)); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(strings.TrimSuffix(s.cfg.From, ">"), "@")
	message.SetMessageIDWithValue("kdgate-" + m.ID + "@" + domain)
	message.SetDateWithValue(m.At)
	message.Subject(m.Subject)
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBodyString(mail.TypeTextPlain, m.Text)
	return message, nil
}

// hand speaks one transaction (RFC 5321, 3.3). The library would send nothing to
// anybody as soon as one recipient is refused.
func (s *SMTP) hand(wire *smtp.Client, message *mail.Msg, to []string) error {
	wire.SetDSNMailReturnOption("HDRS") // a bounce does not carry the text about (RFC 3461, 4.3)
	wire.SetDSNRcptNotifyOption("FAILURE")
	from, err := message.GetSender(false)
	if err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "notice: mail: %w", err)
	}
	if err := wire.Mail(from); err != nil {
		return mailFault(err)
	}
	var unserved Unserved
	for _, who := range to {
		err := wire.Rcpt("<" + who + ">")
		answer, refused := errors.AsType[*textproto.Error](err)
		switch {
		case refused:
			unserved.Refusals = append(unserved.Refusals, Refusal{To: who, Code: answer.Code, Words: plainWords(strings.ReplaceAll(answer.Msg, who, "…"))})
		case err != nil:
			return mailFault(err)
		}
	}
	if len(unserved.Refusals) < len(to) {
		if err := write(wire, message); err != nil {
			return mailFault(err)
		}
	}
	if len(unserved.Refusals) > 0 {
		return jobs.Explain(identity.Fail(unserved.kind(), "", "notice: mail: %w", &unserved), unserved.words())
	}
	return nil
}

// write sends the text; nil means that the server has taken it.
func write(wire *smtp.Client, message *mail.Msg) error {
	data, err := wire.Data()
	if err != nil {
		return err
	}
	if _, err := message.WriteTo(data); err != nil {
		_ = wire.Close() // a QUIT would end the half of it as if it were the whole
		return err
	}
	return data.Close()
}

// plainWords is a server's answer on one line, without what would disturb a page.
func plainWords(text string) string {
	return cut(strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)), " "), maxAnswer)
}

// mailFault gives a failure of the mail server its kind (RFC 5321, 4.2.1; RFC
// 4954, 6) and, where it has answered, its words.
func mailFault(err error) error {
	kind, code, words := identity.Unavailable, 0, ""
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		code, words = answer.Code, Refusal{Code: answer.Code, Words: plainWords(answer.Msg)}.String()
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case untrusted, errors.Is(err, mail.ErrNoSupportedAuthDiscovered), code >= 530 && code <= 538:
		kind, words = identity.Misconfigured, "" // what it says about our account is for the log
	case code >= 500:
		kind = identity.Invalid
	}
	fault := identity.Fail(kind, "", "notice: mail: %w", err)
	if words != "" {
		return jobs.Explain(fault, words)
	}
	return fault
}
