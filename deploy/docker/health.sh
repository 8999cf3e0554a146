#!/bin/bash
# Asks the server whether it is ready; its destinations run here, or elsewhere in
# the cluster. Exit code 0 and [  OK  ] mean yes.
port=$(printenv canal.metrics.pull.port) || port=11112
answer=
if { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; then
	printf 'GET %s HTTP/1.0\r\n\r\n' "${1:-/readyz}" >&3
	read -t 5 -r answer <&3
fi
case $answer in
"HTTP/1."?" 200 "*) echo "[  OK  ]" ;;
*)
	echo "[FAILED]"
	exit 1
	;;
esac
