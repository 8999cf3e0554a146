#!/bin/sh
# Stops the canald that startup.sh has started, and waits until it is gone. It
# ends with 0 when none runs any more, with 1 when it does not stop.

# The longest wait, in seconds.
STOP_LIMIT_SECONDS=${STOP_LIMIT_SECONDS:-60}

# The folder of this script, whatever links lead here.
self=$0
while [ -h "$self" ]; do
	to=$(readlink "$self")
	case $to in
	/*) self=$to ;;
	*) self=$(dirname "$self")/$to ;;
	esac
done
BIN=$(CDPATH='' cd "$(dirname "$self")" && pwd -P) || exit 1
BASE=$(dirname "$BIN")
pid_file=$BIN/canal.pid

# ours PID: it is the canald of this folder, and has not ended.
ours() {
	case $1 in '' | *[!0-9]*) return 1 ;; esac
	if [ -d /proc/self ]; then
		command=$(tr '\000' ' ' <"/proc/$1/cmdline")
	else
		command=$(ps -p "$1" -o args=)
	fi 2>/dev/null
	case $command in *canald*" --home $BASE "*) return 0 ;; esac
	return 1
}

# search finds the canald of this folder without a pid file's help.
search() {
	if [ -d /proc/self ]; then
		for entry in /proc/[0-9]*; do
			if ours "${entry#/proc/}"; then
				echo "${entry#/proc/}"
			fi
		done
	else
		ps -eo pid= -o args= | grep -F " --home $BASE " | grep canald | grep -v grep | awk '{ print $1 }'
	fi | head -n 1
}

if [ ! -f "$pid_file" ]; then
	echo "canal is not running. exists"
	exit 0
fi
read -r pid <"$pid_file"
[ -n "$pid" ] || pid=$(search)
if ! ours "$pid"; then
	rm -f "$pid_file"
	echo "canal is not running. exists"
	exit 0
fi

host=$(hostname 2>/dev/null || uname -n)
echo "$host: stopping canal $pid ... "
nap=0.1
sleep $nap 2>/dev/null || nap=1
start=$(date +%s)
if ! kill "$pid" 2>/dev/null && ours "$pid"; then
	echo "canal $pid belongs to another user and cannot be stopped" >&2
	exit 1
fi
while ours "$pid"; do
	if [ $(($(date +%s) - start)) -ge "$STOP_LIMIT_SECONDS" ]; then
		echo "canal $pid has not stopped within $STOP_LIMIT_SECONDS seconds; it may still be stopping" >&2
		exit 1
	fi
	sleep $nap
done
echo "Oook! cost:$(($(date +%s) - start))"
rm -f "$pid_file"
