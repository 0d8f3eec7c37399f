#!/bin/sh
# The municipal airports; $PAUSE seconds (none) after a batch was given, like a program that asks a distant service.
sleep "${PAUSE:-0}"
exec grep Municipal
