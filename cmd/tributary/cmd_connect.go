package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/settings"
	"tributary/store"
)

func connectCommand(a *app) *cobra.Command {
	var specs []connectors.Spec
	var subs []*cobra.Command
	for _, c := range a.connectors() {
		spec := c.Spec()
		sub := connectSource
		if spec.Source == store.PushSource {
			sub = connectPush
		}
		cmd := sub(a, spec)
		cmd.GroupID = string(spec.Category)
		specs, subs = append(specs, spec), append(subs, cmd)
	}
	cmd := &cobra.Command{
		Use: "connect", Short: "Connect a source",
		Long:    "Connect a source. Every source has its own help, which lists its settings.",
		Example: "  tributary connect folder --name docs --set path=/srv/docs\n  tributary connect folder --help",
	}
	for _, c := range connectors.CategoriesOf(specs) {
		cmd.AddGroup(&cobra.Group{ID: string(c), Title: c.Title() + ":"})
	}
	return group(cmd, subs...)
}

// connectFlags are what every source takes.
type connectFlags struct {
	name             string
	set              []string
	include, exclude []string
	every            time.Duration
	permissionsEvery time.Duration
}

func connectSource(a *app, spec connectors.Spec) *cobra.Command {
	var f connectFlags
	cmd := jsonFlag(a, &cobra.Command{
		Use: spec.Source, Short: strings.TrimSuffix(spec.Description, "."), Long: connectHelp(spec), Args: exactArgs(), Example: connectExample(spec),
	})
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "the connection's name: a-z, 0-9, dot, dash and underscore (required)")
	flags.StringArrayVar(&f.set, "set", nil, "a setting as name=value; may be repeated")
	flags.StringArrayVar(&f.include, "include", nil, "sync only paths that match this pattern; may be repeated; ** spans directories")
	flags.StringArrayVar(&f.exclude, "exclude", nil, "leave out paths that match this pattern; may be repeated")
	flags.DurationVar(&f.every, "every", store.DefaultContentEvery, "how often to look for changed content")
	if spec.Provider != "" {
		var g grantFlags
		g.add(cmd)
		addListenerFlags(cmd)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.connectGrant(cmd, spec, f, g) }
		return cmd
	}
	flags.DurationVar(&f.permissionsEvery, "permissions-every", store.DefaultPermissionsEvery, "how often to look for changed permissions")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		n, err := newConnection(spec, f)
		if err != nil {
			return err
		}
		c, ok := a.connectorList(s).Get(spec.Source)
		if !ok {
			return usagef("this version has no source %s", spec.Source)
		}
		probe, err := verify(cmd.Context(), c, n, a.logger(false))
		if err != nil {
			return err
		}
		n.Realm = probe.realm
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			made, err := st.CreateConnection(ctx, n, a.connectionEvent("connection.create", n))
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(made)
			}
			a.printf("Connected %s: %s.\nSync it with: tributary sync %s --wait\n", made.Name, strings.TrimSuffix(probe.summary, "."), made.Name)
			return nil
		})
	}
	return cmd
}

// connectionEvent is about a connection that is to be made.
func (a *app) connectionEvent(action string, n store.NewConnection) audit.Event {
	return a.event(action, audit.Target{Kind: "connection"}, map[string]string{"name": n.Name, "source": n.Source})
}

func connectHelp(spec connectors.Spec) string {
	var b strings.Builder
	how := "\nThe source is opened before anything is saved.\n"
	if spec.Provider != "" {
		how = grantHelp
	}
	fmt.Fprintf(&b, "%s\n%s\nSettings, given by --set name=value:\n", spec.Description, how)
	for _, s := range spec.Settings {
		var notes []string
		if s.Required {
			notes = append(notes, "required")
		}
		if len(s.Options) > 0 {
			notes = append(notes, "one of "+strings.Join(s.Options, ", "))
		}
		if s.Default != "" {
			notes = append(notes, "default "+s.Default)
		}
		if s.Example != "" {
			notes = append(notes, "for example "+s.Example)
		}
		fmt.Fprintf(&b, "  %s\n      %s", s.Name, s.Description)
		if len(notes) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(notes, "; "))
		}
		b.WriteString("\n")
	}
	if len(spec.Limits) > 0 {
		b.WriteString("\nGood to know:\n")
		for _, l := range spec.Limits {
			fmt.Fprintf(&b, "  - %s\n", l)
		}
	}
	return b.String()
}

func connectExample(spec connectors.Spec) string {
	line := "  tributary connect " + spec.Source + " --name my-" + spec.Source
	if spec.Provider != "" {
		line += " --registration work"
	}
	var lineSb119 strings.Builder
	for _, s := range spec.Settings {
		if s.Required {
			lineSb119.WriteString(" --set " + s.Name + "=" + s.Example)
		}
	}
	line += lineSb119.String()
	return line
}

// newConnection checks the flags against the source's settings.
func newConnection(spec connectors.Spec, f connectFlags) (store.NewConnection, error) {
	n := store.NewConnection{
		Name: f.name, Source: spec.Source, ContentEvery: f.every, PermissionsEvery: f.permissionsEvery,
		Selection: connectors.Selection{Include: f.include, Exclude: f.exclude},
	}
	if f.name == "" {
		return n, usagef("--name is missing: give the connection a name, such as --name my-%s", spec.Source)
	}
	var err error
	if n.Settings, err = parseSettings(spec, f.set); err != nil {
		return n, err
	}
	return n, checkSettings(spec, n.Settings)
}

// checkSettings checks values against the source's settings, and makes paths absolute.
func checkSettings(spec connectors.Spec, values map[string]string) error {
	for _, s := range spec.Settings {
		value, ok := values[s.Name]
		switch {
		case s.Required && value == "":
			return usagef("setting %s is missing: add --set %s=%s", s.Name, s.Name, s.Example)
		case ok && s.Type == connectors.Enum && !slices.Contains(s.Options, value):
			return usagef("setting %s: %q is not one of %s", s.Name, value, strings.Join(s.Options, ", "))
		case ok && s.Type == connectors.Path:
			// The process that syncs has another working directory.
			absolute, err := filepath.Abs(value)
			if err != nil {
				return usagef("setting %s: %q cannot be made absolute: write an absolute path", s.Name, value)
			}
			values[s.Name] = absolute
		}
	}
	return nil
}

func parseSettings(spec connectors.Spec, pairs []string) (map[string]string, error) {
	var known []string
	for _, s := range spec.Settings {
		known = append(known, s.Name)
	}
	values := map[string]string{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--set %q: write name=value", pair)
		}
		if !slices.Contains(known, name) {
			if near := settings.Nearest(name, known); near != "" {
				return nil, usagef("--set %s: %s has no such setting; did you mean %s?", name, spec.Source, near)
			}
			return nil, usagef("--set %s: %s has no such setting; it has %s", name, spec.Source, strings.Join(known, ", "))
		}
		if _, twice := values[name]; twice {
			return nil, usagef("--set %s: given twice", name)
		}
		values[name] = value
	}
	return values, nil
}

// probed is what opening the source told.
type probed struct{ summary, realm string }

// verify opens the source as the connection would and asks it for proof.
func verify(ctx context.Context, c connectors.Connector, n store.NewConnection, log *slog.Logger) (probed, error) {
	p := probed{summary: c.Spec().Name}
	err := withSession(ctx, c, n.Settings, n.Selection, log, func(session connectors.Session) error {
		if v, ok := session.(connectors.Verifier); ok {
			summary, err := v.Verify(ctx)
			if err != nil {
				return err
			}
			p.summary = summary
		}
		if r, ok := session.(connectors.Realmer); ok {
			realm, err := r.Realm(ctx)
			if err != nil {
				return err
			}
			p.realm = realm
		}
		return nil
	})
	return p, err
}

// withSession opens a session for fn and closes it.
func withSession(ctx context.Context, c connectors.Connector, values map[string]string, selection connectors.Selection, log *slog.Logger, fn func(connectors.Session) error) error {
	session, err := c.Open(ctx, connectors.Env{Settings: values, Selection: selection, Log: log, Clock: time.Now})
	if err != nil {
		return err
	}
	err = fn(session)
	if closeErr := session.Close(context.WithoutCancel(ctx)); err == nil {
		err = closeErr
	}
	return err
}
