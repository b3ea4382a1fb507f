/* Any text as relay.conf or e3.conf: an answer, never a crash or a leak. */
#include <stdlib.h>

#include "conf/conf_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct conf_fault fault;
	struct conf_e3 *e3 = NULL;
	struct conf *c = NULL;
	struct span text;
	enum rc rc;

	if (len == 0)
		return (0);
	text = (struct span){ (const char *)data + 1, len - 1 };
	if (data[0] == 'e')
		rc = conf_e3_read_text("/x/e3.conf", text, &e3, &fault);
	else
		rc = conf_read_text("/x/relay.conf", text, &c, &fault);
	if ((rc == RC_OK) != (fault.text[0] == '\0') ||
	    (rc == RC_OK) != (c != NULL || e3 != NULL))
		abort();
	conf_free(&c);
	conf_e3_free(&e3);
	return (0);
}
