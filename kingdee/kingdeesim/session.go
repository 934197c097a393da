package kingdeesim

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// The two session cookies of the vendor; the first is also a request header.
const (
	sessionCookie = "kdservice-sessionid"
	aspCookie     = "ASP.NET_SessionId"
)

// How a session came to be.
const (
	byLogin  = "login"
	byLink   = "link"
	byHeader = "header"
)

// session is one logged-in context. Whoever holds its turn runs, the other calls
// wait (K42); the other fields that change belong to the store's lock.
type session struct {
	id, aspID, userToken string
	centre               *centre
	userID               int64
	userName             string
	kind                 string
	method               string // the login method, lower case
	unusable             bool   // cookies were set but nothing accepts them (K29, K95)
	created              time.Time

	turn  chan struct{}
	used  time.Time
	calls atomic.Int64
	pages map[string]place // what each console page shows, by page id

	csrf   string // what the console's page calls carry in csrf-token
	nonces *nonces
	bell   *bell         // rings for the console's progress poll and notify socket
	ended  chan struct{} // closed when the session is over
}

// place is where a link lands.
type place struct {
	formID, formType, pkID, openMode string
	otherArgs, lcid                  string
	single                           bool
}

// sessions holds what is alive.
type sessions struct {
	mu   sync.Mutex
	live map[string]*session
	idle time.Duration
	past []issued // what was handed out lately, for Leaks
}

func newSessions(idle time.Duration) *sessions {
	return &sessions{live: map[string]*session{}, idle: idle}
}

// open starts a session for a user.
func (st *sessions) open(c *centre, u User, kind, method string, now time.Time) *session {
	s := &session{
		id: uuid.NewString(), aspID: aspID(), userToken: uuid.NewString(), centre: c, userID: u.ID, userName: u.Name,
		kind: kind, method: method, unusable: u.PasswordExpired, created: now, used: now, pages: map[string]place{}, turn: make(chan struct{}, 1),
		csrf: pageID(), nonces: &nonces{}, bell: newBell(), ended: make(chan struct{}),
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.live)%1024 == 1023 {
		st.sweep(now)
	}
	st.live[s.id] = s
	if len(st.past) >= keptIssued {
		st.past = slices.Delete(st.past, 0, keptIssued/2)
	}
	st.past = append(st.past, issued{s.id, s.aspID, s.userToken})
	return s
}

// issued is what one session was known by.
type issued struct{ id, aspID, userToken string }

const keptIssued = 20_000

// each visits the ids of the sessions opened lately, live or not.
func (st *sessions) each(visit func(id, aspID, userToken string)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, one := range st.past {
		visit(one.id, one.aspID, one.userToken)
	}
}

// sweep drops what has been idle too long; call with the lock held.
func (st *sessions) sweep(now time.Time) {
	for _, s := range st.live {
		if now.Sub(s.used) > st.idle {
			st.drop(s)
		}
	}
}

// drop ends a session, and with it the polls and sockets that wait in it; call
// with the lock held and only for a live one.
func (st *sessions) drop(s *session) {
	delete(st.live, s.id)
	close(s.ended)
}

// use finds a live session and restarts its idle time.
func (st *sessions) use(id string, now time.Time) (*session, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s, ok := st.live[id]
	if !ok {
		return nil, false
	}
	if now.Sub(s.used) > st.idle {
		st.drop(s)
		return nil, false
	}
	s.used = now
	s.calls.Add(1)
	return s, true
}

// close ends a session and tells whether it was still alive.
func (st *sessions) close(id string, now time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	s, ok := st.live[id]
	if !ok {
		return false
	}
	st.drop(s)
	return now.Sub(s.used) <= st.idle
}

// closeWhere ends every session the test picks and says how many.
func (st *sessions) closeWhere(pick func(*session) bool) int {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := 0
	for _, s := range st.live {
		if pick(s) {
			st.drop(s)
			n++
		}
	}
	return n
}

// picked are the live sessions the test picks.
func (st *sessions) picked(pick func(*session) bool) []*session {
	st.mu.Lock()
	defer st.mu.Unlock()
	var out []*session
	for _, s := range st.live {
		if pick(s) {
			out = append(out, s)
		}
	}
	return out
}

func (st *sessions) addPage(s *session, id string, p place) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s.pages[id] = p
}

func (st *sessions) page(s *session, id string) (place, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	p, ok := s.pages[id]
	return p, ok
}

// SessionInfo is a live session as the control door shows it.
type SessionInfo struct {
	ID         string    `json:"id"`
	DataCentre string    `json:"dataCentre"`
	User       string    `json:"user"`
	Kind       string    `json:"kind"` // login, link or header
	Method     string    `json:"method"`
	Created    time.Time `json:"created"`
	LastUsed   time.Time `json:"lastUsed"`
	Calls      int       `json:"calls"`
	Unusable   bool      `json:"unusable"`
}

func (st *sessions) list(now time.Time) []SessionInfo {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sweep(now)
	out := make([]SessionInfo, 0, len(st.live))
	for _, s := range st.live {
		out = append(out, SessionInfo{
			ID: s.id, DataCentre: s.centre.id, User: s.userName, Kind: s.kind, Method: s.method,
			Created: s.created, LastUsed: s.used, Calls: int(s.calls.Load()), Unusable: s.unusable,
		})
	}
	slices.SortFunc(out, func(a, b SessionInfo) int { return a.Created.Compare(b.Created) })
	return out
}

// aspID is an ASP.NET session id: 24 lower-case letters and digits.
func aspID() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz012345"
	var raw [24]byte
	_, _ = rand.Read(raw[:]) // never fails, by its contract
	for i, b := range raw {
		raw[i] = alphabet[int(b)%len(alphabet)]
	}
	return string(raw[:])
}

// pageID is a page id of the browser console.
func pageID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails, by its contract
	return hex.EncodeToString(raw[:])
}
