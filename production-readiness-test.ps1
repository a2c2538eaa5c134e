#!/usr/bin/env -S sh -c 'command -v pwsh >/dev/null && exec pwsh "$0" "$@"; exec "${0%.ps1}.sh" "$@"'
# The production readiness test of the operators' runbook: the smoke test, and what production needs beside it.
#
# The twin of production-readiness-test.sh, which is tested and takes the same parameters. This one was not executed where
# it was written, for want of PowerShell; in a shell without it, the first line runs the twin.
param(
    [string] $BaseUrl,
    [Parameter(ValueFromRemainingArguments = $true)] [string[]] $Rest = @()
)
$ErrorActionPreference = 'Stop'
$program = Join-Path $PSScriptRoot 'bin/github-pr-manager'
if (-not (Test-Path $program)) { $program = 'github-pr-manager' } # in PATH, or PowerShell says that it is not there
if (-not $env:SECRETS_DIR -and (Test-Path "$PSScriptRoot/secrets")) { $env:SECRETS_DIR = "$PSScriptRoot/secrets" }
$arguments = @('readiness')
if ($BaseUrl) { $arguments += @('--url', $BaseUrl) }
& $program @arguments @Rest
exit $LASTEXITCODE
