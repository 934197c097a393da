package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"kdgate/store"
)

// replicaPatience is how long replicas may take to confirm a change. It is well
// below what an operation and a reply may take.
const replicaPatience = 400 * time.Millisecond

// confirmed runs a Commit's script and has Replicas replicas confirm it before
// the change counts (WAIT). A failover then promotes one that has it, so that
// what was revoked stays revoked and what was used once stays used (R14).
//
// WAIT speaks of the writes of its own connection, so all goes in one pipeline;
// and because a repeated script writes nothing, a write that says nothing follows
// it.
func (d *Driver) confirmed(ctx context.Context, script *redis.Script, keys []string, args ...any) ([]any, error) {
	after := keys[fixedKeys-1] + "w" // not the mark itself: it would say that a script which is not known yet has run
	run := func(eval func(redis.Pipeliner) *redis.Cmd) (*redis.Cmd, int64, error) {
		var answer *redis.Cmd
		var wait *redis.Cmd
		_, err := d.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			answer = eval(p)
			p.Set(ctx, after, "1", time.Second)
			wait = p.Do(ctx, "WAIT", d.replicas, replicaPatience.Milliseconds())
			return nil
		})
		if answer.Err() != nil {
			return answer, 0, answer.Err()
		}
		if err != nil {
			return answer, 0, err
		}
		have, err := wait.Int64()
		return answer, have, err
	}
	whole := func(p redis.Pipeliner) *redis.Cmd { return script.Eval(ctx, p, keys, args...) }
	byName := func(p redis.Pipeliner) *redis.Cmd { return script.EvalSha(ctx, p, keys, args...) }
	first := byName
	if !d.scripts.isTaught(script) {
		first = whole
	}
	answer, have, err := run(first)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		answer, have, err = run(whole)
	}
	if err != nil {
		return nil, d.unavailable(err)
	}
	d.scripts.teach(script)
	reply, err := answer.Slice()
	if err != nil || len(reply) == 0 || reply[0] != args[0] {
		return nil, d.outOfStep()
	}
	if len(reply) > 1 && reply[1] == "ok" && have < int64(d.replicas) {
		return nil, fmt.Errorf("%w: %d replicas confirmed the change within %s, store.wait_replicas asks for %d: are they up, and in step?",
			store.ErrUnavailable, have, replicaPatience, d.replicas)
	}
	return reply, nil
}

// writes reports whether a batch changes anything.
func writes(batch store.Batch) bool {
	for _, w := range batch.Writes {
		if w.Kind != store.OpCheck {
			return true
		}
	}
	return false
}
