#!/bin/sh
# All tests of this example. Needs Go, Node.js 20.19 or later, curl and Chromium;
# CHROMIUM names its executable if it is elsewhere than in the PATH.
set -eu
cd "$(dirname "$0")"

need() { echo "test.sh: $1" >&2; exit 1; }
command -v go >/dev/null || need "there is no go command: https://go.dev/dl/"
command -v npm >/dev/null || need "there is no npm command: https://nodejs.org/"
command -v curl >/dev/null || need "there is no curl command"

if [ -z "${CHROMIUM:-}" ] && ! command -v chromium >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
CHROMIUM=${CHROMIUM:-$(command -v chromium || true)}
[ -n "$CHROMIUM" ] || need "there is no chromium: install it, or set CHROMIUM to the executable of Chromium or Chrome"
export CHROMIUM

[ package-lock.json -ot node_modules/.package-lock.json ] || npm ci --no-audit --no-fund
go test ./...
npm run --silent build
rm -rf test-results
node --test web/src/call-with-token.test.js
# Two files at a time: they mostly wait.
node --test --test-concurrency=2 e2e/page-on-emulator.test.js e2e/page-on-oidc-provider.test.js e2e/emulator.test.js e2e/sdks.test.js e2e/start.test.js
