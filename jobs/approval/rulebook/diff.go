package rulebook

import "strings"

// Change is one line of a difference.
type Change struct {
	Op   string `json:"op"` // same, gone or new
	Text string `json:"text"`
}

// Diff compares two texts line by line, along their longest common subsequence.
func Diff(before, after string) []Change {
	a, b := lines(before), lines(after)
	common := make([][]int, len(a)+1) // of the rests from i and j on
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []Change
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, Change{"same", a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, Change{"gone", a[i]})
			i++
		default:
			out = append(out, Change{"new", b[j]})
			j++
		}
	}
	return out
}

// mostLines bounds the table of a comparison; no rule comes near it.
const mostLines = 1500

func lines(text string) []string {
	list := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return list[:min(len(list), mostLines)]
}
