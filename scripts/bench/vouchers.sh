#!/usr/bin/env bash
# P4, P5, P6: vouchers by the hotspot API. Prints Markdown; needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "## Vouchers by the hotspot API"
echo
echo "| target | what | measured | reference | verdict |"
echo "|---|---|---|---|---|"
cargo bench --locked -q -p doorward --bench vouchers
