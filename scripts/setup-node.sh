#!/usr/bin/env bash
# Installs the Node modules that tests use, exactly as their lock files say, into
# node_modules beside each lock file; nothing of the system is changed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib/common.sh
source "$here/lib/common.sh"

readonly DIRECTORIES=(oauthflow/interop/node internal/browsertest/node examples/typescript examples/langchain)

usage() {
	cat <<-'USAGE'
		Usage: scripts/setup-node.sh [--dry-run]

		Installs the Node modules that tests use: an authorization server for the tests of OAuth, axe,
		and what the examples in TypeScript need. Says what it is going to install, then installs
		it; installs nothing when all is there. The modules lie in node_modules beside each lock
		file, and the program needs none of them.

		  --dry-run   say what would be installed and stop
		  --help      this text
	USAGE
}

# installed DIRECTORY: whether the modules are those of the lock file.
installed() { cmp -s "$1/package-lock.json" "$1/node_modules/.installed-lock.json"; }

install_modules() {
	local directory=$1
	if installed "$directory"; then
		say "The Node modules of ${directory#"$ROOT/"} are installed: nothing to do."
		return
	fi
	say "Node modules for tests are missing. Going to install in ${directory#"$ROOT/"}:"
	note "$(sed -n -E '/ependencies"/,/\}/s/^ *"([^"]+)": "([0-9][^"]*)".*/\1 \2/p' "$directory/package.json" | paste -sd, -), with what it depends on, by npm"
	[[ -z $DRY_RUN ]] || return 0
	have npm || die "npm is missing: run scripts/setup.sh --for test"
	(cd "$directory" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
		die "npm did not install the modules of ${directory#"$ROOT/"}. Its message is above; run this again when it is mended"
	cp "$directory/package-lock.json" "$directory/node_modules/.installed-lock.json"
}

main() {
	DRY_RUN=
	ROOT=$(dirname "$here")
	local arg directory
	for arg in "$@"; do
		case $arg in
		--dry-run) DRY_RUN=1 ;;
		--help | -h)
			usage
			exit 0
			;;
		*) die "unknown argument '$arg' (try --help)" ;;
		esac
	done
	for directory in "${DIRECTORIES[@]}"; do install_modules "$ROOT/$directory"; done
}

main "$@"
