/*
 * scheme/file.h - a sealed file: bytes that begin with %EVENC, parsed and
 * printed (spec/ciphertext.md section 6).
 * Context:   pure; fuzzed.  Any thread.
 *
 *   0   "%EVENC"
 *   6   version
 *   7   offset of the data, little-endian
 *   9   ephemeral key
 *   42  IV
 *   54  flags: bit 0 is debug
 *   55  versions 4 and 5: length of the metadata, little-endian; metadata
 *       data, with its tag
 *       versions 2 to 5: CRC-32 of all before it, little-endian
 *
 * Versions 4 and 5 seal metadata and data with the same key and IV.  They are
 * read and never written.  A file of version 5 becomes one of version 3 when its
 * metadata is cut out: whoever holds it can take its role away.
 */
#ifndef RELAY_SCHEME_FILE_H
#define RELAY_SCHEME_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/string.h"
#include "lib/rpc/message.h"
#include "lib/scheme/ecies.h"

#define SCHEME_FILE_VERSIONS	6
#define SCHEME_FILE_HEAD_BYTES	55

struct scheme_file_format {
	enum rpc_curve	curve;
	bool		kdf;		/* else the AES key is the shared x */
	bool		app_key;	/* is the additional data; else none */
	bool		metadata;
	bool		checksum;
};

struct scheme_file {
	uint8_t			version;	/* < SCHEME_FILE_VERSIONS */
	bool			debug;
	uint8_t			iv[SCHEME_IV_BYTES];
	uint8_t			ephemeral[SCHEME_POINT_BYTES];
	struct span		metadata;	/* views, tags included; */
	struct span		data;		/* metadata empty: has none */
};

const struct scheme_file_format *scheme_file_format(unsigned version);
/* What we write on this curve. */
uint8_t scheme_file_written(enum rpc_curve);

/* Is this meant to be a file? */
bool scheme_file_begins(struct span);
/* The whole of `bytes` is one file: RC_OK.  RC_SYNTAX: it is none; RC_CORRUPT:
 * its checksum does not fit, so it was changed or cut. */
enum rc scheme_file_parse(struct span bytes, struct scheme_file *) must_check;

/* Length of a file without metadata, with a checksum. */
size_t scheme_file_len(size_t value_bytes);
/* Its first SCHEME_FILE_HEAD_BYTES: version, iv and ephemeral of the struct. */
void scheme_file_print_head(const struct scheme_file *, uint8_t *out);
/* Its checksum, when all the others of its len bytes are there. */
void scheme_file_print_end(uint8_t *out, size_t len);

#endif
