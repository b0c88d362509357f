#!/usr/bin/env bash
# A private PostgreSQL for tests: durable as by default, reached by a socket, without passwords.
#
#   tests/postgres.sh install   installs Debian's package where no PostgreSQL is to be found (as root)
#   tests/postgres.sh start DIR [OPTIONS]   makes a server in the folder DIR and starts it; prints its address
#   tests/postgres.sh standby DIR OF     makes a standby named "standby" of the one in the folder OF and starts it; prints its address
#   tests/postgres.sh promote DIR        makes a standby the primary
#   tests/postgres.sh certify DIR        puts the certificate of an authority (ca.pem), and one by it for localhost (server.pem
#                               and server.key), into the folder
#   tests/postgres.sh restart DIR MODE   stops it (fast, immediate) and starts it again
#   tests/postgres.sh signal DIR NAME    sends a signal to all its processes
#   tests/postgres.sh limit DIR BYTES    lets none of its files grow beyond that; "unlimited" lifts it
#   tests/postgres.sh stop DIR  stops it and removes DIR
#   tests/postgres.sh share DIR prints the address of the server that all tests share, started where none runs; DIR keeps
#                               its traces. It ends by itself soon after the last process that holds DIR/users locked.
set -euo pipefail

find_programs() {
    local found
    for found in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr) $(dirname "$(command -v postgres || echo /none/x)"); do
        if [ -x "$found/initdb" ] && [ -x "$found/postgres" ]; then
            echo "$found"
            return
        fi
    done
    echo "the tests need PostgreSQL 13 or newer: install it (Debian, Ubuntu: apt-get install postgresql)," >&2
    echo "or name a server in TEST_DATABASE_URL=postgres://user:password@host:port/database" >&2
    return 1
}

# PostgreSQL does not run as root.
user() {
    [ "$(id -u)" -ne 0 ] && return
    if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_user() {
    local name
    name=$(user)
    if [ -n "$name" ]; then runuser -u "$name" -- "$@"; else "$@"; fi
}

install_package() {
    if [ -n "${TEST_DATABASE_URL:-}" ] || find_programs >/dev/null 2>&1; then return; fi
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing Debian's PostgreSQL for the tests" >&2
        # The package would start a server of its own.
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql; } >&2
    fi
    find_programs >/dev/null
}

# Makes a folder of theirs, and goes there.
own() {
    mkdir -p "$1"
    if [ -n "$(user)" ]; then chown "$(user)" "$1"; fi
    cd "$1"
}

start() {
    local folder=$1 options=${2:-} programs
    programs=$(find_programs)
    own "$folder"
    if [ ! -e "$folder/data" ]; then
        as_user "$programs/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 \
            --locale=C --no-sync >"$folder.initdb" 2>&1 || { cat "$folder.initdb" >&2; return 1; }
        rm -f "$folder.initdb"
    fi
    as_user setsid "$programs/pg_ctl" start --pgdata="$folder/data" --log="$folder/log" --silent --wait \
        --options="-c listen_addresses='' -c unix_socket_directories='$folder' -c max_connections=200 $options" \
        </dev/null >/dev/null 2>&1 || { cat "$folder/log" >&2; return 1; }
    echo "postgres://postgres@localhost/postgres?host=$folder"
}

standby() {
    local folder=$1 of=$2
    own "$folder"
    as_user "$(find_programs)/pg_basebackup" --dbname="host=$of user=postgres application_name=standby" --pgdata="$folder/data" \
        --checkpoint=fast --wal-method=stream --write-recovery-conf --no-sync >&2
    start "$folder"
}

promote() {
    cd "$1"
    as_user "$(find_programs)/pg_ctl" promote --pgdata="$1/data" --wait --silent
}

certify() {
    own "$1"
    local new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    {
        openssl req -x509 "${new[@]}" -keyout ca.key -out ca.pem -days 2 -subj "/CN=authority of a test"
        openssl req "${new[@]}" -keyout server.key -out server.csr -subj "/CN=localhost"
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
            -extfile <(echo "subjectAltName = DNS:localhost") -out server.pem
    } >certify.log 2>&1 || { cat certify.log >&2; return 1; }
    if [ -n "$(user)" ]; then chown "$(user)" server.key; fi
    chmod 600 server.key
}

stop() {
    local folder=$1
    cd /
    if [ -e "$folder/data/postmaster.pid" ]; then
        send_signal "$folder" CONT 2>/dev/null || true
        as_user "$(find_programs)/pg_ctl" stop --pgdata="$folder/data" --mode=immediate --silent >/dev/null 2>&1 || true
    fi
    rm -rf "$folder"
}

restart() {
    local folder=$1 mode=$2
    as_user "$(find_programs)/pg_ctl" stop --pgdata="$folder/data" --mode="$mode" --silent --wait >/dev/null
    start "$folder"
}

processes() {
    local main
    main=$(head -n 1 "$1/data/postmaster.pid")
    echo "$main"
    # Those that have ended meanwhile cannot be read.
    { grep -l "^PPid:[[:space:]]*$main$" /proc/[0-9]*/status 2>/dev/null || true; } | cut -d / -f 3
}

send_signal() {
    local folder=$1 name=$2
    # shellcheck disable=SC2046
    kill -s "$name" $(processes "$folder")
}

limit() {
    local folder=$1 bytes=$2 process
    for process in $(processes "$folder"); do
        as_user prlimit --pid "$process" --fsize="$bytes:" || [ ! -e "/proc/$process" ]
    done
}

share() {
    local traces=$1 folder url
    mkdir -p "$traces"
    exec 8>>"$traces/lock"
    flock 8
    if [ -s "$traces/server" ]; then
        read -r folder url <"$traces/server"
        if [ -e "$folder/data/postmaster.pid" ] && kill -0 "$(head -n 1 "$folder/data/postmaster.pid")" 2>/dev/null; then
            echo "$url"
            return
        fi
        rm -rf "$folder"
    fi
    # Not in the target folder: the path of a socket is short, and another user has to get there.
    folder=$(mktemp -d /tmp/scriptorium-postgres.XXXXXX)
    chmod 755 "$folder"
    url=$(start "$folder" 8>&-)
    echo "$folder $url" >"$traces/server"
    setsid "$0" watch "$traces" "$folder" 8>&- </dev/null >/dev/null 2>&1 &
    echo "$url"
}

watch() {
    local traces=$1 folder=$2
    exec 8>>"$traces/lock" 9>>"$traces/users"
    while sleep 10; do
        flock 8
        # Whoever wants the server holds the users' lock before asking for it, and asking takes the first one.
        if flock --nonblock --exclusive 9; then
            rm -f "$traces/server"
            stop "$folder"
            return
        fi
        flock --unlock 8
    done
}

case "${1:-}" in
    install) install_package ;;
    start) start "$2" "${3:-}" ;;
    standby) standby "$2" "$3" ;;
    promote) promote "$2" ;;
    certify) certify "$2" ;;
    restart) restart "$2" "$3" ;;
    limit) limit "$2" "$3" ;;
    signal) send_signal "$2" "$3" ;;
    stop) stop "$2" ;;
    share) share "$2" ;;
    watch) watch "$2" "$3" ;;
    *) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
