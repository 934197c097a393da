// Package kingdeesim is a strict stand-in for a Kingdee Cloud Galaxy server:
// everything that sign-in and the identity chain touch. It is written from the
// vendor reference alone, shares no code with any client, and checks every
// signature by its own hand, so that a mistake made twice cannot hide.
//
// It owns the transport (SIM-K1–K10), the request envelopes (K11–K15), the
// login methods (K16–K33), sessions (K34–K43), signed headers (K44–K49),
// queries and View (K50–K62), Forbid and Enable (K71), staff and users
// (K75–K78), the third-party sign-on link with its landing page (K79–K97), the
// console's working parts for a proxy to be proved on (K98–K100),
// /K3Cloud/Manager/ (K101), faults on demand (K7, K102) and the watching of the
// gateway (K103–K105). Behaviour that is not certain on real servers is a field
// of [Switches]; the zero value is what the reference names first.
//
// A sign-on link passes these gates, in this order; each refusal has its own
// entry in the log view and one and the same page for the browser:
//
//	readable → data centre → row there → row on → window not 0 → address
//	→ user known → signature → time window → user listed → not forbidden
//	→ not locked → licensed → not used before → landing
//
// The user is looked up before the signature is checked, because a name that
// the character set has garbled must read as "user does not exist" (K82).
//
// It refuses, as an unknown method (K5), what is not simulated yet: Save,
// BatchSave, Draft, Submit, Audit, UnAudit, Delete, CancelAssign, Push,
// Allocate, CancelAllocate, GroupSave, GroupDelete, QueryGroupInfo, FlexSave,
// SendMsg, SwitchOrg, WorkflowAudit, QueryBusinessInfo, GetSysReportData, the
// attachment calls, Disassembly and the asynchronous batch (K63–K70, K72–K74),
// LoginByRSAAuth, LoginByMobileCard, ValidateUserToken, LoginBySimplePassport and
// Yunzhijia's mobile page.
//
// The console (html5/dform.aspx) is a small working application. Its addresses
// are relative, except where the trial is about absolute ones. Known from the
// reference are the envelope of its page calls, the headers, the Base64 of gzip,
// the name of the progress poll and the two anti-tampering headers. Assumed, by
// this package alone, are the method names, both checksums (the vendor's are
// vendor code), the shape of the replies, transfers, and the notify socket:
// whether the vendor uses WebSocket is unknown, see [Switches].NoWebSocket. What
// a call lost on its way makes it fail and stands in [Server.Arrived].
//
// The control door under /sim/ and the Go methods of [Server] do the same
// things through the same code.
package kingdeesim
