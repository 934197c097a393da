package kingdeesim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kdgate/kingdee/kingdeesim"
)

// crowd is a simulator with many employees, so that an index that is missing
// shows.
func crowd(b *testing.B) *kingdeesim.Server {
	b.Helper()
	cfg := office()
	for i := range 20_000 {
		cfg.DataCentres[0].Tables.Hire(kingdeesim.Employee{
			Number: fmt.Sprintf("P%05d", i), Name: "某人", Users: []kingdeesim.User{{Name: fmt.Sprintf("user%05d", i)}},
		})
	}
	cfg.Now = func() time.Time { return time.Unix(1_700_000_000, 0) }
	sim, err := kingdeesim.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return sim
}

func serve(b *testing.B, sim http.Handler, method, path, body, session string) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("kdservice-sessionid", session)
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	return w
}

func BenchmarkLink(b *testing.B) {
	sim := crowd(b)
	l := ticket{dbid: centreID, appID: appID, secret: secret, timestamp: "1700000000", permit: "1"}
	for i := 0; b.Loop(); i++ {
		l.user, l.timestamp = fmt.Sprintf("user%05d", i%20_000), fmt.Sprint(1_700_000_000-i/20_000%600)
		if i >= 20_000*600 {
			b.Fatal("the links run out")
		}
		if got := serve(b, sim, http.MethodGet, l.path(), "", ""); got.Code != http.StatusFound {
			b.Fatalf("%d %+v", got.Code, sim.Log()[0])
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	for name, filter := range map[string][2]string{
		"staff":  {"BD_Empinfo", "FStaffNumber='P15000'"},
		"person": {"BD_NEWSTAFF", "FPerson.FNumber='P15000'"},
		"user":   {"SEC_User", "FLinkObject.FNumber='P15000'"},
	} {
		b.Run(name, func(b *testing.B) {
			sim := crowd(b)
			login := fmt.Sprintf(`{"parameters":[%q,"kdgate",%q,"1700000000",%q,2052]}`, centreID, appID, digest("sha256", centreID, "kdgate", appID, secret, "1700000000"))
			serve(b, sim, http.MethodPost, auth+"LoginBySign"+tail, login, "")
			session := sim.Sessions()[0].ID
			body := `{"data":` + ask(filter[0], "FNumber,FName", filter[1], "") + `}`
			for b.Loop() {
				if got := serve(b, sim, http.MethodPost, forms+"ExecuteBillQuery"+tail, body, session); !strings.HasPrefix(got.Body.String(), `[["`) {
					b.Fatal(got.Body.String())
				}
			}
		})
	}
}
