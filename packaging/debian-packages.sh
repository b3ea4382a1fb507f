# Debian 12 packages, the one list that quickstart and tests/run install from.
# shellcheck shell=sh disable=SC2034
RELAY_PACKAGES_BUILD="autoconf automake gcc make pkg-config libssl-dev libevent-dev \
libconfuse-dev liblmdb-dev libhiredis-dev libmsgpack-dev libyajl-dev libpcre2-dev libc-ares-dev \
libsecp256k1-dev libseccomp-dev libcbor-dev libgfshare-dev zlib1g-dev libbrotli-dev \
libzstd-dev mandoc"
RELAY_PACKAGES_DEMO="redis-server redis-tools openssl curl ca-certificates python3 procps"
RELAY_PACKAGES_TEST="clang libclang-rt-14-dev llvm libcmocka-dev python3-pytest \
python3-pytest-xdist python3-cryptography python3-msgpack python3-brotli python3-zstandard git iproute2 shellcheck xz-utils binutils"
# Clients that tests/interop runs; nodejs and npm beside them, where there is no npm.
RELAY_PACKAGES_INTEROP="wget python3-requests python3-urllib3 python3-aiohttp python3-httpx \
golang-go default-jdk-headless libhttpclient-java ruby php-cli php-curl socat"
RELAY_PACKAGES_NODE="nodejs npm"
RELAY_PACKAGES_BENCH="nginx libnginx-mod-stream wrk squid-openssl nodejs python3-msgpack \
python3-cryptography"

# Print those of "$@" that are not installed.
relay_missing_packages() {
	for p in "$@"; do
		dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' ||
			printf '%s ' "$p"
	done
}

# relay_install yes|no PACKAGE...: install what is missing as root, else say how.
relay_install() {
	may=$1
	shift
	missing=$(relay_missing_packages "$@")
	[ -z "$missing" ] && return 0
	if [ "$may" = no ] || [ "$(id -u)" -ne 0 ]; then
		echo "missing Debian packages; install them with:" >&2
		echo "  apt-get install --no-install-recommends $missing" >&2
		return 1
	fi
	echo "installing: $missing"
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || {
		apt-get update -qq >/dev/null || return 1
		# shellcheck disable=SC2086
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
			--no-install-recommends $missing >/dev/null || return 1
	}
}
