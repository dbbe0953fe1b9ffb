package folder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// systemAccounts asks getent, which knows directory services too (getent(1)).
// Without getent it reads /etc/passwd and /etc/group, and adds the account of
// this process, which macOS keeps in neither.
type systemAccounts struct{}

// getentNoKey is getent's exit status for a key that was not found.
const getentNoKey = 2

// Users returns the enumerated accounts.
func (systemAccounts) Users(ctx context.Context) ([]Account, error) {
	b, ok, err := getent(ctx, "passwd", "")
	if err != nil || ok {
		return parsePasswd(b), err
	}
	if b, err = readDatabase("/etc/passwd"); err != nil {
		return nil, err
	}
	users := parsePasswd(b)
	if u, err := user.Current(); err == nil {
		if a, err := accountOf(u); err == nil {
			users = append(users, a)
		}
	}
	return users, nil
}

// Groups returns the enumerated groups.
func (systemAccounts) Groups(ctx context.Context) ([]AccountGroup, error) {
	b, ok, err := getent(ctx, "group", "")
	if err != nil || ok {
		return parseGroup(b), err
	}
	if b, err = readDatabase("/etc/group"); err != nil {
		return nil, err
	}
	return append(parseGroup(b), ownGroups()...), nil
}

// ownGroups are the groups of this process's account, as far as they are known.
func ownGroups() []AccountGroup {
	u, err := user.Current()
	if err != nil {
		return nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var groups []AccountGroup
	for _, id := range ids {
		if gid, err := parseID(id); err == nil {
			groups = append(groups, AccountGroup{GID: gid, Members: []string{u.Username}})
		}
	}
	return groups
}

// User finds an account by name.
func (systemAccounts) User(ctx context.Context, name string) (Account, bool, error) {
	b, ok, err := getent(ctx, "passwd", name)
	if err != nil {
		return Account{}, false, err
	}
	if ok {
		users := parsePasswd(b)
		// getent takes a number for a uid; a name is what was asked for.
		if len(users) == 0 || isNumber(name) && users[0].Name != name {
			return Account{}, false, nil
		}
		return users[0], true, nil
	}
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	switch {
	case errors.As(err, &unknown):
		return Account{}, false, nil
	case err != nil:
		return Account{}, false, fmt.Errorf("looking up account: %w", err)
	}
	a, err := accountOf(u)
	return a, err == nil, err
}

// Group finds a group by name.
func (systemAccounts) Group(ctx context.Context, name string) (AccountGroup, bool, error) {
	b, ok, err := getent(ctx, "group", name)
	if err != nil {
		return AccountGroup{}, false, err
	}
	if ok {
		groups := parseGroup(b)
		if len(groups) == 0 || isNumber(name) && groups[0].Name != name {
			return AccountGroup{}, false, nil
		}
		return groups[0], true, nil
	}
	g, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	switch {
	case errors.As(err, &unknown):
		return AccountGroup{}, false, nil
	case err != nil:
		return AccountGroup{}, false, fmt.Errorf("looking up group: %w", err)
	}
	gid, err := parseID(g.Gid)
	return AccountGroup{Name: g.Name, GID: gid}, err == nil, err
}

func accountOf(u *user.User) (Account, error) {
	uid, err := parseID(u.Uid)
	if err != nil {
		return Account{}, err
	}
	gid, err := parseID(u.Gid)
	return Account{Name: u.Username, UID: uid, GID: gid}, err
}

// getent returns a system database, or one entry of it, and whether the machine
// has getent. A key that does not exist is no output.
func getent(ctx context.Context, database, key string) ([]byte, bool, error) {
	path, err := exec.LookPath("getent")
	if err != nil {
		return nil, false, nil //nolint:nilerr // the second result says so
	}
	args := []string{"--", database}
	if key != "" {
		args = append(args, key)
	}
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && key != "" && exit.ExitCode() == getentNoKey {
		return nil, true, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("running getent %s: %w", database, err)
	}
	return out, true, nil
}

// readDatabase reads a file that a container may lack.
func readDatabase(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// parsePasswd reads lines of passwd(5). Lines that are none, such as those of
// NIS, are left out.
func parsePasswd(b []byte) []Account {
	var users []Account
	for line := range bytes.Lines(b) {
		f := strings.Split(strings.TrimSuffix(string(line), "\n"), ":")
		if len(f) < 4 || f[0] == "" || strings.ContainsAny(f[0][:1], "+-#") {
			continue
		}
		uid, uerr := parseID(f[2])
		gid, gerr := parseID(f[3])
		if uerr == nil && gerr == nil {
			users = append(users, Account{Name: f[0], UID: uid, GID: gid})
		}
	}
	return users
}

// parseGroup reads lines of group(5).
func parseGroup(b []byte) []AccountGroup {
	var groups []AccountGroup
	for line := range bytes.Lines(b) {
		f := strings.Split(strings.TrimSuffix(string(line), "\n"), ":")
		if len(f) < 4 || f[0] == "" || strings.ContainsAny(f[0][:1], "+-#") {
			continue
		}
		gid, err := parseID(f[2])
		if err != nil {
			continue
		}
		members := slices.DeleteFunc(strings.Split(f[3], ","), func(m string) bool { return m == "" })
		groups = append(groups, AccountGroup{Name: f[0], GID: gid, Members: members})
	}
	return groups
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("reading id %q: %w", s, err)
	}
	return uint32(n), nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
