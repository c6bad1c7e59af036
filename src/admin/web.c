#include "admin/web.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "http/http1.h"
#include "io/stream.h"

struct caller {
    struct web *web;
    struct stream stream;
    struct loop_timer timer;
    struct http1 *parser;
    struct arena arena;
    struct message request;
    struct buffer out;
    struct span form; // of a POST, as far as it came
    bool takes_form;
    bool ends; // after what is in `out`
    bool is_over;
    uint64_t held_until; // what is in `out` waits for this; 0: for nothing
    struct caller *next, **link;
    struct loop_grave grave;
};

struct web {
    struct loop *loop;
    const struct web_events *events;
    void *owner;
    struct caller *callers;
    size_t count;
};

/* ---- ends ---- */

static void dig(struct loop_grave *grave)
{
    struct caller *caller = (struct caller *)((char *)grave - offsetof(struct caller, grave));

    http1_free(&caller->parser);
    arena_done(&caller->arena);
    free(caller);
}

static void end(struct caller *caller)
{
    if (caller->is_over)
        return;
    caller->is_over = true;
    *caller->link = caller->next;
    if (caller->next)
        caller->next->link = caller->link;
    caller->web->count--;
    loop_timer_stop(&caller->timer);
    if (stream_is_open(&caller->stream))
        stream_close(&caller->stream);
    buffer_release(&caller->out);
    loop_bury(caller->web->loop, &caller->grave, dig);
}

/* ---- answers ---- */

static void await_request(struct caller *caller)
{
    arena_reset(&caller->arena);
    message_init(&caller->request, &caller->arena, true);
    http1_begin(caller->parser, &caller->request, METHOD_OTHER);
    loop_timer_set(&caller->timer, WEB_IDLE_MS);
}

static void flush(struct caller *caller)
{
    if (caller->held_until) {
        stream_want(&caller->stream, 0); // one after the other
        return;
    }
    while (caller->out.size > 0) {
        struct iovec part = { caller->out.at, caller->out.size };
        size_t put = 0;
        enum stream_outcome outcome = stream_write(&caller->stream, &part, 1, &put);

        if (outcome == STREAM_WAIT) {
            loop_timer_set(&caller->timer, WEB_ANSWER_MS);
            stream_want(&caller->stream, STREAM_WRITE); // reads no more until it is taken
            return;
        }
        if (outcome != STREAM_OK) {
            end(caller);
            return;
        }
        buffer_consume(&caller->out, put);
    }
    if (caller->ends && !caller->takes_form) {
        stream_linger(&caller->stream);
        end(caller);
        return;
    }
    stream_want(&caller->stream, STREAM_READ);
}

static void write_answer(struct caller *caller, const struct web_answer *answer, struct span allow)
{
    struct message response;
    const char *policy = answer->policy ? answer->policy : "default-src 'none'";

    message_init(&response, &caller->arena, false);
    response.status = answer->status;
    response.framing = FRAMING_LENGTH;
    response.body_bytes = answer->body.size;
    response.has_length = true;
    message_add(&response, SPAN("Content-Type"), span_text(answer->content_type));
    message_add(&response, SPAN("Cache-Control"), SPAN("no-store"));
    message_add(&response, SPAN("Content-Security-Policy"), span_text(policy));
    message_add(&response, SPAN("X-Content-Type-Options"), SPAN("nosniff"));
    message_add(&response, SPAN("Referrer-Policy"), SPAN("no-referrer"));
    message_add(&response, SPAN("Cross-Origin-Resource-Policy"), SPAN("same-origin"));
    if (allow.size > 0)
        message_add(&response, SPAN("Allow"), allow);
    if (answer->location.at)
        message_add(&response, SPAN("Location"), answer->location);
    if (!http1_write_response(&caller->out, &response, caller->request.method, caller->ends) ||
        (caller->request.method != METHOD_HEAD &&
         !buffer_append(&caller->out, buffer_span(&answer->body)))) {
        log_error("a page of our own is too long");
        caller->ends = true;
    }
    if (answer->held_until)
        caller->held_until = answer->held_until;
}

static void answer_error(struct caller *caller, unsigned status, const char *text)
{
    struct web_answer answer = { .status = status,
                                 .content_type = "text/plain; charset=utf-8",
                                 .body.limit_bytes = 1024 };

    buffer_printf(&answer.body, "%s\n", text);
    write_answer(caller, &answer, status == 405 ? SPAN("GET, HEAD, POST") : SPAN(""));
    buffer_release(&answer.body);
}

static struct span value_of(const struct message *message, struct span name)
{
    const struct field *field = message_find_name(message, name);

    return field ? field->value : SPAN("");
}

static void answer_page(struct caller *caller)
{
    struct web *web = caller->web;
    struct web_answer answer = { .status = 404,
                                 .content_type = "text/plain; charset=utf-8",
                                 .body.limit_bytes = WEB_ANSWER_BYTES };
    struct web_request request = {
        .path = caller->request.target,
        .host = message_value(&caller->request, FIELD_HOST),
        .client = value_of(&caller->request, SPAN("X-Dejunk-Client")),
        .user = value_of(&caller->request, SPAN("X-Dejunk-User")),
        .is_post = caller->request.method == METHOD_POST,
        .form = caller->form,
    };

    request.path.size = span_find_byte(request.path, '?');
    web->events->on_request(web->owner, &request, &answer);
    if (answer.status == 404 && answer.body.size == 0)
        buffer_append(&answer.body, SPAN("There is no such page here.\n"));
    write_answer(caller, &answer, SPAN(""));
    buffer_release(&answer.body);
}

/* ---- requests ---- */

static void on_started(void *owner)
{
    struct caller *caller = owner;

    loop_timer_set(&caller->timer, WEB_REQUEST_MS);
}

static void on_headers_finished(void *owner)
{
    struct caller *caller = owner;
    const struct message *request = &caller->request;
    bool is_served = request->method == METHOD_GET || request->method == METHOD_HEAD;

    caller->form = SPAN("");
    if (request->method == METHOD_POST && request->framing == FRAMING_LENGTH &&
        request->body_bytes <= WEB_FORM_BYTES && request->target_form == TARGET_ORIGIN &&
        span_equal_nocase(message_value(request, FIELD_CONTENT_TYPE),
                          SPAN("application/x-www-form-urlencoded"))) {
        caller->ends = !request->keep_alive;
        caller->takes_form = true; // answered when it is whole
        return;
    }
    caller->takes_form = false;
    caller->ends = !request->keep_alive || request->framing != FRAMING_NONE;
    if (!is_served)
        answer_error(caller, 405, "Only GET, HEAD and small forms are served here.");
    else if (request->framing != FRAMING_NONE)
        answer_error(caller, 400, "A request for a page has no body.");
    else if (request->target_form != TARGET_ORIGIN)
        answer_error(caller, 400, "Only paths are served here.");
    else
        answer_page(caller);
}

static void on_body(void *owner, struct span bytes)
{
    struct caller *caller = owner;

    // Of anything but a form the answer is out, and the connection ends.
    if (caller->takes_form && !arena_extend(&caller->arena, &caller->form, bytes))
        caller->form = SPAN("");
}

static void on_finished(void *owner)
{
    struct caller *caller = owner;

    if (caller->takes_form)
        answer_page(caller);
    caller->takes_form = false;
}

static void on_error(void *owner, const struct error *error, unsigned status)
{
    struct caller *caller = owner;

    caller->takes_form = false;
    if (caller->ends)
        return;
    caller->ends = true;
    answer_error(caller, status ? status : 400, error->text);
}

static const struct phases_events request_events = {
    .on_started = on_started,
    .on_headers_finished = on_headers_finished,
    .on_body = on_body,
    .on_finished = on_finished,
    .on_error = on_error,
};

static void feed(struct caller *caller, struct span bytes)
{
    while (bytes.size > 0 && (!caller->ends || caller->takes_form)) {
        bytes = span_from(bytes, http1_feed(caller->parser, bytes));
        if (http1_phase(caller->parser) == PHASE_FINISHED && !caller->ends)
            await_request(caller);
        else if (bytes.size > 0)
            caller->ends = true; // it failed
    }
}

static void on_readable(void *owner)
{
    struct caller *caller = owner;
    char *scratch = caller->web->loop->scratch;
    size_t got = 0;

    switch (stream_read(&caller->stream, scratch, LOOP_SCRATCH_BYTES, &got)) {
    case STREAM_WAIT:
        return;
    case STREAM_END:
    case STREAM_LOST:
        end(caller);
        return;
    case STREAM_OK:
        feed(caller, span_of(scratch, got));
        if (caller->held_until)
            loop_timer_set(&caller->timer, WEB_HELD_MS);
        flush(caller);
        return;
    }
}

static void on_writable(void *owner)
{
    flush(owner);
}

static const struct stream_events stream_events = { on_readable, on_writable };

static void go_on(struct caller *caller)
{
    caller->held_until = 0;
    loop_timer_set(&caller->timer, WEB_IDLE_MS);
    flush(caller);
}

static void on_late(void *owner)
{
    struct caller *caller = owner;

    if (caller->held_until)
        go_on(caller);
    else
        end(caller);
}

void web_let_go(struct web *web, uint64_t number)
{
    struct caller *caller = web->callers, *next;

    for (; caller; caller = next) {
        next = caller->next;
        if (caller->held_until && caller->held_until <= number)
            go_on(caller);
    }
}

/* ---- forms ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct span decode(struct arena *arena, struct span text)
{
    struct span out = arena_copy(arena, text);
    char *to = (char *)out.at;
    size_t size = 0;

    for (size_t i = 0; out.at && i < text.size; i++) {
        char c = text.at[i];
        if (c == '%') {
            int high = i + 2 < text.size ? hex(text.at[i + 1]) : -1;
            int low = i + 2 < text.size ? hex(text.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return SPAN_NONE;
            c = (char)(high * 16 + low);
            i += 2;
        }
        to[size++] = c == '+' && text.at[i] == '+' ? ' ' : c;
    }
    out.size = size;
    return out;
}

struct span web_form_value(struct arena *arena, struct span form, struct span name)
{
    while (form.size > 0) {
        size_t end = span_find_byte(form, '&');
        struct span pair = span_slice(form, 0, end);
        size_t equals = span_find_byte(pair, '=');

        if (equals < pair.size && span_equal(span_slice(pair, 0, equals), name))
            return decode(arena, span_from(pair, equals + 1));
        form = span_from(form, end < form.size ? end + 1 : end);
    }
    return SPAN_NONE;
}

/* ---- life ---- */

struct web *web_new(struct loop *loop, const struct web_events *events, void *owner)
{
    struct web *web = calloc(1, sizeof *web);

    if (!web)
        abort(); // out of memory; the master starts another
    web->loop = loop;
    web->events = events;
    web->owner = owner;
    return web;
}

void web_free(struct web **web)
{
    struct web *old = *web;

    *web = NULL;
    if (!old)
        return;
    while (old->callers)
        end(old->callers);
    loop_dig(old->loop);
    free(old);
}

void web_take(struct web *web, int fd)
{
    struct caller *caller;

    if (web->count == WEB_CALLERS) {
        close(fd);
        return;
    }
    caller = calloc(1, sizeof *caller);
    if (!caller)
        abort(); // out of memory; the master starts another
    caller->web = web;
    caller->parser = http1_new(SIDE_BROWSER, &request_events, caller);
    caller->out.limit_bytes = WEB_ANSWER_BYTES + 64 * 1024;
    arena_init(&caller->arena, WEB_ARENA_BYTES);
    caller->next = web->callers;
    caller->link = &web->callers;
    if (caller->next)
        caller->next->link = &caller->next;
    web->callers = caller;
    web->count++;
    loop_timer_init(&caller->timer, web->loop, on_late, caller);
    stream_init_tcp(&caller->stream, web->loop, fd, &stream_events, caller);
    await_request(caller);
    stream_want(&caller->stream, STREAM_READ);
}
