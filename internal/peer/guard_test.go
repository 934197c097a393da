package peer

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// TestGuard proves T119: what is dialled is looked at, however it was spelled.
func TestGuard(t *testing.T) {
	t.Parallel()
	guard := &Guard{Private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for address, allowed := range map[string]bool{
		"8.8.8.8:443": true, "[2400:3200::1]:443": true, "10.1.2.3:443": true, "[::ffff:10.1.2.3]:443": true,
		"10.2.0.1:443": false, "127.0.0.1:443": false, "[::1]:443": false, "0.0.0.0:443": false, "[::]:443": false,
		"169.254.169.254:80": false, "[fe80::1%eth0]:443": false, "[::ffff:127.0.0.1]:443": false, "192.168.1.1:443": false,
		"172.16.0.1:443": false, "100.64.0.1:443": false, "[fd00::1]:443": false, "[64:ff9b::7f00:1]:443": false,
		"[2002:7f00:1::]:443": false, "224.0.0.1:443": false, "255.255.255.255:443": false, "198.18.0.1:443": false,
		"[::7f00:1]:443": false, "[::a00:1]:443": false, "[fec0::1]:443": false, "[3fff::1]:443": false, "192.88.99.1:443": true, "nonsense": false,
	} {
		if err := guard.control("tcp", address, nil); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestGuardStandsInTheDialler proves T119 for names and odd spellings of
// loopback, which only resolution tells.
func TestGuardStandsInTheDialler(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the call arrived") }))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	client := New(Config{Guard: &Guard{}})
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0x7f000001", "2130706433"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+":"+port+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Do(t.Context(), req); err == nil {
			t.Errorf("%s was called", host)
		}
	}
}
