// Package feed hands the changes of a store to those who watch it, in process.
//
// It owns the rule that a writer never waits for a watcher and a watcher never
// misses a change unknowingly: one that falls behind is told, by a single event
// with an empty key, to forget everything. It refuses to know where changes
// come from.
package feed

import (
	"context"
	"strings"
	"sync"

	"kdgate/store"
)

// backlog is how many events wait for one watcher before they are replaced by
// "forget everything".
const backlog = 1024

// Feed fans events out. The zero value is ready.
type Feed struct {
	mu       sync.Mutex
	closed   bool
	watchers map[*watcher]struct{}
}

// watcher is one subscription: a queue that Publish fills and pump empties.
type watcher struct {
	prefix string
	out    chan store.Event
	wake   chan struct{} // capacity 1: there is something in the queue
	end    chan struct{} // closed with the feed

	mu    sync.Mutex
	queue []store.Event
}

// Watch delivers events under prefix until ctx ends or the feed is closed, both
// of which close the channel.
func (f *Feed) Watch(ctx context.Context, prefix string) <-chan store.Event {
	w := &watcher{prefix: prefix, out: make(chan store.Event), wake: make(chan struct{}, 1), end: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(w.out)
		return w.out
	}
	if f.watchers == nil {
		f.watchers = map[*watcher]struct{}{}
	}
	f.watchers[w] = struct{}{}
	go f.pump(ctx, w)
	return w.out
}

// Publish offers events to every watcher and never waits.
func (f *Feed) Publish(events ...store.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		w.offer(events)
	}
}

// Close ends every subscription.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for w := range f.watchers {
		delete(f.watchers, w)
		close(w.end)
	}
}

func (w *watcher) offer(events []store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ev := range events {
		switch {
		case ev.Key != "" && !strings.HasPrefix(ev.Key, w.prefix):
			continue
		case ev.Key == "" || len(w.queue) >= backlog:
			w.queue = append(w.queue[:0], store.Event{}) // says all that waited, and more
		case len(w.queue) == 1 && w.queue[0].Key == "":
			continue // about to be told to forget everything
		default:
			w.queue = append(w.queue, ev)
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// take removes the oldest event of the queue.
func (w *watcher) take() (store.Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return store.Event{}, false
	}
	ev := w.queue[0]
	w.queue = w.queue[1:]
	return ev, true
}

// pump moves events from the queue to the channel.
func (f *Feed) pump(ctx context.Context, w *watcher) {
	defer close(w.out)
	defer f.leave(w)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.end:
			return
		case <-w.wake:
		}
		for ev, ok := w.take(); ok; ev, ok = w.take() {
			select {
			case <-ctx.Done():
				return
			case <-w.end:
				return
			case w.out <- ev:
			}
		}
	}
}

func (f *Feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
}
