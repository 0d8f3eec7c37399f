"""How many bytes each message has; before it stands its length, four bytes, the highest first."""
import struct, sys

while head := sys.stdin.buffer.read(4):
    (length,) = struct.unpack(">I", head)
    print(len(sys.stdin.buffer.read(length)))
