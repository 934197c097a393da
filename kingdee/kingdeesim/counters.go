package kingdeesim

import (
	"sync"
	"time"
)

// suspectStreak is how many logins in a row, each after at most one call, count
// as "login before every call".
const suspectStreak = 3

// Counters watch how the gateway uses its API sessions (K103).
type Counters struct {
	Logins              int            `json:"logins"`
	LoginsThisMinute    int            `json:"loginsThisMinute"`
	MostLoginsPerMinute int            `json:"mostLoginsPerMinute"`
	Sessions            int            `json:"sessions"`
	CallsPerSession     map[string]int `json:"callsPerSession"`      // by session id, live API sessions
	LoginBeforeCall     bool           `json:"loginBeforeEveryCall"` // a fault of the client
}

type counters struct {
	mu        sync.Mutex
	logins    int
	minute    time.Time
	inMinute  int
	most      int
	streak    map[string]int
	previous  map[string]*session
	suspected bool
}

func newCounters() *counters {
	return &counters{streak: map[string]int{}, previous: map[string]*session{}}
}

// login counts an attempt.
func (c *counters) login(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
	if minute := now.Truncate(time.Minute); !minute.Equal(c.minute) {
		c.minute, c.inMinute = minute, 0
	}
	c.inMinute++
	c.most = max(c.most, c.inMinute)
}

// opened looks at how much the user's session before this one was used, unless
// that one had to be replaced because of its age.
func (c *counters) opened(now *session, idle time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := now.centre.id + "|" + now.userName
	if before := c.previous[key]; before != nil && before.calls.Load() <= 1 && now.created.Sub(before.created) <= idle {
		c.streak[key]++
	} else {
		c.streak[key] = 0
	}
	c.previous[key] = now
	c.suspected = c.suspected || c.streak[key] >= suspectStreak
}

// Counters returns what was counted so far.
func (s *Server) Counters() Counters {
	perSession := map[string]int{}
	live := s.Sessions()
	for _, one := range live {
		if one.Kind != byLink {
			perSession[one.ID] = one.Calls
		}
	}
	c := s.counters
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Counters{Logins: c.logins, MostLoginsPerMinute: c.most, Sessions: len(live), CallsPerSession: perSession, LoginBeforeCall: c.suspected}
	if s.now().Truncate(time.Minute).Equal(c.minute) {
		out.LoginsThisMinute = c.inMinute
	}
	return out
}

// Sessions returns the live sessions.
func (s *Server) Sessions() []SessionInfo { return s.sessions.list(s.now()) }
