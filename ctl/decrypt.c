/*
 * ctl/decrypt.c - `decrypt --api-key KEY < tokens`, one token a line.  The key
 * may come from a file, standard input or the environment instead, where other
 * users of the machine do not see it in a list of processes.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/engine_client.h"
#include "ctl/open_status.h"
#include "lib/body/json_write.h"
#include "lib/rpc/message.h"

#define KEY_VARIABLE	"RELAY_API_KEY"
#define KEY_BYTES_MAX	4096
#define INPUT_BYTES_MAX	(16u << 20)
#define ADDRESS		"127.0.0.1"	/* we are on the machine itself */

struct opening {
	bool			json;
	struct buffer		out;		/* sensitive */
	struct body_json_writer	w;
	size_t			n_asked;	/* tokens */
	size_t			n;		/* answered */
	size_t			n_closed;	/* not opened */
	char			first[64];	/* why, of the first of those */
	size_t			first_at;
};

static const char *
type_name(enum rpc_field_type type)
{
	switch (type) {
	case RPC_FIELD_STRING:
		return ("string");
	case RPC_FIELD_NUMBER:
		return ("number");
	case RPC_FIELD_BOOLEAN:
		return ("boolean");
	case RPC_FIELD_FILE:
		return ("file");
	}
	return ("unknown");
}

/* ---- the key ---------------------------------------------------------------------- */

/* A first line of anything (tokens without the key before them, say) may be
 * longer than a key. */
static enum ctl_exit
use_key(struct span given, struct buffer *key)
{
	if (buffer_append(key, given.p, given.len) == RC_OK)
		return (CTL_DONE);
	ctl_error("the API key is longer than %d bytes", KEY_BYTES_MAX);
	return (CTL_USAGE);
}

/* The first line of a file. */
static enum ctl_exit
key_from_file(const char *path, struct buffer *key)
{
	enum ctl_exit status;
	struct buffer text;
	size_t len;

	status = ctl_read_input(path, KEY_BYTES_MAX, true, &text);
	if (status == CTL_DONE && buffer_len(&text) != 0) {
		const char *end = memchr(buffer_data(&text), '\n',
		    buffer_len(&text));

		len = end == NULL ? buffer_len(&text) :
		    (size_t)(end - buffer_data(&text));
		status = use_key((struct span){ buffer_data(&text), len },
		    key);
	}
	buffer_fini(&text);
	return (status);
}

/* Split the first line of standard input off the tokens behind it. */
static enum ctl_exit
key_from_input(struct buffer *input, struct buffer *key)
{
	const char *end = buffer_len(input) == 0 ? NULL :
	    memchr(buffer_data(input), '\n', buffer_len(input));
	size_t len = end == NULL ? buffer_len(input) :
	    (size_t)(end - buffer_data(input));
	enum ctl_exit status = CTL_DONE;

	if (len != 0)
		status = use_key((struct span){ buffer_data(input), len }, key);
	buffer_consume(input, end == NULL ? len : len + 1);
	return (status);
}

static enum ctl_exit
find_key(const struct ctl *ctl, struct buffer *input, struct buffer *key)
{
	const char *given = args_get(&ctl->args, "api-key");
	const char *file = args_get(&ctl->args, "api-key-file");
	const char *variable = getenv(KEY_VARIABLE);
	enum ctl_exit status = CTL_DONE;

	if (given != NULL && file != NULL) {
		ctl_error("--api-key and --api-key-file: one of them");
		return (CTL_USAGE);
	}
	if (given != NULL && strcmp(given, "-") == 0)
		status = key_from_input(input, key);
	else if (given != NULL)
		status = use_key(span_of(given), key);
	else if (file != NULL)
		status = key_from_file(file, key);
	else if (variable != NULL)
		status = use_key(span_of(variable), key);
	if (status == CTL_DONE && buffer_len(key) == 0) {
		ctl_error("--api-key, --api-key-file or " KEY_VARIABLE
		    ": an API key is needed");
		status = CTL_USAGE;
	}
	return (status);
}

/* ---- the tokens --------------------------------------------------------------------- */

/* The next line that is not empty; false at the end. */
static bool
next_line(struct span *rest, struct span *line)
{
	while (rest->len != 0) {
		const char *end = memchr(rest->p, '\n', rest->len);
		size_t len = end == NULL ? rest->len :
		    (size_t)(end - rest->p);

		*line = (struct span){ rest->p, len };
		rest->p += end == NULL ? len : len + 1;
		rest->len -= end == NULL ? len : len + 1;
		if (line->len != 0 && line->p[line->len - 1] == '\r')
			line->len--;
		if (line->len != 0)
			return (true);
	}
	return (false);
}

static enum ctl_exit
put_call(struct buffer *body, const struct buffer *input,
    const struct buffer *key, size_t *n_tokens)
{
	struct rpc_decrypt call = {
		.api_key = { buffer_data(key), buffer_len(key) },
		.place = RPC_PLACE_API,
		.address = SPAN_LIT(ADDRESS),
	};
	struct span rest = { buffer_data(input), buffer_len(input) }, line;

	while (next_line(&rest, &line))
		call.n_tokens++;
	if (call.n_tokens == 0 || call.n_tokens > RPC_FIELDS_MAX) {
		ctl_error("standard input: 1 to %u tokens, one a line",
		    RPC_FIELDS_MAX);
		return (CTL_USAGE);
	}
	*n_tokens = call.n_tokens;
	rpc_decrypt_put(body, &call);
	rest = (struct span){ buffer_data(input), buffer_len(input) };
	while (next_line(&rest, &line)) {
		if (rpc_decrypt_put_token(body, line,
		    (struct span){ NULL, 0 }) != RC_OK) {
			ctl_error("standard input: too long");
			return (CTL_USAGE);
		}
	}
	return (CTL_DONE);
}

static void
print_json(struct opening *o, const struct rpc_opened *v)
{
	struct buffer text;
	char *room;

	body_json_open_object(&o->w, NULL);
	body_json_put_str(&o->w, "status", open_status_name(v->status));
	if (v->status == RPC_OPEN_OK) {
		body_json_put_str(&o->w, "type", type_name(v->type));
		if (utf8_valid(v->bytes.p, v->bytes.len))
			body_json_put_string(&o->w, "value", v->bytes);
		else {
			buffer_init(&text, 0, true);
			if (buffer_reserve(&text, base64_encoded_len(
			    v->bytes.len, true) + 1, &room) == RC_OK)
				buffer_commit(&text, base64_encode(v->bytes.p,
				    v->bytes.len, true, room));
			body_json_put_string(&o->w, "base64", (struct span){
			    buffer_data(&text), buffer_len(&text) });
			buffer_fini(&text);
		}
	}
	body_json_close_object(&o->w);
}

static void
on_opened(void *arg, const struct rpc_value *body)
{
	struct opening *o = arg;
	size_t n = rpc_array_len(body);
	struct rpc_opened v;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		if (rpc_opened_at(body, i, &v) != RC_OK)
			v = (struct rpc_opened){
			    .status = RPC_OPEN_NOT_A_TOKEN };
		o->n++;
		if (v.status != RPC_OPEN_OK && o->n_closed++ == 0) {
			const char *name = open_status_name(v.status);

			memcpy(o->first, name, strlen(name) + 1);
			o->first_at = o->n;
		}
		if (o->json) {
			print_json(o, &v);
			continue;
		}
		if (v.status == RPC_OPEN_OK)
			buffer_put(&o->out, v.bytes.p, v.bytes.len);
		buffer_puts(&o->out, "\n");
	}
}

static enum ctl_exit
print_opened(struct opening *o)
{
	enum ctl_exit status;

	/* Lines are matched with tokens by their number. */
	if (o->n != o->n_asked) {
		ctl_error("engine: Decrypt: %zu answers to %zu tokens", o->n,
		    o->n_asked);
		return (CTL_FAILED);
	}
	if (o->json) {
		body_json_close_array(&o->w);
		buffer_puts(&o->out, "\n");
	}
	status = ctl_print((struct span){ buffer_data(&o->out),
	    buffer_len(&o->out) });
	if (status == CTL_DONE && o->n_closed != 0) {
		ctl_error("%zu of %zu not opened; line %zu: %s", o->n_closed,
		    o->n, o->first_at, o->first);
		status = CTL_FAILED;
	}
	return (status);
}

enum ctl_exit
ctl_decrypt(struct ctl *ctl)
{
	struct engine_client *engine = NULL;
	struct opening o = { .json = ctl->json };
	struct buffer input, key, body;
	enum ctl_exit status;

	buffer_init(&key, KEY_BYTES_MAX, true);
	buffer_init(&body, 0, true);
	buffer_init(&o.out, 0, true);
	body_json_writer_init(&o.w, &o.out);
	if (o.json)
		body_json_open_array(&o.w, NULL);
	status = ctl_read_input("-", INPUT_BYTES_MAX, true, &input);
	if (status != CTL_DONE ||
	    (status = find_key(ctl, &input, &key)) != CTL_DONE ||
	    (status = put_call(&body, &input, &key, &o.n_asked)) !=
	    CTL_DONE ||
	    (status = engine_client_open(ctl, ENGINE_ANY, &engine)) != CTL_DONE)
		goto out;
	status = engine_client_must(engine, RPC_OP_DECRYPT, &body, on_opened,
	    &o);
	if (status == CTL_DONE)
		status = print_opened(&o);
out:
	engine_client_close(&engine);
	buffer_fini(&o.out);
	buffer_fini(&body);
	buffer_fini(&key);
	buffer_fini(&input);
	return (status);
}
