#!/usr/bin/env bash
# Fails when generating anew changes a file: what is committed is then not what
# its source says. Changes that were in the tree before do not count.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

state() {
	git diff
	git ls-files --others --exclude-standard -z | xargs -0 -r sha256sum
}

before=$(state)
make generate
after=$(state)
if [[ $before != "$after" ]]; then
	diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") || true
	echo "verify: generated files were out of date; 'make generate' has written them: review and commit them" >&2
	exit 1
fi
echo "Generated files are in sync."
