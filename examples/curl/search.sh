#!/bin/sh
# Asks Tributary a question and prints what it finds with citations. Needs sh, curl, openssl and jq.
# Usage: KEY=trib_... [URL=http://127.0.0.1:8080] [READER=id SIGNING_KEY=portal.key KEY_ID=kid] ./search.sh QUESTION
set -eu

URL=${URL:-http://127.0.0.1:8080}
TRIES=5
question=${1:?usage: search.sh QUESTION}
: "${KEY:?set KEY to the secret that tributary keys create printed}"

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# assertion prints a JWT for READER. Every request needs another, because a jti counts once.
assertion() {
	now=$(date +%s)
	header=$(jq -jn --arg kid "$KEY_ID" '{alg: "RS256", typ: "JWT", kid: $kid} | tojson' | base64url)
	claims=$(jq -jn --arg sub "$READER" --arg aud "$URL" --arg jti "$(openssl rand -hex 16)" --argjson now "$now" \
		'{sub: $sub, aud: $aud, jti: $jti, iat: $now, exp: ($now + 60)} | tojson' | base64url)
	signature=$(printf %s "$header.$claims" | openssl dgst -sha256 -sign "$SIGNING_KEY" -binary | base64url)
	printf 'Tributary-Reader: %s.%s.%s\n' "$header" "$claims" "$signature"
}

answer=$(mktemp) headers=$(mktemp)
trap 'rm -f "$answer" "$headers"' EXIT

# ask sends the question once and prints the status. Secrets go through standard input, never into the list of processes.
ask() {
	{
		printf 'header = "Authorization: Bearer %s"\n' "$KEY"
		if [ -n "${READER:-}" ]; then printf 'header = "%s"\n' "$(assertion)"; fi
	} | curl -sS --config - --max-time 30 -o "$answer" -D "$headers" -w '%{http_code}' \
		-H 'Content-Type: application/json' --data "$(jq -n --arg q "$question" '{query: $q, k: 5}')" "$URL/v1/search"
}

try=1
while :; do
	status=$(ask)
	case $status in
	200) break ;;
	429 | 503)
		if [ "$try" -ge "$TRIES" ]; then break; fi
		wait=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]*\).*/\1/p' "$headers")
		echo "busy ($(jq -r .code "$answer")): trying again in ${wait:-5} s" >&2
		sleep "${wait:-5}"
		try=$((try + 1))
		;;
	*) break ;;
	esac
done

if [ "$status" != 200 ]; then
	jq -r '"\(.status) \(.code): \(.detail) (request \(.request_id))"' "$answer" >&2
	case $status in 401 | 403) exit 3 ;; *) exit 1 ;; esac
fi

jq -r '
	(.results | to_entries[] | .value as $r |
		"\(.key + 1). \([$r.title] + $r.heading_path | join(" › "))\n   \($r.text | gsub("\n"; "\n   "))\n   [\($r.connection), revision \($r.revision), characters \($r.start_cp)–\($r.end_cp), chunk \($r.chunk_id)] \($r.url)"),
	(if .hint then "nothing found: \(.hint)" else empty end),
	(if .complete then empty else "this answer may lack something" end),
	(.permissions_as_of | to_entries[] | "permissions of \(.key) as of \(.value)")' "$answer"
