/*
 * http1_trace.h - what http1 told about some bytes, as text, for its unit tests and fuzz target.
 *
 * `brief` is for the rows of a table: framing and flags of each message, its body, how it ended;
 * `full` has everything that the events and the message say, so that two ways of cutting the same
 * bytes can be compared.
 */
#ifndef DEJUNK_TESTS_HTTP1_TRACE_H
#define DEJUNK_TESTS_HTTP1_TRACE_H

#include <inttypes.h>
#include <stdlib.h>

#include "http/http1.h"

struct trace {
    enum phases_side side;
    enum method answers;
    bool pauses;                             // after every event, as the owner that is slow
    void (*on_message)(struct trace *trace); // may be NULL; when one is complete, body with it
    struct http1 *parser;
    struct arena arena;
    struct message message;
    struct buffer brief, full, body;
    struct buffer written; // what http1_write made of all that was accepted
    size_t messages;
    bool failed;
};

static inline void trace_event(struct trace *trace, const char *name)
{
    buffer_printf(&trace->full, "%s\n", name);
    if (trace->pauses)
        http1_pause(trace->parser);
}

static inline void trace_on_started(void *owner)
{
    trace_event(owner, "started");
}

static inline void trace_head(struct trace *trace)
{
    const struct message *m = &trace->message;

    if (m->is_request)
        buffer_printf(&trace->full, "%.*s|%d|%.*s|%d|1.%d\n", SPAN_PRINT(m->method_name), m->method,
                      SPAN_PRINT(m->target), m->target_form, m->version_minor);
    else
        buffer_printf(&trace->full, "%u|%.*s|1.%d\n", m->status, SPAN_PRINT(m->reason),
                      m->version_minor);
}

static inline void trace_on_first_line(void *owner)
{
    trace_head(owner);
    trace_event(owner, "first line");
}

static inline void trace_fields(struct trace *trace, const struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buffer_printf(&trace->full, "%d|%.*s|%.*s|%d\n", fields[i].id, SPAN_PRINT(fields[i].name),
                      SPAN_PRINT(fields[i].value), fields[i].is_dropped);
}

static inline void trace_on_interim(void *owner)
{
    struct trace *trace = owner;

    trace_fields(trace, trace->message.fields, trace->message.field_count);
    buffer_printf(&trace->brief, "%u ", trace->message.status);
    trace_event(trace, "interim");
}

static inline void trace_on_headers_finished(void *owner)
{
    static const char *const framings[] = { "none", "length", "chunked", "until-close" };
    struct trace *trace = owner;
    const struct message *m = &trace->message;
    struct buffer *const outs[] = { &trace->brief, &trace->full };

    trace_fields(trace, m->fields, m->field_count);
    for (size_t i = 0; i < 2; i++) {
        buffer_printf(outs[i], "%s", framings[m->framing]);
        if (m->has_length)
            buffer_printf(outs[i], "=%" PRIu64, m->body_bytes);
        buffer_printf(outs[i], "%s%s%s%s ", m->keep_alive ? "" : ",close",
                      m->expects_continue ? ",continue" : "", m->is_upgrade ? ",upgrade" : "",
                      m->is_abnormal ? ",abnormal" : "");
    }
    trace_event(trace, "headers finished");
}

static inline void trace_on_body(void *owner, struct span bytes)
{
    struct trace *trace = owner;

    if (bytes.size == 0)
        abort(); // nothing happened, and we are told
    if (!buffer_append(&trace->body, bytes))
        abort();
    if (trace->pauses)
        http1_pause(trace->parser);
}

static inline void trace_body(struct trace *trace)
{
    if (trace->body.size) {
        buffer_append(&trace->brief, buffer_span(&trace->body));
        buffer_append(&trace->full, buffer_span(&trace->body));
        buffer_append(&trace->brief, SPAN(" "));
    }
    trace->body.size = 0;
}

static inline void trace_on_finished(void *owner)
{
    struct trace *trace = owner;

    if (trace->on_message)
        trace->on_message(trace);
    trace_body(trace);
    for (size_t i = 0; i < trace->message.trailer_count; i++)
        buffer_printf(&trace->brief, "trailer:%.*s ", SPAN_PRINT(trace->message.trailers[i].name));
    trace_fields(trace, trace->message.trailers, trace->message.trailer_count);
    buffer_append(&trace->brief, SPAN("end "));
    buffer_printf(&trace->full, "keep=%d,abnormal=%d ", trace->message.keep_alive,
                  trace->message.is_abnormal);
    trace->messages++;
    trace_event(trace, "finished");
}

static inline void trace_on_error(void *owner, const struct error *error, unsigned status)
{
    struct trace *trace = owner;

    if (trace->failed)
        abort(); // at most once
    trace->failed = true;
    trace_body(trace);
    buffer_printf(&trace->brief, "%s:%u ", error_kind_name(error->kind), status);
    buffer_printf(&trace->full, "%d %u %s\n", error->kind, status, error->text);
    trace_event(trace, "error");
}

static const struct phases_events trace_events = {
    .on_started = trace_on_started,
    .on_first_line = trace_on_first_line,
    .on_interim = trace_on_interim,
    .on_headers_finished = trace_on_headers_finished,
    .on_body = trace_on_body,
    .on_finished = trace_on_finished,
    .on_error = trace_on_error,
};

static inline void trace_open(struct trace *trace, enum phases_side side, enum method answers)
{
    const size_t limit = 16 << 20;

    *trace = (struct trace){ .side = side, .answers = answers };
    trace->brief.limit_bytes = trace->full.limit_bytes = trace->body.limit_bytes = limit;
    trace->written.limit_bytes = limit;
    trace->parser = http1_new(side, &trace_events, trace);
    arena_init(&trace->arena, 4 << 20);
    message_init(&trace->message, &trace->arena, side == SIDE_BROWSER);
    http1_begin(trace->parser, &trace->message, answers);
}

static inline void trace_close(struct trace *trace)
{
    http1_free(&trace->parser);
    arena_done(&trace->arena);
    buffer_release(&trace->brief);
    buffer_release(&trace->full);
    buffer_release(&trace->body);
    buffer_release(&trace->written);
}

/* The next message on the same connection, where the last one allows it. */
static inline bool trace_next(struct trace *trace)
{
    const struct message *m = &trace->message;

    if (http1_phase(trace->parser) != PHASE_FINISHED || !m->keep_alive || m->is_upgrade ||
        m->method == METHOD_CONNECT)
        return false;
    arena_reset(&trace->arena);
    message_init(&trace->message, &trace->arena, trace->side == SIDE_BROWSER);
    http1_begin(trace->parser, &trace->message, trace->answers);
    return true;
}

/* Feeds one piece; says what is left over when nothing more is taken. */
static inline struct span trace_feed(struct trace *trace, struct span bytes)
{
    for (;;) {
        size_t eaten = http1_feed(trace->parser, bytes);

        if (eaten > bytes.size)
            abort();
        bytes = span_from(bytes, eaten);
        http1_resume(trace->parser);
        if (bytes.size == 0)
            return bytes;
        if (http1_phase(trace->parser) == PHASE_FAILED)
            return bytes;
        if (http1_phase(trace->parser) == PHASE_FINISHED && !trace_next(trace))
            return bytes;
        if (eaten == 0 && !trace->pauses && http1_phase(trace->parser) != PHASE_FIRST_LINE)
            abort(); // stuck
    }
}

/* Feeds all in pieces of 1 to `piece` bytes (0: whole), sized by `seed`; then ends it if asked. */
static inline void trace_run(struct trace *trace, struct span bytes, size_t piece, unsigned seed,
                             bool then_end)
{
    while (bytes.size) {
        size_t size = piece ? 1 + (seed >> 16) % piece : bytes.size;
        char *copy;
        struct span left;

        if (size > bytes.size)
            size = bytes.size;
        copy = malloc(size); // of its own size, so that a read beyond it is seen
        if (!copy)
            abort();
        memcpy(copy, bytes.at, size);
        left = trace_feed(trace, span_of(copy, size));
        free(copy);
        if (left.size)
            break;
        bytes = span_from(bytes, size);
        seed = seed * 1103515245 + 12345;
    }
    if (then_end)
        http1_end(trace->parser);
    trace_body(trace);
    while (trace->brief.size && trace->brief.at[trace->brief.size - 1] == ' ')
        trace->brief.size--;
}

#endif
