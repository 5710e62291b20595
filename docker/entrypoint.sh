#!/bin/sh
# The image's entry point: `talkwire` with the given words, `serve` by default. It says what is wrong with the
# data directory before the server trips over it, then makes way: the server is the container's first process and
# gets its signals.
set -eu

fail() {
  echo "talkwire: $1" >&2
  exit 2
}

check_data() {
  data=${TALKWIRE_DATA_DIR:-/data}
  user="$(id -u):$(id -g)"
  if [ -e "$data" ] && [ ! -d "$data" ]; then
    fail "$data is not a directory. Mount a volume or a directory there (docker-compose.yml calls the volume talkwire_data)"
  fi
  if [ -d "$data" ] || mkdir -p "$data" 2>/dev/null; then
    if [ -w "$data" ] && [ -x "$data" ]; then
      return
    fi
  fi
  fail "the data directory $data cannot be written by user $user, which runs the server.
  Where a directory of the host is mounted there:  sudo chown -R $user /that/directory
  Where it is the volume of docker-compose.yml:    docker run --rm --user 0 --entrypoint chown \\
                                                     -v talkwire_data:$data talkwire:local -R $user $data
  Where it is mounted read-only: take the ':ro' away"
}

# The other commands (version, config, call) need no data directory.
if [ "${1:-serve}" = serve ]; then
  check_data
  [ $# -gt 0 ] || set -- serve
fi
exec talkwire "$@"
