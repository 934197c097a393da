package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kdgate/audit"
)

const (
	pathProof  = pathAudit + "/proof"
	proofShown = 20
)

func (a *Audit) mountProof(rt *Router) {
	id := []Param{{"id", "of the verification"}}
	rt.Add(
		Route{Pattern: "GET " + pathProof, Access: ToReaders, Noted: true, Summary: "The chains of all replicas, and what verifications found.", Serve: a.proof},
		Route{Pattern: "GET " + pathProof + "/live", Access: ToReaders, Live: true, Summary: "The moving part of the page of proofs.", Serve: a.proofLive},
		Route{Pattern: "POST " + pathProof, Access: ToReaders, Summary: "Verify the log now; the result is recorded.", Serve: a.prove},
		Route{Pattern: "GET " + pathProof + "/report", Access: ToReaders, Summary: "What one verification found, to print.", Query: id, Serve: a.report},
		Route{Pattern: "GET " + apiAudit + "/chains", Access: ToReaders, Noted: true, Summary: "The chains of all replicas.", Answer: []ChainInfo{}, Serve: a.chainsJSON},
		Route{Pattern: "POST " + apiAudit + "/verify", Access: ToReaders, Summary: "Verify the log now; the result is recorded.", Body: struct{}{}, Answer: Verification{}, Serve: a.proveJSON},
		Route{Pattern: "GET " + apiAudit + "/verify", Access: ToReaders, Summary: "What verifications found, the newest first.", Answer: []Verification{}, Serve: a.proofsJSON},
		Route{Pattern: "GET " + apiAudit + "/verify/{id}", Access: ToReaders, Summary: "One verification, under way or ended.", Answer: Verification{}, Serve: a.proofJSON},
	)
}

// ChainInfo is where one replica's chain stands.
type ChainInfo struct {
	Replica string    `json:"replica"`
	First   uint64    `json:"first"`
	Last    uint64    `json:"last"`
	LastAt  time.Time `json:"last_at"`
	Head    string    `json:"head"`  // hash of the last record
	Sworn   uint64    `json:"sworn"` // record that the newest checkpoint names
	SwornAt time.Time `json:"sworn_at,omitzero"`
	Trimmed uint64    `json:"trimmed,omitempty"` // removed by retention up to this one
}

func infoOf(c audit.Chain) ChainInfo {
	return ChainInfo{
		Replica: c.Replica, First: c.First, Last: c.Last, LastAt: c.LastAt, Head: c.Head.String(),
		Sworn: c.Sworn, SwornAt: c.SwornAt, Trimmed: c.Trimmed,
	}
}

// proofView is the page.
type proofView struct {
	Chains  []ChainInfo
	Proofs  []Verification
	Running bool
}

// When and Precise show times.
func (proofView) When(t time.Time) string    { return When(t) }
func (proofView) Precise(t time.Time) string { return whenPrecisely(t) }

// Record is the address of a chain's record.
func (proofView) Record(c ChainInfo, seq uint64) string { return recordAddress(c.Replica, seq) }

// Report is the address of a proof's result.
func (proofView) Report(p Verification) string {
	return pathProof + "/report?" + url.Values{"id": {p.ID}}.Encode()
}

// Percent is how far a proof has come.
func (proofView) Percent(p Verification) int {
	if p.Total == 0 {
		return 0
	}
	return int(min(p.Done*100/p.Total, 100))
}

func (a *Audit) chains(v *Visit) ([]ChainInfo, error) {
	found, err := a.Log.Chains(v.R.Context())
	if err != nil {
		return nil, unread(err)
	}
	list := make([]ChainInfo, 0, len(found))
	for _, c := range found {
		list = append(list, infoOf(c))
	}
	return list, nil
}

func (a *Audit) proofView(v *Visit) (proofView, error) {
	var view proofView
	var err error
	if view.Chains, err = a.chains(v); err != nil {
		return view, err
	}
	if view.Proofs, err = a.Verifier.List(v.R.Context()); err != nil {
		return view, err
	}
	view.Proofs = view.Proofs[:min(len(view.Proofs), proofShown)]
	for _, p := range view.Proofs {
		view.Running = view.Running || p.Ended.IsZero()
	}
	return view, nil
}

func (a *Audit) proof(v *Visit) error {
	if err := v.look(audit.ActionAuditRead, "chains", nil); err != nil {
		return err
	}
	view, err := a.proofView(v)
	if err != nil {
		return err
	}
	return v.Page("proof", view)
}

// proofLive is what changes on a page that was recorded when it was opened.
func (a *Audit) proofLive(v *Visit) error {
	view, err := a.proofView(v)
	if err != nil {
		return err
	}
	return v.Part("proof", "live", view)
}

// begin starts a proof. It reads every record, so it is a look like any other.
func (a *Audit) begin(v *Visit) (Verification, error) {
	if err := v.look(audit.ActionAuditRead, "verify", nil); err != nil {
		return Verification{}, err
	}
	return a.Verifier.Start(v.R.Context(), v.Event(ActionAuditVerify, audit.OK))
}

func (a *Audit) prove(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	if _, err := a.begin(v); err != nil {
		return err
	}
	return v.SeeOther(pathProof)
}

func (a *Audit) proveJSON(v *Visit) error {
	if err := v.Body(&struct{}{}); err != nil {
		return err
	}
	proof, err := a.begin(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusAccepted, proof)
}

func (a *Audit) chainsJSON(v *Visit) error {
	if err := v.look(audit.ActionAuditRead, "chains", nil); err != nil {
		return err
	}
	list, err := a.chains(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, list)
}

func (a *Audit) proofsJSON(v *Visit) error {
	list, err := a.Verifier.List(v.R.Context())
	if err != nil {
		return err
	}
	if list == nil {
		list = []Verification{}
	}
	return v.JSON(http.StatusOK, list)
}

func (a *Audit) proofJSON(v *Visit) error {
	proof, err := a.Verifier.Get(v.R.Context(), v.R.PathValue("id"))
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, proof)
}

// reportView is one result, to read and to print.
type reportView struct {
	proofView
	Verification
	Took string
}

func (a *Audit) report(v *Visit) error {
	read, err := v.Query("id")
	if err != nil {
		return err
	}
	proof, err := a.Verifier.Get(v.R.Context(), read["id"])
	if err != nil {
		return err
	}
	view := reportView{Verification: proof}
	if proof.Report != nil {
		view.Took = strconv.FormatFloat(proof.Report.Took.Seconds(), 'f', 1, 64) + " s"
	}
	return v.Page("proofreport", view)
}
