package feed_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"kdgate/store"
	"kdgate/store/internal/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWatchersHearTheirPrefix(t *testing.T) {
	var f feed.Feed
	defer f.Close()
	a, all := f.Watch(t.Context(), "a/"), f.Watch(t.Context(), "")
	changes := []store.Event{{Key: "b/1"}, {Key: "a/1"}, {Key: "a/1", Deleted: true}}
	f.Publish(changes...)
	for _, want := range changes {
		if got := <-all; got != want {
			t.Errorf("heard %+v, want %+v", got, want)
		}
	}
	for _, want := range changes[1:] {
		if got := <-a; got != want {
			t.Errorf("under a/ heard %+v, want %+v", got, want)
		}
	}
	f.Publish(store.Event{Key: "b/2"}, store.Event{}, store.Event{Key: "a/2"})
	if got := <-a; got != (store.Event{}) {
		t.Errorf("under a/ heard %+v, want to forget everything", got)
	}
}

// TestSlowWatcher: a watcher that does not read costs writers nothing and is
// told to forget everything, then hears on.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f feed.Feed
		defer f.Close()
		events := f.Watch(t.Context(), "")
		f.Publish(store.Event{Key: "first"})
		synctest.Wait() // the first is on its way, nobody takes it
		for i := range 100_000 {
			f.Publish(store.Event{Key: fmt.Sprint(i)})
		}
		if got := <-events; got.Key != "first" {
			t.Errorf("heard %+v", got)
		}
		if got := <-events; got != (store.Event{}) {
			t.Errorf("heard %+v, want to forget everything", got)
		}
		synctest.Wait()
		f.Publish(store.Event{Key: "last"})
		if got := <-events; got.Key != "last" {
			t.Errorf("heard %+v", got)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	for name, end := range map[string]func(*feed.Feed, context.CancelFunc){
		"by its context":     func(_ *feed.Feed, cancel context.CancelFunc) { cancel() },
		"by the feed's end":  func(f *feed.Feed, _ context.CancelFunc) { f.Close() },
		"with events unread": func(f *feed.Feed, cancel context.CancelFunc) { f.Publish(store.Event{Key: "k"}); cancel() },
		"closed, unread":     func(f *feed.Feed, _ context.CancelFunc) { f.Publish(store.Event{Key: "k"}); f.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var f feed.Feed
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events := f.Watch(ctx, "")
			end(&f, cancel)
			for range events { // until it is closed
			}
		})
	}
	var f feed.Feed
	f.Close()
	if _, open := <-f.Watch(t.Context(), ""); open {
		t.Error("a closed feed speaks")
	}
}
