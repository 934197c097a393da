package store_test

import (
	"testing"

	"kdgate/store"
	"kdgate/store/storetest"
)

// TestUnknownMembersOfBirths proves R54 for the entry that a restore rewrites.
func TestUnknownMembersOfBirths(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"id":"i","at":"2026-01-02T03:04:05Z"}`), func(value []byte) ([]byte, error) {
		born, err := store.DecodeBirth(value)
		if err != nil {
			return nil, err
		}
		born.Restored = born.At
		return born.Encode()
	})
}
