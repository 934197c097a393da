// Package hr lets a house's HR system be the master of people: what it says is
// done in DingTalk, and reaches Kingdee from there (F57). It is one way only:
// nothing is ever written back to the HR system.
//
// It owns the form of what HR says (Change), the two ways it comes in (a signed
// HTTP request, a CSV file dropped into a folder), that each word is done once
// and in order for a person, and the breaker. It refuses a batch as a whole when
// one line of it is wrong, and a batch that would take out more people than the
// breaker admits.
//
//	POST /hr/CORP ──┐
//	                ├──► Parse ──► Accept: whole or not at all ──► work list ──► DingTalk
//	DROP/*.csv ─────┘                                              one item a person
package hr
