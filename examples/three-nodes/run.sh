#!/usr/bin/env bash
# Runs a pipeline on three nodes of this machine, stops one and kills one while data flows, and compares the result with
# a shell pipe. Takes about 40 seconds. WORKER names the binary; without it, it is built.
# KEEP=1 keeps the logs and files.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$(mktemp -d)
declare -A pid=()

main() {
    worker=${WORKER:-$(build)}
    cluster_file
    say "Three nodes. a reads rows and sends each to b, which writes all.txt, and to c, which keeps the municipal" \
        "airports and sends them back to a, which writes municipal.txt."
    for node in a b c; do start "$node"; done
    watch_for 5

    say "Node b is stopped (SIGSTOP) for 12 seconds: it neither reads nor answers, and its connections stay open." \
        "municipal.txt, whose way does not lead through b, must go on."
    kill -STOP "${pid[b]}"
    expect_growth municipal.txt 12
    show_waits
    say "Node b is continued (SIGCONT): all.txt catches up."
    kill -CONT "${pid[b]}"
    expect_growth all.txt 4

    say "Node c is killed (SIGKILL): what it had accepted and not finished is lost, as delivery = \"memory\" says." \
        "all.txt, whose way does not lead through c, must go on."
    kill -KILL "${pid[c]}"
    wait "${pid[c]}" 2>/dev/null || true
    expect_growth all.txt 6
    show_waits
    say "Node c is started again: municipal.txt catches up."
    start c
    expect_growth municipal.txt 8

    say "The source ends after 60,768 rows; every node ends when its work is done and its peers know it."
    finish
    compare
}

build() {
    (cd "$root" && cargo build --release -p worker-bin >&2)
    echo "${CARGO_TARGET_DIR:-$root/target}/release/worker"
}

cluster_file() {
    local node port ports=" "
    for node in a b c; do
        while port=$((20000 + RANDOM % 12000)); [[ $ports == *" $port "* ]] || taken "$port"; do :; done
        ports+="$port "
        printf '[node.%s]\naddress = "127.0.0.1:%s"\n\n' "$node" "$port" >> "$dir/cluster.toml"
    done
}

taken() {
    (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

start() {
    "$worker" node --name "$1" --cluster "$dir/cluster.toml" --set out="$dir" --dead-letters "$dir/dead-$1.jsonl" \
        --progress lines "$here/three-nodes.toml" < /dev/null 2>> "$dir/$1.log" &
    pid[$1]=$!
}

say() {
    printf '\n%s\n' "$*" | fold -s -w 100
}

lines() {
    if [[ -f $dir/$1 ]]; then wc -l < "$dir/$1"; else echo 0; fi
}

watch_for() {
    local second
    for ((second = 0; second < $1; second++)); do
        sleep 1
        printf '    all.txt (on b) %6d lines    municipal.txt (on a, through c) %6d lines\n' \
            "$(lines all.txt)" "$(lines municipal.txt)"
    done
}

expect_growth() {
    local before after
    before=$(lines "$1")
    watch_for "$2"
    after=$(lines "$1")
    ((after > before)) || fail "$1 stood still at $after lines"
    printf '    %s: %d lines more\n' "$1" $((after - before))
}

show_waits() {
    printf '    Node a says:%s\n' "$(grep -o '[^|]* waits: .*' "$dir/a.log" | tail -n 1)" | fold -s -w 100
}

finish() {
    local node status
    for node in b c a; do
        for ((tenth = 0; tenth < 300; tenth++)); do
            kill -0 "${pid[$node]}" 2>/dev/null || break
            sleep 0.1
        done
        kill -0 "${pid[$node]}" 2>/dev/null && fail "node $node has not ended 30 s later"
        status=0
        wait "${pid[$node]}" || status=$?
        case $node:$status in
            a:0 | a:3 | b:0 | c:0) ;;
            *) fail "node $node ended with status $status" ;;
        esac
        printf '    Node %s ended with status %d.\n' "$node" "$status"
    done
}

compare() {
    local lost missing repeated
    PAUSE=0 sh "$here/rows.sh" > "$dir/expected-all.txt"
    say "The same with a shell pipe. Everything through b, which was stopped and continued, must be equal:"
    cmp "$dir/expected-all.txt" "$dir/all.txt" || fail "all.txt differs"
    printf '    all.txt: %d lines, equal byte for byte.\n' "$(lines all.txt)"

    grep Municipal "$dir/expected-all.txt" | LC_ALL=C sort > "$dir/expected-municipal.txt"
    LC_ALL=C sort "$dir/municipal.txt" > "$dir/sorted.txt"
    LC_ALL=C sort -u "$dir/municipal.txt" > "$dir/distinct.txt"
    lost=$(sed -n 's/^at most \([0-9]*\) records were lost.*/\1/p' "$dir/a.log")
    missing=$(comm -23 "$dir/expected-municipal.txt" "$dir/distinct.txt" | wc -l)
    repeated=$(comm -13 "$dir/distinct.txt" "$dir/sorted.txt" | wc -l)
    say "Of what went through c, which was killed, at most ${lost:-0} rows were lost, says node a, who sent them:"
    printf '    municipal.txt: %d of %d lines; %d missing, %d repeated.\n' \
        "$(lines municipal.txt)" "$(wc -l < "$dir/expected-municipal.txt")" "$missing" "$repeated"
    comm -13 "$dir/expected-municipal.txt" "$dir/distinct.txt" | grep . && fail "municipal.txt has lines that no row gives"
    ((missing <= ${lost:-0})) || fail "more is missing than was reported lost"
    printf '    What is missing is within what was reported.\n'
}

fail() {
    printf '\nFAILED: %s. Logs of the nodes:\n' "$*" >&2
    tail -n 20 "$dir"/*.log >&2
    exit 1
}

clean_up() {
    local node
    for node in "${!pid[@]}"; do
        kill -CONT "${pid[$node]}" 2>/dev/null && kill -KILL "${pid[$node]}" 2>/dev/null
    done
    wait
    if [[ -n ${KEEP:-} ]]; then echo "Logs and files are in $dir"; else rm -rf "$dir"; fi
}
trap clean_up EXIT

main
