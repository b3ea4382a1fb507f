/* conf/conf_text.c - a file's text made ready for libConfuse. */
#include "conf/conf_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

/* The byte behind a comment that begins at p, or p. */
static char *
comment_end(char *p, bool word)
{
	char *end;

	if (*p == '#' || (!word && p[0] == '/' && p[1] == '/'))
		return (p + strcspn(p, "\n"));
	if (word || p[0] != '/' || p[1] != '*')
		return (p);
	end = strstr(p + 2, "*/");
	return (end == NULL ? p : end + 2);	/* open: libConfuse says so */
}

/*
 * libConfuse 3.3 counts the lines of comments wrongly, and a message with the
 * wrong line is worse than none: comments are blanked before it sees them.
 */
static void
blank_comments(char *text)
{
	bool word = false;	/* inside an unquoted value, as a//b */
	char quote = '\0';
	char *end;

	for (char *p = text; *p != '\0'; p++) {
		if (quote != '\0') {
			if (*p == '\\' && p[1] != '\0')
				p++;
			else if (*p == quote)
				quote = '\0';
			continue;
		}
		if ((end = comment_end(p, word)) != p) {
			for (; p < end; p++)
				if (*p != '\n')
					*p = ' ';
			p--;
			word = false;
			continue;
		}
		if (*p == '"' || *p == '\'')
			quote = *p;
		word = quote == '\0' && strchr(" \t\r\n={}()+,;", *p) == NULL;
	}
}

/*
 * What libConfuse would take but means something else to the next reader: a
 * role reads the same text again, in an environment of its own, so ${NAME}
 * cannot be meant.
 */
static enum rc
text_check(const char *path, const char *text, size_t len,
    struct conf_fault *fault)
{
	unsigned line = 1;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			line++;
		if (text[i] != '\0' && (text[i] != '$' || text[i + 1] != '{'))
			continue;
		(void)snprintf(fault->text, sizeof(fault->text), "%.300s:%u: "
		    "%s", path, line, text[i] == '\0' ? "a NUL byte" :
		    "${...} is not expanded here: write the value");
		return (RC_SYNTAX);
	}
	return (RC_OK);
}

enum rc
conf_text_prepare(const char *path, struct span text, struct conf_fault *fault,
    char **out, size_t *len)
{
	enum rc rc;
	char *copy;

	*out = NULL;
	if (text.len > CONF_FILE_BYTES_MAX) {
		(void)snprintf(fault->text, sizeof(fault->text),
		    "%.300s: larger than %u bytes", path, CONF_FILE_BYTES_MAX);
		return (RC_SYNTAX);
	}
	copy = xcalloc(1, text.len + 2);
	if (text.len > 0)
		memcpy(copy, text.p, text.len);
	copy[text.len] = '\n';
	blank_comments(copy);
	if ((rc = text_check(path, copy, text.len, fault)) != RC_OK) {
		free(copy);
		return (rc);
	}
	*out = copy;
	*len = text.len + 1;
	return (RC_OK);
}
