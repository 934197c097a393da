package access

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kdgate/store/storetest"
)

// TestUnknownMembersOfRequests proves R54 for requests, which a decision rewrites.
func TestUnknownMembersOfRequests(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"data_centre":"live","corp":"c","userid":"u","code":"KD-201","asked":"2026-01-02T03:04:05Z","state":"open"}`),
		func(value []byte) ([]byte, error) {
			var r Request
			if err := json.Unmarshal(value, &r); err != nil {
				return nil, err
			}
			r.State, r.By = Granted, "admin"
			return json.Marshal(r)
		})
}
