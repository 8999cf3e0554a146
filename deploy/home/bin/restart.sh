#!/bin/sh
# Stops canald when it runs, and starts it, with the arguments of startup.sh.

self=$0
while [ -h "$self" ]; do
	to=$(readlink "$self")
	case $to in
	/*) self=$to ;;
	*) self=$(dirname "$self")/$to ;;
	esac
done
BIN=$(CDPATH='' cd "$(dirname "$self")" && pwd -P) || exit 1

sh "$BIN/stop.sh" || exit
# Read in place of run: a shell in between could drop variables whose names have
# dots.
. "$BIN/startup.sh"
