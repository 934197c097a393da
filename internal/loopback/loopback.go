// Package loopback gives tests a loopback port that stays theirs until they
// listen on it.
//
// It owns the one answer to "which port shall the configuration name?". Asking
// the kernel (":0"), closing, and listening again later is a race: the kernel
// gives the same number to the next outgoing connection of any test on the
// machine. It refuses to serve production code.
package loopback

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/gofrs/flock"
)

// The kernel hands out 32768 and above by itself (ip_local_port_range), and a
// Redis Cluster node also listens 10,000 above its own port.
const first, last = 12000, 21999

var (
	mu   sync.Mutex
	next = first + os.Getpid()*7%(last-first)
	held []*flock.Flock // until the process ends
)

// Port is a port on 127.0.0.1 that nothing listens on, that the kernel gives
// to nobody by itself, and that no other caller on this machine gets as long
// as this process lives.
func Port() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	dir := filepath.Join(os.TempDir(), "kdgate-ports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("a place for the locks of ports: %w", err)
	}
	for range last - first {
		port := strconv.Itoa(next)
		if next++; next > last {
			next = first
		}
		lock := flock.New(filepath.Join(dir, port))
		mine, err := lock.TryLock()
		if err != nil {
			return "", fmt.Errorf("the lock of port %s: %w", port, err)
		}
		if !mine {
			continue
		}
		if free(port) {
			held = append(held, lock)
			return port, nil
		}
		if err := lock.Close(); err != nil {
			return "", fmt.Errorf("the lock of port %s: %w", port, err)
		}
	}
	return "", fmt.Errorf("no port between %d and %d is free", first, last)
}

func free(port string) bool {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
