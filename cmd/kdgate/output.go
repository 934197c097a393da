package main

import (
	"encoding/json"
	"os"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"
)

// printJSON writes machine output.
func (p *program) printJSON(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// progress is a bar on the terminal that people look at, and nothing elsewhere.
type progress struct {
	bar  *pb.ProgressBar
	unit string
}

func (p *program) progress(unit string) *progress {
	bar := &progress{unit: unit}
	if file, ok := p.stderr.(*os.File); ok && !p.json && term.IsTerminal(int(file.Fd())) {
		bar.bar = pb.New(0).SetWriter(file)
	}
	return bar
}

// set shows how far the work is; the bar appears with the first call.
func (b *progress) set(done, total int) {
	if b.bar == nil {
		return
	}
	if !b.bar.IsStarted() {
		b.bar.Start()
	}
	b.bar.SetTotal(int64(total)).SetCurrent(int64(done))
}

func (b *progress) finish() {
	if b.bar != nil && b.bar.IsStarted() {
		b.bar.Finish()
	}
}
