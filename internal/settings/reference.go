package settings

import (
	"fmt"
	"strings"
)

// Reference returns the reference page of the settings as Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("| Variable | Flag | Form | Default | What it does |\n|---|---|---|---|---|\n")
	for _, d := range Table() {
		variable, flag := "`"+d.Variable()+"`", "`--"+d.Flag+"`"
		if d.Secret {
			variable += ", `" + d.Variable() + FileSuffix + "`"
			flag = "`--" + FileFlag(d) + "`"
		}
		fallback := d.Default
		switch {
		case fallback == "":
			fallback = "none"
		case !strings.Contains(fallback, "`"):
			fallback = "`" + fallback + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", variable, flag, d.Form, fallback, d.Help)
	}
	return b.String()
}

const referenceHead = `<!-- Generated from internal/settings by "go generate ./internal/settings". Do not edit. -->
# Settings

Every setting is an environment variable; most have a flag, and a flag wins over its variable. An empty variable counts as unset. A variable
that starts with ` + "`TRIBUTARY_`" + ` and is not listed here is an error. A secret is never given on the command line, where other accounts of the
machine could read it: put it into a file and name the file.

`
