package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Condition is what Redis tells of itself, for a check-up.
type Condition struct {
	Version, Role, Eviction string
	AppendOnly              bool
	Snapshots               string // yes, no, or untold where we may not ask
	Used, Most              int64  // bytes; zero Most: unbounded
}

// Condition asks Redis about itself; in a cluster, one of its nodes. An account
// that may not use INFO gets an error, which says nothing about the store.
func (d *Driver) Condition(ctx context.Context) (Condition, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	text, err := d.client.Info(ctx).Result()
	if err != nil {
		return Condition{}, fmt.Errorf("redisstore: INFO: %w", d.unavailable(err))
	}
	told := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			told[name] = value
		}
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(told[name], 10, 64)
		if err != nil {
			return 0 // a Redis that does not tell it
		}
		return n
	}
	c := Condition{
		Version: told["redis_version"], Role: told["role"], Eviction: told["maxmemory_policy"],
		AppendOnly: told["aof_enabled"] == "1", Snapshots: "untold", Used: number("used_memory"), Most: number("maxmemory"),
	}
	if settings, err := d.client.ConfigGet(ctx, "save").Result(); err == nil { // not every account may
		c.Snapshots = "no"
		if settings["save"] != "" {
			c.Snapshots = "yes"
		}
	}
	return c, nil
}
