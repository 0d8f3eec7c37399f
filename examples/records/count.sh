#!/bin/sh
# Numbers the records of each key: "3 a" is the third of key a. Needs partition_by and state = "inline", so that a request is
#   {"id":7,"key":"a","record":"…","state":{"a":2}}
# and keys without quotes or backslashes. (In awk the same needs `mawk -W interactive` or gawk, and fflush().)
while IFS= read -r line; do
    id=${line#*:} id=${id%%[,\}]*}
    case $line in
    '{"hello"'*) ;;
    *'"key":"'*)
        key=${line#*'"key":"'} key=${key%%'"'*}
        n=${line##*'"state":{'} n=${n##*:} n=${n%%\}*} n=$((n + 1))
        printf '{"id":%s,"emit":["%s %s"],"put":{"%s":%s}}\n' "$id" "$n" "$key" "$key" "$n"
        ;;
    *) printf '{"id":%s}\n' "$id" ;;
    esac
done
