package directory

import (
	"testing"

	"github.com/go-json-experiment/json"

	"kdgate/store/storetest"
)

// TestUnknownMembers proves R54 for what runs and events rewrite: people,
// departments, the run under way and its pages.
func TestUnknownMembers(t *testing.T) {
	t.Run("person", func(t *testing.T) {
		keepsUnknown[Known](t, `{"userid":"u","number":"1","staff":"2","print":"p","view":"v","home":3,"state":"left","since":"2026-01-02T03:04:05Z"}`)
	})
	t.Run("department", func(t *testing.T) { keepsUnknown[knownDepartment](t, `{"id":1,"number":"D1","print":"p"}`) })
	t.Run("run", func(t *testing.T) {
		keepsUnknown[Run](t, `{"id":"i","corp":"c","by":"b","began":"2026-01-02T03:04:05Z","phase":"read","counts":{"people":1}}`)
	})
	t.Run("page", func(t *testing.T) { keepsUnknown[page](t, `{"department":1,"next":2,"seen":["a"],"same":1}`) })
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
