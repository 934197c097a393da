package redisstore_test

import (
	"testing"

	"kdgate/identity"
	"kdgate/store/redisstore"
	"kdgate/store/storetest"
)

// F93: what a check-up asks of Redis is what Redis is set to.
func TestCondition(t *testing.T) {
	server := storetest.StartRedis(t)
	cfg, err := redisstore.FromURL(identity.NewSecret(server.URL()))
	if err != nil {
		t.Fatal(err)
	}
	driver, err := redisstore.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	server.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	server.Do("CONFIG", "SET", "save", "")
	server.Do("CONFIG", "SET", "maxmemory", "1gb")
	c, err := driver.Condition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Role != "master" || c.Eviction != "allkeys-lru" || c.Snapshots != "no" || c.Most != 1<<30 || c.Used == 0 || c.Version == "" {
		t.Errorf("%+v", c)
	}
	server.Do("CONFIG", "SET", "save", "60 1")
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	if c, err = driver.Condition(t.Context()); err != nil || c.Snapshots != "yes" || c.Eviction != "noeviction" {
		t.Errorf("%+v %v", c, err)
	}
}
