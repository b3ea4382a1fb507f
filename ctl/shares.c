/*
 * ctl/shares.c - libgfshare on private randomness, and the text of a share.
 *
 * The text is lines of "name: value", '#' starts a comment.  `check` is the
 * start of a SHA-256 over all that the other lines mean, not over how they are
 * written: spaces, case and line ends may change on the way through paper.
 */
#include "ctl/shares.h"

#include <string.h>

#include <libgfshare.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define CHECK_BYTES	8
#define GROUP_BYTES	4	/* hex digits are written in groups of 8 */
#define VALUE_BYTES_MAX	160	/* of one line */
#define FORMAT		1

/* ---- randomness -------------------------------------------------------------- */

static bool random_failed;	/* libgfshare's filler cannot say so itself */

static void
fill_random(unsigned char *p, unsigned int len)
{
	if (RAND_priv_bytes(p, (int)len) == 1)
		return;
	random_failed = true;
	memset(p, 0, len);	/* it also overwrites what is freed by this */
}

/* ---- splitting and joining ------------------------------------------------------ */

void
shares_key_id(const uint8_t secret[SHARES_SECRET_BYTES],
    uint8_t out[SHARES_KEY_ID_BYTES])
{
	uint8_t digest[EVP_MAX_MD_SIZE];

	ensure(EVP_Digest(secret, SHARES_SECRET_BYTES, digest, NULL,
	    EVP_sha256(), NULL) == 1);
	memcpy(out, digest, SHARES_KEY_ID_BYTES);
	secret_wipe(digest, sizeof(digest));
}

enum rc
shares_split(const uint8_t secret[SHARES_SECRET_BYTES], unsigned count,
    unsigned threshold, struct share *v)
{
	unsigned char numbers[SHARES_MAX], copy[SHARES_SECRET_BYTES];
	uint8_t set[SHARES_SET_BYTES];
	gfshare_ctx *g;

	ensure(threshold > 1 && threshold <= count && count <= SHARES_MAX);
	memset(v, 0, count * sizeof(*v));
	for (unsigned i = 0; i < count; i++)
		numbers[i] = (unsigned char)(i + 1);
	gfshare_fill_rand = fill_random;
	random_failed = false;
	fill_random(set, sizeof(set));
	g = gfshare_ctx_init_enc(numbers, count, (unsigned char)threshold,
	    SHARES_SECRET_BYTES);
	if (g == NULL)
		return (RC_NOMEM);
	memcpy(copy, secret, sizeof(copy));
	gfshare_ctx_enc_setsecret(g, copy);
	secret_wipe(copy, sizeof(copy));
	for (unsigned i = 0; i < count; i++) {
		memcpy(v[i].set, set, sizeof(set));
		shares_key_id(secret, v[i].key_id);
		v[i].number = i + 1;
		v[i].count = count;
		v[i].threshold = threshold;
		gfshare_ctx_enc_getshare(g, (unsigned char)i, v[i].bytes);
	}
	gfshare_ctx_free(g);		/* overwrites the polynomials */
	if (!random_failed)
		return (RC_OK);
	secret_wipe(v, count * sizeof(*v));
	return (RC_IO);
}

enum rc
shares_fit(const struct share *a, const struct share *b)
{
	if (memcmp(a->set, b->set, sizeof(a->set)) != 0 ||
	    memcmp(a->key_id, b->key_id, sizeof(a->key_id)) != 0 ||
	    a->count != b->count || a->threshold != b->threshold)
		return (RC_CONFLICT);
	return (a->number == b->number ? RC_EXISTS : RC_OK);
}

enum rc
shares_combine(const struct share *v, size_t n,
    uint8_t secret[SHARES_SECRET_BYTES])
{
	unsigned char numbers[SHARES_MAX], bytes[SHARES_SECRET_BYTES];
	uint8_t key_id[SHARES_KEY_ID_BYTES];
	gfshare_ctx *g;

	memset(secret, 0, SHARES_SECRET_BYTES);
	if (n == 0 || n < v[0].threshold)
		return (RC_LIMIT);
	ensure(n <= SHARES_MAX);
	for (size_t i = 0; i < n; i++)
		numbers[i] = (unsigned char)v[i].number;
	gfshare_fill_rand = fill_random;
	g = gfshare_ctx_init_dec(numbers, (unsigned)n, SHARES_SECRET_BYTES);
	if (g == NULL)
		return (RC_NOMEM);
	for (size_t i = 0; i < n; i++) {
		memcpy(bytes, v[i].bytes, sizeof(bytes));
		gfshare_ctx_dec_giveshare(g, (unsigned char)i, bytes);
	}
	gfshare_ctx_dec_extract(g, secret);
	gfshare_ctx_free(g);
	secret_wipe(bytes, sizeof(bytes));
	shares_key_id(secret, key_id);
	if (memcmp(key_id, v[0].key_id, sizeof(key_id)) == 0)
		return (RC_OK);
	secret_wipe(secret, SHARES_SECRET_BYTES);
	return (RC_CORRUPT);
}

/* ---- as text --------------------------------------------------------------------- */

static void
share_check(const struct share *s, uint8_t out[CHECK_BYTES])
{
	static const char label[] = "relay root key share";
	uint8_t digest[EVP_MAX_MD_SIZE], small[4] = { FORMAT,
	    (uint8_t)s->number, (uint8_t)s->count, (uint8_t)s->threshold };
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ensure(md != NULL &&
	    EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(md, label, sizeof(label)) == 1 &&
	    EVP_DigestUpdate(md, small, sizeof(small)) == 1 &&
	    EVP_DigestUpdate(md, s->set, sizeof(s->set)) == 1 &&
	    EVP_DigestUpdate(md, s->key_id, sizeof(s->key_id)) == 1 &&
	    EVP_DigestUpdate(md, s->bytes, sizeof(s->bytes)) == 1 &&
	    EVP_DigestFinal_ex(md, digest, NULL) == 1);
	EVP_MD_CTX_free(md);
	memcpy(out, digest, CHECK_BYTES);
	secret_wipe(digest, sizeof(digest));
}

static void
put_hex(struct buffer *out, const char *name, const uint8_t *p, size_t len)
{
	char text[2 * GROUP_BYTES + 1];

	buffer_printf(out, "%s:", name);
	for (size_t at = 0; at < len; at += GROUP_BYTES) {
		hex_encode(p + at, GROUP_BYTES, text);
		buffer_printf(out, " %s", text);
	}
	buffer_puts(out, "\n");
	secret_wipe(text, sizeof(text));
}

void
share_write(const struct share *s, struct buffer *out)
{
	uint8_t check[CHECK_BYTES];

	share_check(s, check);
	buffer_printf(out, "# Share %u of %u of a Relay root key.  Any %u of "
	    "them give the key back; fewer tell\n# nothing.  Keep each in "
	    "another place, apart from the records.\n"
	    "# relayctl restore --from DIR --share FILE...\n"
	    "relay-share: %d\n", s->number, s->count, s->threshold, FORMAT);
	put_hex(out, "set", s->set, sizeof(s->set));
	put_hex(out, "key", s->key_id, sizeof(s->key_id));
	buffer_printf(out, "number: %u\nof: %u\nthreshold: %u\n", s->number,
	    s->count, s->threshold);
	put_hex(out, "share", s->bytes, sizeof(s->bytes));
	put_hex(out, "check", check, sizeof(check));
}

/* ---- reading ---------------------------------------------------------------------- */

struct reading {
	struct share	*share;		/* borrowed */
	unsigned	format;
	uint8_t		check[CHECK_BYTES];
	unsigned	seen;		/* a bit for each line's name */
};

static bool
take_hex(struct span value, void *out, size_t len)
{
	char digits[VALUE_BYTES_MAX];
	size_t n = 0;
	enum rc rc;

	if (value.len > sizeof(digits))
		return (false);
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] != ' ' && value.p[i] != '\t')
			digits[n++] = value.p[i];
	rc = hex_decode((struct span){ digits, n }, out, len);
	secret_wipe(digits, sizeof(digits));
	return (rc == RC_OK);
}

static bool
take_number(struct span value, unsigned *out)
{
	uint64_t n;

	if (string_u64(value, &n) != RC_OK || n == 0 || n > SHARES_MAX)
		return (false);
	*out = (unsigned)n;
	return (true);
}

/* One line's value into its place; *bit tells which line it is. */
static bool
take_value(struct reading *r, struct span name, struct span value,
    unsigned *bit)
{
	const struct {
		const char	*name;
		unsigned	*number;	/* or NULL */
		uint8_t		*bytes;
		size_t		len;
	} fields[] = {
		{ "relay-share", &r->format, NULL, 0 },
		{ "set", NULL, r->share->set, sizeof(r->share->set) },
		{ "key", NULL, r->share->key_id, sizeof(r->share->key_id) },
		{ "number", &r->share->number, NULL, 0 },
		{ "of", &r->share->count, NULL, 0 },
		{ "threshold", &r->share->threshold, NULL, 0 },
		{ "share", NULL, r->share->bytes, sizeof(r->share->bytes) },
		{ "check", NULL, r->check, sizeof(r->check) },
	};
	const unsigned n = sizeof(fields) / sizeof(fields[0]);

	for (unsigned i = 0; i < n; i++) {
		if (!span_eq_case(name, fields[i].name))
			continue;
		*bit = 1u << i;
		return (fields[i].number != NULL ?
		    take_number(value, fields[i].number) :
		    take_hex(value, fields[i].bytes, fields[i].len));
	}
	return (false);
}
#define ALL_LINES	0xffu

static struct span
next_line(struct span *rest)
{
	const char *end = rest->len == 0 ? NULL :
	    memchr(rest->p, '\n', rest->len);
	struct span line = { rest->p,
	    end == NULL ? rest->len : (size_t)(end - rest->p) };
	size_t used = end == NULL ? line.len : line.len + 1;

	rest->p = used == 0 ? rest->p : rest->p + used;
	rest->len -= used;
	if (line.len != 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return (span_trim(line));
}

static const char *
read_lines(struct reading *r, struct span rest)
{
	while (rest.len != 0) {
		struct span line = next_line(&rest), name, value;
		const char *colon;
		unsigned bit = 0;

		if (line.len == 0 || line.p[0] == '#')
			continue;
		if ((colon = memchr(line.p, ':', line.len)) == NULL)
			return ("no share of a root key");
		name = (struct span){ line.p, (size_t)(colon - line.p) };
		value = (struct span){ colon + 1, line.len - name.len - 1 };
		if (!take_value(r, span_trim(name), span_trim(value), &bit))
			return (bit == 0 ? "no share of a root key" :
			    "a typing error: a value has the wrong length or "
			    "a wrong character");
		if ((r->seen & bit) != 0)
			return ("a line is there twice");
		r->seen |= bit;
	}
	return (NULL);
}

enum rc
share_read(struct span text, struct share *s, const char **why)
{
	struct reading r = { .share = s };
	uint8_t check[CHECK_BYTES];

	memset(s, 0, sizeof(*s));
	*why = text.len > SHARE_TEXT_BYTES_MAX ? "no share of a root key" :
	    read_lines(&r, text);
	if (*why == NULL && r.seen != ALL_LINES)
		*why = r.seen == 0 ? "no share of a root key" :
		    "a line is missing";
	if (*why == NULL && r.format != FORMAT)
		*why = "a share of another version of relayctl";
	if (*why == NULL && (s->threshold < 2 || s->threshold > s->count ||
	    s->number > s->count))
		*why = "a typing error: its numbers cannot be";
	if (*why == NULL) {
		share_check(s, check);
		if (!secret_equal(check, r.check, sizeof(check)))
			*why = "a typing error, or damaged: its check does "
			    "not fit";
	}
	if (*why == NULL)
		return (RC_OK);
	secret_wipe(s, sizeof(*s));
	return (RC_SYNTAX);
}
