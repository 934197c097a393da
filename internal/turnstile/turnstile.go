package turnstile

import (
	"container/list"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Config says how many may come in. Total and PerAddress are required.
type Config struct {
	Total      int // connections at once
	PerAddress int // of one IPv4 address or one /64 of IPv6
	// Exempt are proxies that bring everybody: they are held to Total only.
	Exempt []netip.Prefix
	// OnShed hears of each connection that was closed for room. It must be quick.
	OnShed func()
	Logger *slog.Logger     // hears of it once a second at most (R61); nil: nobody does
	Now    func() time.Time // default time.Now
}

// Turnstile counts the connections of the listeners it wraps. It is safe for
// concurrent use.
type Turnstile struct {
	cfg Config
	log *sparing

	mu    sync.Mutex
	open  int
	rows  rows // of everybody
	homes map[netip.Prefix]*home
}

// rows are those who wait, the longest first.
type rows struct{ fresh, idle list.List }

// home is one client address.
type home struct {
	open int
	rows rows
}

// New makes a Turnstile.
func New(cfg Config) *Turnstile {
	if cfg.OnShed == nil {
		cfg.OnShed = func() {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Turnstile{cfg: cfg, homes: map[netip.Prefix]*home{}, log: &sparing{logger: cfg.Logger, now: cfg.Now}}
}

// Listen wraps inner. Its errors of Accept are those of inner; one that may pass,
// as when descriptors run out, is logged once a second at most.
func (t *Turnstile) Listen(inner net.Listener) net.Listener { return &listener{inner, t} }

type listener struct {
	net.Listener
	turnstile *Turnstile
}

// Accept waits for the next connection that has a place.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			var passing interface{ Temporary() bool }
			if errors.As(err, &passing) && passing.Temporary() {
				l.turnstile.log.say("no connection can be taken", "error", err)
			}
			return nil, err
		}
		if s := l.turnstile.enter(conn); s != nil {
			return s, nil
		}
		_ = conn.Close()
	}
}

// enter gives conn a place, if need be at the cost of one who waits; nil when
// nobody waits.
func (t *Turnstile) enter(conn net.Conn) *seat {
	key := addressOf(conn)
	t.mu.Lock()
	h := t.homes[key]
	if h == nil {
		h = &home{}
		t.homes[key] = h
	}
	victim, room := t.room(key, h)
	var s *seat
	if room {
		s = &seat{Conn: conn, turnstile: t, key: key, home: h}
		h.open++
		t.open++
		t.wait(s, &t.rows.fresh, &h.rows.fresh)
	}
	t.tidy(key, h)
	open := t.open
	t.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close()
	}
	if victim != nil || !room {
		t.cfg.OnShed()
		t.log.say("connections are shed", "open", open, "remote", key.Addr().String())
	}
	return s
}

// room makes room. Called with mu held.
func (t *Turnstile) room(key netip.Prefix, h *home) (victim *seat, room bool) {
	switch {
	case h.open >= t.cfg.PerAddress && !t.exempt(key):
		victim = h.rows.longest()
	case t.open >= t.cfg.Total:
		victim = t.rows.longest()
	default:
		return nil, true
	}
	if victim == nil {
		return nil, false
	}
	t.leave(victim)
	return victim, true
}

// longest is who waits longest: first of those who never asked for anything.
func (r *rows) longest() *seat {
	for _, row := range []*list.List{&r.fresh, &r.idle} {
		if e := row.Front(); e != nil {
			s, _ := e.Value.(*seat)
			return s
		}
	}
	return nil
}

func (t *Turnstile) exempt(key netip.Prefix) bool {
	for _, p := range t.cfg.Exempt {
		if p.Contains(key.Addr()) || key.Contains(p.Addr()) && key.Bits() <= p.Bits() {
			return true
		}
	}
	return false
}

// wait puts a seat into the rows of all and of its home. Called with mu held.
func (t *Turnstile) wait(s *seat, all, own *list.List) {
	s.all, s.own = all, own
	s.inAll, s.inOwn = all.PushBack(s), own.PushBack(s)
}

// rise takes a seat out of the rows. Called with mu held.
func (t *Turnstile) rise(s *seat) {
	if s.inAll != nil {
		s.all.Remove(s.inAll)
		s.own.Remove(s.inOwn)
		s.inAll, s.inOwn = nil, nil
	}
}

// leave gives the place back. Called with mu held.
func (t *Turnstile) leave(s *seat) {
	if s.gone {
		return
	}
	s.gone = true
	t.rise(s)
	s.home.open--
	t.open--
	t.tidy(s.key, s.home)
}

// tidy forgets an address with nothing open. Called with mu held.
func (t *Turnstile) tidy(key netip.Prefix, h *home) {
	if h.open == 0 && t.homes[key] == h {
		delete(t.homes, key)
	}
}

// Follow is for http.Server.ConnState: it tells who is being served.
func (t *Turnstile) Follow(conn net.Conn, state http.ConnState) {
	s := seatOf(conn)
	if s == nil || s.turnstile != t {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.gone {
		return
	}
	switch state {
	case http.StateActive, http.StateHijacked:
		t.rise(s)
	case http.StateIdle:
		t.rise(s)
		t.wait(s, &t.rows.idle, &s.home.rows.idle)
	}
}

// Open is how many connections there are now.
func (t *Turnstile) Open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

// addressOf is who the other side counts as.
func addressOf(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	key, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return key
}
