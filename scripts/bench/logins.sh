#!/usr/bin/env bash
# P3, and P8 and P11 with guests: logins by the portal. Prints Markdown; needs root. The kernel has one neighbour table for
# all namespaces; its size is raised meanwhile.
set -euo pipefail
cd "$(dirname "$0")/../.."
tables=/proc/sys/net/ipv4/neigh/default
before=$(cat $tables/gc_thresh{1,2,3} | paste -sd ' ')
put() {
    local step=1 size
    for size in "$@"; do
        echo "$size" >$tables/gc_thresh$step
        step=$((step + 1))
    done
}
# shellcheck disable=SC2064,SC2086 # the sizes of now, one word each
trap "put $before" EXIT
put 16384 32768 65536
echo "## Guests who log in"
echo
echo "| target | what | measured | reference | verdict |"
echo "|---|---|---|---|---|"
cargo bench --locked -q -p doorward --bench logins
