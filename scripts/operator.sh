#!/usr/bin/env bash
# What smoke-tests.sh, test-webhook-signature.sh and production-readiness-test.sh have in common; sourced.
#
#   operate COMMAND [-BaseUrl URL] [-Secret SECRET] [flags of the command]
#
# runs a command of github-pr-manager, which is in bin/ beside the scripts, or in PATH. -BaseUrl and -Secret are spelled as
# the PowerShell twins spell them, in any case. A secret goes on by the environment, never as an argument. Secrets that
# neither the environment nor .env names are looked for in secrets/, where the production stack keeps them.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 2
}

program() {
  if [[ -x $root/bin/github-pr-manager ]]; then
    printf '%s\n' "$root/bin/github-pr-manager"
  else
    command -v github-pr-manager
  fi
}

operate() {
  local command=$1 binary flag args=()
  shift
  binary=$(program) || die "github-pr-manager is neither in $root/bin nor in PATH: run \`make build\`, or take it out of the image with \
\`docker cp \$(docker create IMAGE):/usr/local/bin/github-pr-manager $root/bin/\`"
  while (($# > 0)); do
    flag=$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')
    case $flag in
      -baseurl | -secret)
        (($# > 1)) || die "$1 needs a value"
        if [[ $flag == -baseurl ]]; then
          args+=(--url "$2")
        else
          export WEBHOOK_SECRET=$2
          unset WEBHOOK_SECRET_FILE
        fi
        shift 2
        ;;
      *)
        args+=("$1")
        shift
        ;;
    esac
  done
  if [[ -z ${SECRETS_DIR:-} && -d $root/secrets ]]; then
    export SECRETS_DIR=$root/secrets
  fi
  exec "$binary" "$command" ${args[@]+"${args[@]}"}
}
