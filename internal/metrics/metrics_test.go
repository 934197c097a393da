package metrics

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

func TestSeriesHaveTheirNames(t *testing.T) {
	m := New()
	m.Await("live", "test")
	m.SignIn(identity.DoorInClient, "ok", "none", 20*time.Millisecond)
	m.Launch("live", "KD-203")
	m.Peer("dingtalk").PeerCall("getuserinfo", "ok", time.Millisecond)
	m.Store("sqlite", "commit", time.Millisecond)
	m.AuditRecords(1)
	m.Canary("live", true, time.Second)
	m.Await("live", "test") // the configuration was reloaded
	m.Sessions(3)
	m.ConnectionShed()
	m.Connections(func() int { return 7 })
	m.Plaintext(func() int { return 1 })
	srv := httptest.NewServer(m.Handler())
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`kdgate_signin_total{door="in-client",fault="none",result="ok"} 1`,
		`kdgate_signin_seconds_count{door="in-client"} 1`,
		`kdgate_signin_total{door="browser",fault="none",result="ok"} 0`, `kdgate_signin_seconds_count{door="browser"} 0`,
		`kdgate_launch_total{result="KD-203",target="live"} 1`,
		`kdgate_launch_total{result="ok",target="test"} 0`,
		`kdgate_peer_calls_total{operation="getuserinfo",peer="dingtalk",result="ok"} 1`,
		`kdgate_store_seconds_count{driver="sqlite",op="commit"} 1`,
		"kdgate_sessions 3",
		"kdgate_connections 7",
		"kdgate_plaintext_peers 1",
		"kdgate_connections_shed_total 1",
		"kdgate_audit_records_total 1",
		"kdgate_store_tampered_total 0",
		`kdgate_canary_success{data_centre="test"} NaN`, `kdgate_canary_success{data_centre="live"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing", want)
		}
	}
}
