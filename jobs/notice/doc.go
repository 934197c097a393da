// Package notice tells people: work notifications of DingTalk, group robots and
// mail, from an outbox on the work list.
//
// It owns the words that leave, who gets them, the order of ways that are tried,
// and the truth about each delivery: sent, delivered, dropped and why, or told
// another way. It owns the watches that make news of queries, the digests, the
// alerts about the work list and the cards of access requests. It refuses to
// send figures marked sensitive to a robot or a department (F73), and to say
// anything of a message's text in a log.
//
// # One letter
//
// A notice becomes one letter for each way and each hundred people. A letter is
// an item of the work list:
//
//	          gather            send             the result, later
//	waiting ─────────► gathered ─────► sending ─────► sent ─────► delivered
//	   │                  ▲  ▲           │  ▲          │
//	   │ another          │  └ refused ──┘  └ no       ├─ had the same today, or too many this minute:
//	   │ letter           │                  answer    │  other words, again to those it missed
//	   │ took it          └────────────────────────────┤
//	   ▼                                               └─ anything else: the next way
//	merged                                                    │
//	                                                          ▼
//	                                    robot, then mail, in the order of Fallbacks
//
// Letters to the same people, or to the same robot, that wait at the same time
// leave as one.
//
// # Once, as far as DingTalk allows
//
// asyncsend_v2 knows no idempotency key, but gives nobody the same bytes twice on
// one Beijing day. So the words are fixed before they are sent (step sending), and
// a send without an answer is sent again, byte for byte, on the same day: that
// somebody "had the same" then means that the first one came. When the day has
// turned meanwhile, it is unclear who has it; it is told another way, and the
// delivery says so. Robots know a message by its id. A mail carries the same
// Message-ID when it is sent again, which is all that SMTP offers.
//
// # Keys
//
//	notice/log/MICROSECONDS/KEY    the truth about a letter, newest first, for 90 days
//	notice/wait/PEOPLE/KEY         letters that wait to be gathered
//	notice/merged/KEY              which letter took this one along
//	notice/told/NAME               what a watch has told last
package notice
