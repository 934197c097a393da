package admin

import (
	"maps"
	"slices"

	"kdgate/identity"
	"kdgate/mapping"
)

// coverage is how much of the table lets people in.
type coverage struct {
	Rows, Good, Unchecked, Broken, Pending, Suspended int
	GoodPC                                            int // of the rows that are meant to work
	Codes                                             []codeCount
}

type codeCount struct {
	Code  identity.Code
	Count int
}

func coverageOf(s mapping.Stats) *coverage {
	c := &coverage{
		Rows: s.Rows, Good: s.Good, Unchecked: s.Unchecked,
		Pending: s.Status[mapping.StatusPending], Suspended: s.Status[mapping.StatusSuspended],
	}
	for _, code := range slices.Sorted(maps.Keys(s.Broken)) {
		c.Broken += s.Broken[code]
		c.Codes = append(c.Codes, codeCount{code, s.Broken[code]})
	}
	if meant := s.Status[mapping.StatusActive] + c.Pending; meant > 0 {
		c.GoodPC = s.Good * 100 / meant
	}
	return c
}
