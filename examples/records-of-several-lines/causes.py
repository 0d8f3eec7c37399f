"""What each failure in a log came to: the time, and the last line that names an error."""
import re, sys

entry = []


def tell():
    if entry and " ERROR " in entry[0]:
        causes = [line for line in entry if re.match(r"Caused by: |[\w.]*(Error|Exception): ", line)]
        print(entry[0][:19], causes[-1])


for line in map(str.rstrip, sys.stdin):
    if re.match(r"\d{4}-\d\d-\d\d ", line):
        tell()
        entry = []
    entry.append(line)
tell()
