package jobs_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/jobs"
	"kdgate/store"
	"kdgate/store/storetest"
)

// TestUnknownMembersOfItems proves R54 for items, in the record and in its parts,
// by way of an edit that writes it.
func TestUnknownMembersOfItems(t *testing.T) {
	storetest.KeepsUnknown(t, []byte(`{"kind":"bill","key":"x","state":"ready","payload":{"n":1},"due":"2026-01-02T03:04:05Z","lease":{"fence":3},`+
		`"step":{"name":"s","at":"2026-01-02T03:04:05Z"},"next":{"due":"2026-01-02T03:04:05Z"},"failure":{"at":"2026-01-02T03:04:05Z","since":"2026-01-02T03:04:05Z","words":"w"},`+
		`"history":[{"began":"2026-01-02T03:04:05Z","ended":"2026-01-02T03:04:06Z","by":"b","result":"failed"}],`+
		`"filed":"2026-01-02T03:04:05Z","created":"2026-01-02T03:04:05Z","updated":"2026-01-02T03:04:05Z"}`),
		func(value []byte) ([]byte, error) {
			var it jobs.Item
			if err := json.Unmarshal(value, &it); err != nil {
				return nil, err
			}
			it.Tries++
			return json.Marshal(&it)
		}, "lease", "step", "next", "failure", "history")
}

// TestHolderKeepsUnknownMembers: the same through the queue itself.
func TestHolderKeepsUnknownMembers(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		r.add("x")
		const key = "job/item/bill/x"
		entry, err := s.Get(t.Context(), key)
		must(t, err)
		value := append(entry.Value[:len(entry.Value)-1:len(entry.Value)-1], `,"future":{"kept":[1,2]}}`...)
		must(t, s.Commit(t.Context(), store.Replace(key, value, entry.Version)))
		w := r.one(r.Queue)
		must(t, w.Step(t.Context(), "half", nil))
		must(t, w.Complete(t.Context()))
		entry, err = s.Get(t.Context(), key)
		must(t, err)
		var after struct {
			Future struct {
				Kept []int `json:"kept"`
			} `json:"future"`
		}
		must(t, json.Unmarshal(entry.Value, &after))
		if len(after.Future.Kept) != 2 {
			t.Errorf("the item is %s", entry.Value)
		}
	})
}

// TestUnknownMembersOfPauses proves R54 for a pause that is set over another one.
func TestUnknownMembersOfPauses(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		pause := jobs.Pause{Kind: "bill", Until: r.clock.Now().Add(time.Hour), Why: "stock-taking"}
		must(t, r.PauseKind(t.Context(), admin, pause))
		kept := storetest.Future(t, s, "job/pause/bill")
		pause.Until = pause.Until.Add(time.Hour)
		must(t, r.PauseKind(t.Context(), admin, pause))
		kept()
	})
}
