// Package archtest holds the house together: a test that reads every import of
// the module and enforces which room may know which. It owns the rules and
// refuses to hold anything that runs.
package archtest
