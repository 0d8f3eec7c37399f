"""Lines in the notes of each visit."""
import csv, sys

for row in csv.DictReader(sys.stdin):
    print(row["id"], row["city"], len(row["note\nof the visit"].splitlines()))
