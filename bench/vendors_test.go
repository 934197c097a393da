package bench

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/kingdee/kingdeesim"
)

const (
	corpID     = "dingbench1"
	appKey     = "dingbenchapp0001"
	agentID    = 1001
	centreID   = "live"
	dbID       = "61cd78fbc6aa78"
	appID      = "231784_Test4CcK1jgWTczoWZ3NSDWK1l5b6Ppx"
	integrator = "kdgate"
)

// people is how many click in turn; each has a row whose staff number is the userid.
const people = 2000

func userid(i int) string { return fmt.Sprintf("8%06d", i%people+1) }

// vendors are both simulators on loopback, answering after a delay.
type vendors struct {
	ding                      *dingtalksim.Server
	dingAddr, kingAddr        string
	dingSecret, kingdeeSecret string
	delay                     atomic.Int64 // of every answer, in nanoseconds
}

func startVendors(tb testing.TB) *vendors {
	tb.Helper()
	v := &vendors{dingSecret: rand.Text(), kingdeeSecret: strings.ToLower(rand.Text() + "abcdef")}
	ding := dingtalksim.Config{
		QPS: -1, AddressLimit: -1, MonthQuota: -1,
		Corps: []dingtalksim.Corp{{ID: corpID, Name: "bench", Apps: []dingtalksim.App{{
			Key: appKey, Secret: v.dingSecret, AgentID: agentID, Name: "bench",
			HomeURL: "http://localhost/launch/kingdee?corpId=$CORPID$", Hosts: []string{"localhost"},
		}}}},
	}
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: integrator, Users: []kingdeesim.User{{Name: integrator, Account: integrator}}})
	for i := range people {
		name := fmt.Sprintf("员工%06d", i+1)
		ding.Corps[0].People = append(ding.Corps[0].People, dingtalksim.Person{UserID: userid(i), Name: name, JobNumber: userid(i)})
		tables.Hire(kingdeesim.Employee{Number: userid(i), Name: name, Users: []kingdeesim.User{{Name: name, Account: "u" + userid(i)}}})
	}
	dingSim, err := dingtalksim.New(ding)
	if err != nil {
		tb.Fatal(err)
	}
	kingSim, err := kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: dbID, Number: "001", Name: "bench", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: appID, Secret: v.kingdeeSecret, IntegrationUser: integrator}},
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	v.ding, v.dingAddr, v.kingAddr = dingSim, v.serve(tb, dingSim), v.serve(tb, kingSim)
	return v
}

func (v *vendors) serve(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		later(r.Context(), time.Duration(v.delay.Load()))
		handler.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close
	tb.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// code is what requestAuthCode would give a person in the client.
func (v *vendors) code(tb testing.TB, i int) string {
	tb.Helper()
	code, err := v.ding.AuthCode(userid(i), corpID, appKey)
	if err != nil {
		tb.Fatal(err)
	}
	return code
}
