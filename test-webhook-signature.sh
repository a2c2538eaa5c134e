#!/usr/bin/env bash
# The signature test of the operators' runbook: a ping signed with the secret is accepted, or it says why not.
#
#   ./test-webhook-signature.sh [-Secret SECRET] [-BaseUrl http://localhost:3002] [flags of `github-pr-manager send`]
#
# Every user of a machine can read arguments: better than -Secret is WEBHOOK_SECRET in the environment.
set -euo pipefail
# shellcheck source=scripts/operator.sh disable=SC1091
. "$(dirname "${BASH_SOURCE[0]}")/scripts/operator.sh"
operate send "$@"
