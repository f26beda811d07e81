#!/bin/sh
# Passes when the service answers on the instance: healthy, the right release, and a page.
set -eu

base="http://127.0.0.1:${WEB_PORT:-8080}"
root="${WEB_ROOT:-/opt/web}"

fail() {
  echo "FAIL: $*" >&2
  command -v journalctl >/dev/null 2>&1 && journalctl --unit web --lines 50 --no-pager >&2 || true
  exit 1
}

# The instance may have only just booted: up to one minute for the first healthy answer.
tries=0
until curl --fail --silent --show-error --max-time 5 --output /dev/null "$base/healthz"; do
  tries=$((tries + 1))
  [ "$tries" -lt 30 ] || fail "$base/healthz is not healthy after $tries tries"
  sleep 2
done
echo "ok: /healthz is healthy"

installed=$(tr -d '[:space:]' <"$root/VERSION")
answered=$(curl --fail --silent --show-error --max-time 5 "$base/version") || fail "/version does not answer"
case "$answered" in
  *"\"$installed\""*) echo "ok: /version answers $installed" ;;
  *) fail "/version answers $answered, and $installed is installed" ;;
esac

curl --fail --silent --show-error --max-time 5 "$base/" | grep -q '<h1>' || fail "/ is not the page"
echo "ok: / is the page"

status=$(curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "$base/no-such-page")
[ "$status" = 404 ] || fail "an unknown page answers $status, not 404"
echo "ok: an unknown page answers 404"
