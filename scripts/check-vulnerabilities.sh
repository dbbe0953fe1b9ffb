#!/usr/bin/env bash
# Usage: scripts/check-vulnerabilities.sh GOVULNCHECK
# Scans the module for known vulnerabilities that the code reaches. Where the
# vulnerability database cannot be reached it says that nothing was scanned.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

status=0
report=$("$1" ./... 2>&1) || status=$?
printf '%s\n' "$report"
# govulncheck exits with 3 for vulnerabilities, with 1 for a failure of its own.
if ((status == 1)) && grep -qE 'fetching vulnerabilities|vuln\.go\.dev|HTTP GET' <<<"$report"; then
	echo "SKIPPED: the vulnerability database cannot be reached from here, nothing was scanned."
	exit 0
fi
exit "$status"
