#!/usr/bin/env bash
# Installs what building, running, testing or measuring needs, and is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib/common.sh
source "$here/lib/common.sh"

readonly MIN_GO=1.21
readonly MIN_NODE=18

usage() {
	cat <<-'USAGE'
		Usage: scripts/setup.sh [--for run|test|bench] [--dry-run]

		Makes sure that this machine has what the work needs. Says what it is going to install,
		then installs it; installs nothing when all is there.

		  --for run     Go is checked; PostgreSQL with pgvector (the default)
		  --for bench   the same as run
		  --for test    besides: a C compiler for the race detector, Node with npm and the modules
		                that tests use (scripts/setup-node.sh), Chromium, Python, curl, jq, openssl,
		                PgBouncer (whose service is left off) and the programs that tests of file
		                permissions call
		  --dry-run     say what would be installed and stop
		  --help        this text
	USAGE
}

# go_remedy says how this system gets a Go that is new enough.
go_remedy() {
	case $SYSTEM-$RELEASE in
	debian-12) say "apt-get install golang-go from bookworm-backports (Debian 12's own is 1.19), or unpack the archive from https://go.dev/dl/ and put its bin directory on PATH" ;;
	debian-* | ubuntu-*) say "apt-get install golang-go, or unpack the archive from https://go.dev/dl/ and put its bin directory on PATH" ;;
	macos-*) say "brew install go, or the installer from https://go.dev/dl/" ;;
	*) say "unpack the archive from https://go.dev/dl/ and put its bin directory on PATH" ;;
	esac
}

# check_go accepts any Go that can fetch the toolchain which go.mod names.
check_go() {
	have go || die "Go is missing. Install Go $MIN_GO or newer: $(go_remedy)"
	local version wanted
	version=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
	version=${version#go}
	version_ge "$version" "$MIN_GO" || die "Go $version is too old. Install Go $MIN_GO or newer: $(go_remedy)"
	wanted=$(sed -n -E 's/^go ([0-9.]+)$/\1/p' "$here/../go.mod")
	if ! version_ge "$version" "$wanted" && [[ $(cd / && go env GOTOOLCHAIN) == local ]]; then
		die "Go $version may not fetch the toolchain $wanted that go.mod names, because GOTOOLCHAIN is 'local'. Run: go env -w GOTOOLCHAIN=auto (and unset the variable), or install Go $wanted: $(go_remedy)"
	fi
}

check_node() {
	have node || return 0
	local version
	version=$(node --version)
	version_ge "${version#v}" "$MIN_NODE" || die "Node $version is too old for the tests. Install Node $MIN_NODE or newer, or remove it so that this script installs the system's own"
}

have_browser() {
	have chromium || have chromium-browser || have google-chrome || have google-chrome-stable ||
		[[ -d /Applications/Chromium.app || -d "/Applications/Google Chrome.app" ]]
}

have_compiler() { have gcc || have clang; }

# PgBouncer lies where an ordinary account's PATH does not lead.
have_pooler() { have pgbouncer || [[ -x /usr/sbin/pgbouncer ]]; }

# stop_pooler leaves the service off that the package of PgBouncer starts: tests
# run one of their own.
stop_pooler() {
	"${AS_ROOT[@]}" service pgbouncer stop >/dev/null 2>&1 || true
	"${AS_ROOT[@]}" update-rc.d pgbouncer disable >/dev/null 2>&1 || true
}

# missing_test_packages prints the apt packages behind what tests need and PATH
# does not have.
missing_test_packages() {
	if ! have_compiler || [[ ! -e /usr/include/stdio.h ]]; then say "gcc libc6-dev"; fi
	have node || say nodejs
	have npm || say npm
	have python3 || say python3
	have curl || say curl
	have jq || say jq
	have openssl || say openssl
	have_pooler || say pgbouncer
	if ! have getfacl || ! have setfacl; then say acl; fi
	have file || say file
	if ! have setpriv || ! have su; then say util-linux; fi
	have useradd || say passwd
	if ! have_browser && [[ $SYSTEM == debian ]]; then say chromium; fi
}

test_tools_apt() {
	local packages snap=
	packages=$(missing_test_packages | tr '\n' ' ')
	# Ubuntu ships Chromium as a snap only.
	if ! have_browser && [[ $SYSTEM == ubuntu ]]; then snap=chromium; fi
	if [[ -z $packages && -z $snap ]]; then
		say "The tools for tests are installed: nothing to do."
		return
	fi
	say "Tools for tests are missing on $SYSTEM_NAME. Going to install:"
	[[ -z $packages ]] || note "packages: $packages"
	[[ -z $snap ]] || note "snap: $snap"
	[[ -z $DRY_RUN ]] || return 0
	need_root
	if [[ -n $packages ]]; then
		apt_update
		# shellcheck disable=SC2086 # a list of names
		apt_install $packages
		if [[ " $packages " == *" pgbouncer "* ]]; then stop_pooler; fi
	fi
	if [[ -n $snap ]]; then "${AS_ROOT[@]}" snap install "$snap"; fi
}

test_tools_macos() {
	have cc || die "a C compiler is missing. Run: xcode-select --install"
	local formulas=''
	if ! have node || ! have npm; then formulas="$formulas node"; fi
	have python3 || formulas="$formulas python"
	have jq || formulas="$formulas jq"
	have_pooler || formulas="$formulas pgbouncer"
	if [[ -z $formulas ]] && have_browser; then
		say "The tools for tests are installed: nothing to do."
		return
	fi
	say "Tools for tests are missing on $SYSTEM_NAME. Going to install with Homebrew:"
	note "$formulas $(have_browser || printf 'chromium (cask)')"
	[[ -z $DRY_RUN ]] || return 0
	have brew || die "Homebrew is missing: install it as https://brew.sh describes, then run this again"
	# shellcheck disable=SC2086 # a list of names
	[[ -z $formulas ]] || HOMEBREW_NO_AUTO_UPDATE=1 brew install $formulas
	have_browser || HOMEBREW_NO_AUTO_UPDATE=1 brew install --cask chromium
}

setup_test_tools() {
	check_node
	case $SYSTEM in
	debian | ubuntu) test_tools_apt ;;
	macos) test_tools_macos ;;
	*) die "$SYSTEM_NAME is not a system that this script knows. For tests install: a C compiler, Node $MIN_NODE or newer with npm, Chromium, Python 3, curl, jq, openssl, getfacl and setfacl, file, setpriv, su and useradd" ;;
	esac
}

main() {
	local purpose=run
	DRY_RUN=
	while (($#)); do
		case $1 in
		--for)
			purpose=${2:-}
			shift
			;;
		--for=*) purpose=${1#--for=} ;;
		--dry-run) DRY_RUN=1 ;;
		--help | -h)
			usage
			exit 0
			;;
		*) die "unknown argument '$1' (try --help)" ;;
		esac
		shift || die "--for needs run, test or bench"
	done
	case $purpose in run | test | bench) ;; *) die "--for needs run, test or bench, not '$purpose'" ;; esac
	detect_system
	! other_system || [[ -n $DRY_RUN ]] || die "SETUP_OS_RELEASE shows the plan for another system: add --dry-run"
	check_go
	if [[ $purpose == test ]]; then
		setup_test_tools
		"$here/setup-node.sh" ${DRY_RUN:+--dry-run}
	fi
	"$here/setup-postgres.sh" ${DRY_RUN:+--dry-run}
}

main "$@"
