/* ctl/time_text.c - UTC, to the second. */
#include "ctl/time_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/string.h"

#define DAY_S		86400u
#define FUTURE_MAX_S	(100u * 366u * DAY_S)	/* a typing error beyond */

void
time_text(uint64_t ms, char out[TIME_TEXT_BYTES])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	(void)snprintf(out, TIME_TEXT_BYTES, "-");
	if (ms != 0 && gmtime_r(&t, &tm) != NULL)
		(void)strftime(out, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static enum rc
parse_duration(const char *text, size_t digits, uint64_t *s)
{
	static const struct {
		char		letter;
		unsigned	s;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', DAY_S },
	    { 'w', 7 * DAY_S } };
	uint64_t n;

	if (string_u64((struct span){ text, digits }, &n) != RC_OK)
		return (digits == 0 ? RC_SYNTAX : RC_LIMIT);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[digits] != units[i].letter)
			continue;
		if (n > FUTURE_MAX_S / units[i].s)
			return (RC_LIMIT);
		*s = n * units[i].s;
		return (RC_OK);
	}
	return (RC_SYNTAX);
}

/* Digits wherever `form` has a 0, else the same character (letters folded). */
static bool
has_form(const char *text, const char *form)
{
	for (; *form != '\0'; text++, form++) {
		bool digit = *text >= '0' && *text <= '9';

		if (*form == '0' ? !digit : (*text & ~0x20) != (*form & ~0x20))
			return (false);
		if (*form != '0' && *form < 'A' && *text != *form)
			return (false);
	}
	return (true);
}

static int
number(const char *p, size_t len)
{
	int n = 0;

	while (len-- > 0)
		n = n * 10 + (*p++ - '0');
	return (n);
}

/* "2024-05-01T12:00:00Z" */
static enum rc
parse_moment(const char *text, uint64_t *s)
{
	static const char form[] = "0000-00-00T00:00:00";
	const char *rest = text + sizeof(form) - 1;
	struct tm tm = { .tm_isdst = 0 }, back;
	time_t t;

	if (!has_form(text, form))
		return (RC_SYNTAX);
	if (*rest == '.' && rest[1] >= '0' && rest[1] <= '9')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (strcmp(rest, "Z") != 0 && strcmp(rest, "z") != 0)
		return (RC_SYNTAX);
	tm.tm_year = number(text, 4) - 1900;
	tm.tm_mon = number(text + 5, 2) - 1;
	tm.tm_mday = number(text + 8, 2);
	tm.tm_hour = number(text + 11, 2);
	tm.tm_min = number(text + 14, 2);
	tm.tm_sec = number(text + 17, 2);
	back = tm;
	/* timegm makes March 2nd of February 30th: what it changed was none. */
	if ((t = timegm(&back)) < 0)
		return (RC_LIMIT);
	if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday ||
	    back.tm_hour != tm.tm_hour || back.tm_min != tm.tm_min ||
	    back.tm_sec != tm.tm_sec)
		return (RC_SYNTAX);
	*s = (uint64_t)t;
	return (RC_OK);
}

enum rc
time_parse(const char *text, uint64_t now_ms, uint64_t *out_ms)
{
	size_t len = strlen(text), digits = strspn(text, "0123456789");
	uint64_t s = 0, now_s = now_ms / 1000;
	enum rc rc;

	if (digits + 1 == len) {
		if ((rc = parse_duration(text, digits, &s)) != RC_OK)
			return (rc);
		s += s == 0 ? 0 : now_s;
	} else if ((rc = parse_moment(text, &s)) != RC_OK)
		return (rc);
	if (s <= now_s || s - now_s > FUTURE_MAX_S)
		return (RC_LIMIT);
	*out_ms = s * 1000;
	return (RC_OK);
}
