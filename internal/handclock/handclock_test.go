package handclock_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/internal/handclock"
)

// TestClock: the clock stands where it was put, goes both ways, and loses no move
// when many make one.
func TestClock(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := handclock.New(noon)
	if got := c.Now(); got != noon {
		t.Errorf("it stands at %v", got)
	}
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() { c.Advance(time.Minute) })
	}
	group.Wait()
	c.Advance(-40 * time.Minute)
	if want := noon.Add(time.Hour); c.Now() != want {
		t.Errorf("it shows %v, want %v", c.Now(), want)
	}
}

// TestRunning: the clock goes on by itself, from the machine's time at first and
// from where it was moved to after that.
func TestRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c handclock.Running
		if got := c.Now(); !got.Equal(time.Now()) {
			t.Errorf("it begins at %v", got)
		}
		began := time.Now()
		c.Advance(time.Hour)
		c.Advance(-20 * time.Minute)
		time.Sleep(time.Second)
		if want := began.Add(40*time.Minute + time.Second); !c.Now().Equal(want) {
			t.Errorf("it shows %v, want %v", c.Now(), want)
		}
	})
}
