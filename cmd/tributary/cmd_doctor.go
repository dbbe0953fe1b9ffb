package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/settings"
)

// verdict is the outcome of a check.
type verdict string

const (
	verdictOK   verdict = "ok"
	verdictWarn verdict = "warn"
	verdictFail verdict = "fail"
)

// finding is one check's outcome; a remedy goes with what is not ok.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	Remedy  string  `json:"remedy,omitempty"`
}

func ok(check, format string, args ...any) finding {
	return finding{Check: check, Verdict: verdictOK, Detail: fmt.Sprintf(format, args...)}
}

func warn(check, detail, remedy string) finding {
	return finding{Check: check, Verdict: verdictWarn, Detail: oneLine(detail), Remedy: remedy}
}

func fail(check, detail, remedy string) finding {
	return finding{Check: check, Verdict: verdictFail, Detail: oneLine(detail), Remedy: remedy}
}

func doctorCommand(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "doctor", Short: "Check the installation and say what would mend it", Args: exactArgs(),
		Long: `Check settings, data directory, database, pgvector, schema, roles, clock, master
key, public address, embedding profile, read audit and connections. It changes
nothing and exits with 1 when a check fails; warnings do not count.`,
		Example: "  tributary doctor\n  tributary doctor --json",
	})
	addListenerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		list := a.examine(cmd.Context(), s)
		if err := a.printFindings(list); err != nil {
			return err
		}
		for _, f := range list {
			if f.Verdict == verdictFail {
				return &silentError{code: exitFailure}
			}
		}
		return nil
	}
	return cmd
}

func (a *app) examine(ctx context.Context, s settings.Settings) []finding {
	list := []finding{ok("settings", "every TRIBUTARY_ variable is known and well formed")}
	list = append(list, checkDataDir(s), checkMasterKey(s))
	list = append(list, a.checkDatabase(ctx, s)...)
	return append(list, checkPublicURL(ctx, s, a.env("SSH_CONNECTION"))...)
}

func (a *app) printFindings(list []finding) error {
	if a.json {
		return a.printJSON(list)
	}
	t := newTable("CHECK", "", "DETAIL")
	for _, f := range list {
		detail := f.Detail
		if f.Remedy != "" {
			detail += "; " + f.Remedy
		}
		t.add(f.Check, string(f.Verdict), detail)
	}
	return t.write(a.stdout, "")
}

// checkPublicURL asks the public address for its health.
func checkPublicURL(ctx context.Context, s settings.Settings, ssh string) []finding {
	const check = "public address"
	var list []finding
	if line := sshLine(s.PublicURL, ssh); line != "" {
		list = append(list, ok("from your machine", "%s, then open %s", line, s.PublicURL))
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.PublicURL.String()+"/healthz", nil)
	if err != nil {
		return append(list, fail(check, err.Error(), "set TRIBUTARY_PUBLIC_URL to http(s)://host[:port]"))
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return append(list, warn(check, "nothing answers at "+s.PublicURL.String(), "start tributary up, or set TRIBUTARY_PUBLIC_URL to the address that people use"))
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
		return append(list, ok(check, "%s answers", s.PublicURL))
	case http.StatusMisdirectedRequest:
		return append(list, fail(check, s.PublicURL.String()+" answers for another public address", "give every process the same TRIBUTARY_PUBLIC_URL"))
	default:
		return append(list, warn(check, fmt.Sprintf("%s answers %s", s.PublicURL, resp.Status), "look for another program on that address"))
	}
}
