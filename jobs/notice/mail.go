package notice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"kdgate/identity"
)

// Mail is one mail to several people, who see each other.
type Mail struct {
	ID      string // left part of the Message-ID: the same again is the same mail
	To      []string
	Subject string
	Text    string
	At      time.Time
}

var markdownLink = regexp.MustCompile(`\[([^\]\n]*)\]\(([^()\s]+)\)`)

// mail writes w as plain text: links stand behind their words.
func (w words) mail(id string, to []string, at time.Time) Mail {
	text := markdownLink.ReplaceAllString(w.text, "$1: $2")
	text = fontTag.ReplaceAllString(strings.ReplaceAll(text, "**", ""), "")
	for _, b := range w.buttons {
		text += "\n\n" + b.Title + ": " + b.URL
	}
	return Mail{ID: id, To: to, Subject: w.title, Text: text, At: at}
}

// fontTag is the one tag of DingTalk's Markdown that our texts use.
var fontTag = regexp.MustCompile(`</?font[^>]*>`)

// SMTPConfig is a mail server. TLS is always required.
type SMTPConfig struct {
	Host     string
	Port     int  // 587 by default
	Implicit bool // TLS from the first byte, as on port 465; else by STARTTLS
	User     string
	Password identity.Secret
	From     string
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

// Send sends one mail. Kind Invalid means that the server will never take it,
// Misconfigured that it does not take us, Unavailable that a later try may help.
func (s *SMTP) Send(ctx context.Context, m Mail) error {
	message := mail.NewMsg()
	if err := errors.Join(message.From(s.cfg.From), message.To(m.To...)); err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "notice: mail: %w", err)
	}
	_, domain, _ := strings.Cut(strings.TrimSuffix(s.cfg.From, ">"), "@")
	message.SetMessageIDWithValue("kdgate-" + m.ID + "@" + domain)
	message.SetDateWithValue(m.At)
	message.Subject(m.Subject)
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBodyString(mail.TypeTextPlain, m.Text)
	l := &line{}
	defer l.hangUp()
	client, err := s.client(l)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := client.DialAndSendWithContext(ctx, message); err != nil {
		return mailFault(err)
	}
	return nil
}

// mailFault gives a failure of the mail server its kind (RFC 5321, 4.2.1; RFC 4954, 6).
func mailFault(err error) error {
	kind, code := identity.Unavailable, 0
	if send, ok := errors.AsType[*mail.SendError](err); ok {
		code = send.ErrorCode()
	}
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		code = answer.Code
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case untrusted, errors.Is(err, mail.ErrNoSupportedAuthDiscovered), code >= 530 && code <= 538:
		kind = identity.Misconfigured
	case code >= 500:
		kind = identity.Invalid
	}
	return identity.Fail(kind, "", "notice: mail: %w", err)
}
