// Package logbook gathers log lines and writes many with one system call: a
// busy gateway writes a line per request, and the call costs more than the line.
//
// It owns the way from a slog handler to the file. A line waits a few
// milliseconds at most; one of level Warn or above goes out at once, with
// everything before it. Lines keep their order. When the file is slower than
// the lines, whoever logs waits, as without a logbook. Nothing is lost at an
// orderly end (Flush); what the file refuses is counted, and the first line that
// it takes again says how many are missing. A process that is killed loses the
// lines of the last moment.
//
// It refuses to format, to filter, and to drop a line to save time.
package logbook
