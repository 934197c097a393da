package kingdeesim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// progressTail ends the address of the console's progress poll.
const progressTail = "_pr_.kdsvc"

// keptNotices bounds what a session can still hear.
const keptNotices = 200

// notice is something that happened in a session.
type notice struct {
	Seq  int
	Text string
}

// bell tells whoever waits that there is news.
type bell struct {
	mu   sync.Mutex
	last int
	kept []notice
	next chan struct{} // closed at the next ring
}

func newBell() *bell { return &bell{next: make(chan struct{})} }

func (b *bell) ring(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) >= keptNotices {
		b.kept = slices.Delete(b.kept, 0, keptNotices/2)
	}
	b.last++
	b.kept = append(b.kept, notice{b.last, text})
	close(b.next)
	b.next = make(chan struct{})
}

// after is what rang since, and what the next ring closes.
func (b *bell) after(seq int) ([]notice, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, n := range b.kept {
		if n.Seq > seq {
			return slices.Clone(b.kept[i:]), b.next
		}
	}
	return nil, b.next
}

// seq is the latest notice's number.
func (b *bell) seq() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// Notify rings in every live session of a user ("" means everybody) and says in
// how many: waiting polls end and sockets are told.
func (s *Server) Notify(user, text string) int {
	list := s.sessions.picked(func(o *session) bool { return user == "" || o.userName == user })
	for _, current := range list {
		current.bell.ring(text)
	}
	return len(list)
}

// progress is the long poll: it waits for news after the number in ap0, at most
// Config.PollWait, and ends with the session.
func (s *Server) progress(w http.ResponseWriter, r *request) {
	w.Header().Set("Cache-Control", "no-store")
	current, ok := s.consoleSession(w, r)
	if !ok {
		return
	}
	fields, _ := url.ParseQuery(string(r.body)) // what cannot be read is missing below
	var faults []string
	if r.Header.Get("csrf-token") != current.csrf {
		faults = append(faults, "csrf-token is not the page's")
	}
	since, err := strconv.Atoi(fields.Get("ap0"))
	if err != nil {
		since = current.bell.seq()
	}
	s.arrive(r, "progress", fields, faults)
	if len(faults) != 0 {
		s.writeJSON(w, pageReply{Message: faults[0]})
		return
	}
	news, lost := s.await(r, current, since)
	if lost {
		writeText(w, http.StatusOK, "403 Forbidden "+textN001)
		return
	}
	s.writeJSON(w, pageReply{IsSuccess: true, Result: listOrEmpty(news)})
}

// await gives the news, nothing when the wait is over, or lost when the session
// is.
func (s *Server) await(r *request, current *session, since int) (news []notice, lost bool) {
	over := time.NewTimer(s.cfg.PollWait)
	defer over.Stop()
	for {
		news, next := current.bell.after(since)
		if len(news) != 0 {
			return news, false
		}
		select {
		case <-next:
		case <-over.C:
			return nil, false
		case <-current.ended:
			return nil, true
		case <-s.done:
			return nil, true
		case <-r.Context().Done():
			return nil, true
		}
	}
}
