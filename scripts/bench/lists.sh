#!/usr/bin/env bash
# Lists of the panel with 100,000 rows each beside the same pages with none: how long the first byte takes, and what the
# gateway's memory does meanwhile. Prints Markdown; tells its progress on stderr. Needs root.
#   scripts/bench/lists.sh [DOORWARD]    the program, target/release/doorward if not given
# ROWS (100000) says how many, ROUNDS (40) how often each page is asked for.
set -euo pipefail
cd "$(dirname "$0")/../.."
rows=${ROWS:-100000} rounds=${ROUNDS:-40} limit_ms=100
# A gateway has so many accounts at most (management.max_accounts).
accounts=$((rows < 65000 ? rows : 65000))

say() { echo "  $*" >&2; }

if [[ -z ${INSIDE:-} ]]; then
    ((EUID == 0)) || { echo "as root, please" >&2; exit 1; }
    doorward=$(realpath "${1:-target/release/doorward}")
    INSIDE=1 doorward=$doorward exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0"
fi

mount -t tmpfs none /run
ip link set lo up
ip link add wan0 type veth peer name wan1
ip addr add 192.0.2.10/24 dev wan0
ip link set wan0 up
ip link set wan1 up
ip route add default via 192.0.2.1
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
panel=https://127.0.0.1:8443 api=http://127.0.0.1:8081/api/
cat >"$state/doorward.toml" <<TOML
state_dir = "$state/state"
[management]
listen = ["127.0.0.1:8443"]
max_accounts = 65000
api_listen = ["127.0.0.1:8081"]
[log]
level = "error"
TOML
mkdir "$state/state"

gateway() { "${doorward:?}" --config "$state/doorward.toml" "$@"; }

# Starts the gateway and waits until the kernel is as the database says.
start() {
    # Not by the function: the process must be the gateway itself.
    "${doorward:?}" --config "$state/doorward.toml" serve </dev/null >&2 &
    process=$!
    local try
    for ((try = 0; try < 6000; try++)); do
        [[ $(gateway status --json 2>/dev/null | jq -r .state) != OK ]] || return 0
        kill -0 $process
        sleep 0.1
    done
    echo "the gateway does not converge" >&2
    return 1
}

stop() {
    kill $process
    wait $process || true
}

memory() { awk '/VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$process/status"; }

# Signs in as a person does.
sign_in() {
    rm -f "$state/jar"
    curl -sk --fail -c "$state/jar" -o /dev/null -H "Sec-Fetch-Site: same-origin" \
        --data-urlencode name=bench --data-urlencode "password=$password" "$panel/login"
    [[ $(curl -sk -b "$state/jar" -o /dev/null -w '%{http_code}' "$panel/audit") == 200 ]]
}

# first_bytes PATH: median and 95th percentile in ms of the time to the first byte, on one connection. The first request
# opens it and is not counted.
first_bytes() {
    local round
    for ((round = 0; round <= rounds; round++)); do
        printf 'url = "%s"\noutput = "/dev/null"\n' "$panel$1"
    done >"$state/asked"
    curl -sk -b "$state/jar" -K "$state/asked" -w '%{http_code} %{time_starttransfer}\n' >"$state/times"
    if grep -qv '^200 ' "$state/times"; then
        echo "not answered well: $1: $(sort "$state/times" | tail -n 1)" >&2
        return 1
    fi
    tail -n +2 "$state/times" | cut -d ' ' -f 2 | sort -n |
        awk '{ t[NR] = $1 * 1000 } END { printf "%.1f %.1f\n", t[int((NR + 1) / 2)], t[int(NR * 0.95 + 0.5)] }'
}

# Each list: its path, its columns, what a search finds about a hundredth of and what it does not find.
lists="/accounts name,server,down,used,expires peer_77 nobody
/vouchers created,username,fullname,ends,last,used room-77 nobody
/guests/email last,first,who,visits person77 nobody
/logins time,login,method,mac person77 nobody
/audit time,actor,module,object guest77 nobody"

# pages PATH COLUMNS HIT MISS: "what path" for each page that is measured. The page in the middle is of the usual order.
pages() {
    local column way last=$(((rows + 49) / 50))
    [[ $1 != /accounts ]] || last=$(((accounts + 49) / 50))
    echo "first $1"
    for column in ${2//,/ }; do
        for way in 0 1; do
            echo "sorted $1?sort=$column&desc=$way"
        done
    done
    echo "hit $1?q=$3"
    echo "miss $1?q=$4"
    echo "middle $1?page=$((last / 2))"
    echo "last $1?page=$last"
    # In the slowest order: by something that changes all the time.
    echo "last $1?sort=${2##*,}&desc=1&page=$last"
}

# Measures all pages of all lists: "path what median p95 address" a line.
measure() {
    local path columns hit miss what address
    while read -r path columns hit miss; do
        say "$1 rows: $path"
        while read -r what address; do
            echo "$path $what $(first_bytes "$address") $address"
        done < <(pages "$path" "$columns" "$hit" "$miss")
    done <<<"$lists"
}

# What operators make is made as they do it; only what guests did in 25 days is written past the gateway.
make_vouchers() {
    local key made=0 count
    gateway hotspot-api on >&2
    key=$(gateway hotspot-api key)
    while ((made < rows)); do
        count=$((rows - made < 10000 ? rows - made : 10000))
        printf '{"api-key":"%s","action":"create_voucher","count":%d,"note":"room-%d"}' "$key" $count $((made / 1000)) |
            curl -s --fail -o /dev/null --data-binary @- -H 'Content-Type: application/json' "$api"
        made=$((made + count))
    done
}

# Suspended accounts: their counters alone are in the kernel, so that lists are measured and not a full tunnel.
make_accounts() {
    local hash n
    hash=$(gateway access-hash add bench 127.0.0.1 | tail -n 1)
    for n in 1 2; do
        curl -sk --fail -o /dev/null -b "access_hash=$hash" "$panel/api/v1/wireguard" \
            -d "interface_name=wg$n&name=Default_$n&address=10.$n.0.1/16"
    done
    for ((n = 0; n < accounts; n++)); do
        ((n == 0)) || echo next
        printf 'url = "%s"\noutput = "/dev/null"\ncookie = "access_hash=%s"\ninsecure\nfail\ndata = "%s"\n' \
            "$panel/api/v1/account" "$hash" \
            "wg_name=Default_$((n % 2 + 1))&name=peer_$n&username=user_$n&status=disable"
    done >"$state/accounts"
    curl -s --no-progress-meter --parallel --parallel-max 64 -K "$state/accounts"
}

# What is in the database besides: logins of 25 days, who they were, what was changed; use and ends of what there is.
fill() {
    python3 - "$state/state/doorward.db" "$rows" "$(date +%s)000" "$accounts" <<'PYTHON'
import sqlite3, sys

path, rows, now, accounts = sys.argv[1], *map(int, sys.argv[2:])
# Guests and logins are kept for 30 days.
span = 25 * 86_400_000
db = sqlite3.connect(path)
gateway, = db.execute("SELECT id FROM gateways").fetchone()
# Neighbours differ, and each run is the same.
mixed = lambda n, below: n * 7919 % 1_000_003 % below
when = lambda n: now - mixed(n, 1_000_003) * (span // 1_000_003)
mac = lambda n: "02:00:00:%02X:%02X:%02X" % (n >> 16, n >> 8 & 255, n & 255)
with db:
    db.executemany(
        "UPDATE accounts SET bandwidth_down = ?, expires_at_ms = ?, quota_bytes = ?, quota_period = ?, quota_use_bytes = ?"
        " WHERE id = ?",
        ((mixed(n, 1000), now + mixed(n, span) if n % 3 else None, 10**9, "none", mixed(n, 10**9), id)
         for n, (id,) in enumerate(db.execute("SELECT id FROM accounts ORDER BY id").fetchall())))
    vouchers = db.execute("SELECT id, grant_id FROM vouchers ORDER BY id").fetchall()
    db.executemany(
        "UPDATE vouchers SET fullname = ?, first_login_ms = ?, last_login_ms = ?, last_mac = ? WHERE id = ?",
        ((f"Guest {mixed(n, rows)}", when(n), when(n), mac(n), id) if n % 2 else (f"Guest {n}", None, None, None, id)
         for n, (id, _) in enumerate(vouchers)))
    db.executemany(
        "UPDATE grants SET ends_ms = ?, used_down = ?, used_up = ? WHERE id = ?",
        ((now + mixed(n, span) if n % 4 else None, mixed(n, 10**9), mixed(n, 10**6), grant)
         for n, (_, grant) in enumerate(vouchers)))
    db.executemany(
        "INSERT INTO guests (gateway_id, method, identity, email, comments, comments1, comments2, marketing, verified,"
        " visits, last_mac, created_ms, modified_ms, last_login_ms)"
        " VALUES (?1, 'email', ?2, ?2, '', '', '', 0, 1, ?3, ?4, ?5, ?5, ?5)",
        ((gateway, f"person{n}@example.net", mixed(n, 99), mac(n), when(n)) for n in range(rows)))
    db.executemany(
        "INSERT INTO logins (gateway_id, created_ms, method, login, mac, address, success, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((gateway, now - (rows - n) * (span // rows), ("email", "voucher", "mobile")[n % 3], f"person{mixed(n, rows)}@example.net",
          mac(n), f"10.1.{n >> 8 & 255}.{n & 255}", n % 7 > 0, None if n % 7 else "wrong password") for n in range(rows)))
    db.executemany(
        "INSERT INTO audit (gateway_id, created_ms, actor, address, module, action, object, before, after, outcome)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
        ((gateway, now - (rows - n), f"operator{n % 20}", f"192.0.2.{n % 250}", ("accounts", "vouchers", "guests")[n % 3], "edit",
          f"guest{mixed(n, rows)}", "enabled=1 speed=10/10 note=room 1", "enabled=1 speed=10/10 note=room 2")
         for n in range(rows)))
    counts = [db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
              for table in ("accounts", "vouchers", "guests", "logins", "audit")]
    assert counts[0] == accounts and min(counts[1:]) >= rows, counts
PYTHON
}

# Sends every list as CSV: "path rows seconds MB-of-memory-at-most" a line.
export_all() {
    local path columns sort csv
    while read -r path columns _; do
        sort=${columns##*,}
        csv=$path.csv
        [[ $path != /guests/* ]] || csv=$path/list.csv
        say "export: $csv"
        curl -sk --fail -b "$state/jar" -o "$state/csv" -w '%{time_starttransfer} %{time_total}\n' \
            "$panel$csv?sort=$sort&desc=1" >"$state/took" &
        local most=0 now
        while kill -0 $! 2>/dev/null; do
            now=$(memory)
            most=$((now > most ? now : most))
            sleep 0.05
        done
        wait $!
        echo "$path $(($(wc -l <"$state/csv") - 1)) $(<"$state/took") $most"
    done <<<"$lists"
}

password=$(head -c 18 /dev/urandom | base64)
start
gateway operator add bench --role admin <<<"$password" >&2
sign_in
measure 0 >"$state/empty"
say "making $rows vouchers"
make_vouchers
say "making $accounts accounts"
make_accounts
stop
say "filling the rest"
fill
start
sign_in
say "waiting for two full passes, so that their memory is not taken for that of lists"
sleep 70
before=$(memory)
measure "$rows" >"$state/full"
after=$(memory)
export_all >"$state/exports"
stop
gateway down >&2 || true

cat <<MARKDOWN
## Lists of the panel with $rows rows

Time to the first byte over HTTPS, ms, $rounds requests each on one connection; of several pages of a kind the slowest.
Accounts are suspended ones, and $accounts, the most that a gateway takes. Target: p95 at most $limit_ms ms. The reference is the same page of an empty list.

| list | page | empty, p50 | p95 | $rows rows, p50 | p95 | × of empty, p50 | verdict |
|---|---|---|---|---|---|---|---|
MARKDOWN
paste -d ' ' "$state/empty" "$state/full" | awk -v limit=$limit_ms '
    BEGIN {
        name["first"] = "first"; name["sorted"] = "sorted, the slowest of all columns and ways"; name["hit"] = "search that hits"
        name["miss"] = "search that does not"; name["middle"] = "in the middle"; name["last"] = "last, the slower of two orders"
    }
    {
        key = $1 " " $2
        if (!(key in slowest)) { order[++n] = key }
        if (!(key in slowest) || $9 > slowest[key]) {
            slowest[key] = $9
            line[key] = sprintf("| `%s` | %s | %s | %s | %s | %s | %.1f | %s |", $1, name[$2], $3, $4, $8, $9, $8 / $3,
                $9 <= limit ? "met" : "**missed**")
        }
    }
    END { for (i = 1; i <= n; i++) print line[order[i]] }'
cat <<MARKDOWN

| CSV export, sorted | rows | first byte, s | whole, s | memory on the way, MB |
|---|---|---|---|---|
MARKDOWN
awk '{ printf "| `%s` | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5 }' "$state/exports"
cat <<MARKDOWN

Memory of the gateway: $before MB after two full passes over all of it and before the first list, $after MB after all of them,
$(awk '{ if ($5 > most) most = $5 } END { print most }' "$state/exports") MB at most during the exports.
MARKDOWN
