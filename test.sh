#!/usr/bin/env bash
#   ./test.sh          everything; what CI runs
#   ./test.sh quick    for daily work: format, lints, unit tests and the simulation (under 3 minutes when all is built)
#
# Everything that must hold before a change is merged, what fails fastest first: format, lints, tests and doc tests
# (simulation with fixed and fresh seeds, replay of the fuzz corpora, whole processes and examples included), a static build, the build
# for OpenTelemetry collectors, documentation, each crate by itself, dependencies. Ends with the tests' own result lines.
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export PATH=$PATH:/usr/sbin:/sbin

main() {
    local what=${1:-everything}
    if [[ $# -gt 1 || ($what != everything && $what != quick) ]]; then
        echo "usage: ./test.sh [quick]" >&2
        exit 2
    fi
    results=$(mktemp)
    trap show_results EXIT
    "$what"
}

quick() {
    step "Format"
    cargo fmt --all --check
    step "Lints"
    cargo clippy --workspace --all-targets --locked -- -D warnings
    step "Unit tests and simulation"
    { cargo test --workspace --lib --locked --no-fail-fast &&
        cargo test -p worker-tests --test simulation --locked; } 2>&1 < /dev/null | tee "$results"
}

everything() {
    step "What the tests run"
    have_programs
    step "Format"
    cargo fmt --all --check
    step "Lints"
    cargo clippy --workspace --all-targets --locked -- -D warnings
    step "Tests and doc tests"
    build_tests
    run_tests
    step "Benchmarks run"
    cargo test -p worker-tests --locked --bench suite -- --only job,pass,short,link,records,trickle,dead,journal,starts --rounds 1 --size 0.002
    cargo test -p worker-tests --locked --bench suite -- --check
    step "Instructions a tuple"
    cargo bench -p worker-core --locked --bench tuples
    step "A worker without shared libraries"
    static_worker
    step "With OpenTelemetry"
    cargo clippy -p worker-bin --all-targets --features otel --locked -- -D warnings
    cargo test -p worker-bin --features otel --test otel --locked
    step "Documentation"
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
    step "Each crate by itself"
    for crate in worker-proto worker-core worker-journal worker-net worker-bin worker-tests; do
        cargo check -p "$crate" --all-targets --locked
    done
    step "Dependencies"
    .ci/dependencies
    # It reads the texts of licenses, too, and is run where it is; compiling it takes longer than all tests.
    if command -v cargo-deny > /dev/null; then cargo deny check bans licenses sources; fi
}

step() {
    printf '\n== %s (%d s)\n' "$1" "$SECONDS"
}

# Programs that tests start, with the Debian packages they are in.
have_programs() {
    local missing=() pair
    for pair in awk:mawk bash:bash cc:gcc chromedriver:chromium-driver chromium:chromium cmp:diffutils curl:curl elvish:elvish fish:fish groff:groff gzip:gzip \
        dot:graphviz ip:iproute2 jq:jq losetup:mount mkfifo:coreutils mkfs.ext4:e2fsprogs mlr:miller mount:mount nft:nftables parallel:parallel \
        promtool:prometheus ps:procps python3:python3 setsid:util-linux strace:strace systemd-analyze:systemd valgrind:valgrind zsh:zsh zstd:zstd; do
        command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
    done
    /usr/bin/python3 -c 'import prometheus_client' 2> /dev/null || missing+=(python3-prometheus-client)
    if ((${#missing[@]} == 0)); then
        echo "all there"
    elif ((EUID == 0)) && command -v apt-get > /dev/null; then
        echo "installing ${missing[*]}"
        apt-get update -q > /dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" > /dev/null
    else
        echo "missing; install these packages and run again: ${missing[*]}" >&2
        exit 1
    fi
}

# Tests of whole processes run this very binary; they would build one otherwise.
build_tests() {
    cargo test --workspace --locked --no-run
    WORKER_BIN=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/worker
    export WORKER_BIN
}

run_tests() {
    cargo test --workspace --locked --no-fail-fast 2>&1 < /dev/null | tee "$results"
}

# Built as for a release, but for its profile, which costs less time.
static_worker() {
    local worker records
    worker=$(worker-bin/dist/static --profile dev)
    "$worker" -V
    records=$(seq 1 1000 | "$worker" run --quiet -i - -s 'grep 7' -o - | wc -l)
    if ((records != 271)); then
        echo "$worker found $records of 271 records" >&2
        exit 1
    fi
}

# The last lines, whatever failed.
show_results() {
    local status=$?
    step "Results of the tests"
    grep -E '^(test .* FAILED|test result:)' "$results" || echo "no test has run"
    rm -f "$results"
    ((status == 0)) || echo "FAILED (status $status): see the last step above"
    exit "$status"
}

main "$@"
