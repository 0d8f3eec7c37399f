# The name of each read of FASTQ, and how long it is.
NR % 4 == 1 { name = substr($1, 2) }
NR % 4 == 2 { print name, length($0) }
