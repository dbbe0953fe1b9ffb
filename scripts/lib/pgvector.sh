# shellcheck shell=bash
# PostgreSQL and pgvector: what is installed, and how it is installed without side
# effects. Sourced after common.sh, never run.

CLUSTER_CONF=/etc/postgresql-common/createcluster.conf

# pg_config_paths prints the pg_config of every server installed at a known place.
# A Debian server has none of its own before its client package is unpacked, and
# /usr/bin/pg_config may belong to another major version, so it is not asked.
pg_config_paths() {
	local dir
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
		/usr/local/opt/postgresql@*/bin /Applications/Postgres.app/Contents/Versions/*/bin; do
		[[ -x $dir/postgres && -x $dir/initdb && -x $dir/pg_config ]] && printf '%s\n' "$dir/pg_config"
	done
	return 0
}

# server_major PG_CONFIG: the major version of the server beside it.
server_major() { "$1" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'; }

# installed_majors prints the majors of the installed servers, newest first.
installed_majors() {
	local config
	pg_config_paths | while read -r config; do server_major "$config"; done | sort -rn
}

# vector_version PG_CONFIG: the version of the pgvector that this server can load,
# empty when the control file or the library is missing.
vector_version() {
	local control library
	control=$("$1" --sharedir)/extension/vector.control
	library=$("$1" --pkglibdir)/vector
	[[ -r $control && (-r $library.so || -r $library.dylib) ]] || return 0
	sed -n -E "s/^default_version *= *'([^']*)'.*/\1/p" "$control"
}

# find_vector MIN_MAJOR MIN_VECTOR: one line naming the first server that has it,
# else nothing.
find_vector() {
	local config major vector found=
	pg_config_paths | while read -r config; do
		[[ -z $found ]] || continue
		major=$(server_major "$config")
		vector=$(vector_version "$config")
		if ((major >= $1)) && [[ -n $vector ]] && version_ge "$vector" "$2"; then
			found=1
			printf 'PostgreSQL %s with pgvector %s (%s)\n' "$major" "$vector" "$(dirname "$config")"
		fi
	done
}

# install_without_cluster PACKAGE...: installs server packages while
# createcluster.conf(5) says that no main cluster is to be made, then puts the
# machine's own setting back.
install_without_cluster() {
	package_installed postgresql-common || apt_install postgresql-common
	RESTORE_CONF=$(mktemp)
	cat "$CLUSTER_CONF" >"$RESTORE_CONF"
	trap restore_cluster_conf EXIT
	printf '\ncreate_main_cluster = false\n' | "${AS_ROOT[@]}" tee -a "$CLUSTER_CONF" >/dev/null
	apt_install "$@"
	restore_cluster_conf
	trap - EXIT
}

restore_cluster_conf() {
	[[ -n ${RESTORE_CONF:-} ]] || return 0
	"${AS_ROOT[@]}" tee "$CLUSTER_CONF" <"$RESTORE_CONF" >/dev/null
	rm -f "$RESTORE_CONF"
	RESTORE_CONF=
}

# build_pgvector MAJOR SUITE COMPONENT: fetches the pgvector source package of SUITE
# from the archive this machine already uses, with apt directories of its own, and
# installs a build that runs on any processor of this architecture.
build_pgvector() {
	local major=$1 suite=$2 component=$3 archive keyring
	archive=$(apt_archive "$CODENAME")
	[[ -n $archive ]] || die "reading apt sources: no entry of type 'deb' for suite '$CODENAME' under /etc/apt; add one, then run this again"
	BUILD_DIR=$(mktemp -d)
	trap 'rm -rf "$BUILD_DIR"' EXIT
	chmod 0755 "$BUILD_DIR"
	mkdir -p "$BUILD_DIR"/{lists/partial,cache/archives/partial,src}
	keyring=/usr/share/keyrings/$SYSTEM-archive-keyring.gpg
	printf 'deb-src %s%s %s %s\n' "$([[ -r $keyring ]] && printf '[signed-by=%s] ' "$keyring")" \
		"$archive" "$suite" "$component" >"$BUILD_DIR/sources.list"
	# apt as root downloads as _apt, which must be able to write there.
	if ((EUID == 0)) && id _apt >/dev/null 2>&1; then chown -R _apt "$BUILD_DIR"/{lists,cache,src}; fi
	say "Fetching the pgvector source package ($suite)"
	private_apt -qq update
	(cd "$BUILD_DIR/src" && private_apt -qq --only-source source pgvector)
	say "Building pgvector for PostgreSQL $major"
	local tree
	tree=$(find "$BUILD_DIR/src" -mindepth 1 -maxdepth 1 -type d -name 'pgvector-*')
	[[ -f $tree/vector.control ]] || die "building pgvector: the source package of '$suite' holds no vector.control"
	local -a make=(make -s -C "$tree" OPTFLAGS= "PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config")
	"${make[@]}" -j "$(nproc)" >"$BUILD_DIR/build.log" 2>&1 || {
		tail -n 40 "$BUILD_DIR/build.log" >&2
		die "building pgvector: the compiler stopped, its last lines are above"
	}
	"${AS_ROOT[@]}" "${make[@]}" install >/dev/null
	rm -rf "$BUILD_DIR"
	trap - EXIT
}

# private_apt ARGS...: apt-get that sees only the source list of this build.
private_apt() {
	apt-get -o Dir::Etc::sourcelist="$BUILD_DIR/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State::lists="$BUILD_DIR/lists" -o Dir::Cache="$BUILD_DIR/cache" \
		-o APT::Update::Post-Invoke::= -o Acquire::Languages=none "$@" </dev/null
}
