package storetest

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

func TestRedisComesAndGoes(t *testing.T) {
	r := StartRedis(t, "--appendonly", "yes", "--appendfsync", "always", "--requirepass", "pw")
	addr := r.Addr
	if got := r.Do("SET", "k", "two\r\nlines"); got != "OK" {
		t.Errorf("SET: %q", got)
	}
	for name, end := range map[string]func(){"stopped": r.Stop, "killed": r.Kill} {
		end()
		end() // twice is once
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Errorf("%s, and still there", name)
		}
		r.Start()
		if got := r.Do("GET", "k"); got != "two\r\nlines" || r.Addr != addr {
			t.Errorf("%s: came back at %s with %q", name, r.Addr, got)
		}
	}
	if want := "redis://:pw@" + addr + "/0"; r.URL() != want {
		t.Errorf("URL %s, want %s", r.URL(), want)
	}
	if _, err := r.do([]string{"NOSUCH"}); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("error reply: %v", err)
	}
}

func TestRedisRefusesBadOptions(t *testing.T) {
	r := StartRedis(t)
	r.Stop()
	r.options = append(r.options, "--no-such-option", "x")
	if err := r.start(); err == nil {
		t.Error("started")
	}
}

func TestReadReply(t *testing.T) {
	for reply, want := range map[string]string{
		"+OK\r\n":                       "OK",
		":7\r\n":                        "7",
		"$2\r\nab\r\n":                  "ab",
		"$-1\r\n":                       "",
		"*-1\r\n":                       "",
		"*2\r\n$1\r\na\r\n*1\r\n:1\r\n": "a 1",
	} {
		if got, err := readReply(bufio.NewReader(strings.NewReader(reply))); err != nil || got != want {
			t.Errorf("%q: %q, %v", reply, got, err)
		}
	}
	for _, reply := range []string{"", "\r\n", "-ERR no\r\n", "$5\r\nab\r\n", "*2\r\n:1\r\n", "$x\r\n"} {
		if got, err := readReply(bufio.NewReader(strings.NewReader(reply))); err == nil {
			t.Errorf("%q: %q", reply, got)
		}
	}
}
