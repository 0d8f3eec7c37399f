#!/bin/sh
# Runs the pipelines of this directory: sh run.sh [DIRECTORY FOR THE RESULTS]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$(mktemp -d)}
mkdir -p "$out"
cp "$here"/* "$out"
cd "$out"
for pipeline in fasta fastq traces json; do
    "${WORKER:-worker}" run --quiet --admin none "$pipeline.toml"
done
wc -l lengths.txt reads.txt causes.txt names.txt
