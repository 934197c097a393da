package store

import (
	"fmt"
	"testing"
)

func TestFloors(t *testing.T) {
	f := newFloors(100)
	if low := f.see("k", 5, f.mark()); low != 0 {
		t.Errorf("first sight falls below %d", low)
	}
	if low := f.see("k", 4, f.mark()); low != 5 {
		t.Errorf("an older version falls below %d, want 5", low)
	}
	if low := f.see("k", 5, f.mark()); low != 0 {
		t.Errorf("the same version falls below %d", low)
	}
	before := f.mark()
	f.wrote("k", 9, false)
	if low := f.see("k", 5, before); low != 0 {
		t.Errorf("a read that overlapped a write falls below %d", low)
	}
	if low := f.see("k", 5, f.mark()); low != 9 {
		t.Errorf("a read after the write falls below %d, want 9", low)
	}
	if got := f.of("k"); got != 9 {
		t.Errorf("floor %d: a lower version moved it", got)
	}
}

func TestFloorsAfterDelete(t *testing.T) {
	f := newFloors(100)
	if got := f.afterDelete("k", 0); got != 0 {
		t.Errorf("of an unknown key: %d", got)
	}
	f.wrote("k", 5, false)
	gone := f.afterDelete("k", 0)
	f.wrote("k", gone, true)
	if low := f.see("k", 5, f.mark()); gone != 6 || low != 6 {
		t.Errorf("floor %d, the deleted version falls below %d", gone, low)
	}
	if got := f.afterDelete("k", 0); got != 6 {
		t.Errorf("deleting what is gone moves the floor to %d", got)
	}
	if low := f.see("k", 6, f.mark()); low != 0 {
		t.Errorf("the next version falls below %d", low)
	}
	// A put that overtakes a delete is above what the delete leaves behind.
	gone = f.afterDelete("k", 6)
	f.wrote("k", 7, false)
	f.wrote("k", gone, true)
	if low := f.see("k", 7, f.mark()); low != 0 {
		t.Errorf("a put that overtook a delete falls below %d", low)
	}
}

// TestFloorsAreBounded: memory is bounded, and what is used is remembered.
func TestFloorsAreBounded(t *testing.T) {
	const limit = 100
	f := newFloors(limit)
	f.wrote("used", 7, false)
	for i := range 50 * limit {
		f.wrote(fmt.Sprint(i), 1, false)
		if i%10 == 0 && f.of("used") != 7 {
			t.Fatalf("forgotten after %d others", i)
		}
		if held := len(f.young) + len(f.old); held > limit {
			t.Fatalf("%d floors held, limit %d", held, limit)
		}
	}
	if f.of("0") != 0 {
		t.Error("the first of many is still remembered")
	}
}
