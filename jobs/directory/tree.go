package directory

import (
	"slices"

	"kdgate/dingtalk"
)

// tree is the departments of a run.
type tree struct {
	list  []dingtalk.Department // parents before children
	depth map[int64]int
	known map[int64]bool
}

func newTree(list []dingtalk.Department) tree {
	t := tree{list: list, depth: map[int64]int{}, known: map[int64]bool{}}
	for _, d := range list {
		t.known[d.ID] = true
		t.depth[d.ID] = t.depth[d.ParentID] + 1
	}
	return t
}

func (t tree) holds(id int64) bool { return t.known[id] }

// ids are the departments in a fixed order, so that a run that goes on finds
// its place.
func (t tree) ids() []int64 {
	ids := make([]int64, 0, len(t.list))
	for _, d := range t.list {
		ids = append(ids, d.ID)
	}
	slices.Sort(ids)
	return ids
}

// depths are how deep they lie, in the same order.
func (t tree) depths() []int {
	depths := make([]int, 0, len(t.list))
	for _, id := range t.ids() {
		depths = append(depths, t.depth[id])
	}
	return depths
}

// levels are the departments level by level, for a target that needs parents
// first.
func (t tree) levels() [][]dingtalk.Department {
	var levels [][]dingtalk.Department
	for _, d := range t.list {
		at := t.depth[d.ID] - 1
		for len(levels) <= at {
			levels = append(levels, nil)
		}
		levels[at] = append(levels[at], d)
	}
	return levels
}

// path are the departments from the top down to one.
func (t tree) path(id int64) []dingtalk.Department {
	var path []dingtalk.Department
	for t.holds(id) && len(path) < len(t.list) {
		at := slices.IndexFunc(t.list, func(d dingtalk.Department) bool { return d.ID == id })
		path = append(path, t.list[at])
		id = t.list[at].ParentID
	}
	slices.Reverse(path)
	return path
}
