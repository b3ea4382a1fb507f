/* ctl/doctor_cause.c - two tables of advice.  docs/errors.md says the same at
 * length. */
#include "ctl/doctor_cause.h"

#include <string.h>

#include <openssl/x509_vfy.h>

static const struct {
	const char	*code;
	const char	*word;		/* in the detail; NULL: any */
	const char	*advice;
} codes[] = {
	{ "proxy-authentication-required", "in clear",
	    "this key went in clear: revoke it; use a listener of kind egress "
	    "(https:// proxy URL)" },
	{ "proxy-authentication-required", "scope",
	    "make a key with --scope egress, or without scopes: relayctl key "
	    "create <APP> --scope egress" },
	{ "proxy-authentication-required", "not good",
	    "the key is unknown, revoked, expired, or of another app than the "
	    "user name says: relayctl key list <APP>; relayctl key create <APP>" },
	{ "proxy-authentication-required", NULL,
	    "give a key: --key-file FILE or RELAY_API_KEY" },
	{ "unauthorized", "scope",
	    "make a key with the scope, or without scopes: relayctl key create "
	    "<APP>" },
	{ "unauthorized", NULL,
	    "the key is unknown, revoked or expired: relayctl key list <APP>; "
	    "relayctl key create <APP>" },
	{ "forbidden-destination", "not public",
	    "the host has a private address: relayctl egress allow <APP> <HOST> "
	    "--internal" },
	{ "forbidden-destination", "vouch",
	    "the egress CA is limited to some domains (relayctl ca show): "
	    "relayctl ca rotate --permit DOMAIN" },
	{ "forbidden-destination", NULL,
	    "relayctl egress allow <APP> <HOST>" },
	{ "forbidden", NULL,
	    "the key has scopes, and not this one: relayctl key list <APP>" },
	{ "forbidden-ip-error", NULL,
	    "the caller's address is not allowed: ask from another" },
	{ "decrypt/forbidden", NULL,
	    "a data role's policy forbids it: relayctl role list <APP>" },
	{ "engine-unavailable", NULL,
	    "no engine answered a worker: relayctl status; is e3d ready, and "
	    "does option 'engine' name it?" },
	{ "not-ready", "CA",
	    "there is no egress CA: relayctl ca create, then relayctl ca "
	    "install" },
	{ "not-ready", NULL,
	    "no configuration was read yet: relayctl status; is Redis "
	    "reachable?" },
	{ "rate-limited", "refused keys",
	    "too many wrong keys came from this address: wait a minute "
	    "(auth_failures_per_minute)" },
	{ "rate-limited", NULL,
	    "wait a minute, or raise leaf_quota_per_minute, "
	    "leaf_per_minute of e3.conf or app_fields_per_s" },
	{ "overloaded", NULL,
	    "more workers, or a higher max_held_bytes" },
	{ "service-unavailable", "resolve",
	    "the workers cannot resolve the host: is it spelt right? "
	    "dns_servers, /etc/resolv.conf" },
	{ "service-unavailable", NULL,
	    "the workers cannot connect to <HOST>: is it up, is the port open "
	    "from there? The line 'origin failed' in the log says why" },
	{ "upstream-tls-error", NULL,
	    "the workers do not trust the certificate of <HOST>, or it has "
	    "another name: add its CA to upstream_ca_file, relayctl reload" },
	{ "upstream-protocol-error", NULL,
	    "<HOST> answers with broken HTTP: ask it without Relay" },
	{ "unsealable-response", NULL,
	    "a response route seals here and cannot: see onMismatch in "
	    "docs/config.md" },
	{ "request-timeout", NULL,
	    "<HOST> is slow or unreachable from the workers: connect_timeout_ms, "
	    "response_timeout_ms; a firewall?" },
	{ "tunnel-loop", NULL,
	    "the host leads back to Relay itself: which address does it "
	    "resolve to?" },
	{ "misdirected-request", NULL,
	    "SNI, Host and CONNECT name different hosts: mend the client" },
	{ "method-not-allowed", NULL,
	    "this is a listener of kind ingress: the proxy is one of kind "
	    "egress" },
	{ "bad-request", "CONNECT",
	    "this is a CONNECT proxy: set it as HTTPS_PROXY" },
	{ "decryption-error", NULL,
	    "the token is of another app, or was changed" },
	{ "resource-not-found", "CA",
	    "there is no egress CA: relayctl ca create, then relayctl ca "
	    "install" },
	{ "internal-server-error", NULL,
	    "a fault of Relay's: the log has the reason; please report it" },
};

static bool
contains(struct span text, const char *word)
{
	return (text.len != 0 &&
	    memmem(text.p, text.len, word, strlen(word)) != NULL);
}

const char *
cause_of_code(struct span code, struct span detail)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (span_eq_str(code, codes[i].code) && (codes[i].word == NULL ||
		    contains(detail, codes[i].word)))
			return (codes[i].advice);
	return (NULL);
}

/* ---- placeholders ---- */

static size_t
put(char *out, size_t size, size_t at, const char *text, size_t len)
{
	if (at + 1 >= size)
		return (at);
	if (len > size - 1 - at)
		len = size - 1 - at;
	memcpy(out + at, text, len);
	return (at + len);
}

void
cause_text(const char *advice, const char *app, const char *host, char *out,
    size_t size)
{
	size_t at = 0;

	while (*advice != '\0') {
		if (strncmp(advice, "<APP>", 5) == 0) {
			at = put(out, size, at, app, strlen(app));
			advice += 5;
		} else if (strncmp(advice, "<HOST>", 6) == 0) {
			at = put(out, size, at, host, strlen(host));
			advice += 6;
		} else
			at = put(out, size, at, advice++, 1);
	}
	out[at] = '\0';
}

/* ---- certificates ---- */

const char *
cause_of_certificate(long error, bool inside)
{
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return (inside ? "is this machine's clock right? else the "
		    "egress CA has ended: relayctl ca show, relayctl ca rotate" :
		    "the default certificate has ended, or this machine's "
		    "clock is wrong: renew it, relayctl reload");
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return ("this machine's clock is behind: set it");
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return (inside ? "the tunnel's certificate has another name: "
		    "does another proxy answer here?" :
		    "name the proxy as its certificate does (--egress "
		    "https://NAME:PORT), or add this name to the default "
		    "certificate");
	case X509_V_ERR_PERMITTED_VIOLATION:
	case X509_V_ERR_EXCLUDED_VIOLATION:
		return ("the CA is limited to other domains: relayctl ca show");
	default:
		return (inside ? "the tunnel's certificate is of another CA than "
		    "the one trusted here: fetch it again (relayctl ca show "
		    "--pem, or the CA listener); does another proxy answer?" :
		    "clients do not trust the proxy's own certificate: add its "
		    "CA to the file that they, and --ca, are given, or use one "
		    "that the egress CA's root has signed");
	}
}
