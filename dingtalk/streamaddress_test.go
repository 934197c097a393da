package dingtalk

import (
	"net/url"
	"testing"
)

// T119: the address of the event gateway comes from an answer, and leads to no
// service of this machine, nor to one without TLS, unless DingTalk itself is
// called so.
func TestEventGatewayAddress(t *testing.T) {
	for _, c := range []struct {
		api, gateway string
		plain, want  bool
	}{
		{"https://api.dingtalk.com", "wss://wss-open-connection.dingtalk.com:443/connect", false, true},
		{"https://api.dingtalk.com", "ws://wss-open-connection.dingtalk.com/connect", false, false},
		{"https://api.dingtalk.com", "ws://127.0.0.1:9090/metrics", false, false},
		{"https://api.dingtalk.com", "ws://localhost:6379/", false, false},
		{"https://api.dingtalk.com", "ws://[::1]:8080/", false, false},
		{"https://api.dingtalk.com", "http://api.dingtalk.com/", false, false},
		{"https://api.dingtalk.com", "unix:///run/x.sock", false, false},
		{"http://127.0.0.1:8081", "ws://127.0.0.1:8081/stream", false, true}, // a simulator
		{"http://127.0.0.1:8081", "ws://example.com/stream", false, false},
		{"http://sim.example.com", "ws://sim.example.com/stream", true, true},
	} {
		api, err := url.Parse(c.api)
		if err != nil {
			t.Fatal(err)
		}
		gateway, err := url.Parse(c.gateway)
		if err != nil {
			t.Fatal(err)
		}
		client := &Client{cfg: Config{AllowPlainHTTP: c.plain}, api: api}
		if got := client.maySpeakTo(gateway); got != c.want {
			t.Errorf("%s, by %s: %v", c.gateway, c.api, got)
		}
	}
}
