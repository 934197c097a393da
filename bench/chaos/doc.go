// Package chaos holds several gateways on one Redis to what they promise while
// Redis is killed, paused, failed over, emptied of connections and made to
// answer late, cut short or to the wrong question.
//
// It owns replicas in this process, a balancer that follows their readiness,
// people who sign in through it by both doors and look whom Kingdee takes them
// for, and the campaign that `make chaos` runs: bounded in time, on loopback
// only, ending with a table and with failure when a bound is broken. A short
// form of it runs with the other tests and proves that the harness works.
//
// It also owns strangers who misuse the program as it ships, in a process of its
// own: slow and oversized requests, floods of HTTP/2 frames, connections without
// end (TestAbuse). Their long form is `make soak`.
//
// It refuses to hold anything that production runs, to leave this machine, and
// to believe an answer of the gateway: the only proof of an identity is the
// page that Kingdee shows.
package chaos
