import csv, sys

dearest = {}
for name, city, country, price in csv.reader(sys.stdin):
    dearest[country] = max(dearest.get(country, 0), int(price))
for country, price in sorted(dearest.items()):
    print(country, price)
