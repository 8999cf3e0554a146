#!/bin/bash
# Makes the folders of the destinations that the environment names, and becomes
# the server. Variables are named exactly like keys, dots and all: -e
# canal.destinations=orders. Bash hands such variables on, other shells may not.
set -eu
home=${CANALD_HOME:-/home/admin/canal-server}
conf=$home/conf

# variable NAME: its value, empty without one.
variable() { printenv "$1" || true; }

names=$(variable canal.destinations)
expression=$(variable canal.destinations.expr)
if [[ $expression =~ ^([^{]*)\{([0-9]+)-([0-9]+)\} ]]; then # prefix{n-m}
	names=
	for ((n = BASH_REMATCH[2]; n <= BASH_REMATCH[3]; n++)); do
		names+=${BASH_REMATCH[1]}$n,
	done
fi

# A destination without a folder gets that of the example, which is not run
# unless it is named.
IFS=', ' read -r -a list <<<"$names"
example=
for name in "${list[@]+"${list[@]}"}"; do
	case $name in
	example) example=kept ;;
	*/* | .*) echo "canal.destinations: \"$name\" is no name of a destination" >&2 && exit 1 ;;
	*)
		if [ ! -e "$conf/$name" ] && [ -d "$conf/example" ]; then
			cp -r "$conf/example" "$conf/$name"
		fi
		;;
	esac
done
if [ ${#list[@]} -gt 0 ] && [ -z "$example" ] && [ -w "$conf" ]; then
	rm -rf "$conf/example"
fi

exec "$home/bin/canald" --home "$home" "$@"
