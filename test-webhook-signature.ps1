#!/usr/bin/env -S sh -c 'command -v pwsh >/dev/null && exec pwsh "$0" "$@"; exec "${0%.ps1}.sh" "$@"'
# The signature test of the operators' runbook: a ping signed with the secret is accepted, or it says why not.
#
# The twin of test-webhook-signature.sh, which is tested and takes the same parameters. This one was not executed where
# it was written, for want of PowerShell; in a shell without it, the first line runs the twin.
param(
    [string] $BaseUrl,
    [string] $Secret,
    [Parameter(ValueFromRemainingArguments = $true)] [string[]] $Rest = @()
)
$ErrorActionPreference = 'Stop'
$program = Join-Path $PSScriptRoot 'bin/github-pr-manager'
if (-not (Test-Path $program)) { $program = 'github-pr-manager' } # in PATH, or PowerShell says that it is not there
if ($Secret) { $env:WEBHOOK_SECRET = $Secret; $env:WEBHOOK_SECRET_FILE = $null } # never an argument of what is started
if (-not $env:SECRETS_DIR -and (Test-Path "$PSScriptRoot/secrets")) { $env:SECRETS_DIR = "$PSScriptRoot/secrets" }
$arguments = @('send')
if ($BaseUrl) { $arguments += @('--url', $BaseUrl) }
& $program @arguments @Rest
exit $LASTEXITCODE
