package chaos

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/kingdee/kingdeesim"
)

const (
	corpID     = "dingchaos1"
	appKey     = "dingchaosapp0001"
	agentID    = 1001
	centreID   = "live"
	dbID       = "61cd78fbc6aa78"
	appID      = "231784_Test4CcK1jgWTczoWZ3NSDWK1l5b6Ppx"
	integrator = "kdgate"
)

// userid is the DingTalk name of a person, who has it as staff number too.
func userid(i int) string { return fmt.Sprintf("8%06d", i+1) }

// loginUser is whom Kingdee has to take that person for.
func loginUser(i int) string { return "user" + userid(i) }

// vendors are both simulators on loopback, with everybody in them.
type vendors struct {
	ding                      *dingtalksim.Server
	king                      *kingdeesim.Server
	dingAddr, kingAddr        string
	dingSecret, kingdeeSecret string
	servers                   []*http.Server
}

// reason is why Kingdee last refused a link of one of its users: no page of its
// own tells.
func (v *vendors) reason(user string) string {
	for _, entry := range slices.Backward(v.king.Log()) {
		if entry.Kind == "link" && entry.User == user && entry.Reason != "" {
			return entry.Reason
		}
	}
	return ""
}

// hush closes the vendors' ends of connections that nobody uses.
func (v *vendors) hush() {
	for _, server := range v.servers {
		server.SetKeepAlivesEnabled(false)
		server.SetKeepAlivesEnabled(true)
	}
}

func startVendors(tb testing.TB, people int) *vendors {
	tb.Helper()
	v := &vendors{dingSecret: "canary-" + rand.Text(), kingdeeSecret: strings.ToLower(rand.Text() + "abcdef")}
	ding := dingtalksim.Config{
		QPS: -1, AddressLimit: -1, MonthQuota: -1,
		Corps: []dingtalksim.Corp{{ID: corpID, Name: "chaos", Apps: []dingtalksim.App{{
			Key: appKey, Secret: v.dingSecret, AgentID: agentID, Name: "chaos",
			HomeURL: "http://localhost/launch/kingdee?corpId=$CORPID$", Hosts: []string{"localhost", publicHost},
		}}}},
	}
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: integrator, Users: []kingdeesim.User{{Name: integrator, Account: integrator}}})
	for i := range people {
		ding.Corps[0].People = append(ding.Corps[0].People, dingtalksim.Person{UserID: userid(i), Name: loginUser(i), JobNumber: userid(i)})
		tables.Hire(kingdeesim.Employee{
			Number: userid(i), Name: loginUser(i), Users: []kingdeesim.User{{Name: loginUser(i), Account: loginUser(i)}},
		})
	}
	var err error
	if v.ding, err = dingtalksim.New(ding); err != nil {
		tb.Fatal(err)
	}
	v.king, err = kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: dbID, Number: "001", Name: "chaos", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: appID, Secret: v.kingdeeSecret, IntegrationUser: integrator}},
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	v.dingAddr, v.kingAddr = v.serve(tb, v.ding), v.serve(tb, v.king)
	return v
}

func (v *vendors) serve(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler}
	v.servers = append(v.servers, server)
	go func() { _ = server.Serve(listener) }() // ends with Close
	tb.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// exchanges is how often a code was turned into a person at DingTalk.
func (v *vendors) exchanges() int {
	return len(v.ding.Calls("getuserinfo")) + len(v.ding.Calls("userAccessToken"))
}
