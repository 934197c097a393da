package redisstore

import (
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/storetest"
)

var (
	_ store.Driver     = (*Driver)(nil)
	_ store.Distruster = (*Driver)(nil)
)

// openTest opens a driver on addr that the test closes.
func openTest(t testing.TB, cfg Config) *Driver {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// unhurried is a timeout that a busy machine does not meet by accident: then the
// reason Redis gives is what a test gets to see.
const unhurried = 15 * time.Second

// configOf is how to reach server.
func configOf(server *storetest.Redis) Config {
	return Config{Addrs: []string{server.Addr}, Password: identity.NewSecret(server.Password), Timeout: unhurried}
}

func TestConformance(t *testing.T) {
	server := storetest.StartRedis(t)
	runConformance(t, server, configOf(server))
}

// runConformance runs the suite by way of cfg.
func runConformance(t *testing.T, server *storetest.Redis, cfg Config) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		server.Do("FLUSHALL")
		d := openTest(t, cfg)
		return storetest.Harness{
			Driver: d,
			Other:  openTest(t, cfg),
			Overwrite: func(t *testing.T, raw store.Entry) {
				t.Helper()
				server.Do("SET", d.names.value+raw.Key, packHead(raw.Version, raw.ExpiresAt)+string(raw.Value))
				server.Do("ZADD", d.names.index, "0", raw.Key)
			},
		}
	})
}
