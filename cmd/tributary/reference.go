package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:generate go test -count=1 -run TestCommandReference . -args -update

// reference returns the reference page of the commands as Markdown.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("<!-- Generated from cmd/tributary by \"go generate ./cmd/tributary\". Do not edit. -->\n# Commands\n\n")
	fmt.Fprintf(&b, "%s\nEvery command takes `--help`, `--verbose` and the settings flags of [settings](settings.md).\n", codeBlocks(root.Long))
	writeReference(&b, root)
	return b.String()
}

func writeReference(b *strings.Builder, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if !sub.HasSubCommands() {
			writeCommand(b, sub)
		}
		writeReference(b, sub)
	}
}

func writeCommand(b *strings.Builder, c *cobra.Command) {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n```\n%s\n```\n", c.CommandPath(), codeBlocks(strings.TrimSpace(text)), strings.TrimRight(unindent(c.Example), "\n"))
	var rows []string
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name += ", `-" + f.Shorthand + "`"
		}
		fallback := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
			fallback = " Default `" + f.DefValue + "`."
		}
		rows = append(rows, "| "+name+" | "+strings.ReplaceAll(f.Usage, "|", "\\|")+"."+fallback+" |")
	})
	if len(rows) > 0 {
		fmt.Fprintf(b, "\n| Flag | What it does |\n|---|---|\n%s\n", strings.Join(rows, "\n"))
	}
}

// codeBlocks fences the indented lines of a help text, other than lists.
func codeBlocks(text string) string {
	var out []string
	inside := false
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if item, ok := strings.CutPrefix(line, "  - "); ok && !inside {
			out = append(out, "- "+item)
			continue
		}
		if indented := strings.HasPrefix(line, "  "); indented != inside {
			out = append(out, "```")
			inside = indented
		}
		out = append(out, line)
	}
	if inside {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}

func unindent(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "  "), "\n  ", "\n")
}
