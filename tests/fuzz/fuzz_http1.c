/*
 * The HTTP/1 machine, both sides. What must hold for all bytes:
 *   - the events are the same however the bytes are cut, paused or not;
 *   - what http1_write makes of an accepted message is canonical by a plain reading of its lines,
 *     is accepted again as the same message with the same body, and is written again as the same
 *     bytes;
 *   - llhttp alone, strict, finds the same body in it.
 * The first byte says the side and the method answered, the second how to cut.
 */
#include <llhttp.h>
#include <stdio.h>

#include "../http1_trace.h"
#include "http/target.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- a plain reading of what was written ---- */

static bool line_is(struct span line, const char *name)
{
    return span_starts_nocase(line, span_text(name)) && line.size > strlen(name) &&
           line.at[strlen(name)] == ':';
}

static void check_canonical(struct span head, bool is_request)
{
    size_t hosts = 0, framings = 0;
    bool is_first = true;

    for (;;) {
        size_t end = span_find(head, SPAN("\r\n"));
        struct span line;

        CHECK(end < head.size);
        line = span_slice(head, 0, end);
        head = span_from(head, end + 2);
        if (line.size == 0)
            break;
        for (size_t i = 0; i < line.size; i++)
            CHECK((unsigned char)line.at[i] >= ' ' || line.at[i] == '\t');
        CHECK(line.at[0] != ' ' && line.at[0] != '\t' && line.at[0] != ':');
        if (!is_first) {
            CHECK(span_find_byte(line, ':') < line.size);
            CHECK(span_find_byte(span_slice(line, 0, span_find_byte(line, ':')), ' ') ==
                  span_find_byte(line, ':'));
        }
        is_first = false;
        hosts += line_is(line, "Host");
        framings += line_is(line, "Content-Length") + line_is(line, "Transfer-Encoding");
        CHECK(!line_is(line, "Keep-Alive") && !line_is(line, "Proxy-Connection"));
    }
    CHECK(head.size == 0);
    CHECK(!is_request || hosts == 1);
    CHECK(framings <= 1);
}

/* ---- writing and reading again ---- */

static void write_head(struct trace *trace, struct span target, struct span host)
{
    struct http1_request_line line = { target, host, !trace->message.keep_alive };
    size_t before = trace->written.size;

    CHECK(trace->side == SIDE_BROWSER
              ? http1_write_request(&trace->written, &trace->message, &line)
              : http1_write_response(&trace->written, &trace->message, trace->answers,
                                     !trace->message.keep_alive));
    check_canonical(span_from(buffer_span(&trace->written), before), trace->side == SIDE_BROWSER);
}

static void write_body(struct trace *trace)
{
    char head[HTTP1_CHUNK_HEAD_BYTES];

    if (trace->message.framing == FRAMING_CHUNKED) {
        if (trace->body.size) {
            buffer_append(&trace->written, span_of(head, http1_chunk_head(head, trace->body.size)));
            buffer_append(&trace->written, buffer_span(&trace->body));
            buffer_append(&trace->written, SPAN("\r\n"));
        }
        CHECK(http1_write_last_chunk(&trace->written, &trace->message));
    } else {
        buffer_append(&trace->written, buffer_span(&trace->body));
    }
}

/* What it wants as target and Host; false when the proxy would answer 400. */
static bool find_target(const struct trace *trace, struct span *path, struct span *host)
{
    struct target target;

    *path = *host = SPAN("");
    if (trace->side == SIDE_OUTGOING)
        return true;
    if (target_split(&target, &trace->message, NULL) != ERROR_NONE)
        return false;
    *path = trace->message.method == METHOD_CONNECT ? target.authority : target.path_and_query;
    *host = target.authority;
    return true;
}

static void write_again(struct trace *trace)
{
    struct span target, host;

    CHECK(find_target(trace, &target, &host));
    message_drop_hop_by_hop(&trace->message);
    write_head(trace, target, host);
    write_body(trace);
}

static void check_reads_the_same(const struct trace *first)
{
    struct trace second;

    trace_open(&second, first->side, first->answers);
    second.on_message = write_again;
    trace_run(&second, buffer_span(&first->written), 0, 0, true);
    CHECK(!second.failed && second.messages == 1);
    CHECK(second.message.method == first->message.method);
    CHECK(span_equal(second.message.method_name, first->message.method_name));
    CHECK(second.message.status == first->message.status);
    CHECK(second.message.framing == first->message.framing);
    CHECK(second.message.body_bytes == first->message.body_bytes);
    CHECK(second.message.trailer_count == first->message.trailer_count);
    CHECK(second.message.expects_continue == first->message.expects_continue);
    CHECK(second.message.is_upgrade == first->message.is_upgrade);
    CHECK(second.message.keep_alive == first->message.keep_alive);
    CHECK(!second.message.is_abnormal || first->message.status == 205);
    CHECK(span_equal(buffer_span(&second.written), buffer_span(&first->written)));
    trace_close(&second);
}

/* ---- llhttp alone ---- */

struct reading {
    struct buffer body;
    const struct trace *trace;
    bool is_complete;
};

static int on_llhttp_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct reading *reading = llhttp->data;
    return buffer_append(&reading->body, span_of(at, size)) ? 0 : -1;
}

static int on_llhttp_head(llhttp_t *llhttp)
{
    const struct reading *reading = llhttp->data;
    const struct trace *trace = reading->trace;

    if (trace->side == SIDE_OUTGOING && trace->answers == METHOD_HEAD)
        return 1;
    return trace->message.framing == FRAMING_NONE && trace->side == SIDE_OUTGOING ? 1 : 0;
}

static int on_llhttp_complete(llhttp_t *llhttp)
{
    struct reading *reading = llhttp->data;
    reading->is_complete = true;
    return 0;
}

/* With a method and a target that it knows: of those it refuses some that are legal. */
static void check_llhttp_reads_the_same(const struct trace *first)
{
    static const llhttp_settings_t settings = {
        .on_headers_complete = on_llhttp_head,
        .on_body = on_llhttp_body,
        .on_message_complete = on_llhttp_complete,
    };
    struct trace copy = *first;
    struct reading reading = { .body.limit_bytes = 16 << 20, .trace = first };
    llhttp_t llhttp;
    llhttp_errno_t outcome;

    if (first->message.method == METHOD_CONNECT || first->message.is_upgrade)
        return;
    copy.written = (struct buffer){ .limit_bytes = 16 << 20 };
    copy.message.method_name = SPAN("POST");
    copy.message.reason = SPAN("OK");
    write_head(&copy, SPAN("/t"), SPAN("host"));
    write_body(&copy);
    llhttp_init(&llhttp, first->side == SIDE_BROWSER ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    llhttp.data = &reading;
    outcome = llhttp_execute(&llhttp, copy.written.at, copy.written.size);
    if (outcome == HPE_OK && first->message.framing == FRAMING_UNTIL_CLOSE)
        outcome = llhttp_finish(&llhttp);
    CHECK(outcome == HPE_OK || outcome == HPE_PAUSED_UPGRADE);
    CHECK(reading.is_complete);
    CHECK(span_equal(buffer_span(&reading.body), buffer_span(&first->body)));
    buffer_release(&reading.body);
    buffer_release(&copy.written);
}

static void check_message(struct trace *trace)
{
    struct span target, host;
    struct message kept = trace->message;

    if (!find_target(trace, &target, &host))
        return;
    trace->written.size = 0;
    message_drop_hop_by_hop(&trace->message);
    write_head(trace, target, host);
    write_body(trace);
    check_reads_the_same(trace);
    check_llhttp_reads_the_same(trace);
    // the trace goes on with the message as it was
    trace->message.is_upgrade = kept.is_upgrade;
    trace->message.field_count = kept.field_count;
}

/* ---- all ways to cut ---- */

static void check_cut(const struct trace *whole, struct span bytes, size_t piece, unsigned seed)
{
    struct trace cut;

    trace_open(&cut, whole->side, whole->answers);
    cut.pauses = seed & 1;
    trace_run(&cut, bytes, piece, seed, true);
    CHECK(span_equal(buffer_span(&cut.full), buffer_span(&whole->full)));
    trace_close(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span input;
    struct trace whole;
    enum method answers;
    unsigned seed;

    if (size < 2)
        return 0;
    input = span_of((const char *)bytes + 2, size - 2);
    answers = bytes[0] & 2 ? METHOD_HEAD : bytes[0] & 4 ? METHOD_CONNECT : METHOD_GET;
    seed = bytes[1];
    trace_open(&whole, bytes[0] & 1 ? SIDE_OUTGOING : SIDE_BROWSER, answers);
    whole.on_message = check_message;
    trace_run(&whole, input, 0, 0, true);
    check_cut(&whole, input, 1, seed);
    check_cut(&whole, input, 2 + seed, seed * 2654435761u);
    trace_close(&whole);
    return 0;
}
