/* scheme/file.c - the layout of sealed files and the table of their versions. */
#include "lib/scheme/file.h"

#include <string.h>

#include "lib/base/object.h"
#include "lib/scheme/crc32.h"

#define MAGIC		"%EVENC"
#define MAGIC_BYTES	6
#define AT_VERSION	6
#define AT_OFFSET	7
#define AT_EPHEMERAL	9
#define AT_IV		(AT_EPHEMERAL + SCHEME_POINT_BYTES)
#define AT_FLAGS	(AT_IV + SCHEME_IV_BYTES)
#define LENGTH_BYTES	2	/* of the metadata's length */
#define CHECKSUM_BYTES	4
#define FLAG_DEBUG	1

_Static_assert(AT_FLAGS + 1 == SCHEME_FILE_HEAD_BYTES, "the head ends there");

static const struct scheme_file_format formats[SCHEME_FILE_VERSIONS] = {
	{ RPC_CURVE_K1, false, false, false, false },
	{ RPC_CURVE_R1, true, true, false, false },
	{ RPC_CURVE_K1, false, false, false, true },
	{ RPC_CURVE_R1, true, true, false, true },
	{ RPC_CURVE_K1, true, true, true, true },
	{ RPC_CURVE_R1, true, true, true, true },
};

const struct scheme_file_format *
scheme_file_format(unsigned version)
{
	ensure(version < SCHEME_FILE_VERSIONS);
	return (&formats[version]);
}

uint8_t
scheme_file_written(enum rpc_curve curve)
{
	return (curve == RPC_CURVE_R1 ? 3 : 2);
}

bool
scheme_file_begins(struct span s)
{
	return (s.len >= MAGIC_BYTES && memcmp(s.p, MAGIC, MAGIC_BYTES) == 0);
}

static size_t
read_u16(const char *p)
{
	return ((size_t)(uint8_t)p[0] | (size_t)(uint8_t)p[1] << 8);
}

/* What stands between head and checksum: two lengths tell where the data
 * begins, and they must agree. */
static enum rc
take_metadata(struct span *rest, size_t offset, struct scheme_file *f)
{
	size_t n;

	if (!formats[f->version].metadata)
		return (offset == SCHEME_FILE_HEAD_BYTES ? RC_OK : RC_SYNTAX);
	if (rest->len < LENGTH_BYTES)
		return (RC_SYNTAX);
	n = read_u16(rest->p);
	if (n < SCHEME_TAG_BYTES || n > rest->len - LENGTH_BYTES ||
	    offset != SCHEME_FILE_HEAD_BYTES + LENGTH_BYTES + n)
		return (RC_SYNTAX);
	f->metadata = (struct span){ rest->p + LENGTH_BYTES, n };
	rest->p += LENGTH_BYTES + n;
	rest->len -= LENGTH_BYTES + n;
	return (RC_OK);
}

static bool
checksum_fits(struct span s)
{
	const uint8_t *end = (const uint8_t *)s.p + s.len - CHECKSUM_BYTES;
	uint32_t sum = scheme_crc32(s.p, s.len - CHECKSUM_BYTES);

	for (int i = 0; i < CHECKSUM_BYTES; i++)
		if (end[i] != (uint8_t)(sum >> 8 * i))
			return (false);
	return (true);
}

enum rc
scheme_file_parse(struct span s, struct scheme_file *f)
{
	struct span rest;
	uint8_t flags;

	memset(f, 0, sizeof(*f));
	if (!scheme_file_begins(s) ||
	    s.len < SCHEME_FILE_HEAD_BYTES + CHECKSUM_BYTES ||
	    (uint8_t)s.p[AT_VERSION] >= SCHEME_FILE_VERSIONS)
		return (RC_SYNTAX);
	f->version = (uint8_t)s.p[AT_VERSION];
	memcpy(f->ephemeral, s.p + AT_EPHEMERAL, SCHEME_POINT_BYTES);
	memcpy(f->iv, s.p + AT_IV, SCHEME_IV_BYTES);
	/* Where no checksum covers it, nothing else would tell that a bit of it
	 * was changed. */
	flags = (uint8_t)s.p[AT_FLAGS];
	f->debug = (flags & FLAG_DEBUG) != 0;
	if ((f->ephemeral[0] | 1) != 3 || (flags & ~FLAG_DEBUG) != 0)
		return (RC_SYNTAX);
	rest = (struct span){ s.p + SCHEME_FILE_HEAD_BYTES,
	    s.len - SCHEME_FILE_HEAD_BYTES };
	if (formats[f->version].checksum)
		rest.len -= CHECKSUM_BYTES;
	if (take_metadata(&rest, read_u16(s.p + AT_OFFSET), f) != RC_OK ||
	    rest.len < SCHEME_TAG_BYTES)
		return (RC_SYNTAX);
	f->data = rest;
	return (formats[f->version].checksum && !checksum_fits(s) ?
	    RC_CORRUPT : RC_OK);
}

size_t
scheme_file_len(size_t value_bytes)
{
	return (SCHEME_FILE_HEAD_BYTES + value_bytes + SCHEME_TAG_BYTES +
	    CHECKSUM_BYTES);
}

void
scheme_file_print_head(const struct scheme_file *f, uint8_t *out)
{
	memcpy(out, MAGIC, MAGIC_BYTES);
	out[AT_VERSION] = f->version;
	out[AT_OFFSET] = SCHEME_FILE_HEAD_BYTES;
	out[AT_OFFSET + 1] = 0;
	memcpy(out + AT_EPHEMERAL, f->ephemeral, SCHEME_POINT_BYTES);
	memcpy(out + AT_IV, f->iv, SCHEME_IV_BYTES);
	out[AT_FLAGS] = 0;
}

void
scheme_file_print_end(uint8_t *out, size_t len)
{
	uint32_t sum = scheme_crc32(out, len - CHECKSUM_BYTES);

	for (int i = 0; i < CHECKSUM_BYTES; i++)
		out[len - CHECKSUM_BYTES + (size_t)i] = (uint8_t)(sum >> 8 * i);
}
