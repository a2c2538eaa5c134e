# shellcheck shell=bash
# What the scripts share; read with `. scripts/lib.sh` from the repository's root.

# A machine without HOME (a container, a CI runner) still needs a place for the caches of Go and npm.
if [[ -z "${HOME:-}" ]]; then
  HOME="$(getent passwd "$(id -u)" | cut -d: -f6)"
  export HOME="${HOME:-/tmp}"
fi

# One setting everywhere means one build cache; only the race detector needs cgo.
export CGO_ENABLED="${CGO_ENABLED:-0}"

tool() { go tool -modfile=tools/go.mod "$@"; }

say() { printf '\n==> %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# step NAME COMMAND...: runs it, says how long it took, ends the script if it failed.
step() {
  local name=$1 start=$SECONDS; shift
  say "$name"
  "$@" || die "FAILED: $name, after $((SECONDS - start)) s"
  steps+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}
steps=()
summary() { say "all passed"; printf '%s\n' "${steps[@]}" "$(printf '%5d s  in all' "$SECONDS")"; }

# postgres_bin: the directory of PostgreSQL's server programs, the newest version first; empty if there is none.
postgres_bin() {
  local dir
  local newest=
  for dir in /usr/local/pgsql/bin /usr/lib/postgresql/*/bin; do
    if [[ -x $dir/initdb ]]; then newest=$(printf '%s\n' "$newest" "$dir" | sort -V | tail -1); fi
  done
  if [[ -z $newest ]] && dir=$(command -v initdb); then newest=$(dirname "$dir"); fi
  echo "$newest"
}
