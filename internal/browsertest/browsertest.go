// Package browsertest drives a Chromium for a test, over the DevTools protocol
// on a pipe, as a person uses it: by the labels of fields and buttons. It is
// imported by tests only, and imports nothing of Tributary.
//
// Start reading at [Start]; person.go is what a person does on a page, judge.go what
// a page is judged by.
package browsertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	callLimit = 30 * time.Second
	stopLimit = 10 * time.Second
	// waitLimit is how long a page may take until it shows what is expected.
	waitLimit = 2 * time.Minute
	pollEvery = 50 * time.Millisecond
)

// Browser is a Chromium with one tab and a profile of its own.
type Browser struct {
	t       testing.TB
	cmd     *exec.Cmd
	to      io.WriteCloser
	session string
	shots   string
	done    chan struct{}

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	err     error
	// complaints are what the browser wrote into its console.
	complaints []string
}

type answer struct {
	result json.RawMessage
	err    error
}

// message is what goes over the pipe, in both directions.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// program returns the path of Chromium; a test without it is skipped, or fails
// where CI or TEST_REQUIRE is set.
func program(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" || os.Getenv("TEST_REQUIRE") != "" {
		t.Fatal("Chromium is missing, and CI and TEST_REQUIRE forbid to skip: run scripts/setup.sh --for test")
	}
	t.Skip("Chromium is missing: run scripts/setup.sh --for test")
	return ""
}

// Start starts a Chromium that ends with the test. Where TEST_ARTIFACTS names a
// directory, what Shot takes is written there.
func Start(t testing.TB) *Browser {
	t.Helper()
	path := program(t)
	b := &Browser{t: t, waiting: map[int]chan answer{}, done: make(chan struct{})}
	if dir := os.Getenv("TEST_ARTIFACTS"); dir != "" {
		b.shots = filepath.Join(dir, t.Name())
	}
	hear, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	listen, speak, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b.to = tell
	b.cmd = exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", //nolint:noctx // it ends with the test, in stop
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--no-proxy-server", "--window-size=1100,900", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	b.cmd.ExtraFiles = []*os.File{hear, speak} // file descriptors 3 and 4
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = hear.Close()
	_ = speak.Close()
	go b.read(listen)
	t.Cleanup(b.stop)
	b.attach()
	return b
}

func (b *Browser) stop() {
	_, _ = b.call("", "Browser.close", nil)
	_ = b.to.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = b.cmd.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(stopLimit):
		_ = b.cmd.Process.Kill()
		<-ended
	}
	<-b.done
}

// attach opens the one tab.
func (b *Browser) attach() {
	b.t.Helper()
	var made struct {
		Target string `json:"targetId"`
	}
	b.must("", "Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var got struct {
		Session string `json:"sessionId"`
	}
	b.must("", "Target.attachToTarget", map[string]any{"targetId": made.Target, "flatten": true}, &got)
	b.session = got.Session
	b.must(b.session, "Page.enable", nil, nil)
	b.must(b.session, "Log.enable", nil, nil)
	b.must(b.session, "Runtime.enable", nil, nil)
	b.must(b.session, "Browser.grantPermissions", map[string]any{"permissions": []string{"clipboardReadWrite", "clipboardSanitizedWrite"}}, nil)
}

// read takes answers until the pipe ends. Events are left: pages are looked at.
func (b *Browser) read(from io.ReadCloser) {
	defer close(b.done)
	defer func() { _ = from.Close() }()
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			b.err = errors.New("the browser has ended")
			for id, ch := range b.waiting {
				ch <- answer{err: b.err}
				delete(b.waiting, id)
			}
			b.mu.Unlock()
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), &m) != nil {
			continue
		}
		if m.ID == 0 {
			b.mu.Lock()
			b.hear(m)
			b.mu.Unlock()
			continue
		}
		a := answer{result: m.Result}
		if m.Error != nil {
			a.err = errors.New(m.Error.Message)
		}
		b.mu.Lock()
		if ch, ok := b.waiting[m.ID]; ok {
			ch <- a
			delete(b.waiting, m.ID)
		}
		b.mu.Unlock()
	}
}

// call sends a command and waits for its answer.
func (b *Browser) call(session, method string, params any) (json.RawMessage, error) {
	ch := make(chan answer, 1)
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return nil, b.err
	}
	b.next++
	id := b.next
	b.waiting[id] = ch
	raw, err := json.Marshal(message{ID: id, Session: session, Method: method, Params: params})
	if err == nil {
		_, err = b.to.Write(append(raw, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a := <-ch:
		if a.err != nil {
			return nil, fmt.Errorf("%s: %w", method, a.err)
		}
		return a.result, nil
	case <-time.After(callLimit):
		return nil, fmt.Errorf("%s: no answer within %s", method, callLimit)
	}
}

func (b *Browser) must(session, method string, params, into any) {
	b.t.Helper()
	raw, err := b.call(session, method, params)
	if err == nil && into != nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
