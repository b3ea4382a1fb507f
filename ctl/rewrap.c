/*
 * ctl/rewrap.c - `rewrap --app APP < in > out`: every token of a stream sealed
 * anew by the app's sealing key; values never leave the engine.
 *
 * The stream goes in blocks of whole lines.  Of a block each token is looked
 * for, all of them are sent in a few calls, and the block is written with the
 * new ones in their places and every other byte as it came: base64 needs no
 * escape in JSON, CSV or text.  A token that does not open stays.
 *
 * With --resume: where the output begins is on disk before the first block; a
 * block, and then the state that counts it, before the next one.  A kill leaves
 * at most a block that the state does not know: the next run cuts it off the
 * output and does it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/open_status.h"
#include "ctl/rewrap_call.h"
#include "ctl/rewrap_state.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "lib/body/token_find.h"

#define BLOCK_BYTES	(1u << 20)	/* at least, but for the last */
#define LINE_BYTES_MAX	(16u << 20)	/* what is held at once */

struct rewrap {
	const char		*state_path;	/* borrowed; NULL: none */
	bool			dry_run;
	bool			json;
	unsigned		escapes;	/* that tokens may use */
	bool			eof;
	bool			to_file;	/* stdout is a regular file */
	struct buffer		in;		/* read and not done */
	struct buffer		out;		/* of one block */
	struct buffer		text;		/* its tokens, end to end */
	struct body_token	*found;		/* owned; n of them */
	size_t			*ends;		/* owned; of text */
	size_t			n;
	size_t			cap;
	struct rewrap_call	*call;		/* owned */
	struct rewrap_state	state;
};

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* ---- one block -------------------------------------------------------------------- */

static void
add_token(struct rewrap *r, struct span block, const struct body_token *t)
{
	if (r->n == r->cap) {
		r->cap = r->cap == 0 ? 1024 : 2 * r->cap;
		r->found = xrealloc(r->found, r->cap * sizeof(*r->found));
		r->ends = xrealloc(r->ends, r->cap * sizeof(*r->ends));
	}
	ensure(body_token_append(block, t, &r->text) == RC_OK);
	r->found[r->n] = *t;
	r->ends[r->n++] = buffer_len(&r->text);
}

static void
find_tokens(struct rewrap *r, struct span block)
{
	struct body_token t;
	size_t at = 0;

	buffer_clear(&r->text);
	r->n = 0;
	while (body_token_next(block, r->escapes, at, &t)) {
		add_token(r, block, &t);
		at = t.end;
	}
}

/* The block with its new tokens; counts what became of each. */
static void
compose(struct rewrap *r, struct span block)
{
	enum rpc_open_status status;
	struct span token;
	size_t at = 0;

	buffer_clear(&r->out);
	for (size_t i = 0; i < r->n; i++) {
		status = rewrap_call_result(r->call, i, &token);
		r->state.counts[status]++;
		if (status != RPC_OPEN_OK)
			continue;
		buffer_put(&r->out, block.p + at, r->found[i].start - at);
		buffer_put(&r->out, token.p, token.len);
		at = r->found[i].end;
	}
	buffer_put(&r->out, block.p + at, block.len - at);
}

static enum ctl_exit
keep_state(struct rewrap *r)
{
	if (r->state_path == NULL)
		return (CTL_DONE);
	if (r->to_file && fsync(STDOUT_FILENO) != 0) {
		ctl_error("standard output: %s", strerror(errno));
		return (CTL_FAILED);
	}
	if (rewrap_state_write(r->state_path, &r->state) == RC_OK)
		return (CTL_DONE);
	ctl_error("%s: %s", r->state_path, strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
do_block(struct rewrap *r, struct span block)
{
	const char *p = block.p, *end = block.p + block.len;
	enum ctl_exit status;

	find_tokens(r, block);
	status = rewrap_call_run(r->call, view(&r->text), r->ends, r->n);
	if (status != CTL_DONE)
		return (status);
	compose(r, block);
	if (!r->dry_run && (status = ctl_print(view(&r->out))) != CTL_DONE)
		return (status);
	for (; p != end; r->state.lines++)
		p = (p = memchr(p, '\n', (size_t)(end - p))) == NULL ? end :
		    p + 1;
	r->state.in += block.len;
	r->state.out += buffer_len(&r->out);
	return (keep_state(r));
}

/* ---- the stream ---------------------------------------------------------------------- */

static enum ctl_exit
read_some(struct rewrap *r)
{
	ssize_t n;
	char *to;

	if (buffer_reserve(&r->in, BLOCK_BYTES, &to) != RC_OK) {
		ctl_error("no memory");
		return (CTL_FAILED);
	}
	while ((n = read(STDIN_FILENO, to, BLOCK_BYTES)) < 0 && errno == EINTR)
		;
	if (n < 0) {
		buffer_commit(&r->in, 0);
		ctl_error("standard input: %s", strerror(errno));
		return (CTL_FAILED);
	}
	buffer_commit(&r->in, (size_t)n);
	r->eof = n == 0;
	return (CTL_DONE);
}

/* The whole lines of what was read; without a newline at the end of all, the
 * last one too. */
static size_t
whole_lines(const struct rewrap *r)
{
	struct span in = view(&r->in);
	const char *nl;

	if (r->eof || in.len == 0)
		return (in.len);
	nl = memrchr(in.p, '\n', in.len);
	return (nl == NULL ? 0 : (size_t)(nl - in.p) + 1);
}

static enum ctl_exit
too_long(const struct rewrap *r)
{
	ctl_error("standard input: line %llu is longer than %u MiB; the lines "
	    "before it are done", (unsigned long long)r->state.lines + 1,
	    LINE_BYTES_MAX >> 20);
	return (CTL_USAGE);
}

static enum ctl_exit
do_all(struct rewrap *r)
{
	enum ctl_exit status = CTL_DONE;
	size_t len;

	while (status == CTL_DONE && !(r->eof && buffer_len(&r->in) == 0)) {
		if (!r->eof && buffer_len(&r->in) < BLOCK_BYTES) {
			status = read_some(r);
			continue;
		}
		len = whole_lines(r);
		/* All that is held is then one line, or its beginning. */
		if (buffer_len(&r->in) > LINE_BYTES_MAX &&
		    (len == 0 || memchr(buffer_data(&r->in), '\n',
		    LINE_BYTES_MAX) == NULL))
			return (too_long(r));
		if (len == 0) {
			status = read_some(r);
			continue;
		}
		status = do_block(r, (struct span){ buffer_data(&r->in), len });
		buffer_consume(&r->in, len);
	}
	return (status);
}

/* ---- where a run before this one ended -------------------------------------------------- */

static enum ctl_exit
input_shorter(void)
{
	ctl_error("standard input is shorter than what is done already: is it "
	    "the same?");
	return (CTL_USAGE);
}

/* The first n bytes are done: behind them, in a file, or read away. */
static enum ctl_exit
skip_input(uint64_t n)
{
	char waste[65536];
	struct stat st;
	ssize_t got;

	if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode)) {
		off_t at = lseek(STDIN_FILENO, (off_t)n, SEEK_CUR);

		return (at >= 0 && at <= st.st_size ? CTL_DONE :
		    input_shorter());
	}
	while (n > 0) {
		got = read(STDIN_FILENO, waste, n < sizeof(waste) ? (size_t)n :
		    sizeof(waste));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return (input_shorter());
		n -= (uint64_t)got;
	}
	return (CTL_DONE);
}

/* A first run begins where the output stands; a later one cuts off what the
 * state does not count. */
static enum ctl_exit
place_output(struct rewrap *r, bool again)
{
	struct stat st;
	off_t at;

	r->to_file = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode);
	if (!r->to_file)
		return (CTL_DONE);
	if (!again) {
		at = (fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND) != 0 ?
		    st.st_size : lseek(STDOUT_FILENO, 0, SEEK_CUR);
		r->state.out = at < 0 ? 0 : (uint64_t)at;
		return (CTL_DONE);
	}
	at = (off_t)r->state.out;
	if (st.st_size < at) {
		ctl_error("standard output is shorter than what was written "
		    "already: append to that file (>>)");
		return (CTL_USAGE);
	}
	if (ftruncate(STDOUT_FILENO, at) == 0 &&
	    lseek(STDOUT_FILENO, at, SEEK_SET) == at)
		return (CTL_DONE);
	ctl_error("standard output: %s", strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
resume(struct rewrap *r)
{
	struct rewrap_state was;
	enum ctl_exit status;
	enum rc rc;

	if (r->state_path == NULL)
		return (CTL_DONE);
	rc = rewrap_state_read(r->state_path, &was);
	if (rc == RC_NOTFOUND) {
		status = place_output(r, false);
		return (status == CTL_DONE ? keep_state(r) : status);
	}
	if (rc != RC_OK) {
		ctl_error("%s: not a state of rewrap", r->state_path);
		return (CTL_USAGE);
	}
	if (strcmp(was.app, r->state.app) != 0 ||
	    strcmp(was.curve, r->state.curve) != 0 ||
	    strcmp(was.format, r->state.format) != 0) {
		ctl_error("%s: of another run: --app %s --curve %s --format "
		    "%s", r->state_path, was.app, was.curve, was.format);
		return (CTL_USAGE);
	}
	r->state = was;
	if ((status = place_output(r, true)) != CTL_DONE)
		return (status);
	return (skip_input(was.in));
}

/* ---- the end -------------------------------------------------------------------------------- */

/* On standard error: standard output has the data. */
static enum ctl_exit
tell_counts(const struct rewrap *r)
{
	struct body_json_writer w;
	struct buffer out;
	uint64_t kept = 0;

	buffer_init(&out, 0, false);
	body_json_writer_init(&w, &out);
	if (r->json) {
		body_json_open_object(&w, NULL);
		body_json_put_bool(&w, "dry_run", r->dry_run);
		body_json_put_u64(&w, "lines", r->state.lines);
		body_json_open_object(&w, "tokens");
	} else
		buffer_printf(&out, "%llu lines; tokens:",
		    (unsigned long long)r->state.lines);
	for (unsigned i = 0; i < REWRAP_STATUSES; i++) {
		const char *name = open_status_name((enum rpc_open_status)i);
		uint64_t n = r->state.counts[i];

		kept += i == RPC_OPEN_OK ? 0 : n;
		if (r->json)
			body_json_put_u64(&w, name, n);
		else if (n != 0 || i == RPC_OPEN_OK)
			buffer_printf(&out, " %llu %s", (unsigned long long)n,
			    name);
	}
	if (r->json) {
		body_json_close_object(&w);
		body_json_close_object(&w);
	} else if (kept != 0)
		buffer_puts(&out, "; all but the ok ones stay as they were");
	(void)fprintf(stderr, "%s\n", buffer_cstr(&out));
	buffer_fini(&out);
	return (kept == 0 ? CTL_DONE : CTL_PARTLY);
}

/* ---- options --------------------------------------------------------------------------------- */

static enum ctl_exit
read_options(const struct ctl *ctl, struct rewrap *r)
{
	const char *app = args_get(&ctl->args, "app");
	const char *curve = args_get(&ctl->args, "curve");
	const char *format = args_get(&ctl->args, "format");

	if (app == NULL || !rpc_app_id_valid(span_of(app))) {
		ctl_error("--app: an app id is needed");
		return (CTL_USAGE);
	}
	if (curve == NULL)
		curve = "r1";
	if (format == NULL)
		format = "ndjson";
	if (strcmp(curve, "r1") != 0 && strcmp(curve, "k1") != 0) {
		ctl_error("--curve: r1 or k1");
		return (CTL_USAGE);
	}
	if (strcmp(format, "ndjson") != 0 && strcmp(format, "csv") != 0 &&
	    strcmp(format, "text") != 0) {
		ctl_error("--format: ndjson, csv or text");
		return (CTL_USAGE);
	}
	r->escapes = format[0] == 'n' ? BODY_TOKEN_BACKSLASH : BODY_TOKEN_RAW;
	r->json = ctl->json;
	r->dry_run = args_has(&ctl->args, "dry-run");
	r->state_path = args_get(&ctl->args, "resume");
	if (r->dry_run && r->state_path != NULL) {
		ctl_error("--dry-run writes nothing: there is nothing to "
		    "--resume");
		return (CTL_USAGE);
	}
	(void)snprintf(r->state.app, sizeof(r->state.app), "%s", app);
	(void)snprintf(r->state.curve, sizeof(r->state.curve), "%s", curve);
	(void)snprintf(r->state.format, sizeof(r->state.format), "%s", format);
	return (CTL_DONE);
}

enum ctl_exit
ctl_rewrap(struct ctl *ctl)
{
	struct engine_client *engine = NULL;
	struct rewrap r = { .found = NULL };
	enum ctl_exit status;

	buffer_init(&r.in, 0, false);
	buffer_init(&r.out, 0, false);
	buffer_init(&r.text, 0, false);
	if ((status = read_options(ctl, &r)) != CTL_DONE ||
	    (status = engine_client_open(ctl, ENGINE_ANY, &engine)) !=
	    CTL_DONE)
		goto out;
	r.call = rewrap_call_new(engine, r.state.app, r.state.curve);
	/* First: an input without a token would say nothing of a wrong app. */
	if ((status = rewrap_call_check(r.call)) != CTL_DONE ||
	    (status = resume(&r)) != CTL_DONE)
		goto out;
	if ((status = do_all(&r)) == CTL_DONE)
		status = tell_counts(&r);
out:
	rewrap_call_free(&r.call);
	engine_client_close(&engine);
	free(r.found);
	free(r.ends);
	buffer_fini(&r.in);
	buffer_fini(&r.out);
	buffer_fini(&r.text);
	return (status);
}
