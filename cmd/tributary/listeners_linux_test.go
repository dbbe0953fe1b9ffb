package main

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestOnlyTheStatedListeners looks at every TCP socket of `up` and of the
// processes below it: the API and the metrics listen, and nothing else does.
func TestOnlyTheStatedListeners(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	metrics := freeAddr(t)
	up := s.start("up", "--metrics-addr", metrics)
	up.await("is running at")
	var got []string
	for _, pid := range processTree(t, up.cmd.Process.Pid) {
		got = append(got, listenersOf(t, pid)...)
	}
	slices.Sort(got)
	got = slices.Compact(got)
	want := []string{s.setting("TRIBUTARY_ADDR"), metrics}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listening on %q, want %q", got, want)
	}
}

// processTree returns a process and all below it.
func processTree(t *testing.T, root int) []int {
	t.Helper()
	parents := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		raw, err := os.ReadFile(stat)
		if err != nil {
			continue // ended meanwhile
		}
		// The name in parentheses may hold anything; the parent follows the state.
		_, rest, _ := strings.Cut(string(raw[strings.LastIndexByte(string(raw), ')')+1:]), " ")
		fields := strings.Fields(rest)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parent, _ := strconv.Atoi(fields[1])
		parents[parent] = append(parents[parent], pid)
	}
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, parents[tree[i]]...)
	}
	return tree
}

// listenersOf returns the addresses on which a process listens (proc(5)).
func listenersOf(t *testing.T, pid int) []string {
	t.Helper()
	inodes := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
			inodes[strings.Trim(target, "socket:[]")] = true
		}
	}
	var out []string
	for _, table := range []string{"tcp", "tcp6"} {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			const listen = "0A"
			if len(f) > 9 && f[3] == listen && inodes[f[9]] {
				out = append(out, addressOf(t, f[1]))
			}
		}
	}
	return out
}

// addressOf reads "0100007F:1F90": words of the address in the machine's byte
// order, here little-endian.
func addressOf(t *testing.T, s string) string {
	t.Helper()
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		t.Fatalf("socket address %q", s)
	}
	return netip.AddrPortFrom(addr, uint16(n)).String()
}
