#!/usr/bin/env bash
# Runs a pipeline with delivery = "exactly-once", kills the worker ten times at random moments (kill -9) and one of its programs
# before each, goes on every time with the same --state, and compares the results with those of a run that nobody disturbs.
# Takes about 20 seconds. WORKER names the binary; without it, it is built. SEED=N kills at the moments of an earlier run.
# KEEP=1 keeps the files.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$(mktemp -d)
pid=
kills=10

main() {
    worker=${WORKER:-$(build)}
    seed=${SEED:-$RANDOM}
    RANDOM=$seed
    mkdir "$dir/calm" "$dir/killed"
    rows > "$dir/calm/rows.csv"
    cp "$dir/calm/rows.csv" "$dir/killed/rows.csv"

    say "The undisturbed run: $(($(wc -l < "$dir/calm/rows.csv") - 1)) rows; a filter in batches, then a program that numbers the" \
        "rows of each state, and one that counts them."
    start calm 0
    wait "$pid" || fail "the undisturbed run ended with status $?"
    results calm

    say "The same, killed $kills times (SEED=$seed): first one of its programs, then the worker, each at a random moment."
    for ((round = 1; round <= kills; round++)); do
        start killed 0.25
        pause $((500 + RANDOM % 500))
        kill_a_program
        pause $((RANDOM % 500))
        kill_the_worker
    done

    say "Once more, and this time it may finish:"
    start killed 0
    wait "$pid" || fail "the last run ended with status $?"
    results killed
    compare
    say "And once more: there is nothing left to do."
    start killed 0
    wait "$pid" || fail "a finished pipeline ended with status $?"
    tail -n 1 "$dir/killed.log" | sed 's/^/    /'
}

build() {
    (cd "$root" && cargo build --release -p worker-bin >&2)
    echo "${CARGO_TARGET_DIR:-$root/target}/release/worker"
}

# The airports, twenty times over, each row with a number of its own.
rows() {
    printf 'row,'
    head -n 1 "$root/examples/airports/airports.csv"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        tail -n +2 "$root/examples/airports/airports.csv"
    done | awk '{ print NR "," $0 }'
}

start() {
    PAUSE=$2 "$worker" run "$here/exactly-once.toml" --state "$dir/$1/state" --set dir="$dir/$1" --slots 2 --progress none \
        < /dev/null 2>> "$dir/$1.log" &
    pid=$!
}

say() {
    printf '\n%s\n' "$*" | fold -s -w 100
}

pause() {
    sleep "$(printf '0.%03d' "$1")"
}

# The processes below one, the launcher among them.
descendants() {
    local child
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}

kill_a_program() {
    local programs victim
    mapfile -t programs < <(descendants "$pid")
    victim=
    if ((${#programs[@]} > 0)); then
        victim=${programs[RANDOM % ${#programs[@]}]}
        what=$(tr '\0' ' ' < "/proc/$victim/cmdline" 2>/dev/null | cut -c 1-40) || what=
        kill -KILL "$victim" 2>/dev/null || true
    fi
    printf '    %2d. killed %-42s' "$round" "${what:-a program that just ended}"
}

kill_the_worker() {
    local status=0
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || status=$?
    case $status in
        137) printf 'and the worker;' ;;
        1) printf 'of which the worker ended;' ;;
        *) fail "the worker ended with status $status before it was killed" ;;
    esac
    printf ' %6d rows numbered so far\n' "$(lines killed/numbered.txt)"
}

lines() {
    if [[ -f $dir/$1 ]]; then wc -l < "$dir/$1"; else echo 0; fi
}

results() {
    printf '    numbered.txt: %d lines; totals.txt: %d lines, the first is "%s"\n' \
        "$(lines "$1/numbered.txt")" "$(lines "$1/totals.txt")" "$(head -n 1 "$dir/$1/totals.txt")"
}

compare() {
    say "The results must be those of the undisturbed run; numbered.txt has two writers, so it is sorted:"
    same "totals.txt" "$dir/calm/totals.txt" "$dir/killed/totals.txt"
    LC_ALL=C sort "$dir/calm/numbered.txt" > "$dir/calm/sorted.txt"
    LC_ALL=C sort "$dir/killed/numbered.txt" > "$dir/killed/sorted.txt"
    same "numbered.txt" "$dir/calm/sorted.txt" "$dir/killed/sorted.txt"
    tail -n +2 "$dir/calm/rows.csv" | grep Municipal |
        awk -F, '{ gsub(/"[^"]*"/, "Q"); n[$5]++ } END { for (state in n) print n[state], state }' |
        LC_ALL=C sort -k1,1nr -k2,2 > "$dir/pipe.txt"
    same "totals.txt, with a shell pipe," "$dir/pipe.txt" "$dir/killed/totals.txt"
}

same() {
    cmp "$2" "$3" || fail "$1 differs"
    printf '    %s equal, byte for byte.\n' "$1"
}

fail() {
    printf '\nFAILED: %s (SEED=%s). The last lines of the log:\n' "$*" "$seed" >&2
    tail -n 20 "$dir"/*.log >&2
    exit 1
}

clean_up() {
    if [[ -n $pid ]]; then
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    if [[ -n ${KEEP:-} ]]; then echo "Logs and files are in $dir"; else rm -rf "$dir"; fi
}

trap clean_up EXIT
main
