package lazyregexp

import (
	"regexp"
	"sync"
)

// New gives a pattern that is compiled when it is first asked for. It is for
// constants: a pattern that does not compile panics then, as
// regexp.MustCompile does at the start, and the test of this package reads every
// call of New in the program so that none is left to find.
func New(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}
