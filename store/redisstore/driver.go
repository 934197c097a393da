package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/redis/go-redis/v9"

	"kdgate/store"
)

// Driver is a store.Driver over Redis. Build it with Open.
type Driver struct {
	client   redis.UniversalClient
	dialer   *dialer
	user     string
	timeout  time.Duration
	replicas int // that have to confirm a change
	names    names
	scripts  *scripts
	ear      *ear
	breaker  circuitbreaker.CircuitBreaker[any]

	cancel  context.CancelFunc // ends the ear
	stopped chan struct{}      // closed when it has ended
	close   func() error       // shut, once
}

// Get implements store.Driver.
func (d *Driver) Get(ctx context.Context, key string) (entry store.Entry, err error) {
	err = d.bounded(ctx, func(ctx context.Context) error {
		entry, err = d.get(ctx, key)
		return err
	})
	return entry, err
}

func (d *Driver) get(ctx context.Context, key string) (store.Entry, error) {
	text, err := d.client.Get(ctx, d.names.value+key).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return d.find(ctx, key)
	case err != nil:
		return store.Entry{}, d.unavailable(err)
	}
	return d.unpack(key, text)
}

// find asks for a key that seems not to be there in the way that proves it.
func (d *Driver) find(ctx context.Context, key string) (store.Entry, error) {
	reply, err := d.ask(ctx, d.scripts.find, []string{d.names.index, d.names.value + key}, rand.Text(), key)
	if err != nil {
		return store.Entry{}, err
	}
	if len(reply) == 1 || reply[1] == nil { // an array ends where Lua has nil
		return store.Entry{}, fmt.Errorf("%w: %q", store.ErrNotFound, key)
	}
	text, ok := reply[1].(string)
	if !ok {
		return store.Entry{}, d.outOfStep()
	}
	return d.unpack(key, text)
}

// Scan implements store.Driver. The page is not a snapshot: keys that vanish
// while it is read are left out.
func (d *Driver) Scan(ctx context.Context, prefix, after string, limit int) (page []store.Entry, err error) {
	err = d.bounded(ctx, func(ctx context.Context) error {
		page, err = d.scan(ctx, prefix, after, limit)
		return err
	})
	return page, err
}

func (d *Driver) scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	var out []store.Entry
	for len(out) < limit {
		keys, err := d.keys(ctx, prefix, after, limit)
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return out, nil
		}
		after = keys[len(keys)-1]
		entries, err := d.values(ctx, keys)
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
		if len(keys) < limit {
			return out, nil
		}
	}
	return out[:limit], nil
}

// keys reads a page of the index.
func (d *Driver) keys(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	from, to := "["+prefix, "("+prefix+"\xff" // no key holds the byte 0xff
	if after >= prefix && after != "" {
		from = "(" + after
	}
	reply, err := d.ask(ctx, d.scripts.page, []string{d.names.index}, rand.Text(), from, to, limit)
	if err != nil {
		return nil, err
	}
	if len(reply) != 2 {
		return nil, d.outOfStep()
	}
	list, ok := reply[1].([]any)
	keys := make([]string, 0, len(list))
	for _, item := range list {
		key, isText := item.(string)
		ok = ok && isText && strings.HasPrefix(key, prefix)
		keys = append(keys, key)
	}
	if !ok {
		return nil, d.outOfStep()
	}
	return keys, nil
}

// values reads the records of keys; those that are gone are left out.
func (d *Driver) values(ctx context.Context, keys []string) ([]store.Entry, error) {
	full := make([]string, len(keys))
	for i, key := range keys {
		full[i] = d.names.value + key
	}
	texts, err := d.client.MGet(ctx, full...).Result()
	if err != nil {
		return nil, d.unavailable(err)
	}
	if len(texts) != len(keys) {
		return nil, d.outOfStep()
	}
	out := make([]store.Entry, 0, len(keys))
	for i, key := range keys {
		var entry store.Entry
		var err error
		if text, ok := texts[i].(string); ok {
			entry, err = d.unpack(key, text)
		} else {
			entry, err = d.find(ctx, key)
		}
		switch {
		case err == nil:
			out = append(out, entry)
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return out, nil
}

// Apply implements store.Driver.
func (d *Driver) Apply(ctx context.Context, batch store.Batch) error {
	keys, args := d.commitArgs(batch)
	return d.bounded(ctx, func(ctx context.Context) error {
		script, ask := d.scripts.commitFor(len(batch.Writes)), d.ask
		if d.replicas > 0 && writes(batch) {
			ask = d.confirmed
		}
		reply, err := ask(ctx, script, keys, args...)
		if err != nil {
			return err
		}
		return d.verdict(batch, reply)
	})
}

// commitArgs lays a batch out as script.go says.
func (d *Driver) commitArgs(batch store.Batch) ([]string, []any) {
	id := rand.Text()
	keys := make([]string, 0, fixedKeys+len(batch.Writes))
	keys = append(keys, d.names.index, d.names.ends, d.names.high, d.names.request+id)
	args := make([]any, 0, fixedArgs+argsPerOp*len(batch.Writes))
	args = append(args, id, pad(uint64(max(0, batch.Now.UnixMicro()))), d.names.channel, packEvents(batch.Writes))
	for _, w := range batch.Writes {
		expect := ""
		switch {
		case w.Absent:
			expect = "absent"
		case w.Expect != 0:
			expect = pad(uint64(w.Expect))
		}
		keys = append(keys, d.names.value+w.Key)
		switch w.Kind {
		case store.OpPut:
			record := append(appendHead(make([]byte, 0, headSize+len(w.Value)), w.Version, w.ExpiresAt), w.Value...)
			args = append(args, "p", w.Key, expect, keepFor(w, batch.Now), record)
		case store.OpDelete:
			args = append(args, "d", w.Key, expect, 0, "")
		default:
			args = append(args, "c", w.Key, expect, 0, "")
		}
	}
	return keys, args
}

// keepFor is how many milliseconds Redis keeps a record, 0 for as long as it can.
func keepFor(w store.Write, now time.Time) int64 {
	if w.ExpiresAt.IsZero() {
		return 0
	}
	return (w.ExpiresAt.Sub(now) + store.Collectable).Milliseconds()
}

// verdict reads the script's answer.
func (d *Driver) verdict(batch store.Batch, reply []any) error {
	if len(reply) < 2 {
		return d.outOfStep()
	}
	if reply[1] == "ok" {
		return nil
	}
	if len(reply) < 3 {
		return d.outOfStep()
	}
	n, ok := reply[2].(int64)
	if !ok || n < 1 || int(n) > len(batch.Writes) {
		return d.outOfStep()
	}
	key := batch.Writes[n-1].Key
	switch reply[1] {
	case "conflict":
		return &store.ConflictError{Key: key}
	case "malformed":
		return fmt.Errorf("%w: %q: %w", store.ErrTampered, key, errMalformed)
	case "stale":
		if len(reply) == 4 {
			text, _ := reply[3].(string)
			if floor, err := unpad(text); err == nil {
				return &store.StaleError{Key: key, Floor: store.Version(floor)}
			}
		}
		return fmt.Errorf("%w: the version stored under %q or the highest deleted one: %w", store.ErrTampered, key, errMalformed)
	}
	return d.outOfStep()
}

// ask runs a script whose first argument is an id, and takes only the answer
// that begins with it.
func (d *Driver) ask(ctx context.Context, script *redis.Script, keys []string, args ...any) ([]any, error) {
	run := script.Run // asks by name, and again with the source where Redis has forgotten it
	taught := d.scripts.isTaught(script)
	if !taught {
		run = script.Eval
	}
	reply, err := run(ctx, d.client, keys, args...).Slice()
	if err == nil && !taught {
		d.scripts.teach(script)
	}
	if err != nil {
		if _, refused := errors.AsType[redis.Error](err); !refused && ctx.Err() == nil && !isNetwork(err) {
			return nil, d.outOfStep() // not an array: the answer to another question
		}
		return nil, d.unavailable(err)
	}
	if len(reply) == 0 || reply[0] != args[0] {
		return nil, d.outOfStep()
	}
	return reply, nil
}

// unpack reads a record; one that is none may be another question's answer.
func (d *Driver) unpack(key, text string) (store.Entry, error) {
	entry, err := unpack(key, text)
	if err != nil {
		d.Distrust()
		return store.Entry{}, fmt.Errorf("%w: %q: %w", store.ErrTampered, key, err)
	}
	return entry, nil
}

// outOfStep drops the connections after an answer that fits no question of ours.
func (d *Driver) outOfStep() error {
	d.Distrust()
	return fmt.Errorf("%w: Redis gave the answer to another question; its connections were dropped", store.ErrUnavailable)
}

// Distrust implements store.Distruster.
func (d *Driver) Distrust() { d.dialer.dropAll() }

// Watch implements store.Driver. It waits until changes are heard, but no longer
// than one operation may take: when Redis is away, the first event after it is
// back says "forget everything".
func (d *Driver) Watch(ctx context.Context, prefix string) (<-chan store.Event, error) {
	ready, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	d.ear.await(ready)
	return d.ear.feed.Watch(ctx, prefix), nil
}

// Ping reports whether Redis answers and lets us in.
func (d *Driver) Ping(ctx context.Context) error {
	err := d.bounded(ctx, func(ctx context.Context) error {
		_, err := d.find(ctx, "ping")
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Close ends every watch and all connections.
func (d *Driver) Close() error { return d.close() }

func (d *Driver) shut() error {
	d.cancel()
	<-d.stopped
	d.ear.feed.Close()
	return d.client.Close()
}
