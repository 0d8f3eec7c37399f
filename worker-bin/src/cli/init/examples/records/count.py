# Counts records by key; the counts are printed at the end. Needs partition_by, and state is given back after a crash.
import json, sys

counts = {}
for line in sys.stdin:
    m = json.loads(line)
    if "hello" in m:
        counts.update(m["state"])
    elif "key" in m:
        counts[m["key"]] = counts.get(m["key"], 0) + 1
        print(json.dumps({"id": m["id"], "put": {m["key"]: counts[m["key"]]}}), flush=True)
    else:  # the end, or a tick
        print(json.dumps({"id": m["id"], "emit": [f"{n} {k}" for k, n in sorted(counts.items())]}), flush=True)
