/* ctl/time_text.c - UTC, to the second. */
#include "ctl/time_text.h"

#include <stdio.h>
#include <time.h>

void
time_text(uint64_t ms, char out[TIME_TEXT_BYTES])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	(void)snprintf(out, TIME_TEXT_BYTES, "-");
	if (ms != 0 && gmtime_r(&t, &tm) != NULL)
		(void)strftime(out, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
