# The length of each sequence of FASTA.
/^>/ { if (name) print name, bases; name = substr($1, 2); bases = 0; next }
{ bases += length($0) }
END { if (name) print name, bases }
