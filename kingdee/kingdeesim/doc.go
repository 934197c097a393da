// Package kingdeesim is a strict stand-in for a Kingdee Cloud Galaxy server:
// everything that sign-in and the identity chain touch. It is written from the
// vendor reference alone, shares no code with any client, and checks every
// signature by its own hand, so that a mistake made twice cannot hide.
//
// It owns the transport (SIM-K1–K10), the request envelopes (K11–K15), the
// login methods (K16–K33), sessions (K34–K43), signed headers (K44–K49),
// queries and View (K50–K62), writes (K63–K72, K74), staff and users
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
// Records live in two ways. Staff, post records, departments, positions and login
// users have tables, joined as the vendor's are. Everything else, bills and the
// base data that bills refer to, is a document of a form that financeForms or
// tradeForms describes. A record goes through these states; a step from any
// other state is refused without effect (K70):
//
//	Draft → Z ─Save→ A ─Submit→ B ─Audit→ C ─UnAudit→ D ─Submit→ B
//	                 ▲─CancelAssign─┘
//
// Assumed, by this package alone: which fields are required beyond numbers and
// names, the wording where the reference gives none (wrong state, closed period,
// unbalanced voucher, reference that leads nowhere), the field FModifyDate on
// every form, the keys of PUR_Requisition and SAL_SaleOrder, that a bill under
// audit or audited cannot be saved while base data can ([Switches].RigidBaseData),
// and that an entry which is not in the Model at all stays as it is. Fields that a
// form does not have are ignored, as on a real server; see /sim/bills for what
// was kept.
//
// It refuses, as an unknown method (K5), what is not simulated: Push, Allocate,
// CancelAllocate, GroupSave, GroupDelete, QueryGroupInfo, FlexSave, SendMsg,
// SwitchOrg, WorkflowAudit, QueryBusinessInfo, GetSysReportData, Disassembly,
// LoginByRSAAuth, LoginByMobileCard, ValidateUserToken, LoginBySimplePassport
// and Yunzhijia's mobile page.
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
