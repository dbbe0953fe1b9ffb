package main

import (
	"fmt"
	"net/url"
	"os/user"
	"strings"
)

// sshLine returns the command that makes a loopback address reachable from the
// machine a person came from; "" when they did not come by ssh. connection is
// SSH_CONNECTION: client address and port, server address and port (ssh(1)).
func sshLine(public *url.URL, connection string) string {
	fields := strings.Fields(connection)
	host := public.Hostname()
	if len(fields) != 4 || (host != "localhost" && host != "::1" && !strings.HasPrefix(host, "127.")) {
		return ""
	}
	account := ""
	if u, err := user.Current(); err == nil {
		account = u.Username + "@"
	}
	port := public.Port()
	if port == "" {
		port = "80"
	}
	target := host
	if strings.Contains(target, ":") {
		target = "[" + target + "]"
	}
	return fmt.Sprintf("ssh -L %s:%s:%s %s%s", port, target, port, account, fields[2])
}
