// Package identity is the vocabulary of kdgate: who somebody is, what was
// asserted about them, and how a failure is named.
//
// It owns nouns, their zero values and the error kinds. It refuses everything
// else: no storage, no network, no rendering, and no import outside the
// standard library, so that every other package may import it.
package identity
