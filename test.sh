#!/usr/bin/env bash
# Everything that must hold before a change is merged, what fails fastest first: format, lints, tests and doc tests
# (simulation with fixed and fresh seeds, replay of the fuzz corpus, whole processes and examples included), the build
# for OpenTelemetry collectors, documentation, each crate by itself, dependencies. Ends with the tests' own result lines.
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export PATH=$PATH:/usr/sbin:/sbin
results=$(mktemp)
trap show_results EXIT

main() {
    step "What the tests run"
    have_programs
    step "Format"
    cargo fmt --all --check
    step "Lints"
    cargo clippy --workspace --all-targets --locked -- -D warnings
    step "Tests and doc tests"
    build_tests
    run_tests
    step "With OpenTelemetry"
    cargo clippy -p worker-bin --all-targets --features otel --locked -- -D warnings
    cargo test -p worker-bin --features otel --test otel --locked
    step "Documentation"
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
    step "Each crate by itself"
    for crate in worker-proto worker-core worker-net worker-bin worker-tests; do
        cargo check -p "$crate" --all-targets --locked
    done
    step "Dependencies"
    if_installed cargo-deny cargo deny check bans licenses sources
    if_installed cargo-machete cargo machete
}

step() {
    printf '\n== %s (%d s)\n' "$1" "$SECONDS"
}

# Programs that tests start, with the Debian packages they are in.
have_programs() {
    local missing=() pair
    for pair in awk:mawk bash:bash cc:gcc chromedriver:chromium-driver chromium:chromium cmp:diffutils gzip:gzip \
        ip:iproute2 losetup:mount mkfifo:coreutils mkfs.ext4:e2fsprogs mount:mount nft:nftables ps:procps \
        python3:python3 setsid:util-linux strace:strace zstd:zstd; do
        command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
    done
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

# The last lines, whatever failed.
show_results() {
    local status=$?
    step "Results of the tests"
    grep -E '^(test .* FAILED|test result:)' "$results" || echo "no test has run"
    rm -f "$results"
    ((status == 0)) || echo "FAILED (status $status): see the last step above"
    exit "$status"
}

# These take minutes to compile, so nobody has to.
if_installed() {
    local program=$1
    shift
    if command -v "$program" > /dev/null; then
        "$@"
    else
        echo "$program is not installed: \"$*\" was NOT run (cargo install $program)"
    fi
}

main
