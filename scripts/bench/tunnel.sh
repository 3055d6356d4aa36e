#!/usr/bin/env bash
# P9 and the tunnels' part of P11: Doorward's user-space tunnel beside Debian's wireguard-go and boringtun-cli, both ends
# on this machine. Prints Markdown; tells its progress on stderr. Needs root.
#   scripts/bench/tunnel.sh [DOORWARD]    the program, target/release/doorward if not given
# SECONDS_EACH (5) and ROUNDS (3) say how long to measure; of the rounds the median counts.
set -euo pipefail
cd "$(dirname "$0")/../.."
each=${SECONDS_EACH:-5} rounds=${ROUNDS:-3} peers=${PEERS:-10000}

say() { echo "  $*" >&2; }

median() { sort -n | awk '{ line[NR] = $1 } END { print line[int((NR + 1) / 2)] }'; }

# start PROGRAM INTERFACE [in NAMESPACE…]: a tunnel process with its interface, in the background.
start() {
    local program=$1 interface=$2
    shift 2
    case $program in
    doorward)
        # The gateway makes the device; here we are the gateway.
        "$@" ip tuntap add mode tun name "$interface"
        "$@" ip link set "$interface" alias doorward
        "$@" "$doorward" tunnel "$interface" >/dev/null 2>&1 &
        ;;
    wireguard-go) "$@" wireguard-go "$interface" >/dev/null 2>&1 ;;
    boringtun) "$@" "$boringtun" --disable-drop-privileges "$interface" >/dev/null 2>&1 ;;
    esac
    for _ in {1..100}; do
        ! wg show "$interface" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    echo "$program does not start" >&2
    return 1
}

# stop INTERFACE [in NAMESPACE…]
stop() {
    local interface=$1
    shift
    "$@" ip link del "$interface"
    for _ in {1..100}; do
        wg show "$interface" >/dev/null 2>&1 || break
        sleep 0.05
    done
    rm -f "/run/wireguard/$interface.sock"
}

# conf KEY PORT PEER ADDRESS ENDPOINT
conf() {
    printf '[Interface]\nPrivateKey=%s\nListenPort=%s\n[Peer]\nPublicKey=%s\nAllowedIPs=%s\nEndpoint=%s\n' "$@"
}

# stream ADDRESS: Mbit/s of one TCP stream, the mean of both directions.
stream() {
    local direction rates=()
    for direction in "" --reverse; do
        iperf3 --client "$1" --time "$each" --json ${direction:+"$direction"} >/run/iperf.json
        rates+=("$(jq '.end.sum_received.bits_per_second / 1e6 | round' /run/iperf.json)")
    done
    echo $(((rates[0] + rates[1]) / 2))
}

# throughput PROGRAM: Mbit/s.
throughput() {
    local keys=() far=(ip netns exec far)
    keys=("$(wg genkey)" "$(wg genkey)")
    start "$1" wgnear
    start "$1" wgfar "${far[@]}"
    conf "${keys[0]}" 51820 "$(wg pubkey <<<"${keys[1]}")" 10.9.0.2/32 192.0.2.2:51820 >/run/near.conf
    conf "${keys[1]}" 51820 "$(wg pubkey <<<"${keys[0]}")" 10.9.0.1/32 192.0.2.1:51820 >/run/far.conf
    wg setconf wgnear /run/near.conf
    wg setconf wgfar /run/far.conf
    ip addr add 10.9.0.1/24 dev wgnear
    ip link set wgnear mtu 1420 up
    "${far[@]}" ip addr add 10.9.0.2/24 dev wgfar
    "${far[@]}" ip link set wgfar mtu 1420 up
    ping -q -c 2 -i 0.2 -W 2 10.9.0.2 >/dev/null
    stream 10.9.0.2
    stop wgnear
    stop wgfar "${far[@]}"
}

# Runs in namespaces of its own: one line "PROGRAM MBIT/S" for each.
measure_streams() {
    local program round
    ip netns add far
    ip link add near type veth peer name eth0 netns far
    ip addr add 192.0.2.1/24 dev near
    ip link set near up
    ip netns exec far sh -c 'ip link set lo up; ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up'
    ip netns exec far iperf3 --server --daemon
    sleep 0.3
    for ((round = 1; round <= rounds; round++)); do
        echo "none $(stream 192.0.2.2)"
        for program in $programs; do
            say "$program, round $round"
            echo "$program $(throughput "$program")"
        done
    done
}

# One line "PROGRAM SECONDS-TO-SET SECONDS-TO-READ BYTES-PER-PEER" for each.
measure_peers() {
    local program process before began set shown
    {
        printf '[Interface]\nPrivateKey=%s\nListenPort=51820\n' "$(wg genkey)"
        # Any 32 bytes are a public key.
        for ((i = 0; i < peers; i++)); do
            printf '[Peer]\nPublicKey=%s\nAllowedIPs=10.%d.%d.%d/32\n' \
                "$(printf 'doorward bench peer %012d' "$i" | base64)" $((i >> 16)) $((i >> 8 & 255)) $((i & 255))
        done
    } >/run/peers.conf
    for program in $programs; do
        say "$program with $peers peers"
        start "$program" wgmany
        process=$(holder wgmany)
        before=$(memory "$process")
        began=$EPOCHREALTIME
        wg setconf wgmany /run/peers.conf
        set=$EPOCHREALTIME
        wg show wgmany dump >/run/dump
        shown=$EPOCHREALTIME
        [[ $(wc -l </run/dump) == $((peers + 1)) ]] || { echo "$program lost peers" >&2; return 1; }
        echo "$program $(seconds "$began" "$set") $(seconds "$set" "$shown")" \
            "$((($(memory "$process") - before) * 1024 / peers))"
        stop wgmany
    done
}

# holder INTERFACE: the process that has the device open. Files that vanish meanwhile are no mistake.
holder() {
    local file
    file=$(grep -ls "^iff:.*$1\$" /proc/[0-9]*/fdinfo/* || true)
    cut -d / -f 3 <<<"${file%%$'\n'*}"
}

seconds() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.3f", to - from }'; }

memory() { awk '/VmRSS/ { print $2 }' "/proc/$1/status"; }

if [[ ${INSIDE:-} ]]; then
    mount -t tmpfs none /run
    mkdir /run/wireguard /run/netns
    ip link set lo up
    "$INSIDE"
    exit
fi

# inside FUNCTION: in namespaces that take every process and interface with them when they end.
inside() {
    INSIDE=$1 doorward=$doorward boringtun=$boringtun programs=$programs \
        unshare --mount --net --pid --fork --kill-child --mount-proc "$0"
}

((EUID == 0)) || { echo "as root, please" >&2; exit 1; }
doorward=$(realpath "${1:-target/release/doorward}")
boringtun=${BORINGTUN:-target/bench/tools/bin/boringtun-cli}
programs="doorward wireguard-go boringtun"
if [[ ! -x $boringtun ]] && ! cargo install --quiet --locked --root target/bench/tools boringtun-cli >&2; then
    say "no boringtun-cli to compare with"
    programs="doorward wireguard-go"
fi
boringtun=$(realpath -m "$boringtun")

rate() { awk -v p="$2" '$1 == p { print $2 }' "$1" | median; }

results=$(mktemp -d)
limit=$(sysctl -n net.core.rmem_max)
restore() {
    sysctl -qw net.core.rmem_max="$limit"
    rm -rf "$results"
}
trap restore EXIT
say "UDP buffers as they are"
inside measure_streams >"$results/plain"
raised=$((8 << 20))
say "UDP buffers raised"
sysctl -qw net.core.rmem_max=$raised
inside measure_streams >"$results/raised"
inside measure_peers >"$results/peers"

cat <<MARKDOWN
## User-space tunnel (P9)

One TCP stream through a tunnel with both ends on this machine, Mbit/s, mean of both directions, median of $rounds rounds of
$each s. Target: at least 2 × Debian's wireguard-go and 1.3 × boringtun-cli.

| \`net.core.rmem_max\` | no tunnel | Doorward | wireguard-go | × | boringtun-cli | × |
|---|---|---|---|---|---|---|
MARKDOWN
for case in "plain $limit" "raised $raised"; do
    read -r file bytes <<<"$case"
    file=$results/$file
    own=$(rate "$file" doorward)
    line="| $bytes | $(rate "$file" none) | $own |"
    for other in wireguard-go boringtun; do
        theirs=$(rate "$file" "$other")
        line+=$(awk -v own="$own" -v theirs="$theirs" \
            'BEGIN { if (theirs > 0) printf " %d | %.2f |", theirs, own / theirs; else printf " – | – |" }')
    done
    echo "$line"
done
cat <<MARKDOWN

## Tunnel with $peers peers (P11)

Target: at most 20 kB of memory a peer.

| | \`wg setconf\`, s | \`wg show dump\`, s | bytes a peer |
|---|---|---|---|
MARKDOWN
awk '{ printf "| %s | %s | %s | %s |\n", $1, $2, $3, $4 }' "$results/peers"
