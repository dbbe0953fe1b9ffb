# shellcheck shell=bash disable=SC2034 # the scripts that source this use what it sets
# Shared by the set-up scripts: messages, privileges, version comparison and the
# questions put to apt. Sourced, never run.

# Where system tools such as useradd are; an ordinary user's PATH may lack it.
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*"; }
note() { printf '  %s\n' "$*"; }
die() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}

# have COMMAND: whether COMMAND is on PATH.
have() { command -v "$1" >/dev/null 2>&1; }

# version_ge A B: whether the dotted numbers of A are at least those of B.
# Only the leading digits and dots of each count ("0.8.0-1~deb" reads as 0.8.0).
version_ge() {
	local -a a b
	local i x y
	IFS=. read -r -a a <<<"$(sed -E 's/^([0-9.]*).*/\1/' <<<"$1")"
	IFS=. read -r -a b <<<"$(sed -E 's/^([0-9.]*).*/\1/' <<<"$2")"
	for i in 0 1 2 3; do
		x=${a[i]:-0} y=${b[i]:-0}
		((10#$x > 10#$y)) && return 0
		((10#$x < 10#$y)) && return 1
	done
	return 0
}

# other_system: whether the plan shown is for another system than this one, of
# which nothing is installed.
other_system() { [[ -n ${SETUP_OS_RELEASE:-} ]]; }

# detect_system sets SYSTEM (debian, ubuntu, macos or other), RELEASE (its
# number), CODENAME and SYSTEM_NAME (for messages). SETUP_OS_RELEASE names
# another os-release file, to look at the plan for another system.
detect_system() {
	SYSTEM=other RELEASE='' CODENAME='' SYSTEM_NAME=$(uname -s)
	if ! other_system && [[ $SYSTEM_NAME == Darwin ]]; then
		SYSTEM=macos
		RELEASE=$(sw_vers -productVersion)
		SYSTEM_NAME="macOS $RELEASE"
		return
	fi
	local file=${SETUP_OS_RELEASE:-/etc/os-release}
	[[ -r $file ]] || return 0
	local id
	id=$(os_release_field "$file" ID)
	RELEASE=$(os_release_field "$file" VERSION_ID)
	CODENAME=$(os_release_field "$file" VERSION_CODENAME)
	SYSTEM_NAME=$(os_release_field "$file" PRETTY_NAME)
	case $id in debian | ubuntu) SYSTEM=$id ;; esac
}

os_release_field() {
	sed -n -E "s/^$2=\"?([^\"]*)\"?\$/\1/p" "$1" | head -n 1
}

# need_root sets AS_ROOT to the words that run a command as root: nothing as
# root, sudo otherwise. Dies when neither is possible, with what to run by hand.
need_root() {
	AS_ROOT=()
	((EUID == 0)) && return
	if have sudo; then
		AS_ROOT=(sudo)
		return
	fi
	die "this needs root and there is no sudo: run '$0' as root once, then go on as yourself"
}

# package_installed NAME: whether dpkg has NAME fully installed.
package_installed() {
	other_system && return 1
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# package_candidate NAME: the version apt would install, empty if it knows none.
package_candidate() {
	other_system && return
	apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# apt_update refreshes apt's lists once for a whole set-up.
apt_update() {
	[[ -n ${SETUP_APT_UPDATED:-} ]] && return
	say "Refreshing the package lists (apt-get update)"
	"${AS_ROOT[@]}" apt-get -qq update
	export SETUP_APT_UPDATED=1
}

# apt_install PACKAGE...: installs without questions and without recommendations.
apt_install() {
	say "Installing with apt-get: $*"
	"${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
		apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" </dev/null
}

# apt_archive SUITE [APT_DIR]: the address of the archive from which this machine
# takes binary packages of SUITE, out of its one-line and deb822 sources
# (sources.list(5)); empty if it has none.
apt_archive() {
	local suite=$1 dir=${2:-/etc/apt} f
	local -a lists=() stanzas=()
	for f in "$dir/sources.list" "$dir"/sources.list.d/*.list; do [[ -r $f ]] && lists+=("$f"); done
	for f in "$dir"/sources.list.d/*.sources; do [[ -r $f ]] && stanzas+=("$f"); done
	{
		((${#stanzas[@]})) && apt_archive_deb822 "$suite" "${stanzas[@]}"
		((${#lists[@]})) && apt_archive_lines "$suite" "${lists[@]}"
		true
	} | awk '!/^cdrom:/ && !seen { sub(/\/+$/, ""); print; seen = 1 }'
}

apt_archive_lines() {
	local suite=$1
	shift
	sed -E 's/#.*//; s/\[[^]]*\]//' "$@" | awk -v suite="$suite" '$1 == "deb" && $3 == suite { print $2 }'
}

apt_archive_deb822() {
	local suite=$1 f
	shift
	for f in "$@"; do
		awk -v suite="$suite" '
			function flush(  i, n, types, suites, uris, deb, hit) {
				n = split(v["types"], types); for (i = 1; i <= n; i++) if (types[i] == "deb") deb = 1
				n = split(v["suites"], suites); for (i = 1; i <= n; i++) if (suites[i] == suite) hit = 1
				if (deb && hit && tolower(v["enabled"]) !~ /no|false|off/) { split(v["uris"], uris); print uris[1] }
				split("", v); key = ""
			}
			/^#/ { next }
			/^[ \t]*$/ { flush(); next }
			/^[ \t]/ { v[key] = v[key] " " $0; next }
			{ i = index($0, ":"); key = tolower(substr($0, 1, i - 1)); v[key] = substr($0, i + 1) }
			END { flush() }' "$f"
	done
}
