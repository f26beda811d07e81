#!/bin/sh
# Passes when what was installed is whole, starts at boot, and runs without privileges.
set -eu

root="${WEB_ROOT:-/opt/web}"

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

for file in server.py index.html VERSION SHA256SUMS; do
  [ -s "$root/$file" ] || fail "$root/$file is missing or empty"
done
(cd "$root" && sha256sum --check --strict --quiet SHA256SUMS) || fail "a file in $root is not the one installed"
echo "ok: the files in $root are those installed"

writable=$(find "$root" -perm -0002 ! -type l -print)
[ -z "$writable" ] || fail "everyone may write: $writable"
echo "ok: nothing in $root is writable by everyone"

systemctl is-enabled --quiet web.service || fail "web.service does not start at boot"
systemctl is-active --quiet web.service || fail "web.service does not run: $(systemctl is-failed web.service || true)"
echo "ok: web.service runs and starts at boot"

pid=$(systemctl show --property MainPID --value web.service)
uid=$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")
[ "$uid" -ne 0 ] || fail "web.service runs as root"
echo "ok: web.service runs as user $uid"
