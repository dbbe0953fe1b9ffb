package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tributary/internal/settings"
)

// app is what every command works with.
type app struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer

	json    bool
	verbose bool
	// alone is true when this command started the managed database itself:
	// then no server of this instance runs.
	alone bool
	// cleanURL is the address of a role that may vacuum; "" where there is none.
	cleanURL string
}

// logger returns the process's log. Servers tell what they do; other commands
// only what is wrong, unless --verbose.
func (a *app) logger(server bool) *slog.Logger {
	level := slog.LevelWarn
	switch {
	case a.verbose:
		level = slog.LevelDebug
	case server:
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// addGlobalFlags adds the settings that every command needs.
func addGlobalFlags(flags *pflag.FlagSet) {
	addSettingFlags(flags, func(d settings.Def) bool { return !d.Listener && !isMigrateURL(d) })
}

// addListenerFlags adds the settings of commands that listen.
func addListenerFlags(cmd *cobra.Command) {
	addSettingFlags(cmd.Flags(), func(d settings.Def) bool { return d.Listener && !isSandboxAddr(d) })
}

// addSandboxFlag adds the setting of the command that serves Sandbox Drive.
func addSandboxFlag(cmd *cobra.Command) { addSettingFlags(cmd.Flags(), isSandboxAddr) }

func isSandboxAddr(d settings.Def) bool { return d.Name == "SANDBOX_ADDR" }

// addMigrateFlags adds the settings of commands that change the schema.
func addMigrateFlags(cmd *cobra.Command) { addSettingFlags(cmd.Flags(), isMigrateURL) }

func isMigrateURL(d settings.Def) bool { return d.Name == "MIGRATE_DATABASE_URL" }

func addSettingFlags(flags *pflag.FlagSet, wanted func(settings.Def) bool) {
	for _, d := range settings.Table() {
		switch {
		case !wanted(d):
		case d.Secret:
			flags.String(settings.FileFlag(d), "", "file that holds "+d.Variable())
		default:
			flags.String(d.Flag, "", d.Variable()+": "+d.Form)
		}
	}
}

// settings reads the settings for cmd.
func (a *app) settings(cmd *cobra.Command) (settings.Settings, error) {
	var names []string
	for _, d := range settings.Table() {
		names = append(names, d.Flag, settings.FileFlag(d))
	}
	given := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains(names, f.Name) {
			given[f.Name] = f.Value.String()
		}
	})
	return settings.Load(settings.Source{Environ: a.environ, Flags: given, UID: os.Geteuid()})
}

// env returns an environment variable of the command.
func (a *app) env(name string) string {
	for _, kv := range slices.Backward(a.environ) {
		if len(kv) > len(name) && kv[:len(name)] == name && kv[len(name)] == '=' {
			return kv[len(name)+1:]
		}
	}
	return ""
}

// exactArgs takes exactly the named arguments.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing; see %s --help", names[len(args)], cmd.CommandPath())
		case len(args) > len(names):
			return usagef("%q is one argument too many; see %s --help", args[len(names)], cmd.CommandPath())
		}
		return nil
	}
}

// group makes cmd a command that only has sub-commands.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(subs...)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		if near := settings.Nearest(args[0], names); near != "" {
			return usagef("unknown command %q; did you mean \"%s %s\"?", args[0], cmd.CommandPath(), near)
		}
		return usagef("unknown command %q; see %s --help", args[0], cmd.CommandPath())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.Help(); err != nil {
			return err
		}
		if cmd.HasParent() {
			return &silentError{code: exitUsage}
		}
		return nil
	}
	return cmd
}

// flagError turns the library's complaint about a flag into ours.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := settings.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			return usagef("unknown flag --%s; did you mean --%s?", unknown.GetSpecifiedName(), near)
		}
	}
	return usagef("%s; see %s --help", err, cmd.CommandPath())
}
