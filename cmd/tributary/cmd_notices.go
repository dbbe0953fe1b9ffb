package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tributary/store"
	"tributary/web"
)

func noticesCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "notices", Short: "What an admin should know and do",
		Example: "  tributary notices list\n  tributary notices list --connection docs --all",
	}, noticesList(a))
}

func noticesList(a *app) *cobra.Command {
	var filter store.NoticeFilter
	var connection string
	cmd := storeCommand(a, &cobra.Command{
		Use: "list", Short: "List what needs attention, with what to do about it",
		Long: `List what needs attention, with what to do about it. A notice is there as long as
its cause; --all shows those of the last 90 days that are cleared too.`,
		Example: "  tributary notices list\n  tributary notices list --connection docs --all --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		if filter.Limit < 1 || filter.Limit > 1000 {
			return usagef("--limit: must be 1 to 1000")
		}
		if connection != "" {
			c, err := st.Connection(ctx, connection)
			if err != nil {
				return err
			}
			filter.Connection = c.ID
		}
		list, err := st.Notices(ctx, filter)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		return a.printNotices(list)
	})
	flags := cmd.Flags()
	flags.StringVar(&connection, "connection", "", "only of this connection")
	flags.StringVar(&filter.Code, "code", "", "only of this kind")
	flags.BoolVar(&filter.All, "all", false, "those that are cleared too")
	flags.IntVar(&filter.Limit, "limit", 100, "how many")
	return cmd
}

func (a *app) printNotices(list []store.Notice) error {
	t := newTable("SINCE", "SEVERITY", "ABOUT", "CODE", "WHAT", "WHAT TO DO")
	for _, n := range list {
		severity := string(n.Severity)
		if n.ClearedAt != nil {
			severity = "cleared " + stamp(n.ClearedAt)
		}
		t.add(stamp(&n.Since), severity, about(n), n.Code, n.Detail, n.Remedy)
	}
	return t.write(a.stdout, "Nothing needs attention.")
}

// about names what a notice is about.
func about(n store.Notice) string {
	switch {
	case n.Connection == "":
		return n.Subject
	case n.Subject == "":
		return n.Connection
	default:
		return n.Connection + " " + n.Subject
	}
}

// noticeGauges counts the open notices.
func noticeGauges(ctx context.Context, st *store.Store) ([]web.Sample, error) {
	list, err := st.NoticeCounts(ctx)
	if err != nil {
		return nil, err
	}
	samples := make([]web.Sample, 0, len(list))
	for _, n := range list {
		samples = append(samples, web.Sample{
			Name: "tributary_notices", Help: "Open notices by code and severity.", Value: float64(n.Open),
			Labels: [][2]string{{"code", n.Code}, {"severity", string(n.Severity)}},
		})
	}
	return samples, nil
}

// checkNotices tells the open notices, the doctor's way. Errors of the notices
// are no failure of the installation.
func checkNotices(ctx context.Context, st *store.Store) []finding {
	const check = "notices"
	list, err := st.Notices(ctx, store.NoticeFilter{Limit: 20})
	if err != nil {
		return []finding{fail(check, err.Error(), "look at the database")}
	}
	if len(list) == 0 {
		return []finding{ok(check, "none are open")}
	}
	out := make([]finding, 0, len(list))
	for _, n := range list {
		detail := n.Detail
		if subject := about(n); subject != "" {
			detail = subject + ": " + detail
		}
		out = append(out, warn(fmt.Sprintf("%s: %s", check, n.Code), detail, n.Remedy))
	}
	return out
}
