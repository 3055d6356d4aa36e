#!/usr/bin/env bash
# The relay: memory for each of 10,000 connected gateways (BENCH_GATEWAYS: another number), and requests through it beside
# requests without it. Prints Markdown.
set -euo pipefail
cd "$(dirname "$0")/../.."
ulimit -n "$(ulimit -Hn)"
echo "## The relay"
echo
echo "| target | what | measured | reference | verdict |"
echo "|---|---|---|---|---|"
cargo bench --locked -q -p doorward --bench relay
