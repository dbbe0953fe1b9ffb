#!/usr/bin/env bash
# Usage: deploy/make-secrets.sh [DIRECTORY]
# Writes the secrets that docker-compose.yml mounts, random ones, into DIRECTORY
# (default: secrets beside docker-compose.yml). Files that exist are kept.
set -euo pipefail

dir=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/secrets}

# The directory is closed to everybody else; the files themselves are readable,
# because containers read them under an account of their own.
umask 022
mkdir -p "$dir"
chmod 0700 "$dir"

keep() {
	local file=$dir/$1
	if [[ -s $file ]]; then
		echo "kept $file"
		return
	fi
	printf '%s' "$2" >"$file.new"
	mv "$file.new" "$file"
	echo "made $file"
}

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in postgres app migrate; do keep "${name}_password" "$(random)"; done
keep database_url "postgres://tributary_app:$(<"$dir/app_password")@postgres:5432/tributary"
keep migrate_database_url "postgres://tributary_migrate:$(<"$dir/migrate_password")@postgres:5432/tributary"
