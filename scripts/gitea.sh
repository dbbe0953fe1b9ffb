#!/usr/bin/env bash
# Builds a Gitea for `make test-gitea` in the cache directory and prints the path of its directory, which holds the program
# `gitea` and the link `static` to its templates. The first build takes about ten minutes on two cores and 2 GB of disk.
set -euo pipefail

version=${GITEA_VERSION:-v1.26.0}
dir=${XDG_CACHE_HOME:-$HOME/.cache}/tributary/gitea/$version

if [[ -x $dir/gitea && -e $dir/static ]]; then
	echo "$dir"
	exit 0
fi
for tool in go gcc git; do
	command -v "$tool" >/dev/null || { echo "gitea.sh: $tool is needed to build and run Gitea: install it" >&2; exit 1; }
done

echo "gitea.sh: building Gitea $version in $dir (about ten minutes the first time)" >&2
mkdir -p "$dir/build"
cd "$dir/build"
# The requirements, replacements and sums are Gitea's own, so that what is built is what was released.
printf 'module giteabuild\n\ngo 1.26\n' >go.mod
source=$(GOFLAGS=-mod=mod go mod download -json "code.gitea.io/gitea@$version" | sed -n 's/^.*"Dir": "\(.*\)",*$/\1/p')
[[ -d $source ]] || { echo "gitea.sh: the module code.gitea.io/gitea@$version cannot be fetched" >&2; exit 1; }
sed 's#^module code.gitea.io/gitea.*#module giteabuild#' "$source/go.mod" >go.mod
cp "$source/go.sum" go.sum
chmod u+w go.mod go.sum
go mod edit -require="code.gitea.io/gitea@$version"
printf '//go:build tools\n\npackage giteabuild\n\nimport _ "code.gitea.io/gitea"\n' >tools.go
CGO_ENABLED=1 nice go build -mod=mod -tags 'sqlite sqlite_unlock_notify' -ldflags "-X main.Version=${version#v}" -o "$dir/gitea.new" code.gitea.io/gitea >&2
ln -sfn "$source" "$dir/static"
mv "$dir/gitea.new" "$dir/gitea"
echo "$dir"
