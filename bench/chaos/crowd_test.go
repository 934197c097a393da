package chaos

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is many people who sign in again and again, each as somebody who was
// never here, and then click once more with the session they got.
type crowd struct {
	tb      testing.TB
	vendors *vendors
	gate    http.RoundTripper
	people  int

	mu       sync.Mutex
	next     int
	attempts []attempt
	secrets  []string      // some codes and cookies that were in use
	ended    chan struct{} // closed and made anew whenever an attempt ends
}

// attempt is one sign-in, or one more click of somebody who is signed in.
type attempt struct {
	number      int
	from, until time.Time
	err         error
	landed      string
	last        time.Duration // that its last answer took
}

func newCrowd(e *estate, gate http.RoundTripper, people int) *crowd {
	return &crowd{tb: e.tb, vendors: e.vendors, gate: gate, people: people, ended: make(chan struct{})}
}

// pace lets a person come every so often until finish is called, however long
// each takes.
func (c *crowd) pace(every time.Duration) (finish func()) {
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				group.Go(func() { c.one(ctx) })
			}
		}
	})
	finish = sync.OnceFunc(func() {
		stop()
		group.Wait()
	})
	c.tb.Cleanup(finish)
	return finish
}

// run lets so many people come at a time until finish is called.
func (c *crowd) run(workers int) (finish func()) {
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for ctx.Err() == nil {
				c.one(ctx)
			}
		})
	}
	finish = sync.OnceFunc(func() {
		stop()
		group.Wait()
	})
	c.tb.Cleanup(finish)
	return finish
}

// one person comes.
func (c *crowd) one(ctx context.Context) {
	c.mu.Lock()
	number := c.next % c.people
	turn := c.next
	c.next++
	c.mu.Unlock()
	p := newPerson(c.vendors, c.gate, number)
	p.pause = func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	began := time.Now()
	landed, err := p.signIn(door(turn % 2))
	c.note(attempt{number, began, time.Now(), err, landed, p.last})
	if err != nil {
		c.breathe(ctx)
		return
	}
	if turn%97 == 0 {
		c.remember(p)
	}
	began = time.Now()
	landed, err = p.launch(launchPath)
	c.note(attempt{number, began, time.Now(), err, landed, p.last})
	if err != nil {
		c.breathe(ctx)
	}
}

// breathe is what people do who were refused, or the log would be all theirs.
func (c *crowd) breathe(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

func (c *crowd) remember(p *person) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, value := range p.cookies {
		c.secrets = append(c.secrets, value)
	}
	c.secrets = append(c.secrets, p.code)
}

func (c *crowd) note(a attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts = append(c.attempts, a)
	close(c.ended)
	c.ended = make(chan struct{})
}

// patience bounds how long anything that must happen may take on a busy machine.
const patience = 60 * time.Second

// await returns when n more attempts have succeeded.
func (c *crowd) await(n int) { c.awaitAfter(time.Now(), n) }

// awaitAfter returns when n attempts that began after a moment have succeeded.
func (c *crowd) awaitAfter(moment time.Time, n int) {
	c.tb.Helper()
	end := time.After(patience)
	for {
		c.mu.Lock()
		ended, good := c.ended, 0
		for i := len(c.attempts) - 1; i >= 0 && c.attempts[i].until.After(moment); i-- {
			if c.attempts[i].err == nil && c.attempts[i].from.After(moment) {
				good++
			}
		}
		c.mu.Unlock()
		if good >= n {
			return
		}
		select {
		case <-ended:
		case <-end:
			c.tb.Fatalf("only %d of %d succeeded within %v", good, n, patience)
		}
	}
}

// window is a time in which refusals are allowed: a fault, and what the
// requirements give for getting over it.
type window struct{ from, until time.Time }

func (w window) meets(a attempt) bool { return a.from.Before(w.until) && a.until.After(w.from) }

// tally is what became of a crowd.
type tally struct {
	good, inside, outside int
	wrong                 int            // Kingdee took them for somebody else
	spoilt                int            // Kingdee refused their links; no fault of anybody's excuses that
	codes                 map[string]int // what the refused were told
	words                 []string       // about each misled one, and some of those outside
	times                 []time.Duration
}

// misled is how many were sent to Kingdee and did not land there as themselves.
func (s tally) misled() int { return s.wrong + s.spoilt }

func (s tally) String() string {
	var told []string
	for _, code := range slices.Sorted(maps.Keys(s.codes)) {
		told = append(told, fmt.Sprintf("%s×%d", code, s.codes[code]))
	}
	return fmt.Sprintf("%d landed, %d wrong, %d links refused by Kingdee, %d refused inside the gaps, %d outside [%s]",
		s.good, s.wrong, s.spoilt, s.inside, s.outside, strings.Join(told, " "))
}

// judge counts the attempts; a refusal that meets a window is allowed.
func (c *crowd) judge(windows []window) tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := tally{codes: map[string]int{}}
	for _, a := range c.attempts {
		switch {
		case a.err == nil && a.landed == loginUser(a.number):
			s.good++
			s.times = append(s.times, a.until.Sub(a.from))
			continue
		case a.err == nil:
			s.wrong++
			s.words = append(s.words, fmt.Sprintf("%s landed as %q", userid(a.number), a.landed))
			continue
		case isSpoilt(a.err):
			s.spoilt++
			s.words = append(s.words, fmt.Sprintf("%s %s: %v", a.until.Format("15:04:05.000"), userid(a.number), a.err))
			continue
		case slices.ContainsFunc(windows, func(w window) bool { return w.meets(a) }):
			s.inside++
		default:
			s.outside++
			if s.outside <= 20 {
				s.words = append(s.words, fmt.Sprintf("%s after %v: %v", a.until.Format("15:04:05.000"), a.until.Sub(a.from), a.err))
			}
		}
		code := codeOf(a.err)
		if code == "" {
			code = a.err.Error()
		}
		s.codes[code]++
	}
	slices.Sort(s.times)
	return s
}

// gap is the longest time without anybody landing, within a window.
func (c *crowd) gap(w window) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	moments := []time.Time{w.from}
	for _, a := range c.attempts {
		if a.err == nil && a.until.After(w.from) && a.until.Before(w.until) {
			moments = append(moments, a.until)
		}
	}
	moments = append(moments, w.until)
	slices.SortFunc(moments, time.Time.Compare)
	var longest time.Duration
	for i := 1; i < len(moments); i++ {
		longest = max(longest, moments[i].Sub(moments[i-1]))
	}
	return longest
}
