package main

import "github.com/spf13/cobra"

const rootLong = `Tributary pulls documents from connected sources into PostgreSQL, as chunks with
their lineage and with the permissions of the document they came from, and
answers questions with what the person who asks may read.

Start with tributary up, or tributary up --demo.

Settings are flags and TRIBUTARY_* variables; docs/settings.md lists them.

` + exitHelp

// newRoot returns the whole command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use: "tributary", Short: "Connector ingestion with permissions, on PostgreSQL", Long: rootLong,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetIn(a.stdin)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "log in detail to standard error")
	addGlobalFlags(root.PersistentFlags())
	return group(root,
		upCommand(a), serveCommand(a), workerCommand(a), migrateCommand(a),
		connectCommand(a), syncCommand(a), planCommand(a), searchCommand(a), explainCommand(a),
		connectionsCommand(a), runsCommand(a), workersCommand(a), jobsCommand(a), queuesCommand(a), documentsCommand(a), eraseCommand(a), deletionsCommand(a), quarantineCommand(a), noticesCommand(a), readersCommand(a), groupsCommand(a), principalsCommand(a), keysCommand(a), pushCommand(a), tokensCommand(a), usersCommand(a), profilesCommand(a),
		connectorCommand(a), providersCommand(a), registrationsCommand(a), grantsCommand(a),
		masterKeyCommand(a), auditCommand(a),
		doctorCommand(a), versionCommand(a),
	)
}

// jsonFlag adds --json.
func jsonFlag(a *app, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return cmd
}
