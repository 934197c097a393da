package admin

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kdgate/store/storetest"
)

// TestUnknownMembers proves R54 for what the console rewrites: its sessions, the
// emergency account, its counts of tries, and proposals of many rows.
func TestUnknownMembers(t *testing.T) {
	t.Run("session", func(t *testing.T) {
		keepsUnknown[seat](t, `{"corp":"c","userid":"u","door":"jsapi","started":"2026-01-02T03:04:05Z","ends":"2026-01-02T13:04:05Z","generation":2}`)
	})
	t.Run("emergency account", func(t *testing.T) {
		keepsUnknown[emergency](t, `{"salt":"s","hash":"h","time":1,"memory":2,"threads":3,"one_time":true,"generation":4,"set":"2026-01-02T03:04:05Z"}`)
	})
	t.Run("tries", func(t *testing.T) {
		keepsUnknown[tries](t, `{"count":3,"until":"2026-01-02T03:04:05Z"}`)
		keepsUnknown[brake](t, `{"full":"2026-01-02T03:04:05Z"}`)
	})
	t.Run("proposal", func(t *testing.T) {
		keepsUnknown[Upload](t, `{"id":"i","kind":"import","by":"b","admin":true,"at":"2026-01-02T03:04:05Z","parts":2,"waiting":true}`)
	})
}

func keepsUnknown[T any](t *testing.T, sample string) {
	t.Helper()
	storetest.KeepsUnknown(t, []byte(sample), func(value []byte) ([]byte, error) {
		var record T
		if err := json.Unmarshal(value, &record); err != nil {
			return nil, err
		}
		return json.Marshal(record)
	})
}
