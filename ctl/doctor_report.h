/*
 * ctl/doctor_report.h - what `doctor` found, layer by layer.
 * Context:   pure until report_print.
 * Ownership: the creator owns the report.
 */
#ifndef RELAY_CTL_DOCTOR_REPORT_H
#define RELAY_CTL_DOCTOR_REPORT_H

#include "ctl/ctl.h"

enum layer_result {
	LAYER_OK,
	LAYER_FAILED,
	LAYER_SKIPPED		/* could not be tried, or nothing asks for it */
};

struct report;

struct report *report_new(void);
void report_free(struct report **);

/* layer: a literal; where: an address, or "".  The hint of this row follows
 * with report_hint, if there is one. */
void report_add(struct report *, const char *layer, const char *where,
    enum layer_result, const char *says, ...)
    __attribute__((__format__(__printf__, 5, 6)));
void report_hint(struct report *, const char *hint, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* How many rows have this result. */
size_t report_count(const struct report *, enum layer_result);

/* A table and the hints, or JSON.  CTL_DONE when no layer failed. */
enum ctl_exit report_print(const struct report *, bool json) must_check;

#endif
