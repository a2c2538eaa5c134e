#!/usr/bin/env bash
# The smoke test of the operators' runbook: seconds, and safe against production at any time.
#
#   ./smoke-tests.sh [-BaseUrl http://localhost:3002] [flags of `github-pr-manager smoke`]
set -euo pipefail
# shellcheck source=scripts/operator.sh disable=SC1091
. "$(dirname "${BASH_SOURCE[0]}")/scripts/operator.sh"
operate smoke "$@"
