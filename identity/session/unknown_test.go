package session

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kdgate/store/storetest"
)

// TestUnknownMembersOfSessions proves R54: a replica of this release that notes a
// session's use keeps what a newer one wrote into it.
func TestUnknownMembersOfSessions(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"handle":"h","corp":"c","userid":"u","door":"jsapi","proven_at":"2026-01-02T03:04:05Z","started":"2026-01-02T03:04:05Z",`+
		`"seen":"2026-01-02T03:04:05Z","ends":"2026-01-02T13:04:05Z"}`), func(value []byte) ([]byte, error) {
		var r record
		if err := json.Unmarshal(value, &r); err != nil {
			return nil, err
		}
		r.Seen = r.Ends
		return json.Marshal(r)
	})
}
