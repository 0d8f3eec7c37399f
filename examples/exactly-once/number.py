# Puts before each row which one of its state it is.
import json, sys

counts = {}
for line in sys.stdin:
    m = json.loads(line)
    if "hello" in m:
        counts.update(m["state"])
    elif "key" in m:
        n = counts[m["key"]] = counts.get(m["key"], 0) + 1
        print(json.dumps({"id": m["id"], "emit": [f"{m['key']} {n} {m['record']}"], "put": {m["key"]: n}}), flush=True)
    else:  # the end
        print(json.dumps({"id": m["id"]}), flush=True)
