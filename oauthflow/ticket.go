package oauthflow

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/secret"
)

// TicketLife is how long a link of the command line works (OA-36).
const TicketLife = 10 * time.Minute

// Ticket is a link that starts a consent in the session of who opens it.
type Ticket struct {
	Registration uuid.UUID
	Grant        *uuid.UUID
	Plan         Plan
	RequestedBy  string
	ExpiresAt    time.Time
}

// TicketStore keeps tickets by the hash of their secret.
type TicketStore interface {
	// CreateTicket stores a ticket, to expire after life, together with the event, and returns when it expires.
	CreateTicket(ctx context.Context, hash []byte, t Ticket, life time.Duration, e audit.Event) (time.Time, error)
	// Ticket returns a ticket that is alive; nil is none.
	Ticket(ctx context.Context, hash []byte) (*Ticket, error)
	// TakeTicket deletes a ticket and returns it where it is alive; nil is none. At most one caller gets it.
	TakeTicket(ctx context.Context, hash []byte) (*Ticket, error)
}

// MakeTicket returns a link for the plan, which works once.
func (f *Flows) MakeTicket(ctx context.Context, p StartParams) (link secret.Text, expires time.Time, err error) {
	r, grant, err := f.prepare(ctx, &p)
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	ticket := randomSecret()
	t := Ticket{Registration: r.ID, Plan: p.Plan, RequestedBy: p.By.Actor.Name}
	if grant != nil {
		t.Grant = &grant.ID
	}
	expires, err = f.store.CreateTicket(ctx, hashOf(ticket), t, TicketLife, audit.Event{
		Actor: p.By.Actor, Action: "oauth.ticket", Target: audit.Target{Kind: "registration", ID: r.ID.String()}, Outcome: audit.OK,
		Detail: map[string]string{"source": p.Plan.Source, "connection": p.Plan.Name},
	})
	if err != nil {
		return secret.Text{}, time.Time{}, notSaved(err)
	}
	return secret.New(f.publicURL + "/connect/" + ticket.Reveal()), expires, nil
}

// LookTicket returns what a link is for, to show before anything starts.
func (f *Flows) LookTicket(ctx context.Context, ticket secret.Text) (*Ticket, error) {
	t, err := f.store.Ticket(ctx, hashOf(ticket))
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, flowError(FlowTicket)
	}
	return t, nil
}

// RedeemTicket uses a link up and starts its consent for by, who is signed in.
func (f *Flows) RedeemTicket(ctx context.Context, ticket secret.Text, by By, returnTo string) (Started, error) {
	if by.Session == uuid.Nil {
		return Started{}, flowError(FlowOtherSession)
	}
	t, err := f.store.TakeTicket(ctx, hashOf(ticket))
	if err != nil {
		return Started{}, err
	}
	if t == nil {
		return Started{}, flowError(FlowTicket)
	}
	p := StartParams{Registration: t.Registration, By: by, Plan: t.Plan, ReturnTo: returnTo}
	if t.Grant != nil {
		p.Grant = *t.Grant
	}
	return f.Start(ctx, p)
}
