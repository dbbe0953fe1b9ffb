package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tributary/internal/skeleton"
)

func connectorCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "connector", Short: "Write a connector of your own",
		Example: "  tributary connector new bulletin --title 'Bulletin Board'",
	}, connectorNew(a))
}

func connectorNew(a *app) *cobra.Command {
	var title, dir string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Write the first files of a new connector", Args: exactArgs("NAME"),
		Long: `Write the first files of a new connector into a checkout of Tributary's sources:
a package that reads a simple HTTP API, its fake site, and a page for its docs.
The package passes the conformance kit as it is; docs/connector-guide.md says how
it becomes yours. Nothing that is there is touched.`,
		Example: "  tributary connector new bulletin --title 'Bulletin Board'",
	}
	cmd.Flags().StringVar(&title, "title", "", "the source's name for people; NAME when empty")
	cmd.Flags().StringVar(&dir, "dir", ".", "path of the checkout")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		name := args[0]
		if title == "" {
			title = name
		}
		paths, err := skeleton.Write(dir, name, title)
		if in, ok := errors.AsType[*skeleton.InputError](err); ok {
			return usagef("%s", in)
		}
		if err != nil {
			return err
		}
		for _, p := range paths {
			fmt.Fprintln(a.stdout, "wrote", p)
		}
		_, err = fmt.Fprintf(a.stdout, `
It passes the kit now:
  go test ./connectors/%[1]s

Then, as docs/connector-guide.md says:
  1. make connectors/%[1]s/site_test.go behave like the real API, and the connector with it;
  2. describe its provider in oauthflow/profiles/%[1]s.json;
  3. add it to connectors/all/all.go, write docs/sources/%[1]s.md, and run make generate.
`, name)
		return err
	}
	return cmd
}
