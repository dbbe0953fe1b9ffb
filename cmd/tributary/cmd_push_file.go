package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/secret"
	"tributary/jobs"
)

// What tributary push sends at a time, well within what a batch may be.
const (
	pushAtOnce      = 200
	pushBytesAtOnce = 8 << 20
	// maxPushLine holds a document of 64 MiB in base64 with its fields.
	maxPushLine = jobs.MaxPushContent/3*4 + 1<<20
)

func pushCommand(a *app) *cobra.Command {
	var address, keyFile string
	cmd := jsonFlag(a, &cobra.Command{
		Use: "push CONNECTION FILE", Short: "Push documents, deletions and groups from a file of JSON lines",
		Long: `Push documents, deletions and groups to a running server from a file of JSON
lines; - is standard input. A line is an item of a batch or a group:

  {"id": "a.md", "title": "A", "content": "# A", "acl": {"all_of": [[{"kind": "group", "id": "keepers"}]]}}
  {"op": "delete", "id": "b.md"}
  {"op": "group", "id": "keepers", "members": [{"kind": "user", "id": "bob"}]}
  {"op": "delete_group", "id": "gone"}

Lines are sent in order. While the server asks to wait or does not answer they are
sent again, for up to 15 minutes. What is stored already is found unchanged, so an
interrupted push goes on by pushing the same file once more.

Counts are printed as + created, ~ updated, - deleted, = unchanged, ! refused. Lines
that are refused are named with their reason, the others are stored, and the exit
code is 4.`,
		Example: "  tributary push wiki documents.jsonl --key-file wiki.key\n  ./export | tributary push wiki - --key-file wiki.key --url https://search.example.com --json",
		Args:    exactArgs("CONNECTION", "FILE"),
	})
	cmd.Flags().StringVar(&address, "url", "", "the server's address; empty = the public address of the settings")
	cmd.Flags().StringVar(&keyFile, "key-file", "", "file whose first line is a key with the right push (required)")
	addListenerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if keyFile == "" {
			return usagef("--key-file is missing: tributary keys create NAME --rights push --connections %s prints a key; put it into a file", args[0])
		}
		key, err := readKeyFile(keyFile)
		if err != nil {
			return err
		}
		if address == "" {
			s, err := a.settings(cmd)
			if err != nil {
				return err
			}
			address = s.PublicURL.String()
		}
		in := a.stdin
		if args[1] != "-" {
			f, err := os.Open(args[1])
			if err != nil {
				return usagef("reading what to push: %s", err)
			}
			defer func() { _ = f.Close() }()
			in = f
		}
		return a.push(cmd.Context(), in, address, args[0], key)
	}
	return cmd
}

// readKeyFile reads a key.
//
// SECURITY: no key is an argument, where every account of the machine reads it.
func readKeyFile(path string) (secret.Text, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return secret.Text{}, usagef("--key-file: %s", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	if line = strings.TrimSpace(line); line == "" || strings.ContainsAny(line, " \t") {
		return secret.Text{}, usagef("--key-file %s: its first line is no key", path)
	}
	return secret.New(line), nil
}

// refusedLine is a line that the server, or JSON, does not take.
type refusedLine struct {
	Line   int    `json:"line"`
	ID     string `json:"id"`
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail"`
}

// pushReport is what push --json prints.
type pushReport struct {
	Connection string                  `json:"connection"`
	Lines      int                     `json:"lines"`
	Counts     map[jobs.PushStatus]int `json:"counts"`
	Refused    []refusedLine           `json:"refused"`
	// Warnings are about lines that are stored all the same.
	Warnings []refusedLine `json:"warnings"`
}

func (r *pushReport) counts() string {
	c := r.Counts
	return fmt.Sprintf("+%d ~%d -%d =%d !%d", c[jobs.PushCreated], c[jobs.PushUpdated], c[jobs.PushDeleted], c[jobs.PushUnchanged], c[jobs.PushFailed])
}

// filePush is a push of one file.
type filePush struct {
	client *pushClient
	report pushReport
	say    func(format string, args ...any)
	line   *progress
	// waiting are the items of the next batch, size their bytes.
	waiting []pushLine
	size    int
	// answered is the last line that was answered for.
	answered int
}

type pushLine struct {
	number int
	id     string
	raw    json.RawMessage
}

func (a *app) push(ctx context.Context, in io.Reader, address, connection string, key secret.Text) error {
	line := newProgress(a.stderr)
	defer line.done()
	p := &filePush{line: line, report: pushReport{Connection: connection, Counts: map[jobs.PushStatus]int{}, Refused: []refusedLine{}, Warnings: []refusedLine{}}}
	p.say = func(format string, args ...any) {
		if !a.json {
			line.done()
			a.notef(format, args...)
		}
	}
	var err error
	p.client, err = newPushClient(address, connection, key, func(why string, d time.Duration) {
		line.update(fmt.Sprintf("%s: %s; again in %s", connection, why, span(d)))
	})
	if err != nil {
		return err
	}
	err = p.file(ctx, in)
	line.done()
	if err != nil {
		return fmt.Errorf("pushing to %s, which has answered for %d lines (%s); push the file again, what is stored is found unchanged: %w", connection, p.answered, p.report.counts(), err)
	}
	if a.json {
		err = a.printJSON(p.report)
	} else {
		a.printf("Pushed %d lines to %s: %s\n", p.report.Lines, connection, p.report.counts())
	}
	if err == nil && len(p.report.Refused) > 0 {
		err = &silentError{code: exitPartial}
	}
	return err
}

// file sends every line.
func (p *filePush) file(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<20), maxPushLine)
	number := 0
	for lines.Scan() {
		number++
		raw := bytes.TrimSpace(lines.Bytes())
		if len(raw) == 0 {
			continue
		}
		p.report.Lines++
		if err := p.take(ctx, pushLine{number: number, raw: bytes.Clone(raw)}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("line %d has more than %d bytes", number+1, maxPushLine)
		}
		return errors.Join(p.flush(ctx), err)
	}
	return p.flush(ctx)
}

// take sends a line, or keeps it for the next batch.
func (p *filePush) take(ctx context.Context, l pushLine) error {
	var head struct {
		Op string `json:"op"`
		ID string `json:"id"`
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(l.raw, &fields); err != nil {
		p.refuse(l, pushProblem{Code: jobs.PushInvalid, Detail: "is no JSON object: " + err.Error()})
		return nil //nolint:nilerr // the line is named, and the others go on
	}
	_ = json.Unmarshal(l.raw, &head) // what is wrong with the two is said by the server
	l.id = head.ID
	group := head.Op == "group" || head.Op == "delete_group"
	if group || len(l.raw) > pushBytesAtOnce && head.Op != "delete" {
		if err := p.flush(ctx); err != nil {
			return err
		}
		delete(fields, "op")
		delete(fields, "id")
		return p.single(ctx, l, head.Op, fields)
	}
	if len(p.waiting) == pushAtOnce || p.size+len(l.raw) > pushBytesAtOnce {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	p.waiting, p.size = append(p.waiting, l), p.size+len(l.raw)
	return nil
}

// single sends what does not go in a batch: a group, or a document that is too large for one.
func (p *filePush) single(ctx context.Context, l pushLine, op string, fields map[string]json.RawMessage) error {
	kind, method := "/documents/", http.MethodPut
	switch op {
	case "group":
		kind = "/groups/"
	case "delete_group":
		kind, method = "/groups/", http.MethodDelete
	}
	if l.id == "" {
		p.refuse(l, pushProblem{Code: jobs.PushInvalid, Field: "/id", Detail: "is missing: it needs an id of its own"})
		return nil
	}
	var body []byte
	if method == http.MethodPut {
		var err error
		if body, err = json.Marshal(fields); err != nil {
			return err
		}
	}
	answer, err := p.client.send(ctx, method, kind+url.PathEscape(l.id), body)
	if refused, ok := errors.AsType[*pushAnswerError](err); ok && refused.ofItem() {
		p.refuse(l, refused.problem)
		return nil
	}
	if err != nil {
		return err
	}
	out := pushed{Status: jobs.PushDeleted}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			return fmt.Errorf("reading the server's answer: %w", err)
		}
	}
	p.took(l, out)
	return nil
}

// pushed is the server's answer for one item.
type pushed struct {
	Status   jobs.PushStatus `json:"status"`
	Warnings []string        `json:"warnings"`
	Problem  *pushProblem    `json:"problem"`
}

// flush sends the batch that waits.
func (p *filePush) flush(ctx context.Context) error {
	if len(p.waiting) == 0 {
		return nil
	}
	body := append(make([]byte, 0, p.size+len(p.waiting)+12), `{"items":[`...)
	for i, l := range p.waiting {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, l.raw...)
	}
	answer, err := p.client.send(ctx, http.MethodPost, "/batch", append(body, "]}"...))
	if err != nil {
		return err
	}
	var got struct{ Items []pushed }
	if err := json.Unmarshal(answer, &got); err != nil || len(got.Items) != len(p.waiting) {
		return fmt.Errorf("reading the server's answer: it tells of %d items of %d: %w", len(got.Items), len(p.waiting), err)
	}
	for i, l := range p.waiting {
		if bad := got.Items[i].Problem; bad != nil {
			bad.Field = strings.TrimPrefix(bad.Field, "/items/"+strconv.Itoa(i))
			p.refuse(l, *bad)
			continue
		}
		p.took(l, got.Items[i])
	}
	p.waiting, p.size = p.waiting[:0], 0
	p.line.update(fmt.Sprintf("%s: %d lines, %s", p.report.Connection, p.answered, p.report.counts()))
	return nil
}

// took notes what became of a line that was taken.
func (p *filePush) took(l pushLine, out pushed) {
	p.answered = l.number
	p.report.Counts[out.Status]++
	for _, w := range out.Warnings {
		p.report.Warnings = append(p.report.Warnings, refusedLine{Line: l.number, ID: l.id, Detail: w})
		p.say("line %d, %s: %s\n", l.number, printable(l.id), printable(w))
	}
}

// refuse notes a line that was not taken.
func (p *filePush) refuse(l pushLine, why pushProblem) {
	p.answered = max(p.answered, l.number)
	p.report.Counts[jobs.PushFailed]++
	p.report.Refused = append(p.report.Refused, refusedLine{Line: l.number, ID: l.id, Code: why.Code, Field: why.Field, Detail: why.Detail})
	p.say("! line %d, %s: %s %s\n", l.number, printable(l.id), printable(why.Field), printable(why.Detail))
}
