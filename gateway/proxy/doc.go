// Package proxy is the way to a Kingdee data centre that browsers reach only
// through the gateway: /K3Cloud/ on our own host, passed on request by request.
//
// It owns the passage: the session is checked on every request, the Kingdee
// session in it must be the one that this sign-in was given, closed paths stay
// closed, who somebody is goes upstream in a signed assertion and in nothing
// that a client can write, and the answer comes back with its cookies and
// redirects on our host. It also redeems the login link, so that no browser
// ever sees one:
//
//	/launch/… ── link ──► Enter ──GET link──► Kingdee: cookies, landing page
//	                        │ bound to the gateway's session, in the store
//	                        ▼
//	303 /K3Cloud/html5/dform.aspx ──► Serve ──► Kingdee
//	                                    │ session ended anywhere: cut within a second
//	                                    │ no Kingdee session: KD-404, and the gateway launches again
//
// It refuses to touch a body, to follow a redirect, to keep a Kingdee cookie
// (the store knows its hash), and to write an address with a query into a log.
package proxy
