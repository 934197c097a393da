package strictwire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// long is the beginning of a head that is longer than what costs nothing.
var long = "GET /x HTTP/1.1\r\nHost: example.com\r\nX-Filler: " + strings.Repeat("a", 2*freeHead)

func (g *rig) sends(t *testing.T, text string) net.Conn {
	t.Helper()
	conn := g.dial(t)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// taken waits until so many long heads have their turn.
func (g *rig) taken(t *testing.T, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(10 * time.Second); len(g.heads) != n; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d long heads have their turn, not %d", len(g.heads), n)
		}
	}
}

func answered(t *testing.T, conn net.Conn) int {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// R58: with too many long heads unfinished the next one waits, a short one does
// not, and each that is finished or given up lets one go on.
func TestLongHeadsTakeTurns(t *testing.T) {
	g := start(t, echo, func(cfg *Config) { cfg.MaxLongHeads = 2 })
	first, second := g.sends(t, long), g.sends(t, long)
	g.taken(t, 2) // connections are served side by side: a later one could be the earlier one here
	short := g.sends(t, "GET /short HTTP/1.1\r\nHost: example.com\r\n\r\n")
	if got := answered(t, short); got != http.StatusOK {
		t.Fatalf("a short head: %d", got)
	}
	third, fourth := g.sends(t, long+"\r\n\r\n"), g.sends(t, long+"\r\n\r\n")
	_ = third.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := third.Read(make([]byte, 1)); err == nil {
		t.Fatalf("the third long head was read on: %d bytes", n)
	}
	_ = third.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(first, "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"first": first, "third": third, "fourth": fourth} {
		if got := answered(t, conn); got != http.StatusOK {
			t.Errorf("%s: %d", name, got)
		}
	}
	_ = second.Close()
	if got := answered(t, g.sends(t, long+"\r\n\r\n")); got != http.StatusOK {
		t.Errorf("after all: %d", got)
	}
}

// What waits ends by the server's deadline like what is read, and gives nothing
// back that it did not have.
func TestWaitingHeadsEnd(t *testing.T) {
	h := make(heads, 1)
	held := newTurn(h)
	if err := held.take(time.Now); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*turn){
		"deadline": func(t *turn) { t.until(time.Now().Add(20 * time.Millisecond)) },
		"past":     func(t *turn) { t.until(time.Unix(1, 0)) },
		"closed":   func(t *turn) { t.close() },
	} {
		waiting := newTurn(h)
		end(waiting)
		if err := waiting.take(time.Now); err == nil {
			t.Errorf("%s: got a turn", name)
		}
		waiting.close()
	}
	if len(h) != 1 {
		t.Fatalf("%d turns are taken", len(h))
	}
	held.close()
	held.close()
	held.give()
	if len(h) != 0 {
		t.Errorf("%d turns are left behind", len(h))
	}
	h <- struct{}{}
	if err := held.keep(); err == nil || len(h) != 0 { // a turn that came with the end
		t.Error("a closed connection keeps a turn")
	}
}
