#!/usr/bin/env bash
# P12: how exactly speeds are held, and what a ping takes meanwhile. Prints Markdown; tells its progress on stderr. Needs
# root; the hosts are those of the demonstration.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/demo.d/hosts
source scripts/demo.d/hosts
# shellcheck source=scripts/demo.d/steps
source scripts/demo.d/steps
doorward=${1:-target/release/doorward}
[[ "$doorward" = /* ]] || doorward="$PWD/$doorward"
export doorward
seconds=${SECONDS_EACH:-10}

stop_all
trap stop_all EXIT
make_hosts
for step in start_gateway make_hash make_server make_accounts start_clients; do "$step" >&2; done
from=$(<"$state/peer_1.address")

# measure MBIT STREAMS [--reverse]: Mbit/s of IP bytes and the slowest ping in ms. Of 1420 bytes 1368 are payload.
measure() {
    local pings rate
    pings=$(mktemp)
    in_host client ping -n -q -i 0.2 -w $((seconds + 1)) -I "$from" 192.0.2.80 >"$pings" &
    rate=$(in_host client iperf3 -c 192.0.2.80 -B "$from" -t "$seconds" -O 2 -P "$2" -J ${3:+"$3"} |
        jq '.end.sum_received.bits_per_second * 1420 / 1368 / 1e4 | round / 100')
    wait $!
    echo "$rate $(sed -n 's|^rtt.* = [^/]*/\([^/]*\)/\([^/]*\)/.*|\1 \2|p' "$pings")"
    rm -f "$pings"
}

cat <<'EOF'
## P12: shaping

IP bytes over some seconds of TCP, target ±5 %, ping under load at most 150 ms. The limit itself is the reference.

| limit | direction | streams | measured Mbit/s | off | mean ping ms | slowest | holds |
|---|---|---|---|---|---|---|---|
EOF
for mbit in 1 10 100; do
    call PUT account/peer_1 "b_download=$mbit&b_upload=$mbit" >/dev/null
    for direction in down up; do
        for streams in 1 4; do
            reverse=
            [[ $direction = up ]] || reverse=--reverse
            read -r rate mean slowest < <(measure "$mbit" "$streams" "$reverse")
            echo "  $mbit Mbit/s $direction × $streams: $rate, ping $mean ms" >&2
            jq -rn --argjson l "$mbit" --argjson r "$rate" --argjson p "${mean:-9999}" --argjson s "${slowest:-9999}" \
                --arg d "$direction" --arg n "$streams" '(($r / $l - 1) * 1000 | round / 10) as $off |
                "| \($l) | \($d) | \($n) | \($r) | \($off) % | \($p) | \($s) | \(if ($off | fabs) <= 5 and $s <= 150
                then "yes" else "**no**" end) |"'
        done
    done
done
