package checkup

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// Host is what is looked at on this machine.
type Host struct {
	Certificate string   // file of the public listener's; empty: a proxy in front has it
	Name        string   // that the certificate has to carry
	Secrets     []string // files that hold secrets
	Plaintext   []string // connections without TLS that the configuration allows
	Disk        func(ctx context.Context) error
	Now         func() time.Time
}

// secretAge is from when a secret is called old.
const secretAge = 365 * 24 * time.Hour

// HostPeer tests this machine: certificate, age of secrets, disk, plaintext.
func HostPeer(h Host) Peer {
	return Peer{Name: "host", Test: func(ctx context.Context) []Item {
		var items []Item
		if h.Certificate != "" {
			items = append(items, ownCertificate(h))
		}
		items = append(items, oldSecrets(h))
		if err := h.Disk(ctx); err != nil {
			items = append(items, Item{Check: "disk", Status: Fault, Cause: "disk", Detail: err.Error()})
		} else {
			items = append(items, good("disk", ""))
		}
		if len(h.Plaintext) == 0 {
			return append(items, good("plaintext", "none"))
		}
		for _, words := range h.Plaintext {
			items = append(items, Item{Check: "plaintext", Status: Warning, Cause: "plaintext", Detail: words})
		}
		return items
	}}
}

func ownCertificate(h Host) Item {
	text, err := os.ReadFile(h.Certificate)
	if err != nil {
		return Broken("certificate", "certificate-unread", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return Broken("certificate", "certificate-unread", errors.New("no certificate in "+h.Certificate))
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Broken("certificate", "certificate-unread", err)
	}
	if err := leaf.VerifyHostname(h.Name); h.Name != "" && err != nil {
		item := Broken("certificate", "certificate-name", err)
		item.Values = map[string]string{"name": h.Name}
		return item
	}
	return ending("certificate", "certificate-ends", leaf.NotAfter, h.Now())
}

// oldSecrets judges by the files' times: a secret that was copied looks newer
// than it is.
func oldSecrets(h Host) Item {
	var oldest time.Duration
	at := ""
	for _, path := range h.Secrets {
		info, err := os.Stat(path)
		if err != nil {
			return Broken("secrets", "secret-unread", err)
		}
		if age := h.Now().Sub(info.ModTime()); age > oldest {
			oldest, at = age, path
		}
	}
	if at == "" {
		return good("secrets", "no secret is in a file")
	}
	item := good("secrets", fmt.Sprintf("the oldest of %d is %d days old: %s", len(h.Secrets), int(oldest.Hours()/24), at))
	item.Values = map[string]string{"file": at, "days": strconv.Itoa(int(oldest.Hours() / 24))}
	if oldest > secretAge {
		item.Status, item.Cause = Warning, "secret-old"
	}
	return item
}

// Condition is what Redis tells of itself.
type Condition struct {
	Version, Role, Eviction string
	AppendOnly              bool
	Snapshots               string // yes, no, or untold where we may not ask
	Used, Most              int64  // bytes; zero Most: unbounded
}

// Store is what is looked at of the store.
type Store struct {
	Driver    string
	Ping      func(ctx context.Context) error
	Condition func(ctx context.Context) (Condition, error) // nil: not Redis
	// Read reads every mapping, so that each seal is held against its value. nil:
	// nothing was written yet.
	Read func(ctx context.Context) (rows int, err error)
	Now  func() time.Time
}

const (
	pings    = 5
	slowPing = 20 * time.Millisecond
)

// StorePeer tests the store: that it answers, how fast, that it keeps what it is
// told, and that what it holds is what was written.
func StorePeer(s Store) Peer {
	return Peer{Name: "store", Test: func(ctx context.Context) []Item {
		items := []Item{latency(ctx, s)}
		if items[0].Status == Fault {
			return items
		}
		if s.Read == nil {
			return append(items, condition(ctx, s)...)
		}
		if rows, err := s.Read(ctx); err != nil {
			items = append(items, Broken("seals", "store-tampered", err))
		} else {
			items = append(items, good("seals", fmt.Sprintf("%d rows read, every seal fits", rows)))
		}
		return append(items, condition(ctx, s)...)
	}}
}

// condition is what Redis tells of itself; nothing of the embedded store.
func condition(ctx context.Context, s Store) []Item {
	if s.Condition == nil {
		return nil
	}
	c, err := s.Condition(ctx)
	if err != nil {
		return []Item{{Check: "redis", Status: Unknown, Cause: "redis-untold", Detail: err.Error()}}
	}
	return redisItems(c)
}

func latency(ctx context.Context, s Store) Item {
	var took []time.Duration
	for range pings {
		start := s.Now()
		if err := s.Ping(ctx); err != nil {
			return Broken("answers", "store-unreachable", err)
		}
		took = append(took, s.Now().Sub(start))
	}
	slices.Sort(took)
	median := took[pings/2]
	item := good("answers", s.Driver+", "+median.Round(10*time.Microsecond).String())
	item.Values = map[string]string{"took": median.Round(10 * time.Microsecond).String()}
	if median > slowPing {
		item.Status, item.Cause = Warning, "store-slow"
	}
	return item
}

func redisItems(c Condition) []Item {
	eviction := good("eviction", c.Eviction)
	if c.Eviction != "noeviction" {
		eviction.Status, eviction.Cause, eviction.Values = Fault, "redis-eviction", map[string]string{"policy": c.Eviction}
	}
	kept := good("persistence", "append-only file")
	switch {
	case c.AppendOnly:
	case c.Snapshots == "untold":
		kept = Item{Check: "persistence", Status: Unknown, Cause: "redis-untold", Detail: "no append-only file; snapshots are not told"}
	case c.Snapshots == "yes":
		kept = Item{Check: "persistence", Status: Warning, Cause: "redis-snapshots", Detail: "snapshots only"}
	default:
		kept = Item{Check: "persistence", Status: Fault, Cause: "redis-memory-only"}
	}
	role := good("role", c.Role+", "+c.Version)
	if c.Role != "master" {
		role.Status, role.Cause = Fault, "redis-role"
	}
	memory := good("memory", fmt.Sprintf("%d MiB", c.Used>>20))
	if c.Most > 0 && c.Used*10 > c.Most*9 {
		memory.Status, memory.Cause = Warning, "redis-memory"
	}
	return []Item{role, kept, eviction, memory}
}
