#!/bin/sh
# The airports, eighteen times over, each row with a number of its own; $PAUSE seconds (0.15) after every 250 rows.
cd "$(dirname "$0")" || exit 1
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do
    tail -n +2 ../airports/airports.csv
done | awk -v pause="${PAUSE:-0.15}" '
    { print NR "," $0 }
    NR % 250 == 0 && pause > 0 { fflush(); system("sleep " pause) }'
