package folder

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

const passwd = `root:x:0:0:root:/root:/bin/bash
alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash
bob:x:1001:100::/home/bob:/bin/sh
twin:x:1001:100::/home/bob:/bin/sh
+nis::::::
broken:x:notanumber:1::/:
# comment:x:5:5::/:
short:x
`

const groups = `root:x:0:
users:x:100:
staff:x:50:alice,bob,ghost
empty:x:51:
+::
`

func TestSystemDatabases(t *testing.T) {
	t.Parallel()
	users := parsePasswd([]byte(passwd))
	want := []Account{{"root", 0, 0}, {"alice", 1000, 1000}, {"bob", 1001, 100}, {"twin", 1001, 100}}
	if !slices.Equal(users, want) {
		t.Errorf("%v, want %v", users, want)
	}
	var names []string
	for _, m := range memberships(users, parseGroup([]byte(groups))) {
		names = append(names, m.Member.ID+" "+m.Member.Name+" in "+string(m.Group.Kind)+" "+m.Group.ID+" "+m.Group.Name)
	}
	slices.Sort(names)
	wantNames := []string{
		"0 root in anyone * ", "0 root in group 0 root",
		"1000 alice in anyone * ", "1000 alice in group 1000 ", "1000 alice in group 50 staff",
		"1001 bob in anyone * ", "1001 bob in group 100 users", "1001 bob in group 50 staff",
	}
	if !slices.Equal(names, wantNames) {
		t.Errorf("%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(wantNames, "\n"))
	}
}

func TestRootIsAnAccountWithoutAnyList(t *testing.T) {
	t.Parallel()
	ms := memberships(nil, nil)
	if len(ms) != 1 || ms[0] != (connectors.Membership{Member: userPrincipal(0), Group: anyone()}) {
		t.Errorf("%v", ms)
	}
}

// TestThisSystem asks the machine that the test runs on.
func TestThisSystem(t *testing.T) {
	t.Parallel()
	var sys systemAccounts
	u, ok, err := sys.User(t.Context(), "root")
	if err != nil || !ok || u.UID != 0 {
		t.Errorf("root is %+v, %t, %v", u, ok, err)
	}
	for _, name := range []string{"no-such-account-here", "0", "-x"} {
		if u, ok, err := sys.User(t.Context(), name); ok || err != nil {
			t.Errorf("%q is %+v, %v", name, u, err)
		}
		if g, ok, err := sys.Group(t.Context(), name); ok || err != nil {
			t.Errorf("the group %q is %+v, %v", name, g, err)
		}
	}
	users, err := sys.Users(t.Context())
	must(t, err)
	if !slices.ContainsFunc(users, func(a Account) bool { return int(a.UID) == os.Getuid() }) {
		t.Logf("the account of this test (uid %d) is not enumerated", os.Getuid())
	}
	if !slices.ContainsFunc(users, func(a Account) bool { return a.UID == 0 }) {
		t.Errorf("root is not among %d accounts", len(users))
	}
	list, err := sys.Groups(t.Context())
	if err != nil || len(list) == 0 {
		t.Errorf("%d groups, %v", len(list), err)
	}
}

func TestHalfAListIsAnError(t *testing.T) {
	t.Parallel()
	s := &session{cfg: Config{Accounts: &fakeAccounts{err: errors.New("directory service down")}}}
	n := 0
	for _, err := range s.Groups(t.Context()) {
		n++
		if connectors.ClassOf(err) != connectors.Transient {
			t.Errorf("%v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d memberships and errors", n)
	}
	if _, err := s.NamePrincipal(t.Context(), "unix:alice"); connectors.ClassOf(err) != connectors.Transient {
		t.Errorf("a directory that is down says nothing about alice: %v", err)
	}
}

func TestMachineID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		testRealm: true, "uninitialized": false, "": false, strings.Repeat("0", 32): false, strings.Repeat("A", 32): false, testRealm + "0": false,
	} {
		if got := isMachineID(id); got != want {
			t.Errorf("%q: %t", id, got)
		}
	}
	id, ok := machineID()
	got, err := (&session{}).Realm(t.Context())
	if ok && (err != nil || got != id) || !ok && connectors.ClassOf(err) != connectors.Invalid {
		t.Errorf("realm %q, %v", got, err)
	}
	if got, err := (&session{cfg: Config{Realm: "fallback"}}).Realm(t.Context()); err != nil || !ok && got != "fallback" {
		t.Errorf("realm %q, %v", got, err)
	}
}
