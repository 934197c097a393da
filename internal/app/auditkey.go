package app

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kdgate/audit"
	"kdgate/internal/wholefile"
)

// auditKeyFile stands in the log's folder and holds the log's public key, so
// that the key a log was begun with is found again among several.
const auditKeyFile = "public-key"

// AuditKey chooses, among the sealing keys, the one that the log in dir was
// begun with: a chain goes on under its key while the sealing key is rotated
// (R57). A log that does not say belongs to the oldest key. It is an error when
// the log's key is not listed any more.
func AuditKey(dir string, keys [][]byte) ([]byte, error) {
	path := filepath.Join(dir, auditKeyFile)
	log, err := ReadPublicKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return keys[len(keys)-1], nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	for _, key := range keys {
		public, err := audit.PublicKey(key)
		if err != nil {
			return nil, err
		}
		if public.Equal(log) {
			return key, nil
		}
	}
	return nil, fmt.Errorf("audit: no listed key is the one that %s names: the log goes on under the key it was begun with, "+
		"so keep that in seal.old_key_files, or begin a log in another audit.dir", path)
}

// keepAuditKey notes which key the log in dir is written with.
func keepAuditKey(dir string, key []byte) error {
	path := filepath.Join(dir, auditKeyFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	public, err := audit.PublicKey(key)
	if err != nil {
		return err
	}
	err = wholefile.Create(path, []byte(FormatPublicKey(public)+"\n"))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// FormatPublicKey is the log's public key as people pass it on.
func FormatPublicKey(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// ReadPublicKey reads a file that holds what FormatPublicKey wrote.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%s holds no public key; write it with: kdgate audit public-key", path)
	}
	return key, nil
}
