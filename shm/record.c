/* shm/record.c - the header in front of each value of the map. */
#include "shm/record.h"

#include <string.h>

#include <zlib.h>

#include "lib/base/object.h"

#define RECORD_MAGIC	0x43524d52u	/* "RMRC" in the file */
#define RECORD_FORMAT	1

enum record_offset {			/* see record.h */
	AT_MAGIC = 0,
	AT_FORMAT = 4,
	AT_KIND = 6,
	AT_REVISION = 8,
	AT_LENGTH = 16,
	AT_CRC = 20
};

static void
put_le(unsigned char *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (unsigned char)(v >> (8 * i) & 0xff);
}

static uint64_t
get_le(const unsigned char *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return (v);
}

/* Of the header up to the checksum itself, then of the payload. */
static uint32_t
record_crc(const unsigned char *head, const void *payload, size_t len)
{
	uLong crc = crc32(0, head, AT_CRC);

	if (len > 0)
		crc = crc32(crc, payload, (uInt)len);
	return ((uint32_t)crc);
}

static bool
kind_known(uint64_t kind)
{
	return (kind == SHM_KIND_RELAY || kind == SHM_KIND_SYNC ||
	    kind == SHM_KIND_ENGINE || kind == SHM_KIND_EGRESS);
}

enum rc
shm_record_write(struct buffer *out, const struct shm_record *r)
{
	unsigned char head[SHM_RECORD_HEAD_BYTES];
	char *mem;
	enum rc rc;

	ensure(kind_known(r->kind));
	if (r->payload.len > SHM_RECORD_BYTES_MAX)
		return (RC_LIMIT);
	put_le(head + AT_MAGIC, RECORD_MAGIC, 4);
	put_le(head + AT_FORMAT, RECORD_FORMAT, 2);
	put_le(head + AT_KIND, r->kind, 2);
	put_le(head + AT_REVISION, r->revision, 8);
	put_le(head + AT_LENGTH, r->payload.len, 4);
	put_le(head + AT_CRC, record_crc(head, r->payload.p, r->payload.len), 4);
	rc = buffer_reserve(out, sizeof(head) + r->payload.len, &mem);
	if (rc != RC_OK)
		return (rc);
	memcpy(mem, head, sizeof(head));
	if (r->payload.len > 0)
		memcpy(mem + sizeof(head), r->payload.p, r->payload.len);
	buffer_commit(out, sizeof(head) + r->payload.len);
	return (RC_OK);
}

enum rc
shm_record_read(const void *data, size_t len, struct shm_record *out)
{
	const unsigned char *head = data;
	uint64_t kind;
	size_t n;

	memset(out, 0, sizeof(*out));
	if (len < SHM_RECORD_HEAD_BYTES ||
	    get_le(head + AT_MAGIC, 4) != RECORD_MAGIC ||
	    get_le(head + AT_FORMAT, 2) != RECORD_FORMAT)
		return (RC_CORRUPT);
	kind = get_le(head + AT_KIND, 2);
	n = (size_t)get_le(head + AT_LENGTH, 4);
	if (!kind_known(kind) || n > SHM_RECORD_BYTES_MAX ||
	    n != len - SHM_RECORD_HEAD_BYTES)
		return (RC_CORRUPT);
	if (get_le(head + AT_CRC, 4) !=
	    record_crc(head, head + SHM_RECORD_HEAD_BYTES, n))
		return (RC_CORRUPT);
	out->kind = (enum shm_kind)kind;
	out->revision = get_le(head + AT_REVISION, 8);
	out->payload.p = (const char *)head + SHM_RECORD_HEAD_BYTES;
	out->payload.len = n;
	return (RC_OK);
}
