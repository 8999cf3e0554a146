#!/bin/sh
# Starts canald in the background.
#
#   startup.sh              with conf/canal.properties
#   startup.sh local        with conf/canal_local.properties
#   startup.sh FILE         with that file
#   startup.sh debug PORT   as without arguments; for callers of Canal's script
#
# -Dkey=value in JAVA_OPTS overrides keys of the files; all else in it, and JAVA,
# is for Java and has no effect. It ends when the server runs, with 0, or when it
# has failed, with 1.

# The longest wait for a server that comes up, in seconds. One that is still there
# then is taken for started.
START_WAIT_SECONDS=3

fail() {
	echo "$*" >&2
	exit 1
}

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
LANG=en_US.UTF-8
export BASE LANG

pid_file=$BIN/canal.pid
log=$BASE/logs/canal/canal.log
stdout=$BASE/logs/canal/canal_stdout.log
caller=$(pwd)

# here PID: a process that has not ended; a zombie has.
here() {
	if [ -d /proc/self ]; then
		[ -n "$(tr '\000' ' ' <"/proc/$1/cmdline" 2>/dev/null)" ]
	else
		case $(ps -p "$1" -o stat= 2>/dev/null) in '' | Z*) return 1 ;; esac
	fi 2>/dev/null
}

# ours PID: it is the canald of this folder.
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

# size FILE: its bytes; 0 when it is not there.
size() {
	if [ -f "$1" ]; then wc -c <"$1"; else echo 0; fi
}

# behind FILE SIZE: what has been added to a file since it had that size.
behind() {
	if [ "$(size "$1")" -ge "$2" ]; then
		tail -c "+$(($2 + 1))" "$1" 2>/dev/null
	else # it has rolled
		cat "$1" 2>/dev/null
	fi
}

if [ -f "$pid_file" ]; then
	read -r pid <"$pid_file"
	if ours "$pid"; then
		fail "found canal.pid , Please run stop.sh first ,then startup.sh"
	fi
	rm -f "$pid_file"
fi

conf=$BASE/conf/canal.properties
[ $# -le 2 ] || fail "THE PARAMETERS MUST BE TWO OR LESS.PLEASE CHECK AGAIN."
if [ "$1" = local ]; then
	conf=$BASE/conf/canal_local.properties
elif [ $# -ge 1 ] && [ -f "$1" ]; then
	case $1 in
	/*) conf=$1 ;;
	*) conf=$caller/$1 ;;
	esac
elif [ $# -eq 2 ] && [ "$1" = debug ]; then
	echo "debug: there is no Java to attach to; going on without"
elif [ $# -ge 1 ]; then
	fail "THE PARAMETER IS NOT CORRECT.PLEASE CHECK AGAIN."
fi
if [ ! -f "$conf" ]; then
	fail "canal conf(\"$conf\") is not exist,please create then first!"
fi
[ -x "$BIN/canald" ] || fail "$BIN/canald is not there or cannot be executed"
mkdir -p "$BASE/logs/canal" || exit 1
log_size=$(size "$log")
stdout_size=$(size "$stdout")

# The arguments: first variables whose names have dots, such as canal.port. Some
# shells keep them from their children; they are read from where this process got
# them, one a line, line breaks in a value standing as \001. The program's own
# arguments are made behind them.
dotted=
if [ -r "/proc/$$/environ" ]; then
	dotted=$(tr '\n\000' '\001\n' <"/proc/$$/environ" | grep '^[A-Za-z_][^=]*\.[^=]*=')
fi
set -f
set --
IFS='
'
for pair in $dotted; do
	set -- "$@" "$(printf '%s' "$pair" | tr '\001' '\n')"
done
unset IFS
set -- "$@" "$BIN/canald" --home "$BASE" --conf "$conf"
set +f

echo "cd to $BIN for workaround relative path"
cd "$BIN" || exit 1
echo "LOG CONFIGURATION : built in"
echo "canal conf : $conf"
echo "CLASSPATH :$BIN/canald"
# The server, and a shell that waits for its end: in a cluster a process that has
# died keeps nothing from the other servers. An orderly end leaves no session.
trap '' HUP
(
	env "$@" </dev/null >>"$stdout" 2>&1 &
	pid=$!
	echo "$pid" >"$pid_file.new" && mv -f "$pid_file.new" "$pid_file"
	exec <"/dev/null" >>"$stdout" 2>&1
	wait "$pid"
	if [ -f "$BASE/logs/zookeeper.session" ]; then
		"$BIN/canald" --home="$BASE" cluster close-session
	fi
) &
watcher=$!
trap - HUP
nap=0.1
sleep $nap 2>/dev/null || nap=1
while [ ! -f "$pid_file" ] && kill -0 "$watcher" 2>/dev/null; do
	sleep $nap
done
read -r pid <"$pid_file" || fail "$pid_file cannot be written"
echo "cd to $caller for continue"
cd "$caller" || exit 1

end=$(($(date +%s) + START_WAIT_SECONDS))
while here "$pid"; do
	if behind "$log" "$log_size" | grep -q 'the canal server is running now' || [ "$(date +%s)" -ge $end ]; then
		exit 0
	fi
	sleep $nap
done
rm -f "$pid_file"
echo "canal did not start; the end of $stdout:" >&2
behind "$stdout" "$stdout_size" | tail -n 20 >&2
exit 1
