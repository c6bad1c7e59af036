#include "http/http1.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/chunk.h"
#include "http/first_line.h"
#include "http/framing.h"
#include "http/octets.h"

enum { EMPTY_LINES = 4 }; // before a request

/* Where in a body we are. RAW is a body with a length or until close, which llhttp never sees. */
enum body_step { BODY_RAW, CHUNK_LINE, CHUNK_DATA, CHUNK_END, TRAILERS };

struct http1 {
    const struct phases_events *events;
    void *owner;             // borrowed; outlives the parser
    struct message *message; // borrowed from http1_begin() on
    struct buffer line;      // the beginning of a line whose end has not come
    uint64_t raw_left_bytes; // RAW_MODE: until the next line; UINT64_MAX: until close
    uint32_t head_bytes;     // lines of this head, or of the trailers
    uint32_t field_count;    // the same
    uint16_t llhttp_flags;   // what it saw in the head
    uint8_t interim_count;
    uint8_t empty_line_count;
    uint8_t side;      // enum phases_side
    uint8_t phase;     // enum phase; written by enter() alone
    uint8_t mode;      // enum phase_mode
    uint8_t body_step; // enum body_step
    uint8_t answers;   // enum method, of the request that a response belongs to
    bool was_started;
    bool is_paused;
    bool is_abnormal; // an interim response was
    bool llhttp_is_complete;
    llhttp_t llhttp;
};

static void enter(struct http1 *parser, enum phase next)
{
    assert(phase_may_follow((enum phase)parser->phase, next));
    log_debug("%s: %s -> %s", parser->side == SIDE_BROWSER ? "browser" : "outgoing",
              phase_name((enum phase)parser->phase), phase_name(next));
    parser->phase = (uint8_t)next;
}

static void line_mode(struct http1 *parser, enum body_step step)
{
    parser->mode = LINE_MODE;
    parser->body_step = (uint8_t)step;
}

static void raw_mode(struct http1 *parser, enum body_step step, uint64_t bytes)
{
    parser->mode = RAW_MODE;
    parser->body_step = (uint8_t)step;
    parser->raw_left_bytes = bytes;
}

/* Ends it all; `status` is for browsers, origins' errors are all a 502. */
static void fail(struct http1 *parser, enum error_kind kind, unsigned status, const char *text)
{
    struct error error;

    error_set(&error, kind, "%s: %s", parser->side == SIDE_BROWSER ? "request" : "response", text);
    enter(parser, PHASE_FAILED);
    buffer_release(&parser->line);
    parser->events->on_error(parser->owner, &error, parser->side == SIDE_BROWSER ? status : 502);
}

static void fail_syntax(struct http1 *parser, const char *text)
{
    fail(parser, ERROR_SYNTAX, 400, text);
}

static void fail_because(struct http1 *parser, const struct refusal *why)
{
    fail(parser, why->kind, why->status, why->text);
}

static void fail_arena(struct http1 *parser)
{
    fail(parser, ERROR_LIMIT, 431, "the head is larger than its exchange may be");
}

static void finish(struct http1 *parser)
{
    enter(parser, PHASE_FINISHED);
    buffer_release(&parser->line);
    parser->events->on_finished(parser->owner);
}

/* ---- lines ---- */

enum line_state { LINE_MORE, LINE_WHOLE, LINE_LONG };

/* Eats up to the end of the line. *line is what there is of it, with its line end: in `in` where
 * the line is whole there, else in the parser's buffer, good until the next call. LINE_LONG as
 * soon as more than limit bytes and a line end have come. */
static enum line_state take_line(struct http1 *parser, struct span *in, size_t limit,
                                 struct span *line)
{
    size_t window, look, size;
    const char *end;

    assert(parser->line.size < limit + 2);
    window = limit + 2 - parser->line.size;
    look = in->size < window ? in->size : window;
    end = memchr(in->at, '\n', look);
    size = end ? (size_t)(end - in->at) + 1 : look;
    *line = span_slice(*in, 0, size);
    *in = span_from(*in, size);
    if (parser->line.size || !end) {
        buffer_append(&parser->line, *line);
        *line = buffer_span(&parser->line);
    }
    if (end) {
        parser->line.size = 0;
        return LINE_WHOLE;
    }
    return size == window ? LINE_LONG : LINE_MORE;
}

/* Takes CRLF off; false for a bare LF. */
static bool cut_line_end(struct span *line)
{
    if (line->size < 2 || line->at[line->size - 2] != '\r')
        return false;
    line->size -= 2;
    return true;
}

/* ---- first line ---- */

/* An empty line, or what may become one. */
static bool is_empty_line(struct span line)
{
    return line.at[0] == '\r' && (line.size == 1 || (line.size == 2 && line.at[1] == '\n'));
}

static void eat_first_line(struct http1 *parser, struct span *in)
{
    struct refusal why;
    struct span line;
    enum line_state state = take_line(parser, in, HTTP1_FIRST_LINE_BYTES, &line);

    if (parser->side == SIDE_BROWSER && is_empty_line(line)) { // RFC 9112 section 2.2
        if (state == LINE_WHOLE && ++parser->empty_line_count > EMPTY_LINES)
            fail_syntax(parser, "empty lines without end");
        return;
    }
    if (!parser->was_started) {
        parser->was_started = true;
        if (parser->events->on_started)
            parser->events->on_started(parser->owner);
        if (parser->phase == PHASE_FAILED)
            return;
    }
    if (!first_line_may_begin(line, parser->message->is_request)) {
        fail_syntax(parser, "this is not HTTP/1");
        return;
    }
    if (state == LINE_LONG) {
        fail(parser, ERROR_LIMIT, 414, "the first line is too long");
        return;
    }
    if (state == LINE_MORE)
        return;
    if (!cut_line_end(&line)) {
        fail_syntax(parser, "the first line ends without CR");
        return;
    }
    line = arena_copy(parser->message->arena, line);
    if (!line.at) {
        fail_arena(parser);
        return;
    }
    if (!first_line_parse(parser->message, line, &why)) {
        fail_because(parser, &why);
        return;
    }
    enter(parser, PHASE_HEADERS);
    if (parser->events->on_first_line)
        parser->events->on_first_line(parser->owner);
}

/* ---- fields ---- */

struct head_limits {
    size_t line_bytes, head_bytes, fields;
};

static struct head_limits limits_of(const struct http1 *parser)
{
    if (parser->phase == PHASE_BODY)
        return (struct head_limits){ HTTP1_TRAILER_BYTES, HTTP1_TRAILER_BYTES,
                                     HTTP1_REQUEST_FIELDS };
    if (parser->side == SIDE_BROWSER)
        return (struct head_limits){ HTTP1_FIELD_BYTES, HTTP1_REQUEST_HEAD_BYTES,
                                     HTTP1_REQUEST_FIELDS };
    return (struct head_limits){ HTTP1_RESPONSE_HEAD_BYTES, HTTP1_RESPONSE_HEAD_BYTES,
                                 HTTP1_RESPONSE_FIELDS };
}

/* Takes a header or trailer line and checks what can be checked of it alone. True when it is
 * there and good, in the arena; name and value are set, or the line is empty: the end. */
static bool take_field(struct http1 *parser, struct span *in, struct field *field)
{
    struct head_limits limits = limits_of(parser);
    size_t left = limits.head_bytes - parser->head_bytes, colon;
    struct span line;
    enum line_state state =
        take_line(parser, in, left < limits.line_bytes ? left : limits.line_bytes, &line);

    if (state == LINE_MORE)
        return false;
    if (state == LINE_LONG) {
        fail(parser, ERROR_LIMIT, 431, "a header line, or all of them, are too long");
        return false;
    }
    if (!cut_line_end(&line)) {
        fail_syntax(parser, "a header line ends without CR");
        return false;
    }
    *field = (struct field){ .name = SPAN_NONE, .value = SPAN_NONE };
    if (line.size == 0)
        return true;
    parser->head_bytes += (uint32_t)line.size;
    if (++parser->field_count > limits.fields) {
        fail(parser, ERROR_LIMIT, 431, "too many header lines");
        return false;
    }
    colon = octets_run(line, OCTET_TOKEN);
    if (colon == 0 || colon == line.size || line.at[colon] != ':') {
        fail_syntax(parser, line.at[0] == ' ' || line.at[0] == '\t'
                                ? "a folded header line"
                                : "a header line without a proper name and colon");
        return false;
    }
    if (!octets_are_text(span_from(line, colon + 1))) {
        fail_syntax(parser, "a control in a header line");
        return false;
    }
    line = arena_copy(parser->message->arena, line);
    if (!line.at) {
        fail_arena(parser);
        return false;
    }
    field->name = span_slice(line, 0, colon);
    field->value = span_trim(span_from(line, colon + 1));
    field->id = field_id_of(field->name);
    return true;
}

/* ---- llhttp ---- */

static int on_llhttp_head(llhttp_t *llhttp)
{
    struct http1 *parser = llhttp->data;

    parser->llhttp_flags = llhttp->flags;
    // 2: what follows is not for it; its framing and ours are compared by the caller
    return parser->message->framing == FRAMING_CHUNKED ? 0 : 2;
}

static int on_llhttp_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http1 *parser = llhttp->data;

    parser->events->on_body(parser->owner, span_of(at, size));
    return 0;
}

static int on_llhttp_complete(llhttp_t *llhttp)
{
    struct http1 *parser = llhttp->data;

    parser->llhttp_is_complete = true;
    return 0;
}

static const llhttp_settings_t llhttp_settings = {
    .on_headers_complete = on_llhttp_head,
    .on_body = on_llhttp_body,
    .on_message_complete = on_llhttp_complete,
};

/* Hands llhttp a head of the same framing meaning: a first line that it knows, and the framing
 * field as it came. It must see in it what we saw; it then decodes the chunks. The other fields
 * would tell it nothing about framing, and cost as much again as all our own checks. */
static bool llhttp_agrees(struct http1 *parser, const struct framing_declared *declared)
{
    enum { VALUE_BYTES = 32 };
    bool is_request = parser->message->is_request, is_chunked;
    char head[128], *at = head;
    unsigned wanted = 0;
    llhttp_errno_t outcome;

    if (declared->length_text.size > VALUE_BYTES || declared->coding_text.size > VALUE_BYTES)
        return false;
    at = span_put(at, is_request ? SPAN("POST / HTTP/1.1\r\n") : SPAN("HTTP/1.1 200 OK\r\n"));
    if (declared->has_length) {
        at = span_put(at, SPAN("Content-Length: "));
        at = span_put(at, declared->length_text);
        at = span_put(at, SPAN("\r\n"));
        wanted |= F_CONTENT_LENGTH;
    } else if (declared->has_coding) {
        at = span_put(at, SPAN("Transfer-Encoding: "));
        at = span_put(at, declared->coding_text);
        at = span_put(at, SPAN("\r\n"));
        wanted |= F_TRANSFER_ENCODING | (declared->is_chunked ? F_CHUNKED : 0);
    }
    at = span_put(at, SPAN("\r\n"));

    llhttp_init(&parser->llhttp, is_request ? HTTP_REQUEST : HTTP_RESPONSE, &llhttp_settings);
    parser->llhttp.data = parser;
    parser->llhttp_flags = 0;
    outcome = llhttp_execute(&parser->llhttp, head, (size_t)(at - head));
    is_chunked = parser->message->framing == FRAMING_CHUNKED;
    return outcome == (is_chunked ? HPE_OK : HPE_PAUSED_UPGRADE) &&
           (parser->llhttp_flags & (F_CONTENT_LENGTH | F_TRANSFER_ENCODING | F_CHUNKED)) ==
               wanted &&
           (!declared->has_length || parser->llhttp.content_length == declared->length);
}

/* ---- the end of the head ---- */

/* The same message for the next response to the same request. */
static void begin_again(struct http1 *parser)
{
    struct message *message = parser->message;
    struct field *fields = message->fields;
    size_t capacity = message->field_capacity;

    parser->is_abnormal = message->is_abnormal;
    message_init(message, message->arena, false);
    message->fields = fields;
    message->field_capacity = capacity;
    parser->field_count = 0; // but not head_bytes: the limit is for all of them
    enter(parser, PHASE_FIRST_LINE);
}

static void finish_interim(struct http1 *parser)
{
    if (++parser->interim_count > HTTP1_INTERIM_RESPONSES) {
        fail(parser, ERROR_LIMIT, 502, "too many interim responses");
        return;
    }
    if (parser->events->on_interim)
        parser->events->on_interim(parser->owner);
    if (parser->phase == PHASE_HEADERS)
        begin_again(parser);
}

static void finish_head(struct http1 *parser)
{
    struct message *message = parser->message;
    struct framing_declared declared;
    struct refusal why;

    if (!framing_decide(message, (enum method)parser->answers, &declared, &why)) {
        fail_because(parser, &why);
        return;
    }
    if (parser->is_abnormal) { // an interim response was
        message->is_abnormal = true;
        message->keep_alive = false;
    }
    if (!llhttp_agrees(parser, &declared)) {
        fail_syntax(parser, "the framing can be read in two ways");
        return;
    }
    buffer_release(&parser->line);
    if (!message->is_request && message->status < 200 && message->status != 101) {
        finish_interim(parser);
        return;
    }
    switch (message->framing) {
    case FRAMING_NONE:
        parser->events->on_headers_finished(parser->owner);
        if (parser->phase == PHASE_HEADERS)
            finish(parser);
        return;
    case FRAMING_LENGTH:
        raw_mode(parser, BODY_RAW, message->body_bytes);
        break;
    case FRAMING_UNTIL_CLOSE:
        raw_mode(parser, BODY_RAW, UINT64_MAX);
        break;
    case FRAMING_CHUNKED:
        line_mode(parser, CHUNK_LINE);
        break;
    }
    enter(parser, PHASE_BODY);
    parser->events->on_headers_finished(parser->owner);
}

static void eat_header(struct http1 *parser, struct span *in)
{
    struct field field;

    if (!take_field(parser, in, &field))
        return;
    if (!field.name.at)
        finish_head(parser);
    else if (!message_add_parsed(parser->message, field))
        fail_arena(parser);
}

/* ---- bodies ---- */

static bool feed_llhttp(struct http1 *parser, struct span bytes)
{
    if (llhttp_execute(&parser->llhttp, bytes.at, bytes.size) == HPE_OK)
        return true;
    if (parser->phase == PHASE_BODY)
        fail_syntax(parser, "the chunks can be read in two ways");
    return false;
}

static void eat_chunk_line(struct http1 *parser, struct span *in)
{
    char canonical[HTTP1_CHUNK_HEAD_BYTES];
    struct chunk_line chunk;
    struct refusal why;
    struct span line;
    enum line_state state = take_line(parser, in, HTTP1_CHUNK_LINE_BYTES, &line);

    if (state == LINE_MORE)
        return;
    if (state == LINE_LONG) {
        fail(parser, ERROR_LIMIT, 400, "a chunk's size line is too long");
        return;
    }
    if (!cut_line_end(&line)) {
        fail_syntax(parser, "a chunk's size line ends without CR");
        return;
    }
    if (!chunk_line_parse(&chunk, line, &why)) {
        fail_because(parser, &why);
        return;
    }
    if (chunk.has_blanks) {
        if (parser->side == SIDE_BROWSER) {
            fail_syntax(parser, "blanks behind a chunk's size");
            return;
        }
        parser->message->is_abnormal = true;
        parser->message->keep_alive = false;
    }
    if (!feed_llhttp(parser, span_of(canonical, http1_chunk_head(canonical, chunk.size))))
        return;
    if (chunk.size == 0) {
        parser->head_bytes = parser->field_count = 0;
        line_mode(parser, TRAILERS);
    } else if (parser->llhttp.content_length != chunk.size) {
        fail_syntax(parser, "the chunks can be read in two ways");
    } else {
        raw_mode(parser, CHUNK_DATA, chunk.size);
    }
}

static void eat_chunk_end(struct http1 *parser, struct span *in)
{
    struct span line;
    enum line_state state = take_line(parser, in, 0, &line);

    if (line.at[0] != '\r' || (line.size == 2 && line.at[1] != '\n')) {
        fail_syntax(parser, "a chunk is longer than its size");
        return;
    }
    if (state == LINE_WHOLE && feed_llhttp(parser, SPAN("\r\n")))
        line_mode(parser, CHUNK_LINE);
}

static void eat_trailer(struct http1 *parser, struct span *in)
{
    struct message *message = parser->message;
    struct field field;

    if (!take_field(parser, in, &field))
        return;
    if (!field.name.at) {
        parser->llhttp_is_complete = false;
        if (!feed_llhttp(parser, SPAN("\r\n")))
            return;
        if (!parser->llhttp_is_complete)
            fail_syntax(parser, "the chunks can be read in two ways");
        else
            finish(parser);
    } else if (field_may_be_trailer(field.id, field.name) &&
               !message_add_trailer(message, field.name, field.value)) {
        fail_arena(parser);
    }
}

static void eat_raw(struct http1 *parser, struct span *in)
{
    struct span piece = span_slice(
        *in, 0, in->size < parser->raw_left_bytes ? in->size : (size_t)parser->raw_left_bytes);

    *in = span_from(*in, piece.size);
    if (parser->raw_left_bytes != UINT64_MAX)
        parser->raw_left_bytes -= piece.size;
    if (parser->body_step == CHUNK_DATA) {
        if (feed_llhttp(parser, piece) && parser->raw_left_bytes == 0 &&
            parser->phase == PHASE_BODY)
            line_mode(parser, CHUNK_END);
        return;
    }
    parser->events->on_body(parser->owner, piece);
    if (parser->raw_left_bytes == 0 && parser->phase == PHASE_BODY)
        finish(parser);
}

static void eat_body(struct http1 *parser, struct span *in)
{
    if (parser->mode == RAW_MODE) {
        eat_raw(parser, in);
        return;
    }
    switch ((enum body_step)parser->body_step) {
    case CHUNK_LINE:
        eat_chunk_line(parser, in);
        break;
    case CHUNK_END:
        eat_chunk_end(parser, in);
        break;
    default:
        eat_trailer(parser, in);
    }
}

/* ---- for the owner ---- */

struct http1 *http1_new(enum phases_side side, const struct phases_events *events, void *owner)
{
    struct http1 *parser = calloc(1, sizeof *parser);

    if (!parser)
        abort(); // out of memory ends the worker; the master starts another
    parser->side = (uint8_t)side;
    parser->events = events;
    parser->owner = owner;
    parser->phase = PHASE_FIRST_LINE;
    parser->line.limit_bytes = HTTP1_RESPONSE_HEAD_BYTES + 2;
    return parser;
}

void http1_free(struct http1 **parser)
{
    if (!*parser)
        return;
    buffer_release(&(*parser)->line);
    free(*parser);
    *parser = NULL;
}

void http1_begin(struct http1 *parser, struct message *message, enum method answers)
{
    assert(parser->phase == PHASE_FINISHED ||
           (parser->phase == PHASE_FIRST_LINE && !parser->was_started));
    if (parser->phase == PHASE_FINISHED)
        enter(parser, PHASE_FIRST_LINE);
    parser->message = message;
    parser->answers = (uint8_t)answers;
    parser->mode = LINE_MODE;
    parser->line.size = 0;
    parser->raw_left_bytes = 0;
    parser->head_bytes = parser->field_count = 0;
    parser->interim_count = parser->empty_line_count = 0;
    parser->was_started = parser->is_abnormal = false;
}

size_t http1_feed(struct http1 *parser, struct span bytes)
{
    /* Each eats some bytes, or all there are, or fails. */
    static void (*const steps[PHASES])(struct http1 *, struct span *) = {
        [PHASE_FIRST_LINE] = eat_first_line,
        [PHASE_HEADERS] = eat_header,
        [PHASE_BODY] = eat_body,
    };
    struct span left = bytes;

    assert(parser->message);
    while (left.size && !parser->is_paused && steps[parser->phase])
        steps[parser->phase](parser, &left);
    return bytes.size - left.size;
}

void http1_end(struct http1 *parser)
{
    switch ((enum phase)parser->phase) {
    case PHASE_FIRST_LINE:
        if (!parser->message || (parser->side == SIDE_BROWSER && !parser->was_started))
            return;
        break;
    case PHASE_BODY:
        // by what came, not by message->framing, which the owner may have changed for its peer
        if (http1_raw_left(parser) == UINT64_MAX) {
            finish(parser);
            return;
        }
        break;
    case PHASE_HEADERS:
        break;
    default:
        return;
    }
    fail(parser, ERROR_LOST, 400, "the connection was closed in the middle of it");
}

void http1_stop(struct http1 *parser)
{
    if (parser->phase == PHASE_FAILED)
        return;
    enter(parser, PHASE_FAILED);
    buffer_release(&parser->line);
}

void http1_pause(struct http1 *parser)
{
    parser->is_paused = true;
}

void http1_resume(struct http1 *parser)
{
    parser->is_paused = false;
}

enum phase http1_phase(const struct http1 *parser)
{
    return (enum phase)parser->phase;
}

uint64_t http1_raw_left(const struct http1 *parser)
{
    return parser->phase == PHASE_BODY && parser->body_step == BODY_RAW ? parser->raw_left_bytes
                                                                        : 0;
}

void http1_skip(struct http1 *parser, uint64_t bytes)
{
    assert(bytes <= http1_raw_left(parser));
    if (parser->raw_left_bytes == UINT64_MAX || bytes == 0)
        return;
    parser->raw_left_bytes -= bytes;
    if (parser->raw_left_bytes == 0)
        finish(parser);
}
