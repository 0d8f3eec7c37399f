#!/usr/bin/env bash
# Makes the screenshots of the live page and of reports again: docs/screenshots.sh [DIRECTORY] [SCENE...]. Takes about four minutes.
# WORKER names the binary; without it, it is built. Needs chromium, chromedriver and curl.
# Scenes: healthy, nodes (one of three is killed), dead (dead letters, then one that stops it: it fails), paused, large, good (a good
# end), loss (an end with dead letters and drops), names (long ones, and reasons in many scripts).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
out=$(realpath -m "${1:-screenshots}")
shift || true
scenes=("$@")
((${#scenes[@]})) || scenes=(healthy nodes dead paused large good loss names)
dir=$(mktemp -d)
export WORKER_RUNTIME_DIR=$dir/run WORKER_ADMIN_TOKEN=screenshots
pids=()
page=

main() {
    mkdir -p "$out"
    worker=${WORKER:-$(build)}
    browser
    for scene in "${scenes[@]}"; do
        mkdir "$dir/$scene"
        cd "$dir/$scene"
        "scene_$scene"
        end_workers
    done
    echo "screenshots are in $out"
}

build() {
    (cd "$root" && cargo build -p worker-bin >&2)
    echo "${CARGO_TARGET_DIR:-$root/target}/debug/worker"
}

scene_healthy() {
    for i in {1..400}; do cat "$root/examples/airports/airports.csv"; done > big.csv
    cat > healthy.toml <<'EOF'
[pipeline]
name = "airports"
outbox = "1MiB"
credit = "256KiB"
max_record = "64KiB"
spill_limit = "1MiB"
[source.rows]
file = "big.csv"
[stage.parse]
from = "rows"
run = ["sh", "-c", "sleep 0.1; exec cut -d, -f1-4"]
batch = { max_bytes = "64KiB" }
partitions = 4
[stage.municipal]
from = "parse"
run = ["grep", "-i", "municipal"]
ok_exit = [0, 1]
partitions = 4
[stage.by_state]
from = "parse"
mode = "stream"
partition_by = { csv = 4 }
partitions = 12
run = ["awk", "-F,", "{ print $4; fflush() }"]
[sink.municipal_file]
from = "municipal"
file = "municipal.txt"
[sink.states]
from = "by_state"
run = ["sh", "-c", "cat > /dev/null"]
EOF
    run healthy.toml
    sleep 14
    shoot healthy
    js 'document.querySelector("[data-open=\"stage:by_state\"]").click()'
    shoot healthy-details window
    report healthy
}

scene_nodes() {
    local node
    for node in a b c; do
        printf '[node.%s]\naddress = "127.0.0.1:%s"\n' "$node" "$(free_port)" >> cluster.toml
    done
    for node in b c; do node "$node"; done
    page=$(free_port)
    node a --admin "127.0.0.1:$page"
    open_page
    sleep 6
    shoot nodes-healthy
    kill -KILL "$killed" 2> /dev/null
    sleep 12
    shoot nodes-stalled
    js 'document.querySelector("[data-open=\"edge:rows>municipal\"]").dispatchEvent(new MouseEvent("click",{bubbles:true}))'
    shoot nodes-stalled-details
    report nodes-stalled
}

scene_dead() {
    cat > dead.toml <<'EOF'
[pipeline]
name = "orders"
[source.rows]
run = ["sh", "-c", "i=0; while :; do seq $((i*50)) $((i*50+49)); i=$((i+1)); sleep 0.1; done"]
[stage.price]
run = ["sh", "-c", "x=$(cat); case \"$x\" in *131*) echo 'no such currency: \"XAU\"' >&2; exit 4;; *13[05]*) echo 'row has <b>no price</b>' >&2; exit 3;; esac; echo \"$x\""]
retry = { max_attempts = 2, initial = "10ms" }
max_dead = "90%"
partitions = 3
[sink.out]
file = "out.txt"
EOF
    run dead.toml
    sleep 9
    shoot dead
    sed 's/max_dead = "90%"/on_error = "halt"/; s/name = "orders"/name = "orders-halting"/; s/out.txt/out2.txt/; s/\*131\*/*2310*/; s/\*13\[05\]\*/*2350*/' dead.toml > failed.toml
    end_workers
    run failed.toml
    sleep 9
    shoot failed
    report failed
}

scene_paused() {
    cat > paused.toml <<'EOF'
[pipeline]
name = "paused"
outbox = "64KiB"
credit = "64KiB"
spill_limit = "64KiB"
max_record = "16KiB"
[source.rows]
run = ["sh", "-c", "while :; do seq 1 4000; sleep 0.2; done"]
[stage.clean]
run = ["grep", "-v", "7"]
ok_exit = [0, 1]
partitions = 2
[stage.enrich]
run = ["sed", "s/$/,x/"]
partitions = 2
[sink.out]
run = ["sh", "-c", "cat > /dev/null"]
EOF
    run paused.toml
    sleep 4
    curl -s -X POST -H "Authorization: Bearer $WORKER_ADMIN_TOKEN" "127.0.0.1:$page/api/v1/stages/enrich/pause" > /dev/null
    sleep 8
    js 'document.querySelector("[data-open=\"stage:enrich\"]").click()'
    shoot paused
    report paused
}

# Twenty stages, one of them with 64 tasks.
scene_large() {
    {
        printf '[pipeline]\nname = "large"\n[source.rows]\nrun = ["sh", "-c", "while :; do seq 1 500; sleep 0.5; done"]\n'
        local i from=rows
        for i in {1..17}; do
            printf '[stage.step_%s]\nfrom = "%s"\nmode = "stream"\nrun = ["cat"]\npartitions = %s\n' "$i" "$from" $((i == 3 ? 64 : i == 5 ? 16 : 1 + i % 3))
            ((i > 1)) && printf 'partition_by = "record"\n'
            from=step_$((i % 5 == 0 ? i - 2 : i))
        done
        printf '[sink.out]\nfrom = "%s"\nrun = ["sh", "-c", "cat > /dev/null"]\n[sink.other]\nfrom = ["step_5", "step_10", "step_15"]\nrun = ["sh", "-c", "cat > /dev/null"]\n' "$from"
    } > large.toml
    run large.toml
    sleep 12
    shoot large
    report large
}

scene_good() {
    cat > good.toml <<'EOF'
[pipeline]
name = "orders"
[source.rows]
run = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do seq 1 20000; sleep 0.5; done"]
[stage.squares]
run = ["awk", "{ print $1 * $1 }"]
partitions = 2
[sink.out]
file = "out.txt"
EOF
    run good.toml
    sleep 12
    shoot good
    report good
}

scene_loss() {
    cat > loss.toml <<'EOF'
[pipeline]
name = "orders"
outbox = "64KiB"
credit = "64KiB"
max_record = "16KiB"
[source.rows]
run = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do seq 1 40000; sleep 0.5; done"]
[stage.price]
from = "rows"
run = ["sh", "-c", "x=$(cat); case \"$x\" in *1234*) echo 'no such currency' >&2; exit 4;; esac; echo \"$x\""]
retry = { max_attempts = 1, initial = "10ms" }
max_dead = "90%"
partitions = 2
[sink.out]
from = "price"
file = "out.txt"
[sink.live]
from = "rows"
run = ["sh", "-c", "while read -r line; do :; done"]
when_full = "drop-oldest"
EOF
    run loss.toml
    sleep 25
    shoot loss
    report loss
}

scene_names() {
    cat > names.toml <<'EOF'
[pipeline]
name = "a-pipeline-whose-name-is-as-long-as-names-of-pipelines-may-be-64"
[source.a_source_with_a_very_long_name_that_says_all_there_is_to_say]
run = ["sh", "-c", "while :; do seq 1 500; sleep 0.2; done"]
[stage.a_long_name_of_a_stage_without_any_place_to_break_it_in_two]
from = "a_source_with_a_very_long_name_that_says_all_there_is_to_say"
mode = "stream"
run = ["cat"]
partitions = 3
[stage.a_failing_stage_of_the_department_for_failing_stages]
from = "a_long_name_of_a_stage_without_any_place_to_break_it_in_two"
run = ["sh", "-c", "cat > /dev/null; echo 'ошибка: 口座が見つかりません: конто не найдено в базе данных филиала' >&2; exit 3"]
retry = { max_attempts = 1000 }
[sink.where_it_all_goes_in_the_end_after_all_those_stages]
from = ["a_long_name_of_a_stage_without_any_place_to_break_it_in_two", "a_failing_stage_of_the_department_for_failing_stages"]
run = ["sh", "-c", "cat > /dev/null"]
EOF
    run names.toml
    sleep 12
    shoot names
    report names
}

run() {
    page=$(free_port)
    "$worker" run "$1" --admin "127.0.0.1:$page" --progress none --report report.html --drain-timeout 1s 2> "$1.log" < /dev/null &
    pids+=($!)
    shown=$!
    open_page
}

node() {
    local name=$1
    shift
    "$worker" node --name "$name" --cluster cluster.toml --set "out=$PWD" --dead-letters "dead-$name" --progress none "$@" \
        --report "$name.html" --drain-timeout 1s "$root/examples/three-nodes/three-nodes.toml" 2> "$name.log" < /dev/null &
    pids+=($!)
    shown=$!
    if [[ $name == c ]]; then killed=$!; fi
}

open_page() {
    local tries=0
    until curl -s "127.0.0.1:$page/livez" > /dev/null; do
        ((++tries < 200)) || { cat ./*.log >&2; exit 1; }
        sleep 0.1
    done
    ask url "{\"url\":\"http://127.0.0.1:$page/\"}" > /dev/null
}

# Ends the worker whose page is shown, and shows its report.
report() {
    local tries=0
    kill -TERM "$shown" 2> /dev/null || true
    while kill -0 "$shown" 2> /dev/null && ((++tries < 300)); do sleep 0.1; done
    ask url "{\"url\":\"file://$(ls "$PWD"/{report,a}.html 2> /dev/null)\"}" > /dev/null
    shoot "$1-report"
}

# Wide and light, wide and dark, and as wide as a phone; the whole page, or with "window" what a window of it shows.
shoot() {
    local what width height theme whole=true
    [[ ${2:-} != window ]] || whole=false
    for what in light:1440:900 dark:1440:900 phone:390:844; do
        IFS=: read -r theme width height <<< "$what"
        cdp Emulation.setEmulatedMedia "{\"features\":[{\"name\":\"prefers-color-scheme\",\"value\":\"${theme/phone/light}\"}]}" > /dev/null
        cdp Emulation.setDeviceMetricsOverride "{\"width\":$width,\"height\":$height,\"deviceScaleFactor\":1,\"mobile\":false}" > /dev/null
        sleep 1.2
        cdp Page.captureScreenshot "{\"captureBeyondViewport\":$whole}" | sed 's/.*"data":"\([^"]*\)".*/\1/' | base64 -d > "$out/$1-$theme.png"
    done
    cdp Emulation.clearDeviceMetricsOverride '{}' > /dev/null
}

browser() {
    local port
    port=$(free_port)
    chromedriver --port="$port" > "$dir/chromedriver.log" 2>&1 &
    driver=$!
    until curl -s "127.0.0.1:$port/status" > /dev/null; do sleep 0.1; done
    local args='"--headless=new","--no-sandbox","--disable-gpu","--disable-dev-shm-usage","--hide-scrollbars","--window-size=1440,900"'
    session=$(curl -s "127.0.0.1:$port/session" -d "{\"capabilities\":{\"alwaysMatch\":{\"browserName\":\"chrome\",\"goog:chromeOptions\":{\"args\":[$args]}}}}" |
        sed 's/.*"sessionId":"\([^"]*\)".*/\1/')
    base=http://127.0.0.1:$port/session/$session
}

ask() { curl -s "$base/$1" -d "$2"; }
cdp() { ask goog/cdp/execute "{\"cmd\":\"$1\",\"params\":$2}"; }
js() {
    local script=${1//\\/\\\\}
    ask execute/sync "{\"script\":\"${script//\"/\\\"}\",\"args\":[]}" > /dev/null
}

free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do :; done
    echo "$port"
}

end_workers() {
    ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2> /dev/null || true
    pids=()
}

clean_up() {
    end_workers
    if [[ -n ${session:-} ]]; then curl -s -X DELETE "$base" > /dev/null || true; fi
    if [[ -n ${driver:-} ]]; then kill "$driver" 2> /dev/null || true; fi
    wait
    rm -rf "$dir"
}
trap clean_up EXIT

main
