//go:build linux

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// permAccount is an account of this machine as su(1) makes it: with the groups
// that the system gives it.
type permAccount struct {
	name   string
	uid    int
	gid    int
	groups []int
}

// permNeedRoot skips a test that gives files to other accounts.
func permNeedRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("TEST_REQUIRE") != "" {
		t.Fatal("giving files to other accounts needs root, and TEST_REQUIRE forbids to skip")
	}
	t.Skip("needs root, to give files to other accounts")
}

// permAccounts chooses two system accounts that su can become and that share
// no group. The first has a supplementary group where any account has.
func permAccounts(t *testing.T) (a, b permAccount) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "getent", "passwd").Output()
	if err != nil {
		t.Fatalf("listing accounts: %v", err)
	}
	const ordinary = 1000
	var list []permAccount
	for line := range strings.Lines(string(out)) {
		f := strings.Split(line, ":")
		if len(f) < 4 {
			continue
		}
		uid, _ := strconv.Atoi(f[2])
		gid, _ := strconv.Atoi(f[3])
		if uid < 1 || uid >= ordinary || gid < 1 || gid >= ordinary {
			continue
		}
		if acc, ok := permBecome(t, f[0], uid, gid); ok {
			list = append(list, acc)
		}
	}
	slices.SortStableFunc(list, func(x, y permAccount) int { return len(y.groups) - len(x.groups) })
	for _, other := range list[min(1, len(list)):] {
		shared := slices.ContainsFunc(other.groups, func(g int) bool { return slices.Contains(list[0].groups, g) })
		// An account whose uid differs from its gid tells the two apart.
		if !shared && other.uid != other.gid {
			return list[0], other
		}
	}
	t.Fatalf("among %d system accounts no two differ in uid, gid and groups", len(list))
	return a, b
}

// permBecome asks su for the groups of an account.
func permBecome(t *testing.T, name string, uid, gid int) (permAccount, bool) {
	t.Helper()
	out, err := permSu(t, name, "id -G", nil)
	if err != nil {
		return permAccount{}, false
	}
	acc := permAccount{name: name, uid: uid, gid: gid}
	for field := range strings.FieldsSeq(out) {
		g, err := strconv.Atoi(field)
		if err != nil {
			return permAccount{}, false
		}
		acc.groups = append(acc.groups, g)
	}
	return acc, slices.Contains(acc.groups, gid)
}

// permSu runs a shell command as an account.
func permSu(t *testing.T, account, command string, stdin []byte) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "su", "-s", "/bin/sh", account, "-c", command)
	cmd.Dir, cmd.Stdin = "/", bytes.NewReader(stdin)
	out, err := cmd.Output()
	return string(out), err
}

// permTruth returns the files of the list whose whole text cat prints to the
// account, by their place in the list.
func permTruth(t *testing.T, account string, files []*permFile) map[int]bool {
	t.Helper()
	var paths bytes.Buffer
	for _, f := range files {
		paths.WriteString(f.full + "\x00")
	}
	// cat goes on after a file that it may not read; xargs then ends with 123.
	out, err := permSu(t, account, "exec xargs -0 cat 2>/dev/null", paths.Bytes())
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 123) {
		t.Fatalf("reading as %s: %v", account, err)
	}
	printed := map[string]bool{}
	for line := range strings.Lines(out) {
		printed[strings.TrimSuffix(line, "\n")] = true
	}
	can := map[int]bool{}
	for i, f := range files {
		if printed[f.text] {
			can[i] = true
		}
	}
	if len(can) != len(printed) {
		t.Fatalf("cat as %s printed %d different lines for %d files", account, len(printed), len(can))
	}
	return can
}
