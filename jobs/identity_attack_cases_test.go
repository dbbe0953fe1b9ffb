package jobs

import (
	"errors"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/store"
)

func anotherProvider(a *attack) {
	victim, mallory := a.reader("victim", victimMail), a.reader("mallory")
	for r, i := range map[uuid.UUID]store.ReaderIdentity{victim.ID: {Issuer: "https://login.example", Subject: "1"}, mallory.ID: {Issuer: "https://evil.example", Subject: "1"}} {
		if err := a.store.AddReaderIdentity(a.t.Context(), r, i); err != nil {
			a.t.Fatal(err)
		}
	}
	a.read()
	if got, err := a.store.ReaderByIdentity(a.t.Context(), "https://evil.example", "1"); err != nil || got != mallory.ID {
		a.t.Errorf("mallory's identity is %v, %v", got, err)
	}
	for _, i := range []store.ReaderIdentity{
		{Issuer: "https://evil.example", Subject: victimMail},
		{Issuer: "https://login.example", Subject: victimMail},
		{Issuer: "https://login.example/", Subject: "1"},
		{Issuer: "https://LOGIN.example", Subject: "1"},
		{Issuer: "https://login.example", Subject: "1 "},
	} {
		if got, err := a.store.ReaderByIdentity(a.t.Context(), i.Issuer, i.Subject); !errors.Is(err, store.ErrNotFound) {
			a.t.Errorf("%+v is %v, %v", i, got, err)
		}
	}
	a.sees("another provider's account", "mallory")
	a.sees("the control", "victim", "secret", "staff", "everyone")
}

func anotherTenant(a *attack) {
	a.reader("victim", victimMail)
	a.reader("mallory", "mallory@corp.example")
	a.tenant(mail("t-1", victimMail, true), mail(victimID, "mallory@corp.example", true), mail("t-2", "mallory@tenant.example", true))
	a.read()
	a.sees("the tenant says that the victim's id has mallory's address", "mallory")
	a.linkedTo("the tenant says who has the victim's address", "victim", victimID, "t-1")
	a.sees("the control", "victim", "secret", "staff", "everyone")
}

func sameID(a *attack) {
	tenant := a.tenant()
	a.reader("mallory")
	for _, p := range []connectors.Principal{reference.User(victimID), reference.Group("g-staff"), reference.Everyone(), {Kind: connectors.Domain, ID: "corp.example"}} {
		a.link("mallory", p, tenant.ID)
	}
	a.sees("linked to the same ids of another tenant", "mallory")
}

func aliasReassigned(a *attack) {
	old := a.reader("old", victimMail)
	a.sees("before", "old", "secret", "staff", "everyone")
	a.world.AddPeople("u-new")
	a.says(mail("u-new", victimMail, true))
	a.sees("the address is that of another account, under the reader so far", "old", "everyone")
	if err := a.store.DisableReader(a.t.Context(), old.ID); err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.store.RemoveReaderEmail(a.t.Context(), old.ID, victimMail); err != nil {
		a.t.Fatal(err)
	}
	a.reader("new", victimMail)
	a.linkedTo("the new hire", "new", "u-new")
	a.sees("the new hire", "new", "everyone")
}

func madeAnew(a *attack) {
	a.reader("victim", victimMail)
	a.world.AddPeople("u-victim-2")
	a.world.Leave(reference.User(victimID), reference.Group("g-staff"))
	a.says(mail("u-victim-2", victimMail, true))
	a.linkedTo("made anew", "victim", "u-victim-2")
	a.sees("made anew", "victim", "everyone")
}

func groupAndUser(a *attack) {
	a.reader("mallory", "staff@corp.example")
	a.says(mail(victimID, victimMail, true), connectors.Person{Principal: reference.Group("g-staff"), Email: "staff@corp.example", Verified: true})
	a.sees("a group with mallory's address", "mallory")
	a.link("mallory", reference.User("g-staff"), a.conn.ID)
	a.link("mallory", reference.Group(victimID), a.conn.ID)
	a.link("mallory", reference.User("corp.example"), a.conn.ID)
	a.sees("a user with the id of a group, and the other way round", "mallory")
}

func renamedGroup(a *attack) {
	a.reader("mallory", "mallory@corp.example")
	a.world.Join(reference.User("u-mallory"), connectors.Principal{Kind: connectors.Group, ID: "g-other", Name: "Staff"})
	a.says(mail("u-mallory", "mallory@corp.example", true))
	a.sees("a group that is called as the other was", "mallory", "everyone")
}

func displayName(a *attack) {
	p := reference.User(victimID)
	p.Name = "Vic Tim"
	a.says(connectors.Person{Principal: p, Email: victimMail, Verified: true})
	for _, name := range []string{"Vic Tim", victimID, victimMail, "user:" + victimID} {
		a.reader(name)
		a.sees("by its name", name)
	}
}

func noEmail(a *attack) {
	for _, email := range []string{"", " ", "@", "@corp.example", "victim@"} {
		if _, err := a.store.MakeReader(a.t.Context(), store.NewReader{Name: "x", Kind: store.Person, Emails: []string{email}}); err == nil {
			a.t.Errorf("a reader with the address %q", email)
		}
	}
	a.reader("mallory")
	a.says(mail(victimID, "", true), mail("u-admin", " ", true), mail("u-mallory", "@", true))
	a.sees("nobody has an address", "mallory")
}

func everyoneElsewhere(a *attack) {
	tenant := a.tenant(mail("t-1", "mallory@tenant.example", true))
	a.reader("mallory", "mallory@tenant.example")
	a.link("mallory", reference.Everyone(), tenant.ID)
	a.sees("everyone of the tenant", "mallory")
	a.link("mallory", connectors.Principal{Kind: connectors.Anyone, ID: "tenant"}, a.conn.ID)
	a.link("mallory", reference.User("u-stranger"), a.conn.ID)
	a.sees("everyone of another organisation, in this one's realm", "mallory")
}

func lookAlikeDomain(a *attack) {
	a.reader("mallory")
	for _, domain := range []string{"c\u043erp.example", "xn--crp-jed.example", "CORP.example", "corp.example.", "sub.corp.example", "corp.example\u200b", "\uff43orp.example"} {
		a.link("mallory", connectors.Principal{Kind: connectors.Domain, ID: domain}, a.conn.ID)
	}
	a.sees("look-alikes of the domain", "mallory")
	a.link("mallory", connectors.Principal{Kind: connectors.Domain, ID: "corp.example"}, a.conn.ID)
	a.sees("the control", "mallory", "domain")
}

func ownerRemoved(a *attack) {
	a.reader("victim", victimMail)
	a.sees("as the owner", "victim", "secret", "staff", "everyone")
	a.world.SetACL("secret", reference.Readers(reference.User("u-admin")))
	a.read()
	a.sees("removed", "victim", "staff", "everyone")
}

func collaboratorLeft(a *attack) {
	a.reader("mallory", "mallory@partner.example")
	guest := reference.User("u-guest")
	a.world.Join(guest, reference.Group("g-staff"))
	a.says(mail("u-guest", "mallory@partner.example", true))
	a.link("mallory", guest, a.conn.ID)
	a.sees("as a guest", "mallory", "staff")
	a.world.Leave(guest, reference.Group("g-staff"))
	a.says()
	a.sees("left", "mallory")
}

func disabledReader(a *attack) {
	r := a.reader("victim", victimMail)
	_, secret, err := a.store.CreateKey(a.t.Context(), store.CreateKeyParams{Name: "k", ReaderID: &r.ID, AllConnections: true, Rights: []string{store.RightSearch}})
	if err != nil {
		a.t.Fatal(err)
	}
	_, who, err := a.store.Authenticate(a.t.Context(), secret)
	if err != nil {
		a.t.Fatal(err)
	}
	a.seenBy("before", "the key", who, "secret", "staff", "everyone")
	if err := a.store.DisableReader(a.t.Context(), r.ID); err != nil {
		a.t.Fatal(err)
	}
	if _, _, err := a.store.Authenticate(a.t.Context(), secret); !errors.Is(err, store.ErrUnauthenticated) {
		a.t.Errorf("the key of a disabled reader: %v", err)
	}
	a.seenBy("disabled after it was authenticated", "the key", who)
}

func confusedDeputy(a *attack) {
	self, err := a.runner.Self(a.t.Context(), a.conn)
	if err != nil || self.ID != "u-admin" {
		a.t.Fatalf("%+v %v", self, err)
	}
	a.reader("admin")
	a.link("admin", self, a.conn.ID)
	a.sees("whose consent read every document", "admin", "everyone")
	a.reader("victim", victimMail)
	a.sees("the control", "victim", "secret", "staff", "everyone")
}

func ambiguousAddress(a *attack) {
	a.reader("victim", victimMail)
	a.says(mail(victimID, victimMail, true), mail("u-mallory", victimMail, true))
	a.linkedTo("two accounts have the address", "victim")
	a.says(mail(victimID, victimMail, true))
	a.reader("mallory", victimMail)
	a.linkedTo("two readers have it", "victim")
	a.sees("two readers have it", "mallory")
}

func partWay(a *attack) {
	a.reader("victim", victimMail)
	a.reader("mallory", "mallory@corp.example")
	a.world.SetEmails(mail("u-mallory", "mallory@corp.example", true), mail(victimID, "mallory@corp.example", false))
	a.world.Fail(reference.FaultOn{On: connectortest.OnPeople, Kind: connectortest.ServerError})
	conn, err := a.store.Connection(a.t.Context(), a.conn.Name)
	if err != nil {
		a.t.Fatal(err)
	}
	run, _, err := a.runner.Request(a.t.Context(), conn, store.Permissions, "test", false)
	if err == nil {
		err = a.runner.slice(a.t.Context(), run.ID)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	a.linkedTo("part of a reading", "victim", victimID)
	a.linkedTo("part of a reading", "mallory")
	a.world.Mend()
	if run, err = a.runner.RunHere(a.t.Context(), run.ID, nil); err != nil || run.State != store.RunSucceeded {
		a.t.Fatalf("after mending: %s, %v", run.State, err)
	}
	a.linkedTo("the whole of it", "victim")
	a.linkedTo("the whole of it", "mallory", "u-mallory")
}
