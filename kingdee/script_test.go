package kingdee_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"kdgate/identity"
	"kdgate/internal/lockedbuffer"
	"kdgate/kingdee"
)

const (
	testSecret = "0123456789abcdef0123456789ABCDEF"
	testAppID  = "231784_Test4CcK1jgWTczoWZ3NSDWK1l5b6Ppx"
	testDBID   = "61cd78fbc6aa78"
	testSessID = "5f8e2d10-77aa-4c1b-9e3d-0123456789ab"
)

// step is one scripted answer; status 0 is 200.
type step struct {
	status int
	body   string
	header map[string]string
	cut    bool // break the connection instead of answering
}

// scripted is a Kingdee that answers by the book: the n-th login gets the n-th
// step of logins, the last one again and again; the same for queries and logouts.
type scripted struct {
	*httptest.Server
	mu      sync.Mutex
	scripts map[string][]step
	seen    map[string]int
	bodies  []string
	headers []http.Header
}

func goodLogin() step {
	return step{body: `{"Message":null,"MessageCode":"CheckPasswordPolicy","LoginResultType":1,"Context":{"UserName":"api","SessionId":"abcdefghijklmnopqrstuvwx"},"KDSVCSessionId":"` + testSessID + `","IsSuccessByAPI":true}`}
}

func newScripted(t *testing.T, scripts map[string][]step) *scripted {
	t.Helper()
	s := &scripted{scripts: scripts, seen: map[string]int{}}
	if len(scripts["login"]) == 0 {
		scripts["login"] = []step{goodLogin()}
	}
	s.Server = httptest.NewServer(s)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	what := "query"
	switch {
	case strings.Contains(r.URL.Path, "AuthService"):
		what = "login"
	case strings.Contains(r.URL.Path, "LogoutByOtherSystem"):
		what = "logout"
	}
	s.mu.Lock()
	n := s.seen[what]
	s.seen[what]++
	s.bodies = append(s.bodies, string(body))
	s.headers = append(s.headers, r.Header.Clone())
	steps := s.scripts[what]
	s.mu.Unlock()
	if len(steps) == 0 {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	answer := steps[min(n, len(steps)-1)]
	if answer.cut {
		panic(http.ErrAbortHandler)
	}
	for name, value := range answer.header {
		w.Header().Set(name, value)
	}
	if answer.status != 0 {
		w.WriteHeader(answer.status)
	}
	_, _ = io.WriteString(w, answer.body)
}

func (s *scripted) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[what]
}

// logbook collects log lines.
type logbook struct{ lockedbuffer.Buffer }

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

func testConfig(base string) kingdee.Config {
	return kingdee.Config{
		ID: "live", BaseURL: base + "/K3Cloud/", DBID: testDBID, AppID: testAppID,
		AppSecret: identity.NewSecret(testSecret), IntegrationUser: "api",
		Logger: slog.New(slog.DiscardHandler),
	}
}

func newClient(t *testing.T, cfg kingdee.Config) *kingdee.Client {
	t.Helper()
	c, err := kingdee.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
