package localapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/internal/wholefile"
)

// TokenFile is the name of the file in the data folder that says where the
// local API is and what opens it.
const TokenFile = "local-api.json"

// announcement is the content of TokenFile.
type announcement struct {
	Address string `json:"address"` // host:port of the operations listener
	Token   string `json:"token"`
}

// Announce writes TokenFile into dir: mode 0600 whatever was there before, and
// whole or not at all. A gateway that is killed leaves it behind; who reads it
// then asks for a proof before believing it (see Dial).
func Announce(dir string, at net.Addr, token identity.Secret) error {
	text, err := json.Marshal(announcement{Address: fromThisMachine(at), Token: token.Reveal()})
	if err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	if err := wholefile.Replace(filepath.Join(dir, TokenFile), text); err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	return nil
}

// Withdraw removes TokenFile from dir; one that is gone already is no error.
func Withdraw(dir string) error {
	if err := os.Remove(filepath.Join(dir, TokenFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("localapi: %w", err)
	}
	return nil
}

// fromThisMachine is the listener's address as a command here dials it: one
// that listens everywhere is asked over loopback.
func fromThisMachine(at net.Addr) string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return at.String()
	}
	return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}).String()
}

// readAnnouncement is ErrNoGateway where nobody announced anything.
func readAnnouncement(dir string) (announcement, error) {
	var a announcement
	text, err := os.ReadFile(filepath.Join(dir, TokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, ErrNoGateway
	}
	if err != nil {
		return a, fmt.Errorf("localapi: %w", err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("localapi: %s: %w", TokenFile, err)
	}
	return a, nil
}
