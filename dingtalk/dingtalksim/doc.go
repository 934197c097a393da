// Package dingtalksim is a strict stand-in for DingTalk: the old host
// (oapi.dingtalk.com), the new host (api.dingtalk.com), the login host
// (login.dingtalk.com) and the client's workbench, all on one listener.
//
// It owns what sign-in, the identity chain and the sync of the address book
// touch: application and user tokens, in-client codes, the browser's consent
// page, contacts, leaver records, events by HTTP callback and by Stream, approvals, page
// tickets, quotas, bans and the failures a test wants to see.
// Every rule carries the SIM-D number of the DingTalk reference that it
// follows; what the reference says the vendor refuses, it refuses.
//
// It refuses to be more than that: it shares no code with any client (the wire
// format is declared again here, so that a mistake in a client cannot hide),
// never calls out, keeps everything in memory, and answers only connections
// that arrive on a loopback address unless Config.AllowRemote says otherwise.
// Approvals are instances that the control door starts and ends; the schema of a
// form and status bars of messages are not simulated yet, and say
// so. Of Yida there is what reading submissions and remarks needs.
//
// # Which path is which host
//
//	/v1.0/…, /v2.0/…                     new host
//	/topapi/…, /gettoken, /auth/scopes,
//	/get_jsapi_ticket, /microapp/list,
//	/robot/send, /call_back/…            old host
//	/oauth2/auth                         login host
//	/connect                             web socket of the event gateway
//	/workbench, /jsapi/…                 the client
//	/sim/…                               the control door
//	anything else                        new host without a version (SIM-D9)
//
// # One vendor call
//
//	loopback? → counted per address, banned? → fault before the call?
//	→ token → address list → calls per second → permission → monthly quota
//	→ the API itself → fault after the call? → recorded → written
//
// A fault that spoils the answer (slow, drip, reset, truncate, …) runs the API
// first: a code whose exchange timed out is used up all the same (SIM-D44).
//
// # One event
//
//	a change with ?event=1, POST /sim/events, Server.Emit
//	→ an event fault or a share of the switches? → the event quota
//	→ for each application: the callback address it has saved or registered,
//	  else one of its Stream connections by chance
//	→ acknowledged; or again: callback +10 s, +30 s, then after 4 minutes the
//	  failed list; Stream 10, 30 and 60 s after the first push, then given up
//
// All of it on the simulator's clock: POST /sim/clock {"advance": 30} brings at
// once what is due by then. Only the pings of Stream keep real time
// (Config.StreamPing, StreamPong). An application that has neither an address
// nor ever opened Stream gets nothing, and the event is recorded as lost.
// Server.Close ends what is under way.
//
// # The control door
//
// JSON both ways; a refusal is {"error": …} with 400, 404, 409, or 501 for what
// is not simulated (?event=… where nothing can be told). Every operation is a
// method of Server too.
//
//	GET    /workbench?as=USERID[&corp=][&platform=]   the page with people and tiles
//	GET    /sim/people            everybody: members, leavers, external contacts
//	POST   /sim/people            add (names as in user/get, and corp, left, external, out_of_range)
//	PATCH  /sim/people/{userid}   change the members given
//	DELETE /sim/people/{userid}   leaves now; ?reason=
//	                              the three of them emit their events with ?event=1
//	…      /sim/departments       GET, POST (add or replace), PATCH and DELETE …/{id}; ?event=1
//	GET    /sim/events?match=     what was emitted: state, every delivery and its outcome; DELETE forgets
//	POST   /sim/events            {type, fields[, corp]}: any event, approvals too
//	POST   /sim/events/forge      {kind: signature|owner|old|replay}: a push nobody may believe → {refused}
//	POST   /workbench/approvals   the workbench's buttons: hand the sample form in, agree to one, refuse it
//	POST   /sim/approvals         {process_code, originator, title, form[, finish]}: starts an instance and
//	                              emits bpms_instance_change; {userid, reason, amounts} makes a
//	                              reimbursement of SampleProcess; GET lists them
//	POST   /sim/approvals/{id}/finish {result}: agree, refuse or terminate; emits it
//	DELETE /sim/approvals/{id}    takes it away; emits an event of a type that no manual names
//	POST   /sim/yida              {app, form, plain, originator, title, data[, finish]}: a submission of a
//	                              Yida form; {originator, reason, amounts} makes the sample's; GET lists
//	                              them; PATCH …/{id} changes values of its data, DELETE …/{id} deletes it
//	POST   /sim/yida/{id}/finish  {result}: agree, disagree or terminate
//	GET    /sim/comments?instance= comments on approvals, remarks on Yida's submissions
//	POST   /sim/callback          {app_key, url, token, aes_key}: saved as in the console; GET
//	GET    /sim/stream            open connections
//	POST   /sim/stream/disconnect {app_key, connection, drop}: goodbye, or cut
//	POST   /sim/authcode          {userid[, corp, app_key]} → {code}
//	POST   /sim/oauthcode         the same for the browser's code; scope "openid" leaves corpId out
//	POST   /sim/faults            {match, kind, times, after, …}: see Fault; GET, DELETE, DELETE …/{id};
//	                              an errcode without a message comes in the vendor's own words, isp.… wrapped;
//	                              kinds event-lost, event-duplicate, event-late, event-reorder,
//	                              stream-drop, stream-drop-after, stream-no-ping and stream-stall hit events
//	POST   /sim/clock             {skew} or {advance}: seconds or a Go duration; GET
//	GET    /sim/calls?match=      every vendor call, secrets masked; DELETE forgets
//	GET    /sim/switches          every switch: name, value, meaning; POST sets some
//	GET    /sim/apps              applications; PATCH …/{app_key} home_url, hosts, permissions,
//	                              range, visible, allowed_ips, name, icon
//	POST   /sim/tokens/kill       {app_key}: the live token becomes void
//	POST   /sim/ban               {address, for}: the five-minute ban, now
//	GET    /sim/quota             the monthly counters; POST {corp, used}
//	GET    /sim/messages?userid=  what people and groups were sent, silent drops marked; DELETE forgets
//	POST   /sim/messages/read     {userid[, corp]}: the person has read everything
//	POST   /sim/robots            {name, token[, corp, secret, keywords, allowed_ips]}: a group's robot; GET
//	GET    /sim/useragents        what the client sends, per platform
package dingtalksim
