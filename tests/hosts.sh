#!/usr/bin/env bash
# Hosts of a test's own on one machine: network namespaces with cables between them, which a test pulls out.
#
#   tests/hosts.sh install             installs Debian's iproute2 where there is none (as root)
#   tests/hosts.sh enter COMMAND …     runs a command where networks can be made, out of everybody's sight; needs no root
#                                      where users may make namespaces
#   tests/hosts.sh make COUNT NETWORK…  there: makes so many hosts, h1, h2, …, each with a cable into every network. The
#                                      first network is 10.77.1.0/24, the second 10.77.2.0/24, …; the command is .1 in each of
#                                      them, and the hosts are .11, .12, …
#   tests/hosts.sh pull NETWORK HOST     the cable hangs loose: what is sent vanishes, and nobody is told
#   tests/hosts.sh refuse NETWORK HOST   the host knows of no way there: connections end, and new ones fail at once
#   tests/hosts.sh plug NETWORK HOST     the cable is as it was at first
set -euo pipefail

install_package() {
    if command -v ip >/dev/null && command -v ss >/dev/null; then return; fi
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing Debian's iproute2 for the tests" >&2
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends iproute2; } >&2
    fi
    if ! command -v ip >/dev/null || ! command -v ss >/dev/null; then
        echo "the tests need ip and ss: install them (Debian, Ubuntu: apt-get install iproute2)" >&2
        return 1
    fi
}

enter() {
    if unshare --net --mount true 2>/dev/null; then
        exec unshare --net --mount -- "$@"
    elif unshare --user --map-root-user --net --mount true 2>/dev/null; then
        exec unshare --user --map-root-user --net --mount -- "$@"
    fi
    echo "no network namespace can be made here: run the tests as root, or let users make them" >&2
    echo "(sysctl user.max_user_namespaces; in a container: --cap-add SYS_ADMIN --cap-add NET_ADMIN)" >&2
    return 1
}

make() {
    local hosts=$1 host network number=0
    shift
    # Where namespaces have their names; the others see nothing of it.
    mount -t tmpfs none /run
    ip link set lo up
    for ((host = 1; host <= hosts; host++)); do
        ip netns add "h$host"
        ip -n "h$host" link set lo up
    done
    for network in "$@"; do
        number=$((number + 1))
        # Of its own accord its address is the lowest of its ports: with a cable it would change, and the hosts, which know the
        # one before, would not reach it until they ask again.
        ip link add "$network" address "02:00:0a:4d:0$number:01" type bridge
        ip addr add "10.77.$number.1/24" dev "$network"
        ip link set "$network" up
        for ((host = 1; host <= hosts; host++)); do
            ip link add "$network$host" type veth peer name "$network" netns "h$host"
            ip link set "$network$host" master "$network" up
            ip -n "h$host" addr add "10.77.$number.$((host + 10))/24" dev "$network"
            ip -n "h$host" link set "$network" up
        done
    done
}

# The address of the command in a network.
hub() { ip -4 -oneline addr show dev "$1" | sed 's|.*inet \([0-9.]*\)/.*|\1|'; }

plug() {
    ip -n "h$2" route del unreachable "$(hub "$1")" 2>/dev/null || true
    ip link set "$1$2" master "$1"
}

refuse() {
    ip -n "h$2" route replace unreachable "$(hub "$1")"
    # Not every kernel can; then they end by the host's own patience.
    ss --net "h$2" --tcp --kill dst "$(hub "$1")" >/dev/null 2>&1 || true
}

case "${1:-}" in
    install) install_package ;;
    enter) shift; enter "$@" ;;
    make) shift; make "$@" ;;
    pull) ip link set "$2$3" nomaster ;;
    refuse) refuse "$2" "$3" ;;
    plug) plug "$2" "$3" ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
