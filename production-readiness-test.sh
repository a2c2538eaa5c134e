#!/usr/bin/env bash
# The production readiness test of the operators' runbook: the smoke test, and what production needs beside it.
#
#   ./production-readiness-test.sh [-BaseUrl http://localhost:3002] [flags of `github-pr-manager readiness`]
set -euo pipefail
# shellcheck source=scripts/operator.sh disable=SC1091
. "$(dirname "${BASH_SOURCE[0]}")/scripts/operator.sh"
operate readiness "$@"
