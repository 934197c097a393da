// Package admin is the console: the pages below /admin/ and the JSON API below
// /admin/api/v1/, for administrators, mapping administrators and auditors.
//
// It owns who may do what (Access on every Route), the console's own session
// beside the one of the gateway, the emergency account, the frame around the
// pages, and the pages that it holds itself. It refuses to decide for the rooms
// it shows: the mapping table, the audit log and the jobs judge and record what
// is done to them, and the console hands them an Actor. It serves no route that
// does not say who may use it, and no page with an inline script or style.
//
// # Ways in
//
//	DingTalk session ──proof ≤ 5 min, one click──► console session ──► pages
//	emergency account ──password, counted tries──►      │
//	                                                    ├─ ends with the DingTalk session, with the
//	                                                    │  role, after Idle, at Absolute
//	                                                    └─ dangerous acts: proof ≤ 5 min (KD-603)
//
// # Adding a page
//
// One file here, one template, one file of words in each language:
//
//	web/admin/sessions.go                 the page
//	web/templates/admin/sessions.html     its template: {{define "title"}} and {{define "main"}}
//	web/words/admin/sessions.zh-Hans.json, …zh-Hant.json, …en.json
//
// A page is a struct of what it needs, as small interfaces declared in its own
// file, with a Mount that hands routes to the Router:
//
//	type SessionsPage struct{ Keeper Keeper }
//
//	func (p *SessionsPage) Mount(rt *Router) {
//		rt.Link("sessions", prefix+"sessions", ToAdmin)   // words: nav.sessions
//		rt.Add(
//			Route{Pattern: "GET " + prefix + "sessions", Access: ToAdmin, Summary: "Who is signed in.", Serve: p.list},
//			Route{Pattern: "POST " + prefix + "sessions/end", Access: ToAdmin, Danger: true, Summary: "End somebody's sessions.", Serve: p.end},
//			Route{Pattern: "GET " + apiPrefix + "sessions", Access: ToAdmin, Summary: "Who is signed in.", Answer: []SessionInfo{}, Serve: p.listJSON},
//		)
//	}
//
// Add it to consolePages in internal/app/console.go. What a page then uses:
//
//   - An Endpoint returns its failure. An *identity.Error becomes the error page
//     or its JSON form; the cause goes to the log only.
//   - Visit.Page renders a template with .Data (yours), .Shell (the frame) and the
//     words: {{.T "sessions.title"}}, {{.Word "status" .Status}} for word.status.VALUE.
//     Visit.Part renders one {{define}} of it, for htmx; its route is Live when it
//     refreshes by itself.
//   - Visit.Form and Visit.Query read named fields and refuse doubles; Visit.Body reads
//     strict JSON. Cursors in an address are made by Visit.Cursor and read by OpenCursor.
//   - Visit.Actor and Visit.Event say who acts. A page that changes something through a room
//     that does not record by itself appends Visit.Event to the Recorder first.
//   - Danger asks for a proof of the last five minutes. Times are shown by When.
//   - Names that people chose go into <bdi> and through straight.
//
// The tests then ask of every page what they ask of these: TestRoleMatrix calls each
// route as everybody (run it with -update to write docs/console-roles.md anew), and
// TestPagesAreStrict looks at every GET page that needs no parameter.
package admin
