package kingdeesim

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// usedLinks remembers which once-only links were redeemed. With a file, each is
// appended before the link is honoured, so that a restart forgets nothing
// (K87). Only digests are kept.
type usedLinks struct {
	mu   sync.Mutex
	seen map[string]bool
	file *os.File
}

func openUsedLinks(path string) (*usedLinks, error) {
	u := &usedLinks{seen: map[string]bool{}}
	if path == "" {
		return u, nil
	}
	if err := u.load(path); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open used links: %w", err)
	}
	u.file = file
	return u, nil
}

func (u *usedLinks) load(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read used links: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		u.seen[lines.Text()] = true
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read used links: %w", err)
	}
	return nil
}

// redeem marks a link as used and tells whether this was the first time.
func (u *usedLinks) redeem(parts ...string) (first bool, err error) {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	key := hex.EncodeToString(sum[:])
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[key] {
		return false, nil
	}
	if u.file != nil {
		if _, err := u.file.WriteString(key + "\n"); err != nil {
			return false, fmt.Errorf("remember used link: %w", err)
		}
	}
	u.seen[key] = true
	return true, nil
}

func (u *usedLinks) close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.file == nil {
		return nil
	}
	return u.file.Close()
}
