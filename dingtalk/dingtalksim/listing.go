package dingtalksim

import (
	"cmp"
	"slices"
	"sync"
)

// listings keeps the sorted members of departments, so that a page of a large
// one costs what it shows and not what the department holds. A change of a
// department's members forgets its lists.
type listings struct {
	mu   sync.Mutex
	kept map[int64]map[listing][]*entry
}

// listing is one way to list a department.
type listing struct {
	order string
	all   bool // with those outside every range
}

func (l *listings) forget(dept int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.kept, dept)
}

func (l *listings) get(dept int64, how listing) ([]*entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, ok := l.kept[dept][how]
	return list, ok
}

func (l *listings) put(dept int64, how listing, list []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[int64]map[listing][]*entry{}
	}
	if l.kept[dept] == nil {
		l.kept[dept] = map[listing][]*entry{}
	}
	l.kept[dept][how] = list
}

// membersOf lists direct members in the wanted order; custom and unknown orders
// are by time of entry. The list is shared and must not be changed.
func (d *directory) membersOf(dept int64, order string, all bool) []*entry {
	switch order {
	case "entry_desc", "modify_asc", "modify_desc":
	default:
		order = ""
	}
	how := listing{order, all}
	d.mu.RLock() // nobody changes the department between the look and the keeping
	defer d.mu.RUnlock()
	if list, ok := d.listings.get(dept, how); ok {
		return list
	}
	list := make([]*entry, 0, len(d.members[dept]))
	for _, e := range d.members[dept] {
		if all || !e.OutOfRange {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int {
		switch order {
		case "entry_desc":
			return cmp.Compare(b.entered, a.entered)
		case "modify_asc":
			return cmp.Compare(a.modified, b.modified)
		case "modify_desc":
			return cmp.Compare(b.modified, a.modified)
		}
		return cmp.Compare(a.entered, b.entered)
	})
	d.listings.put(dept, how, list)
	return list
}
