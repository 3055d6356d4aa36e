#!/usr/bin/env bash
# P1, P2: what guests cost the kernel. Prints Markdown; needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "## Guests in the kernel"
echo
echo "| target | what | measured | reference | verdict |"
echo "|---|---|---|---|---|"
cargo bench --locked -q -p doorward-kernel --bench guests
