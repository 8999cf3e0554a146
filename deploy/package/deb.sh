#!/usr/bin/env bash
# Packs dist/canald_VERSION_ARCH.deb from the archive of dist.sh: deb.sh VERSION [ARCH].
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$1
arch=${2:-amd64}
tarball=dist/canald-$version-linux-$arch.tar.gz
[ -f "$tarball" ] || deploy/package/dist.sh "$version" "$arch" >/dev/null
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
# A version of Debian begins with a digit and has no signs but these.
debian=$(printf %s "${version#v}" | tr -c 'A-Za-z0-9.+~' '.')
case $debian in [0-9]*) ;; *) debian=0+$debian ;; esac
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
root=$tree/root
mkdir -p "$root"/{usr/bin,usr/share/doc/canald,etc/canald,var/lib/canald/bin,var/lib/canald/data,var/log/canald,lib/systemd/system,DEBIAN} "$tree/home"
tar -xzf "$tarball" -C "$tree/home"
install -m 755 "$tree/home/bin/canald" "$root/usr/bin/canald"
cp -r "$tree/home/conf/." "$root/etc/canald/"
cp "$tree"/home/docs/* "$root/usr/share/doc/canald/"
cp -r "$tree/home/deploy/grafana" "$root/usr/share/doc/canald/"
cp LICENSE "$root/usr/share/doc/canald/copyright"
cp deploy/systemd/canald.service "$root/lib/systemd/system/"
# The home of the service: its parts lie where Debian wants them.
ln -s /etc/canald "$root/var/lib/canald/conf"
ln -s /var/log/canald "$root/var/lib/canald/logs"
ln -s /usr/bin/canald "$root/var/lib/canald/bin/canald"
(cd "$root" && find etc/canald -type f | sort | sed 's,^,/,') >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<CONTROL
Package: canald
Version: $debian
Architecture: $arch
Maintainer: canald maintainers <canald@localhost>
Section: database
Priority: optional
Depends: adduser
Recommends: systemd
Installed-Size: $(du -ks "$root" | cut -f1)
Description: server of Alibaba Canal, built anew in Go
 Follows MySQL and MariaDB as a replica and hands every change, in order, to
 clients of Canal, which acknowledge what they got.
CONTROL
cat >"$root/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
	if ! getent passwd canald >/dev/null; then
		adduser --system --group --no-create-home --home /var/lib/canald --quiet canald
	fi
	chown canald:canald /var/lib/canald /var/lib/canald/data /var/log/canald
	# The files hold the source's password.
	chown -R root:canald /etc/canald
	chmod -R u=rwX,g=rX,o= /etc/canald
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload || true
	fi
fi
SCRIPT
cat >"$root/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl stop canald.service || true
	systemctl disable canald.service || true
fi
SCRIPT
cat >"$root/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = purge ]; then
	rm -rf /var/log/canald /var/lib/canald
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
SCRIPT
chmod -R u=rwX,go=rX "$root"
chmod 755 "$root"/DEBIAN/{postinst,prerm,postrm} "$root/usr/bin/canald"
dpkg-deb --root-owner-group -Zgzip --build "$root" "dist/canald_${debian}_$arch.deb" >/dev/null
echo "dist/canald_${debian}_$arch.deb"
