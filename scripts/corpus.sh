#!/usr/bin/env bash
# Fetches real documents to measure and test with: the HTML of six Debian 12
# packages, and two selections of it that are the same on every machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib/common.sh
source "$here/lib/common.sh"
# shellcheck source=scripts/lib/pgvector.sh
source "$here/lib/pgvector.sh"

readonly PACKAGES=(postgresql-doc-15 python3.11-doc linux-doc-6.1 debian-policy libboost1.81-doc sqlite3-doc)
readonly SUITE=bookworm
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
readonly CHOSEN=8000
# The smaller selection takes every STEP-th file of the larger one.
readonly STEP=8
readonly MIN_BYTES=1000 MAX_BYTES=2000000

usage() {
	cat <<-USAGE
		Usage: scripts/corpus.sh [DIR]

		Fetches real documents into DIR, once (about 70 MB to download, 1 GB on disk):

		  DIR/packages/NAME   the unpacked Debian packages, of $SUITE:
		                      ${PACKAGES[*]}
		  DIR/corpus-$CHOSEN     $CHOSEN of their HTML files of 1 kB to 2 MB, chosen by the SHA-1 of the
		                      installed path; hard links, so change nothing in them
		  DIR/corpus-$((CHOSEN / STEP))     every ${STEP}th of those

		DIR is by default \$TEST_CORPUS, else \$XDG_CACHE_HOME/tributary/corpus, else
		~/.cache/tributary/corpus. Nothing is installed and no root is needed: apt-get downloads with a
		source list and package lists of this script's own, so the release that runs here does not matter.
	USAGE
}

# fetch NAME...: downloads packages with apt and unpacks them under DIR/packages.
# What stands there already was complete when it got its name.
fetch() {
	if ! have apt-get || ! have dpkg-deb; then
		die "fetching documents needs apt-get and dpkg-deb: run this on Debian or Ubuntu and copy the directory, or name one with TEST_CORPUS"
	fi
	[[ -r $KEYRING ]] || die "checking signatures needs $KEYRING: apt-get install debian-archive-keyring"
	BUILD_DIR=$(mktemp -d)
	trap 'rm -rf "$BUILD_DIR"' EXIT
	mkdir -p "$BUILD_DIR"/{lists/partial,cache/archives/partial,deb}
	local main security name
	main=$(apt_archive "$SUITE")
	security=$(apt_archive "$SUITE-security")
	{
		printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "${main:-http://deb.debian.org/debian}" "$SUITE"
		printf 'deb [signed-by=%s] %s %s-security main\n' "$KEYRING" "${security:-http://deb.debian.org/debian-security}" "$SUITE"
	} >"$BUILD_DIR/sources.list"
	say "Refreshing the package lists of $SUITE (a private copy)"
	private_apt -qq -o APT::Sandbox::User=root update
	for name in "$@"; do
		say "Fetching $name"
		rm -rf "$BUILD_DIR/deb" && mkdir "$BUILD_DIR/deb"
		(cd "$BUILD_DIR/deb" && private_apt -qq -o APT::Sandbox::User=root download "$name")
		rm -rf "$DIR/packages/.new" && mkdir -p "$DIR/packages/.new"
		dpkg-deb -x "$BUILD_DIR"/deb/*.deb "$DIR/packages/.new"
		mv "$DIR/packages/.new" "$DIR/packages/$name"
	done
	rm -rf "$BUILD_DIR"
	trap - EXIT
}

# choose prints the chosen files, "package/installed path", in the order of the
# SHA-1 of the installed path.
choose() {
	local work n=0 path
	work=$(mktemp -d)
	(cd "$DIR/packages" && find "${PACKAGES[@]}" -type f \( -iname '*.html' -o -iname '*.htm' \) \
		-size +$((MIN_BYTES - 1))c -size -$((MAX_BYTES + 1))c) | LC_ALL=C sort >"$work/list"
	# One small file a path: a single sha1sum hashes them all.
	mkdir "$work/paths"
	while IFS= read -r path; do
		printf '/%s' "${path#*/}" >"$work/paths/$(printf '%06d' "$n")"
		n=$((n + 1))
	done <"$work/list"
	(cd "$work/paths" && sha1sum -- *) | cut -d' ' -f1 | paste -d' ' - "$work/list" | LC_ALL=C sort | cut -d' ' -f2- >"$work/sorted"
	head -n "$CHOSEN" "$work/sorted"
	rm -rf "$work"
}

# lay_out NAME: makes DIR/NAME from the list of files on standard input.
lay_out() {
	local target=$DIR/$1 list name
	[[ ! -d $target ]] || return 0
	list=$(mktemp)
	cat >"$list"
	rm -rf "$target.new" && mkdir -p "$target.new"
	for name in "${PACKAGES[@]}"; do
		sed -n "s|^$name/||p" "$list" | (cd "$DIR/packages/$name" && copy_into "$target.new")
	done
	rm -f "$list"
	mv "$target.new" "$target"
}

# copy_into TARGET: copies the files on standard input with their directories, as
# hard links where the file system has them.
copy_into() {
	local list
	list=$(cat)
	[[ -n $list ]] || return 0
	xargs -d '\n' cp -lp --parents -t "$1" <<<"$list" 2>/dev/null ||
		xargs -d '\n' cp -fp --parents -t "$1" <<<"$list"
}

count() {
	local dir=$1
	find "$dir" -type f -printf '%s\n' | awk -v dir="$dir" '{ n++; s += $1 } END { printf "%s: %d files, %.1f MB\n", dir, n, s / 1e6 }'
}

main() {
	case ${1:-} in
	--help | -h)
		usage
		return
		;;
	-*) die "unknown argument '$1' (try --help)" ;;
	esac
	DIR=${1:-${TEST_CORPUS:-${XDG_CACHE_HOME:-$HOME/.cache}/tributary/corpus}}
	mkdir -p "$DIR/packages"
	DIR=$(cd "$DIR" && pwd)
	local name
	local -a missing=()
	for name in "${PACKAGES[@]}"; do [[ -d $DIR/packages/$name ]] || missing+=("$name"); done
	if ((${#missing[@]})); then
		say "Going to fetch into $DIR: ${missing[*]}"
		fetch "${missing[@]}"
		rm -rf "${DIR:?}/corpus-$CHOSEN" "${DIR:?}/corpus-$((CHOSEN / STEP))"
	fi
	if [[ ! -d $DIR/corpus-$CHOSEN || ! -d $DIR/corpus-$((CHOSEN / STEP)) ]]; then
		choose >"$DIR/chosen"
		lay_out "corpus-$CHOSEN" <"$DIR/chosen"
		awk -v step="$STEP" 'NR % step == 1' "$DIR/chosen" | lay_out "corpus-$((CHOSEN / STEP))"
	fi
	count "$DIR/corpus-$CHOSEN"
	count "$DIR/corpus-$((CHOSEN / STEP))"
}

main "$@"
