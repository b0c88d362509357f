#!/usr/bin/env bash
# A private NATS for tests.
#
#   tests/nats.sh install           installs Debian's package where no nats-server is to be found (as root)
#   tests/nats.sh run [ARGUMENT …]  starts a server on a free port, prints its address, and ends it with its own
#                                   standard input
set -euo pipefail

find_program() {
    local found
    for found in "$(command -v nats-server || true)" /usr/sbin/nats-server; do
        if [ -x "$found" ]; then
            echo "$found"
            return
        fi
    done
    echo "the tests need nats-server: install it (Debian, Ubuntu: apt-get install nats-server)" >&2
    return 1
}

install_package() {
    if find_program >/dev/null 2>&1; then return; fi
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing Debian's nats-server for the tests" >&2
        # The package would start a server of its own, where there is somebody to start it.
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends nats-server; } >&2
    fi
    find_program >/dev/null
}

run() {
    local program
    program=$(find_program)
    folder=$(mktemp -d "${TMPDIR:-/tmp}/scriptorium-nats.XXXXXX")
    "$program" --addr 127.0.0.1 --port -1 --ports_file_dir "$folder" --log "$folder/log" "$@" </dev/null >/dev/null 2>&1 &
    server=$!
    disown "$server"
    trap 'kill -9 "$server" 2>/dev/null; rm -rf "$folder"' EXIT
    until [ -s "$folder/nats-server_$server.ports" ]; do
        if ! kill -0 "$server" 2>/dev/null; then
            cat "$folder/log" >&2
            return 1
        fi
        sleep 0.01
    done
    grep -o 'nats://[^"]*' "$folder/nats-server_$server.ports"
    # As long as whoever asked for it.
    cat >/dev/null
}

case "${1:-}" in
    install) install_package ;;
    run) shift; run "$@" ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
