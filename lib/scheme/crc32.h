/*
 * scheme/crc32.h - the CRC-32 of Ethernet, gzip and encrypted files (IEEE 802.3,
 * reflected, polynomial 0xedb88320).
 * Context:   pure; any thread.
 */
#ifndef RELAY_SCHEME_CRC32_H
#define RELAY_SCHEME_CRC32_H

#include <stddef.h>
#include <stdint.h>

uint32_t scheme_crc32(const void *, size_t len);

#endif
