// Package lockedbuffer is a bytes.Buffer that several goroutines may write while
// a test reads it.
//
// It owns what a test hears of a program: mostly its log. It refuses to serve
// production code, whose log is internal/logbook.
package lockedbuffer
