#!/bin/sh
# Make ./configure from configure.ac (autoconf, automake and pkg-config are needed).
set -eu
cd "$(dirname "$0")"
for tool in autoconf automake pkg-config; do
	command -v "$tool" >/dev/null 2>&1 || {
		echo "autogen.sh: $tool is missing: apt-get install autoconf automake pkg-config" >&2
		exit 1
	}
done
mkdir -p build-aux
autoreconf --install --force --warnings=all
