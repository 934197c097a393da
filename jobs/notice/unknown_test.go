package notice

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kdgate/store/storetest"
)

// TestUnknownMembersOfCourses proves R54 for how far a letter has come, and for
// the letters that leave with it: each step writes them again.
func TestUnknownMembersOfCourses(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"letters":[{"id":"i","corp":"c","topic":"t","title":"t","text":"t","route":null,"created":"2026-01-02T03:04:05Z"}],"hop":1}`),
		func(value []byte) ([]byte, error) {
			var c course
			if err := json.Unmarshal(value, &c); err != nil {
				return nil, err
			}
			c.Try++
			return json.Marshal(c)
		}, "letters")
}
