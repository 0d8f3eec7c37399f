#!/bin/sh
# What airports.toml does, as a shell pipe.
cd "$(dirname "$0")" || exit 1
tail -n +2 airports.csv |
    grep ',USA,' |
    awk -F, '{ gsub(/"[^"]*"/, "Q"); n[$4]++ } END { for (state in n) print n[state], state }' |
    LC_ALL=C sort -k1,1nr -k2,2
