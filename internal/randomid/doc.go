// Package randomid is the one form of what opens something because nobody can
// guess it: the cookies of sessions, tickets, and states.
//
// It owns how such a text is made, how it is told from any other, and how it is
// found in a request's cookies, where a stranger may have put others beside it.
// It refuses to mend: what is not exactly as New writes it, or stands there more
// than once, is nothing (T39). What one opens, and for how long, is its owner's.
package randomid
