package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

const (
	pathAudit  = prefix + "audit"
	pathRecord = pathAudit + "/record"
	apiAudit   = apiPrefix + "audit"
)

// AuditReader is what the page reads of the log.
type AuditReader interface {
	Log
	Each(ctx context.Context, q audit.Query, fn func(audit.Record) error) error
	Record(ctx context.Context, replica string, seq uint64) (audit.Record, error)
	Chains(ctx context.Context) ([]audit.Chain, error)
}

// Audit is the log: searched, read record by record, exported and verified
// (F40–F42). It changes nothing, and every look at it is itself on record (T117).
type Audit struct {
	Log      AuditReader
	Verifier *Verifier
	Corps    []string // to complete a userid where there is one organisation
}

// auditParams are what records are chosen by; all of it stands in the address.
var auditParams = []Param{
	{"person", "actor or target: CORP/USERID, a userid where there is one organisation, system or cli:USER"},
	{"action", "for example signin, mint, mapping.change"},
	{"outcome", "ok, refused or failed"},
	{"reason", "short code, for example KD-203"},
	{"request_id", "of one request"},
	{"from", "first moment: 2026-01-31, 2026-01-31T08:00 (UTC+8) or RFC 3339"},
	{"to", "moment before which to stop"},
	{"cursor", "of the next page, as the page before gave it"},
}

// Mount implements Page.
func (a *Audit) Mount(rt *Router) {
	rt.Link("audit", pathAudit, ToReaders)
	rt.Link("proof", pathProof, ToReaders)
	get := func(path, summary string, answer any, query []Param, serve Endpoint) Route {
		return Route{Pattern: "GET " + path, Access: ToReaders, Noted: true, Summary: summary, Query: query, Answer: answer, Serve: serve}
	}
	one := []Param{{"replica", "whose chain"}, {"seq", "number in that chain"}}
	export := append(slices.Clone(auditParams[:len(auditParams)-1]), Param{"format", "csv or jsonl"})
	rt.Add(
		get(pathAudit, "Search the audit log; the look is recorded.", nil, auditParams, a.list),
		get(pathRecord, "One record with its line, hash and place in the chain.", nil, one, a.record),
		get(pathAudit+"/export", "The records that match, as CSV or JSON Lines; the export is recorded.", nil, export, a.export),
		get(apiAudit, "Search the audit log; the look is recorded.", AuditPage{}, auditParams, a.listJSON),
		get(apiAudit+"/record", "One record as it was written.", map[string]any{}, one, a.recordJSON),
		get(apiAudit+"/export", "The records that match, as CSV or JSON Lines.", nil, export, a.export),
	)
	a.mountProof(rt)
}

// AuditPage is one page of records, each as its own line of docs/audit-format.md.
type AuditPage struct {
	Records []audit.Record `json:"records"`
	Next    string         `json:"next,omitempty"` // cursor
}

// queryOf reads what records are chosen by. kept is the same as it stands in
// the address, without the cursor.
func (a *Audit) queryOf(v *Visit) (q audit.Query, kept url.Values, err error) {
	var names []string
	for _, p := range auditParams {
		names = append(names, p.Name)
	}
	read, err := v.Query(names...)
	if err != nil {
		return q, nil, err
	}
	kept = url.Values{}
	for _, name := range names {
		read[name] = strings.TrimSpace(read[name])
		if len(read[name]) > 600 {
			return q, nil, badRequest("%s is longer than anything in the log", name)
		}
		if read[name] != "" && name != "cursor" {
			kept.Set(name, read[name])
		}
	}
	q = audit.Query{
		Person: a.person(read["person"]), Action: audit.Action(read["action"]), Outcome: audit.Outcome(read["outcome"]),
		Reason: read["reason"], RequestID: read["request_id"],
	}
	if !slices.Contains([]audit.Outcome{"", audit.OK, audit.Refused, audit.Failed}, q.Outcome) {
		return q, nil, badRequest("outcome is ok, refused or failed")
	}
	if q.From, err = moment(read["from"]); err != nil {
		return q, nil, err
	}
	if q.To, err = moment(read["to"]); err != nil {
		return q, nil, err
	}
	place, err := v.OpenCursor("audit "+kept.Encode(), read["cursor"])
	if err == nil && place != "" {
		q.Before, err = placeOf(place)
	}
	return q, kept, err
}

// person completes a userid where there is one organisation it can be of.
func (a *Audit) person(text string) string {
	if text == "" || text == audit.System || strings.ContainsAny(text, "/:") || len(a.Corps) != 1 {
		return text
	}
	return a.Corps[0] + "/" + text
}

// momentForms are the ways a person writes a time; without a zone it is UTC+8 (F34).
var momentForms = [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly}

func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range momentForms {
		if t, err := time.ParseInLocation(form, text, beijing); err == nil {
			return t, nil
		}
	}
	return time.Time{}, badRequest("%q is neither a day nor a time", text)
}

// A place in the list is the last record's time and id; the cursor around it is
// sealed, so it is read back as it was written.
func placeText(c audit.Cursor) string {
	return strconv.FormatInt(c.At.UnixMilli(), 10) + "." + strconv.FormatUint(c.ID, 10)
}

func placeOf(text string) (audit.Cursor, error) {
	milli, id, _ := strings.Cut(text, ".")
	at, atErr := strconv.ParseInt(milli, 10, 64)
	number, idErr := strconv.ParseUint(id, 10, 64)
	if atErr != nil || idErr != nil {
		return audit.Cursor{}, badRequest("the cursor is not of this list")
	}
	return audit.Cursor{At: time.UnixMilli(at).UTC(), ID: number}, nil
}

// look puts a read of the log on record, before anything is shown.
func (v *Visit) look(action audit.Action, target string, chosen url.Values) error {
	event := v.Event(action, audit.OK)
	event.Target, event.Detail = target, map[string]string{"via": "console"}
	for name := range chosen {
		event.Detail[name] = chosen.Get(name)
	}
	return v.console.record(v.R.Context(), event)
}

// unread names the failure of a read of the log.
func unread(err error) error {
	if errors.Is(err, audit.ErrNoRecord) {
		return identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: %w", err)
	}
	return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "admin: read the log: %w", err)
}

const auditShown = 50

// search records the look and gives one page, with the cursor of the next.
func (a *Audit) search(v *Visit) (found AuditPage, q audit.Query, kept url.Values, err error) {
	if q, kept, err = a.queryOf(v); err != nil {
		return found, q, kept, err
	}
	if err = v.look(audit.ActionAuditRead, "list", kept); err != nil {
		return found, q, kept, err
	}
	q.Limit = auditShown
	if found.Records, err = a.Log.Search(v.R.Context(), q); err != nil {
		return found, q, kept, unread(err)
	}
	if len(found.Records) == auditShown {
		found.Next = v.Cursor("audit "+kept.Encode(), placeText(found.Records[auditShown-1].Cursor()))
	}
	return found, q, kept, nil
}

func (a *Audit) listJSON(v *Visit) error {
	found, _, _, err := a.search(v)
	if err != nil {
		return err
	}
	if found.Records == nil {
		found.Records = []audit.Record{}
	}
	return v.JSON(http.StatusOK, found)
}

// auditView is the list.
type auditView struct {
	Rows      []audit.Record
	Chosen    map[string]string
	Actions   []audit.Action
	Outcomes  []audit.Outcome
	Next      string
	First     string
	ExportCSV string
	ExportJL  string
}

// When is when a record was written.
func (l auditView) When(r audit.Record) string { return whenPrecisely(r.At) }

// At is the address of a record.
func (l auditView) At(r audit.Record) string { return recordAddress(r.Replica, r.Seq) }

// whenPrecisely is When with the milliseconds that the log keeps.
func whenPrecisely(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.In(beijing).Format("2006-01-02 15:04:05.000 UTC-07:00")
}

func recordAddress(replica string, seq uint64) string {
	return pathRecord + "?" + url.Values{"replica": {replica}, "seq": {strconv.FormatUint(seq, 10)}}.Encode()
}

func (a *Audit) list(v *Visit) error {
	found, q, kept, err := a.search(v)
	if err != nil {
		return err
	}
	view := auditView{
		Rows: found.Records, Chosen: map[string]string{}, Actions: knownActions, Outcomes: []audit.Outcome{audit.OK, audit.Refused, audit.Failed},
		ExportCSV: address(pathAudit+"/export", kept, "format", "csv"), ExportJL: address(pathAudit+"/export", kept, "format", "jsonl"),
	}
	for _, p := range auditParams {
		view.Chosen[p.Name] = kept.Get(p.Name)
	}
	if found.Next != "" {
		view.Next = address(pathAudit, kept, "cursor", found.Next)
	}
	if q.Before.ID != 0 {
		view.First = address(pathAudit, kept)
	}
	return v.Page("audit", view)
}

// knownActions are offered by the form; any other can be typed.
var knownActions = []audit.Action{
	audit.ActionSignIn, audit.ActionSignOut, audit.ActionMint, audit.ActionCanary, audit.ActionSessionEnd, audit.ActionForwardEnter, audit.ActionProxyRedeem,
	audit.ActionMappingCreate, audit.ActionMappingChange, audit.ActionMappingSuspend, audit.ActionMappingResume, audit.ActionMappingDelete,
	audit.ActionMappingImport, audit.ActionMappingUndo, audit.ActionMappingResolve, audit.ActionMappingExport, "mapping.approve",
	ActionBulkPropose, ActionBulkApprove, audit.ActionAccessRequest, audit.ActionAccessDecide, audit.ActionRoleChange, audit.ActionConfigLoad,
	audit.ActionSecretChange, audit.ActionServeStart, audit.ActionServeStop, ActionConsoleEnter, ActionConsoleRead, ActionConsoleLeave, ActionConsoleRefuse,
	audit.ActionBreakGlassEnter, audit.ActionSync, "directory.leave", "directory.drift", "directory.rehire", audit.ActionCallbackReject,
	"directory.undo", "directory.unhold", "hr.accept", audit.ActionQueueDead, "queue.replay", "queue.edit", "queue.give-up", "queue.pause", "queue.resume",
	"schedule.run", "schedule.stop", "schedule.pause", "schedule.resume", "approval.book", "approval.preview", "approval.rule.save",
	"approval.rule.switch", "approval.rule.remove", "notice.test", "notice.preview", "notice.resend", "consent.give", "consent.withdraw",
	"consent.import", "consent.export", ActionPersonalRead, ActionPersonalExport, "checkup", audit.ActionBackup, audit.ActionRestore, audit.ActionMigrate, audit.ActionAuditRead,
	audit.ActionAuditExport, ActionAuditVerify, audit.ActionTrim,
}

// recordView is one record.
type recordView struct {
	audit.Record
	Time     string
	Line     string
	Details  []string // names, sorted
	Intact   bool     // the text gives the hash
	Follows  string   // yes, no, first, trimmed: how it stands to the record before
	Previous string
	Next     string
	Request  string // the search for everything of the same request
}

// oneRecord records the look and reads the record that the query names.
func (a *Audit) oneRecord(v *Visit) (audit.Record, error) {
	read, err := v.Query("replica", "seq")
	if err != nil {
		return audit.Record{}, err
	}
	seq, err := strconv.ParseUint(read["seq"], 10, 63)
	if err != nil || len(read["replica"]) > 64 {
		return audit.Record{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no record is named")
	}
	if err := v.look(audit.ActionAuditRead, read["replica"]+"/"+read["seq"], nil); err != nil {
		return audit.Record{}, err
	}
	record, err := a.Log.Record(v.R.Context(), read["replica"], seq)
	if err != nil {
		return record, unread(err)
	}
	return record, nil
}

func (a *Audit) recordJSON(v *Visit) error {
	record, err := a.oneRecord(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, record)
}

func (a *Audit) record(v *Visit) error {
	record, err := a.oneRecord(v)
	if err != nil {
		return err
	}
	view := recordView{
		Record: record, Time: whenPrecisely(record.At),
		Line: string(record.AppendLine(nil)), Intact: record.Intact(),
		Next: recordAddress(record.Replica, record.Seq+1),
	}
	for name := range record.Detail {
		view.Details = append(view.Details, name)
	}
	slices.Sort(view.Details)
	if record.RequestID != "" {
		view.Request = pathAudit + "?" + url.Values{"request_id": {record.RequestID}}.Encode()
	}
	if view.Follows, err = a.follows(v.R.Context(), record); err != nil {
		return unread(err)
	}
	if view.Follows == "yes" || view.Follows == "no" {
		view.Previous = recordAddress(record.Replica, record.Seq-1)
	}
	if _, err := a.Log.Record(v.R.Context(), record.Replica, record.Seq+1); errors.Is(err, audit.ErrNoRecord) {
		view.Next = ""
	}
	return v.Page("record", view)
}

// follows holds a record against the one before it.
func (a *Audit) follows(ctx context.Context, record audit.Record) (string, error) {
	if record.Seq == 1 {
		return "first", nil
	}
	before, err := a.Log.Record(ctx, record.Replica, record.Seq-1)
	switch {
	case errors.Is(err, audit.ErrNoRecord):
		return "trimmed", nil
	case err != nil:
		return "", err
	case before.Hash != record.PrevHash:
		return "no", nil
	default:
		return "yes", nil
	}
}

// export sends everything that matches, oldest first. That it was taken is on
// record before the first byte leaves.
func (a *Audit) export(v *Visit) error {
	q, kept, err := a.queryOf(v)
	if err != nil {
		return err
	}
	read, err := v.Query("format")
	if err != nil {
		return err
	}
	format := read["format"]
	if format != "csv" && format != "jsonl" {
		return badRequest("format is csv or jsonl")
	}
	kept.Set("format", format)
	if err := v.look(audit.ActionAuditExport, "list", kept); err != nil {
		return err
	}
	v.unhurried()
	if format == "jsonl" {
		v.attachment("application/x-ndjson", "audit.jsonl")
		err = a.Log.Each(v.R.Context(), q, func(r audit.Record) error { return r.WriteLine(v.W) })
	} else {
		v.attachment("text/csv; charset=utf-8", "audit.csv")
		err = a.exportCSV(v, q)
	}
	return v.cut("audit export", err)
}

func (a *Audit) exportCSV(v *Visit, q audit.Query) error {
	sheet, err := audit.NewCSVWriter(v.W)
	if err != nil {
		return err
	}
	if err := a.Log.Each(v.R.Context(), q, sheet.Write); err != nil {
		return err
	}
	return sheet.Flush()
}

// cut ends a download that failed so that it is not taken for whole: its status
// is long sent.
func (v *Visit) cut(what string, err error) error {
	if err == nil {
		return nil
	}
	v.console.cfg.Logger.Error(what, "request_id", v.RequestID(), "error", err)
	panic(http.ErrAbortHandler)
}
