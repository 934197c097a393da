package dingtalksim

import (
	"fmt"
	"sync"
	"time"
)

// codeLife is how long a one-time code may be used.
const codeLife = 5 * time.Minute

// codeKind tells the two kinds of one-time codes apart; each is refused where
// the other is asked for (SIM-D40, SIM-D54).
type codeKind int

const (
	clientCode codeKind = iota + 1 // requestAuthCode
	oauthCode                      // /oauth2/auth
)

// grant is what a code stands for. Codes belong to an application, and so to
// its organisation; person is the organisation that the person belongs to, which
// may be another one (SIM-D51).
type grant struct {
	kind     codeKind
	app      *app
	person   *corp
	userid   string
	withCorp bool // scope had corpid (SIM-D53)
	expires  time.Time
}

// codes are the one-time codes not used yet.
type codes struct {
	mu    sync.Mutex
	m     map[string]grant
	order []string // oldest first, for forgetting
}

func (k *codes) issue(s *Server, g grant) string {
	value := s.rand.hex(16)
	now := s.clock.now()
	g.expires = now.Add(codeLife)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil {
		k.m = map[string]grant{}
	}
	for len(k.order) > 0 {
		first := k.m[k.order[0]]
		if now.Before(first.expires) {
			break
		}
		delete(k.m, k.order[0])
		k.order = k.order[1:]
	}
	k.m[value] = g
	k.order = append(k.order, value)
	return value
}

// redeem uses the code up. It is taken away under the lock before anything
// else happens, so of two exchanges at once exactly one wins (SIM-D43), and a
// slow answer does not give it back (SIM-D44). A code shown to the wrong
// application or the wrong call is refused but stays good for the right one.
func (k *codes) redeem(value string, kind codeKind, a *app, now time.Time) (grant, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g, ok := k.m[value]
	if !ok || g.kind != kind || g.app != a {
		return grant{}, false
	}
	delete(k.m, value)
	return g, now.Before(g.expires)
}

// AuthCode returns what requestAuthCode would give userid: a code bound to
// appKey. corp and appKey may be empty when userid alone says enough: then the
// first organisation that has the person and its first application are taken.
func (s *Server) AuthCode(userid, corp, appKey string) (string, error) {
	c, a, err := s.place(userid, corp, appKey)
	if err != nil {
		return "", err
	}
	return s.codes.issue(s, grant{kind: clientCode, app: a, person: c, userid: userid}), nil
}

// OAuthCode returns what the browser would bring back from /oauth2/auth after
// userid agreed; withCorp is the scope "openid corpid".
func (s *Server) OAuthCode(userid, corp, appKey string, withCorp bool) (string, error) {
	c, a, err := s.place(userid, corp, appKey)
	if err != nil {
		return "", err
	}
	return s.codes.issue(s, grant{kind: oauthCode, app: a, person: c, userid: userid, withCorp: withCorp}), nil
}

// place finds the person's organisation and the application meant. With appKey
// of another organisation the person may still be one of corp.
func (s *Server) place(userid, corpID, appKey string) (*corp, *app, error) {
	var c *corp
	a := s.apps[appKey]
	if appKey != "" && a == nil {
		return nil, nil, fmt.Errorf("dingtalksim: application %q: %w", appKey, ErrNotFound)
	}
	switch {
	case corpID != "":
		if c = s.corpByID(corpID); c == nil {
			return nil, nil, fmt.Errorf("dingtalksim: organisation %q: %w", corpID, ErrNotFound)
		}
	case a != nil && a.corp.dir.person(userid) != nil:
		c = a.corp
	default:
		c = s.corpOf(userid)
	}
	if c == nil || c.dir.person(userid) == nil {
		return nil, nil, fmt.Errorf("dingtalksim: person %q: %w", userid, ErrNotFound)
	}
	if a == nil {
		a = c.apps[0]
	}
	return c, a, nil
}

// corpOf is the first organisation that knows userid, or nil.
func (s *Server) corpOf(userid string) *corp {
	for _, c := range s.corps {
		if c.dir.person(userid) != nil {
			return c
		}
	}
	return nil
}
