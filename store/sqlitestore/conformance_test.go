package sqlitestore

import (
	"database/sql"
	"path/filepath"
	"testing"

	"kdgate/store"
	"kdgate/store/storetest"
)

var _ store.Driver = (*Driver)(nil)

// openTest opens a driver that the test closes.
func openTest(t testing.TB, cfg Config) *Driver {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "kdgate.db")
	}
	d, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// attacker opens the file past the driver, as somebody on the host can.
func attacker(t testing.TB, d *Driver) *sql.DB {
	t.Helper()
	db, err := connect(d.path, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		d := openTest(t, Config{})
		db := attacker(t, d)
		return storetest.Harness{Driver: d, Other: d, Overwrite: func(t *testing.T, raw store.Entry) {
			t.Helper()
			var ends int64
			if !raw.ExpiresAt.IsZero() {
				ends = raw.ExpiresAt.UnixMicro()
			}
			value := append([]byte{}, raw.Value...)
			_, err := db.ExecContext(t.Context(), `INSERT OR REPLACE INTO entries (key, version, ends, value) VALUES (?, ?, ?, ?)`,
				raw.Key, int64(raw.Version), ends, value)
			if err != nil {
				t.Fatal(err)
			}
		}}
	})
}
