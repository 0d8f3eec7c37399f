import json, sys

for line in sys.stdin:
    order = json.loads(line)
    order["price"] = order["count"] * order["each"]
    print(json.dumps(order))
