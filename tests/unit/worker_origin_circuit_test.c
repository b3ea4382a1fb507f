/* worker/origin_circuit.c: sequences of events, and who may try after each. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/log.h"
#include "worker/origin_circuit.h"

#define NEVER_MS	3600000

/*
 * f failed   s succeeded  u says nothing   F, U: the same of the trial
 * y allowed  n refused     t allowed, as the trial
 */
struct sequence {
	unsigned	max_fails;
	unsigned	open_ms;
	const char	*events;
};

static bool
step(struct origin_circuit *c, char event)
{
	bool trial = false, allowed;

	switch (event) {
	case 'f':
		origin_circuit_failed(c, false, "connection refused");
		return (true);
	case 's':
		origin_circuit_succeeded(c);
		return (true);
	case 'F':
		origin_circuit_failed(c, true, "connection refused");
		return (true);
	case 'U':
		origin_circuit_unknown(c, true);
		return (true);
	case 'u':
		origin_circuit_unknown(c, false);
		return (true);
	}
	allowed = origin_circuit_allows(c, &trial);
	return (event == (!allowed ? 'n' : trial ? 't' : 'y'));
}

static void
test_sequences(void **state)
{
	static const struct sequence cases[] = {
		{ 3, NEVER_MS, "yfyfyfnnn" },	/* opens at the third */
		{ 3, NEVER_MS, "ffsffyfn" },	/* in a row only */
		{ 1, NEVER_MS, "yfn" },
		{ 0, NEVER_MS, "ffffffffy" },	/* off */
		{ 3, NEVER_MS, "ffuuuy" },	/* says nothing: no failure */
		{ 3, NEVER_MS, "fffnsy" },	/* one that began before closes it */
		{ 3, NEVER_MS, "fffffffsffyfn" }, /* and counts from zero again */
		/* It was open long enough: one trial at a time. */
		{ 3, 0, "ffftnn" },
		{ 3, 0, "ffftsyyy" },
		{ 3, 0, "ffftFtFt" },
		{ 3, 0, "ffftUtn" },		/* the trial was cancelled */
		{ 3, 0, "ffftnnfnn" },		/* old failures decide nothing */
		{ 3, 0, "ffftsFyy" },		/* another one was faster */
		{ 3, 0, "ffftsUyy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct origin_circuit c;

		origin_circuit_init(&c, "a.test", 443, cases[i].max_fails,
		    cases[i].open_ms);
		for (const char *e = cases[i].events; *e != '\0'; e++)
			if (!step(&c, *e))
				fail_msg("%s: not so at %s", cases[i].events, e);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
	};

	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
