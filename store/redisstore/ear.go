package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"kdgate/store"
	"kdgate/store/internal/feed"
)

// earRest is the pause between two attempts to subscribe.
const earRest = 200 * time.Millisecond

var errSilent = errors.New("redisstore: the subscription gives no sign of life")

// ear is the one subscription of a driver; it passes what it hears to the feed.
type ear struct {
	feed     feed.Feed
	patience time.Duration // silence after which Redis is asked for a sign of life

	mu    sync.Mutex
	ready chan struct{} // closed while changes are heard
	open  bool          // ready is closed
}

func newEar(patience time.Duration) *ear {
	return &ear{patience: patience, ready: make(chan struct{})}
}

// await returns when changes are heard or ctx ends.
func (e *ear) await(ctx context.Context) {
	e.mu.Lock()
	ready := e.ready
	e.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
	}
}

// hears notes whether changes are heard.
func (e *ear) hears(now bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case now && !e.open:
		close(e.ready)
	case !now && e.open:
		e.ready = make(chan struct{})
	}
	e.open = now
}

// listen keeps a subscription until ctx ends.
func (e *ear) listen(ctx context.Context, client redis.UniversalClient, channel string) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
		// The reason of the end does not matter: whoever asks Redis hears it too.
		_ = e.once(ctx, client, channel)
		e.hears(false)
		rest.Reset(earRest)
	}
}

// once is one subscription from its beginning to its end.
func (e *ear) once(ctx context.Context, client redis.UniversalClient, channel string) error {
	sub := client.Subscribe(ctx)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // a read does not watch ctx
	defer func() {
		if stop() {
			_ = sub.Close()
		}
	}()
	if err := sub.Subscribe(ctx, channel); err != nil {
		return err
	}
	asked := false
	for {
		message, err := receive(ctx, sub, e.patience)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			if asked {
				return errSilent
			}
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		asked = false
		e.hear(message)
	}
}

// receive is the next message. go-redis (9.23) indexes an empty array in a reply
// without looking and would take the process down with it, outside of any
// request: here that is one more broken subscription.
func receive(ctx context.Context, sub *redis.PubSub, patience time.Duration) (message any, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("redisstore: nonsense on the subscription: %v", fault)
		}
	}()
	return sub.ReceiveTimeout(ctx, patience)
}

// hear passes one message on. After subscribing, again or for the first time,
// nobody knows what was missed.
func (e *ear) hear(message any) {
	switch m := message.(type) {
	case *redis.Subscription:
		e.feed.Publish(store.Event{})
		e.hears(true)
	case *redis.Message:
		e.feed.Publish(unpackEvents(m.Payload)...)
	}
}
