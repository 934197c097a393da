package storetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Fate is what happens to one reply of Redis on its way through a proxy.
type Fate int

// The fates of a reply.
const (
	Pass     Fate = iota
	Lag           // from here on this connection gets each reply one question late
	Swap          // this question gets the reply last given to anybody
	Cut           // executed, but the reply never arrives
	Truncate      // half of the reply arrives
)

// proxy stands between a client and Redis and mistreats replies.
type proxy struct {
	fate func(command, reply []byte) Fate

	mu   sync.Mutex
	last []byte // the reply last seen on any connection
	open map[net.Conn]struct{}
}

// StartProxy starts a proxy before the Redis at upstream and gives its address.
// fate decides about each reply, may dawdle, and is asked from many goroutines.
// Subscriptions and handshakes pass untouched.
func StartProxy(tb testing.TB, upstream string, fate func(command, reply []byte) Fate) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{fate: fate, open: map[net.Conn]struct{}{}}
	tb.Cleanup(func() {
		_ = l.Close()
		p.closeAll()
	})
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", upstream)
			if err != nil {
				_ = down.Close()
				continue
			}
			go p.serve(down, up)
		}
	}()
	return l.Addr().String()
}

func (p *proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// track knows both ends of a connection until they are closed.
func (p *proxy) track(ends ...net.Conn) (closeBoth func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range ends {
		p.open[end] = struct{}{}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, end := range ends {
			delete(p.open, end)
			_ = end.Close()
		}
	}
}

// serve takes turns: one command up, one reply down, as go-redis does outside
// of subscriptions.
func (p *proxy) serve(down, up net.Conn) {
	defer p.track(down, up)()
	commands, replies := bufio.NewReader(down), bufio.NewReader(up)
	var late []byte // set once the connection has lost step
	for {
		command, err := readMessage(commands)
		if err != nil {
			return
		}
		if _, err := up.Write(command); err != nil {
			return
		}
		if bytes.Contains(bytes.ToLower(command), []byte("subscribe")) {
			go func() {
				_, _ = io.Copy(up, commands)
				_ = down.Close()
			}()
			_, _ = io.Copy(down, replies)
			return
		}
		reply, err := readMessage(replies)
		if err != nil {
			return
		}
		send, whole := p.mistreat(command, reply, &late)
		if _, err := down.Write(send); err != nil || !whole {
			return
		}
	}
}

// mistreat gives what to send instead of reply; false ends the connection.
func (p *proxy) mistreat(command, reply []byte, late *[]byte) (send []byte, whole bool) {
	if bytes.Contains(bytes.ToLower(command), []byte("hello")) {
		return reply, true
	}
	p.mu.Lock()
	before := p.last
	p.last = reply
	p.mu.Unlock()
	if *late != nil {
		send := *late
		*late = reply
		return send, true
	}
	switch p.fate(command, reply) {
	case Cut:
		return nil, false
	case Truncate:
		return reply[:len(reply)/2], false
	case Lag:
		*late = reply
		return before, true
	case Swap:
		return before, true
	default:
		return reply, true
	}
}

// readMessage reads one RESP2 message, command or reply, as bytes.
func readMessage(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadBytes('\n')
	if err != nil || len(line) < 3 {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	if line[0] != '$' && line[0] != '*' {
		return line, nil
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(line[1:])))
	switch {
	case err != nil:
		return nil, fmt.Errorf("header %q: %w", line, err)
	case size < 0:
		return line, nil
	case line[0] == '$':
		body := make([]byte, size+2)
		_, err := io.ReadFull(in, body)
		return append(line, body...), err
	}
	for range size {
		part, err := readMessage(in)
		if err != nil {
			return nil, err
		}
		line = append(line, part...)
	}
	return line, nil
}
