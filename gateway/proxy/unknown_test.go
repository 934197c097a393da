package proxy

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kdgate/store/storetest"
)

// TestUnknownMembersOfBindings proves R54 for whose a Kingdee session is.
func TestUnknownMembersOfBindings(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"handle":"h","corp":"c","userid":"u","login_user":"l","seen":"2026-01-02T03:04:05Z","ends":"2026-01-02T13:04:05Z"}`),
		func(value []byte) ([]byte, error) {
			found := &binding{}
			if err := json.Unmarshal(value, &found.record); err != nil {
				return nil, err
			}
			found.Seen = found.Ends
			return json.Marshal(found.record)
		})
}
