/* master/backoff.c - 100 ms, doubled to 1 s, forgotten after 30 s of life. */
#include "master/backoff.h"

unsigned
backoff_next_ms(unsigned previous_ms, uint64_t lived_ms)
{
	if (previous_ms == 0 || lived_ms >= BACKOFF_RESET_MS)
		return (BACKOFF_FIRST_MS);
	if (previous_ms >= BACKOFF_MAX_MS / 2)
		return (BACKOFF_MAX_MS);
	return (previous_ms * 2);
}
