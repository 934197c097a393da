// Package gateway is what an employee's browser meets: sign-in, launch,
// sign-out, handover, and the edge that every request passes first.
//
// It owns HTTP: routes, cookies of a sign-in, the exchange of a code exactly
// once, the pages, and the order "decide, record, act". It refuses to know a
// vendor: who proves a person, who resolves the chain and who mints the link
// are small interfaces declared here (peers.go) and filled by the composition
// root. It imports no adapter, reads no environment, and never builds an
// absolute address from a request header.
//
// A sign-in is bound to one browser, which carries it, sealed, until it is used;
// its use is a record in the store:
//
//	GET /launch/… ──► [open] ──► /signin ──code──► claim ──exchange──► [used] ──► 303 back to /launch/…
//	                    │ 5 min                      │ refused            │
//	                    ▼                            ▼                    ▼ same browser, 5 min
//	                  KD-101                    [open, failed]       same session again
//	                                        (a new one, to the
//	                                         same place)
//
// The claim of a code is a second record: the first request to create it
// exchanges the code, everybody else of the same browser waits for its outcome,
// and everybody else is refused. A claim whose winner died starts the login
// again once; the code is never sent upstream twice.
package gateway
