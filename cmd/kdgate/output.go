package main

import (
	"fmt"
	"io"
	"os"

	"github.com/cheggaaa/pb/v3"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"golang.org/x/term"
)

// printJSON writes machine output.
func (p *program) printJSON(v any) error {
	return p.printAs(v, jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false))
}

// printRows writes machine output of types whose empty lists are lists.
func (p *program) printRows(v any) error { return p.printAs(v) }

func (p *program) printAs(v any, options ...json.Options) error {
	if err := json.MarshalWrite(p.stdout, v, append(options, jsontext.WithIndent("  "))...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout)
	return err
}

// jsonList writes one JSON array without holding it.
type jsonList struct {
	w     io.Writer
	begun bool
}

func (l *jsonList) add(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	before := ",\n  "
	if !l.begun {
		before, l.begun = "[\n  ", true
	}
	_, err = fmt.Fprintf(l.w, "%s%s", before, text)
	return err
}

func (l *jsonList) end() error {
	text := "\n]\n"
	if !l.begun {
		text = "[]\n"
	}
	_, err := io.WriteString(l.w, text)
	return err
}

// progress is a bar on the terminal that people look at, and nothing elsewhere.
type progress struct{ bar *pb.ProgressBar }

func (p *program) progress(unit string) *progress {
	bar := &progress{}
	if file, ok := p.stderr.(*os.File); ok && !p.json && term.IsTerminal(int(file.Fd())) {
		bar.bar = pb.New(0).SetWriter(file).Set("prefix", unit)
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

// named is set for work that goes through phases, each with a total of its own.
func (b *progress) named(phase string, done, total int) {
	if b.bar == nil {
		return
	}
	b.bar.Set("prefix", phase)
	b.set(done, total)
}

// jsonValue reports whether text is one JSON value.
func jsonValue(text []byte) bool { return jsontext.Value(text).IsValid() }

func (b *progress) finish() {
	if b.bar != nil && b.bar.IsStarted() {
		b.bar.Finish()
	}
}
