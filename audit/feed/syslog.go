package feed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"kdgate/audit"
)

// SyslogConfig names the receiver.
type SyslogConfig struct {
	// Address is udp://HOST:PORT (RFC 5426), tcp://HOST:PORT with octet counting
	// (RFC 6587) or tls://HOST:PORT (RFC 5425). Of the three only TLS keeps the
	// names in the records from whoever sits on the line.
	Address string
	TLS     *tls.Config // roots of the receiver's certificate
	Host    string      // this machine's name, HOSTNAME of each message
}

// Syslog sends each record's line as the message of one RFC 5424 message, whose
// MSGID is the action. Syslog has no acknowledgement: what the kernel took from
// us just before a connection broke may be lost; a webhook loses nothing.
type Syslog struct {
	config  SyslogConfig
	network string
	address string
	secure  bool
	conn    net.Conn // nil: to be dialled; Send is called by one feed only
}

const (
	facility    = 13 // log audit
	dialTime    = 5 * time.Second
	sendTime    = 10 * time.Second
	maxDatagram = 2048 // what every UDP receiver must take at least (RFC 5426 section 3.2)
	maxHost     = 255
	maxMsgID    = 32
)

// NewSyslog reads the address; it does not connect yet.
func NewSyslog(c SyslogConfig) (*Syslog, error) {
	at, err := url.Parse(c.Address)
	if err != nil || at.Port() == "" || at.Hostname() == "" || at.User != nil || (at.Path != "" && at.Path != "/") {
		return nil, fmt.Errorf("syslog address %q is not udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT", c.Address)
	}
	s := &Syslog{config: c, network: at.Scheme, address: at.Host}
	switch at.Scheme {
	case "udp", "tcp":
	case "tls":
		s.network, s.secure = "tcp", true
	default:
		return nil, fmt.Errorf("syslog address %q: the way is udp, tcp or tls", c.Address)
	}
	return s, nil
}

// Send implements Sink.
func (s *Syslog) Send(ctx context.Context, records []audit.Record) error {
	if err := s.connect(ctx); err != nil {
		return fmt.Errorf("syslog: %w", err)
	}
	var out []byte
	for _, record := range records {
		message := s.message(record)
		if s.network == "udp" {
			if err := s.write(message); err != nil {
				return err
			}
			continue
		}
		out = append(strconv.AppendInt(out, int64(len(message)), 10), ' ')
		out = append(out, message...)
	}
	if len(out) == 0 {
		return nil
	}
	return s.write(out)
}

// connect dials, or finds out that the receiver closed the old connection: it
// never writes, so anything but silence from it is the end.
func (s *Syslog) connect(ctx context.Context) error {
	if s.conn != nil && s.network == "tcp" && !quiet(s.conn) {
		s.hangUp()
	}
	if s.conn != nil {
		return nil
	}
	dialer := &net.Dialer{Timeout: dialTime}
	var err error
	if s.secure {
		s.conn, err = (&tls.Dialer{NetDialer: dialer, Config: s.config.TLS}).DialContext(ctx, s.network, s.address)
	} else {
		s.conn, err = dialer.DialContext(ctx, s.network, s.address)
	}
	if err != nil {
		s.conn = nil
	}
	return err
}

func quiet(conn net.Conn) bool {
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return false
	}
	_, err := conn.Read(make([]byte, 1))
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func (s *Syslog) write(out []byte) error {
	err := s.conn.SetWriteDeadline(time.Now().Add(sendTime))
	if err == nil {
		_, err = s.conn.Write(out)
	}
	if err != nil {
		s.hangUp()
		return fmt.Errorf("syslog: %w", err)
	}
	return nil
}

// Close implements io.Closer.
func (s *Syslog) Close() error {
	if s.conn != nil {
		s.hangUp()
	}
	return nil
}

func (s *Syslog) hangUp() {
	_ = s.conn.Close() // nothing is on its way that is not sent again
	s.conn = nil
}

// message is <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD MSG (RFC 5424
// section 6). The record's line has no control characters and is UTF-8, so it is
// the message as it stands; a datagram's is cut at what receivers must take.
func (s *Syslog) message(r audit.Record) []byte {
	out := append([]byte{'<'}, strconv.Itoa(facility*8+severity(r.Outcome))...)
	out = append(out, ">1 "...)
	out = r.At.UTC().AppendFormat(out, "2006-01-02T15:04:05.000Z")
	out = append(out, ' ')
	out = append(out, header(s.config.Host, maxHost)...)
	out = append(out, " kdgate - "...)
	out = append(out, header(string(r.Action), maxMsgID)...)
	out = append(out, " - "...)
	out = r.AppendLine(out)
	if s.network == "udp" && len(out) > maxDatagram {
		out = out[:maxDatagram]
	}
	return out
}

func severity(outcome audit.Outcome) int {
	switch outcome {
	case audit.OK:
		return 6 // informational
	case audit.Refused:
		return 4 // warning
	default:
		return 3 // error
	}
}

// header is a field of printable ASCII without spaces, "-" when nothing is left.
func header(text string, most int) []byte {
	var out []byte
	for _, b := range []byte(text) {
		if b > ' ' && b < 0x7f && len(out) < most {
			out = append(out, b)
		}
	}
	if len(out) == 0 {
		return []byte{'-'}
	}
	return out
}
