package admin

import "strconv"

// Size of a chart in its own units; the page scales it.
const (
	chartWidth, chartHeight = 720, 170
	chartLeft, chartBottom  = 34, 22
	chartTop                = 8
)

// Bar is one column of a chart, from the bottom up.
type Bar struct {
	Label string
	Parts []Part
}

// Part is one piece of a column. Class is its colour, a class of admin.css.
type Part struct {
	Class, Name string
	Value       int
}

// Chart is a column chart, worked out here so that the page needs no script.
type Chart struct {
	Width, Height int
	Boxes         []Box
	Labels        []Label
	Lines         []Label // horizontal, with the number they stand for
	Bars          []Bar   // the numbers again, as a table for whoever does not see
	Empty         bool
}

// Box is one drawn piece.
type Box struct {
	X, Y, W, H float64
	Class      string
	Title      string
}

// Label is a text at a place.
type Label struct {
	X, Y float64
	Text string
}

// NewChart lays columns out.
func NewChart(bars []Bar) Chart {
	c := Chart{Width: chartWidth, Height: chartHeight, Bars: bars}
	highest := 0
	for _, bar := range bars {
		highest = max(highest, total(bar))
	}
	c.Empty = highest == 0
	top := round(highest)
	const space = chartHeight - chartBottom - chartTop
	for i := range 3 {
		c.Lines = append(c.Lines, Label{
			X: chartLeft, Y: chartTop + float64(space*i)/2, Text: strconv.Itoa(top - top*i/2),
		})
	}
	if len(bars) == 0 {
		return c
	}
	step, every := float64(chartWidth-chartLeft)/float64(len(bars)), (len(bars)+7)/8 // eight labels have room on a phone
	for i, bar := range bars {
		x, y := chartLeft+step*float64(i), float64(chartHeight-chartBottom)
		for _, part := range bar.Parts {
			h := float64(part.Value) * space / float64(top)
			y -= h
			if part.Value > 0 {
				c.Boxes = append(c.Boxes, Box{
					X: x + step*0.12, Y: y, W: step * 0.76, H: h, Class: part.Class,
					Title: bar.Label + " · " + part.Name + " " + strconv.Itoa(part.Value),
				})
			}
		}
		if i%every == 0 {
			c.Labels = append(c.Labels, Label{X: x + step/2, Y: chartHeight - 6, Text: bar.Label})
		}
	}
	return c
}

func total(bar Bar) int {
	sum := 0
	for _, part := range bar.Parts {
		sum += part.Value
	}
	return sum
}

// round is the next even number with few digits, for the upper end of the scale.
func round(n int) int {
	for step := 2; ; step *= 10 {
		for _, factor := range [...]int{1, 2, 5} {
			if top := step * factor; top >= n {
				return top
			}
		}
	}
}
