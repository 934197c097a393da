package kingdee_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

// benchClient is a client with a simulator that holds many employees. Jobs get
// the sessions that a larger installation allows them.
func benchClient(b *testing.B, people int) *kingdee.Client {
	b.Helper()
	var tables kingdeesim.Tables
	for i := range people {
		tables.Hire(kingdeesim.Employee{Number: fmt.Sprintf("C%06d", i), Name: "众人", Mobile: "13800000000"})
	}
	tables.Users = append(tables.Users, kingdeesim.User{Name: "api"})
	sim, err := kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: testDBID, Tables: tables, Rows: []kingdeesim.Row{{AppID: testAppID, Secret: testSecret, IntegrationUser: "api"}},
	}}, KeepCalls: 10})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(sim)
	b.Cleanup(web.Close)
	cfg := testConfig(web.URL)
	cfg.API.MaxSessions, cfg.API.MaxConcurrency, cfg.API.PageSize = 3, 3, 2000
	c, err := kingdee.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c.Background()
}

// BenchmarkBatchSave writes 5,000 staff records into a data centre that holds
// 100,000, twenty a call (F52, F56).
func BenchmarkBatchSave(b *testing.B) {
	c := benchClient(b, 100_000)
	run := 0
	for b.Loop() {
		rows := make([]kingdee.StaffDraft, 5000)
		for i := range rows {
			rows[i] = kingdee.StaffDraft{
				Number: fmt.Sprintf("B%d-%05d", run, i), Name: "新人", Mobile: "13900000000",
				Posts: []kingdee.StaffPost{{Department: "BM000001", Position: "GW0001", Primary: true}},
			}
		}
		run++
		results, err := c.SaveStaff(b.Context(), rows)
		if err != nil || results[4999].Err != nil {
			b.Fatal(err, results[4999])
		}
	}
	b.ReportMetric(float64(run)*5000/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkListing lists 100,000 staff records, 2,000 a page (F50, F56).
func BenchmarkListing(b *testing.B) {
	c := benchClient(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range c.AllStaff(b.Context(), kingdee.Listing{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n < 100_000 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkBills takes bills through look-up, save, submit and audit, as the
// drain after an outage does (R29: at least 50 a second).
func BenchmarkBills(b *testing.B) {
	c := benchClient(b, 1001) // the proposer is number 1000
	n := 0
	for b.Loop() {
		number := fmt.Sprintf("DD-%08d", n)
		n++
		if found, err := c.FindBill(b.Context(), expense, number, number); err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
		model := reimbursement(number, number).Set("FProposerID", kingdee.StaffNumber("C001000"))
		bill, err := c.SaveBill(b.Context(), expense, model)
		if err != nil {
			b.Fatal(err)
		}
		if got, err := c.Approve(b.Context(), expense, bill.ID); err != nil || got[0].Err != nil {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "bills/s")
}
