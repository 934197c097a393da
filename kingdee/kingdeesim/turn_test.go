package kingdeesim

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOneCallAtATime proves SIM-K42: a session's second call waits until the
// first is through, and another session does not.
func TestOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{DataCentres: []DataCentre{{ID: "61cd78fbc6aa78", Tables: Tables{Users: []User{{Name: "kdgate"}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		user, _ := s.centres[0].user("kdgate", false)
		busy := s.sessions.open(s.centres[0], user, byLogin, "test", s.now())
		free := s.sessions.open(s.centres[0], user, byLogin, "test", s.now())
		busy.turn <- struct{}{} // a call is running

		answers := map[*session]chan string{busy: make(chan string, 1), free: make(chan string, 1)}
		for current, answer := range answers {
			go func() { answer <- s.ask(current) }()
		}
		synctest.Wait()
		if len(answers[free]) != 1 {
			t.Error("another session waited")
		}
		if len(answers[busy]) != 0 {
			t.Error("the second call did not wait")
		}
		<-busy.turn
		if got := <-answers[busy]; got != `[["CNY"]]` {
			t.Errorf("after its turn came: %s", got)
		}
	})
}

func (s *Server) ask(current *session) string {
	r := httptest.NewRequest(http.MethodPost, "/K3Cloud/Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.ExecuteBillQuery.common.kdsvc",
		strings.NewReader(`{"data":{"FormId":"BD_Currency","FieldKeys":"FCODE"}}`))
	r.Header.Set(sessionCookie, current.id)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Body.String()
}

// TestPollWaits proves that a progress poll waits 25 seconds, ends at once when
// something rings, and does not outlive its caller or the server.
func TestPollWaits(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(*Server, *session)
		after     time.Duration
		news      int
		lost      bool
	}{
		"nothing": {func(*Server, *session) {}, 25 * time.Second, 0, false},
		"ring":    {func(s *Server, _ *session) { s.Notify("kdgate", "x") }, 3 * time.Second, 1, false},
		"restart": {func(s *Server, _ *session) { s.Restart() }, 3 * time.Second, 0, true},
		"signout": {func(s *Server, c *session) { s.sessions.close(c.id, s.now()) }, 3 * time.Second, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, err := New(Config{DataCentres: []DataCentre{{ID: "61cd78fbc6aa78", Tables: Tables{Users: []User{{Name: "kdgate"}}}}}})
			if err != nil {
				t.Fatal(err)
			}
			user, _ := s.centres[0].user("kdgate", false)
			current := s.sessions.open(s.centres[0], user, byLink, "test", s.now())
			time.AfterFunc(3*time.Second, func() { test.meanwhile(s, current) })
			started := time.Now()
			news, lost := s.await(&request{Request: httptest.NewRequest(http.MethodPost, "/", nil)}, current, 0)
			if took := time.Since(started); took != test.after || len(news) != test.news || lost != test.lost {
				t.Errorf("%s: after %v %v, lost %v", name, took, news, lost)
			}
		})
	}
}
