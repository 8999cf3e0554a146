#!/usr/bin/env bash
# Packs dist/canald-VERSION-linux-ARCH.tar.gz with the layout of a Canal home:
# dist.sh VERSION [ARCH…]. The same sources give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$1
shift
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
mkdir -p dist
[ $# -gt 0 ] || set -- amd64 arm64
for a; do
	name=canald-$version-linux-$a
	tree=$(mktemp -d)
	trap 'rm -rf "$tree"' EXIT
	mkdir -p "$tree/bin" "$tree/logs" "$tree/docs" "$tree/deploy"
	CGO_ENABLED=0 GOOS=linux GOARCH=$a go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$tree/bin/canald" ./cmd/canald
	cp deploy/home/bin/*.sh "$tree/bin/"
	cp -r conf "$tree/conf"
	cp docs/*.md README.md README.zh-CN.md CHANGELOG.md LICENSE "$tree/docs/"
	cp LICENSE "$tree/"
	cp -r deploy/grafana deploy/systemd "$tree/deploy/"
	go run ./deploy/package/sbom "$tree/bin/canald" "$version" >"$tree/docs/sbom.cdx.json"
	chmod -R u=rwX,go=rX "$tree"
	chmod 755 "$tree"/bin/*
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$tree" -cf - bin conf logs docs deploy LICENSE |
		gzip -n -9 >"dist/$name.tar.gz"
	rm -rf "$tree"
	trap - EXIT
	echo "dist/$name.tar.gz"
done
