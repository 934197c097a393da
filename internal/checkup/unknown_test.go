package checkup_test

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kdgate/internal/checkup"
	"kdgate/store/storetest"
)

// TestUnknownMembersOfResults proves R54 for certificates: what a newer replica
// tested and this one shows or passes on is whole.
func TestUnknownMembersOfResults(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"id":"i","by":"b","replica":"r","version":"v","began":"2026-01-02T03:04:05Z","done":1,"total":1,"ok":true,"items":[{"peer":"p","check":"c","status":"ok"}]}`),
		func(value []byte) ([]byte, error) {
			var r checkup.Result
			if err := json.Unmarshal(value, &r); err != nil {
				return nil, err
			}
			return json.Marshal(r)
		}, "items")
}
