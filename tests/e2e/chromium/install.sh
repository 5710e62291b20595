#!/bin/sh
# Installs what the tests in a browser need: Chromium, and a TURN server. It can do so as root where there is
# apt-get; elsewhere it says what is missing, and those tests are skipped by name. It never fails.
missing=
command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing=chromium
if ! command -v turnserver >/dev/null 2>&1; then
  if [ -d /run/systemd/system ]; then
    # The package would start a relay on this machine, which nobody asked for.
    echo "coturn is not installed: the test with a relay will be skipped; apt-get install coturn starts a service"
  else
    missing="$missing coturn"
  fi
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "not installed, so that tests will be skipped: $missing (as root on Debian they are installed by make test)"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
for package in $missing; do
  echo "installing $package for the tests in a browser: apt-get install --no-install-recommends $package"
  if [ -z "$updated" ]; then
    apt-get update -qq >"$log" 2>&1
    updated=1
  fi
  apt-get install -qq -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io "$package" >"$log" 2>&1 || {
    tail -n 5 "$log"
    echo "$package could not be installed: its tests will be skipped"
  }
done
rm -f "$log"
