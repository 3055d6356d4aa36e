#!/usr/bin/env bash
# P7, P8, P10, P11: the gateway with 10,000 accounts. Prints Markdown; needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "## The gateway with 10,000 accounts"
echo
echo "| target | what | measured | reference | verdict |"
echo "|---|---|---|---|---|"
cargo bench --locked -q -p doorward --bench gateway
