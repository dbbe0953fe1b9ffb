#!/usr/bin/env bash
# Installs PostgreSQL with pgvector 0.8 or newer where it is missing, and nothing
# else: no system cluster is created, no service is started, no apt source is
# added for good.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib/common.sh
source "$here/lib/common.sh"
# shellcheck source=scripts/lib/pgvector.sh
source "$here/lib/pgvector.sh"

readonly MIN_VECTOR=0.8
readonly MIN_MAJOR=15

usage() {
	cat <<-'USAGE'
		Usage: scripts/setup-postgres.sh [--dry-run]

		Makes sure that this machine has PostgreSQL 15 or newer with pgvector 0.8 or newer.
		Says what it is going to install, then installs it; installs nothing when all is there.

		  --dry-run   say what would be installed and stop
		  --help      this text

		Debian 12, Debian 13, Ubuntu 24.04 or newer, and macOS with Homebrew are known.
		SETUP_OS_RELEASE=FILE with --dry-run shows the plan for the system that FILE describes.
	USAGE
}

# advise_and_die says what a person has to install where this script cannot.
advise_and_die() {
	cat >&2 <<-ADVICE
		setup: $1
		Install by hand: PostgreSQL $MIN_MAJOR or newer (server and client programs) and the extension
		pgvector $MIN_VECTOR or newer for the same major version
		(packages are usually called postgresql-17 and postgresql-17-pgvector, or pgvector_17),
		or run everything in containers: docker compose up (docker-compose.yml brings its own PostgreSQL).
	ADVICE
	exit 1
}

# choose_major sets MAJOR: the newest installed server if there is one, else the
# release's own.
choose_major() {
	MAJOR=
	if ! other_system; then MAJOR=$(installed_majors | awk -v min="$MIN_MAJOR" '$1 >= min' | head -n 1); fi
	[[ -n $MAJOR ]] && return
	case $SYSTEM-$RELEASE in
	debian-12) MAJOR=15 ;;
	debian-13) MAJOR=17 ;;
	ubuntu-24.*) MAJOR=16 ;;
	ubuntu-25.*) MAJOR=17 ;;
	ubuntu-26.*) MAJOR=18 ;;
	*) advise_and_die "$SYSTEM_NAME is not a system whose PostgreSQL packages this script knows." ;;
	esac
}

# choose_route sets ROUTE (package or source), and for source the newer release of
# the same system whose source package is built: SOURCE_SUITE and SOURCE_COMPONENT.
choose_route() {
	SOURCE_SUITE='' SOURCE_COMPONENT=''
	case $SYSTEM-$RELEASE in
	debian-12) SOURCE_SUITE=trixie SOURCE_COMPONENT=main ;;
	ubuntu-24.* | ubuntu-25.*) SOURCE_SUITE=resolute SOURCE_COMPONENT=universe ;;
	esac
	ROUTE=package
	[[ -z $SOURCE_SUITE ]] && return
	version_ge "$(package_candidate "postgresql-$MAJOR-pgvector")" "$MIN_VECTOR" || ROUTE=source
}

# choose_packages sets PACKAGES to what is missing for the route.
choose_packages() {
	local -a wanted=("postgresql-$MAJOR")
	case $ROUTE in
	package) wanted+=("postgresql-$MAJOR-pgvector") ;;
	source) wanted+=("postgresql-server-dev-$MAJOR" build-essential) ;;
	esac
	PACKAGES=()
	local p
	for p in "${wanted[@]}"; do package_installed "$p" || PACKAGES+=("$p"); done
	# An old pgvector package is replaced by the newer candidate.
	if [[ $ROUTE == package && ${#PACKAGES[@]} -eq 0 ]]; then PACKAGES=("postgresql-$MAJOR-pgvector"); fi
}

say_plan() {
	say "PostgreSQL with pgvector $MIN_VECTOR or newer is missing on $SYSTEM_NAME. Going to install:"
	((${#PACKAGES[@]})) && note "packages: ${PACKAGES[*]}"
	if [[ $ROUTE == source ]]; then
		note "pgvector, built for PostgreSQL $MAJOR from this system's own source package in '$SOURCE_SUITE'"
		note "(the source list for it is private to this run and removed afterwards)"
	fi
	package_installed "postgresql-$MAJOR" || note "without creating or starting a system database cluster"
}

setup_apt() {
	choose_major
	# Only lists tell whether a release's own pgvector is recent enough; a dry run
	# goes by those that are there.
	if [[ -z $DRY_RUN ]]; then
		need_root
		if [[ $SYSTEM == ubuntu ]]; then apt_update; fi
	fi
	choose_route
	choose_packages
	say_plan
	[[ -n $DRY_RUN ]] && return
	if ((${#PACKAGES[@]})); then
		apt_update
		install_without_cluster "${PACKAGES[@]}"
	fi
	if [[ $ROUTE == source ]]; then build_pgvector "$MAJOR" "$SOURCE_SUITE" "$SOURCE_COMPONENT"; fi
}

setup_macos() {
	say "PostgreSQL with pgvector $MIN_VECTOR or newer is missing on $SYSTEM_NAME. Going to install:"
	note "Homebrew formulas: postgresql@17 pgvector (no service is started)"
	[[ -n $DRY_RUN ]] && return
	have brew || die "Homebrew is missing: install it as https://brew.sh describes, then run this again"
	HOMEBREW_NO_AUTO_UPDATE=1 brew install postgresql@17 pgvector
}

main() {
	DRY_RUN=
	local arg
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
	detect_system
	! other_system || [[ -n $DRY_RUN ]] || die "SETUP_OS_RELEASE shows the plan for another system: add --dry-run"
	local found
	found=$(find_vector "$MIN_MAJOR" "$MIN_VECTOR")
	if [[ -n $found ]] && ! other_system; then
		say "$found is installed: nothing to do."
		return
	fi
	case $SYSTEM in
	debian | ubuntu) setup_apt ;;
	macos) setup_macos ;;
	*) advise_and_die "$SYSTEM_NAME is not a system that this script knows." ;;
	esac
	if [[ -n $DRY_RUN ]]; then
		say "Dry run: nothing was installed."
		return
	fi
	found=$(find_vector "$MIN_MAJOR" "$MIN_VECTOR")
	[[ -n $found ]] || advise_and_die "the installation ended without an error, yet pgvector $MIN_VECTOR or newer is not there."
	say "Installed: $found."
}

main "$@"
