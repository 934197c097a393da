package app

import (
	"context"
	"errors"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/mapping/access"
	"kdgate/web/admin"
)

// newBook makes the book of people who ask for access.
func (s *Server) newBook() (*access.Book, error) {
	return access.New(access.Config{Store: s.store, Recorder: s.log, Notifier: applicants{s.Core}, Now: s.options.Now})
}

// accessDoor is the book as the gateway sees it.
type accessDoor struct{ book *access.Book }

// Ask implements gateway.Access.
func (d accessDoor) Ask(ctx context.Context, who identity.Assertion, dataCentre string, code identity.Code) error {
	by := access.Actor{
		Name: audit.Person(who.Subject), Door: string(who.Door), Source: gateway.SourceOf(ctx), RequestID: gateway.RequestIDOf(ctx),
	}
	_, err := d.book.Ask(ctx, by, accessKey(who.Subject, dataCentre), who.Name, code)
	return err
}

// Wish implements gateway.Access.
func (d accessDoor) Wish(ctx context.Context, who identity.Subject, dataCentre string) (gateway.Wish, error) {
	r, there, err := d.book.Of(ctx, accessKey(who, dataCentre))
	if err != nil || !there {
		return gateway.Wish{}, err
	}
	return gateway.Wish{State: gateway.WishState(r.State), Asked: r.Asked, Decided: r.Decided, Reason: r.Reason}, nil
}

func accessKey(who identity.Subject, dataCentre string) access.Key {
	return access.Key{DataCentre: dataCentre, Corp: who.Corp, UserID: who.UserID}
}

// requestsPage joins the requests to the table and to DingTalk.
func (s *Server) requestsPage(r *rooms) *admin.Requests {
	return &admin.Requests{
		Book: s.book, Rows: r.table, Chains: r.table, Centres: consoleCentres(r.config),
		Applicant: func(ctx context.Context, who identity.Subject) (admin.Applicant, error) {
			return applicant(ctx, r, who)
		},
	}
}

// applicant asks DingTalk about a person and the names of their departments. A
// department that cannot be read is left out.
func applicant(ctx context.Context, r *rooms, who identity.Subject) (admin.Applicant, error) {
	made, ok := r.vendors.dingtalk[who.Corp]
	if !ok {
		return admin.Applicant{}, identity.Fail(identity.NotFound, identity.CodeForeignCorp, "no such organisation here")
	}
	client := made.api.Background()
	person, err := client.Person(ctx, who.UserID)
	if err != nil {
		return admin.Applicant{}, err
	}
	a := admin.Applicant{Name: person.Name, Number: person.JobNumber, Title: person.Title}
	for _, id := range person.Departments {
		department, err := client.Department(ctx, id)
		if errors.Is(err, context.Canceled) {
			return a, err
		}
		if err == nil {
			a.Departments = append(a.Departments, department.Name)
		}
	}
	return a, nil
}

var _ gateway.Access = accessDoor{}
