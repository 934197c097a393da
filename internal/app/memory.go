package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kdgate/internal/wholefile"
)

// storeIDFile stands in the audit log's folder, which every replica has for
// itself, and names the store that this host uses (store.Memory).
const storeIDFile = "store-id"

// storeMemory is what this host remembers of its store, beside its audit log:
// both outlive the store, and both go with the host.
type storeMemory struct{ dir string }

// Recall implements store.Memory.
func (m storeMemory) Recall() (string, error) {
	text, err := os.ReadFile(filepath.Join(m.dir, storeIDFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(text))
	if id == "" {
		return "", fmt.Errorf("%s is empty", filepath.Join(m.dir, storeIDFile))
	}
	return id, nil
}

// Keep implements store.Memory: whole or not at all.
func (m storeMemory) Keep(id string) error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	return wholefile.Replace(filepath.Join(m.dir, storeIDFile), []byte(id+"\n"))
}

// askStore is readiness' question: does the store answer, and is it ours.
func (c *Core) askStore(ctx context.Context) error {
	began := c.options.Now()
	defer func() { c.metrics.StoreProbe(c.options.Now().Sub(began)) }()
	if err := c.driver.Ping(ctx); err != nil {
		return err
	}
	return c.bound.Recognise(ctx)
}

// storeLost hears that the store is not the one it was, and with nil that it is again.
func (c *Core) storeLost(because error) {
	c.metrics.StoreLost(because != nil)
	if because != nil {
		c.options.Logger.Error("the store is not the one that was here; nobody is let in until it is restored", "error", because)
		return
	}
	c.options.Logger.Info("the store is here again")
}
