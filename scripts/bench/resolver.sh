#!/usr/bin/env bash
# The resolver: answers a second from memory on one thread beside dnsmasq, and what a million blocked names cost. Prints Markdown.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "## Names"
echo
echo "| target | what | measured | reference | verdict |"
echo "|---|---|---|---|---|"
cargo bench --locked -q -p doorward --bench resolver
