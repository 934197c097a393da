// Package lazyregexp holds patterns that few processes ever need.
//
// A pattern with a bounded repeat, such as [a-z]{1,64}, takes 10 to 30 KB when it
// is compiled. All of the program's were a megabyte, a quarter of what an idle
// gateway holds, and what lies in memory is paid for again at each turn of the
// collector. Patterns that every start uses are compiled there as well; the
// others, for a document of an administrator or an odd answer, when they are met.
//
// It refuses patterns that are not written in the source.
package lazyregexp
