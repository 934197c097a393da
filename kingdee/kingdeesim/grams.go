package kingdeesim

import (
	"slices"
	"strings"
)

// grams finds the documents whose text may hold a piece of text, as an index of
// a database does: by runs of three bytes. It only narrows; the filter decides.
// Positions of texts that have changed stay in it.
type grams map[[3]byte][]int32

// add files a document's text.
func (g grams) add(text string, at int) {
	for i := 0; i+3 <= len(text); i++ {
		gram := [3]byte([]byte(text[i : i+3]))
		if list := g[gram]; len(list) == 0 || list[len(list)-1] != int32(at) { //nolint:gosec // positions of a simulator's documents
			g[gram] = append(list, int32(at)) //nolint:gosec // as above
		}
	}
}

// holding gives the positions under the rarest run of piece, which has three
// bytes at least.
func (g grams) holding(piece string) []int32 {
	rarest := g[[3]byte([]byte(piece[:3]))]
	for i := 1; i+3 <= len(piece); i++ {
		if list := g[[3]byte([]byte(piece[i:i+3]))]; len(list) < len(rarest) {
			rarest = list
		}
	}
	return rarest
}

// searchedFields are those that people's look-ups ask for a part of.
func (d *docForm) searchedFields() []string {
	var out []string
	for _, list := range [][]docField{d.head, d.lines} {
		for _, f := range list {
			if f.searched {
				out = append(out, strings.ToLower(f.key))
			}
		}
	}
	return out
}

// mark files the searched texts of the document at a position.
func (t *docTable) mark(at int) {
	d := t.list[at]
	for key, index := range t.searched {
		if text, ok := d.values[key].(string); ok {
			index.add(text, at)
		}
		for _, line := range d.lines {
			if text, ok := line.values[key].(string); ok {
				index.add(text, at)
			}
		}
	}
}

// holding are the rows whose searched field may hold a piece; false: there is no
// index of it, or the piece is too short for one.
func (t *docTable) holding(pieces map[string]string) ([]int, bool) {
	if t == nil {
		return nil, false
	}
	for key, piece := range pieces {
		index, ok := t.searched[key]
		if !ok || len(piece) < 3 {
			continue
		}
		places := slices.Clone(index.holding(piece))
		slices.Sort(places) // a changed document is filed again, behind those after it
		var rows []int
		for _, at := range slices.Compact(places) {
			rows = append(rows, int(at)<<lineBits)
		}
		return rows, true
	}
	return nil, false
}
