#include "http/http1.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>

#include "http/octets.h"
#include "http/target.h"

/* Bodies of more bytes than this are a wish to overflow somebody's counter. */
static const uint64_t body_limit_bytes = INT64_MAX;

enum { METHOD_BYTES = 64, EMPTY_LINES = 4 };

/* Where in a body we are. RAW is a body with a length or until close, which llhttp never sees. */
enum body_step { BODY_RAW, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILERS };

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
    parser->events->on_error(parser->owner, &error,
                             parser->side == SIDE_BROWSER ? status : 502);
}

static void fail_syntax(struct http1 *parser, const char *text)
{
    fail(parser, ERROR_SYNTAX, 400, text);
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

/* ---- lines -------------------------------------------------------------------------------- */

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

/* ---- first line --------------------------------------------------------------------------- */

/* Whether it is HTTP/1.x: what others speak (TLS, SOCKS, SMTP, HTTP/2) is known by its first
 * bytes, without waiting for a line end that may not come. */
static bool begins_well(const struct http1 *parser, struct span line)
{
    static const char version[] = "HTTP/1.";

    if (parser->side == SIDE_BROWSER)
        return octet_is(line.at[0], OCTET_TOKEN);
    return memcmp(line.at, version, line.size < 7 ? line.size : 7) == 0;
}

static bool set_target_form(struct message *message)
{
    struct span target = message->target;

    if (message->method == METHOD_CONNECT) {
        message->target_form = TARGET_AUTHORITY;
        return true;
    }
    if (target.at[0] == '/') {
        message->target_form = TARGET_ORIGIN;
        return true;
    }
    if (span_equal(target, SPAN("*"))) {
        message->target_form = TARGET_ASTERISK;
        return message->method == METHOD_OPTIONS;
    }
    message->target_form = TARGET_ABSOLUTE;
    return octet_is(target.at[0], OCTET_ALPHA) && span_find(target, SPAN("://")) < target.size;
}

static bool parse_version(struct http1 *parser, struct span text)
{
    if (text.size != 8 || memcmp(text.at, "HTTP/", 5) != 0 || !octet_is(text.at[5], OCTET_DIGIT) ||
        text.at[6] != '.' || !octet_is(text.at[7], OCTET_DIGIT)) {
        fail_syntax(parser, "the first line does not end in HTTP/1.1");
        return false;
    }
    if (text.at[5] != '1') {
        fail(parser, ERROR_UNSUPPORTED, 505, "not HTTP/1.x");
        return false;
    }
    parser->message->version_minor = text.at[7] > '0';
    return true;
}

/* method SP target SP HTTP/1.x, nothing else between them (RFC 9112 section 3). */
static bool parse_request_line(struct http1 *parser, struct span line)
{
    struct message *message = parser->message;
    size_t blank = span_find_byte(line, ' ');
    const char *last = memrchr(line.at, ' ', line.size);

    message->method_name = span_slice(line, 0, blank);
    if (!octets_are(message->method_name, OCTET_TOKEN)) {
        fail_syntax(parser, "the method is not a token");
        return false;
    }
    if (blank > METHOD_BYTES) {
        fail(parser, ERROR_LIMIT, 501, "the method is too long");
        return false;
    }
    if (blank == line.size || last == line.at + blank) {
        fail_syntax(parser, "the first line does not end in HTTP/1.1");
        return false;
    }
    message->method = method_of(message->method_name);
    message->target = span_of(line.at + blank + 1, (size_t)(last - line.at) - blank - 1);
    if (!parse_version(parser, span_of(last + 1, (size_t)(line.at + line.size - last) - 1)))
        return false;
    if (!octets_are(message->target, OCTET_TARGET) || !set_target_form(message)) {
        fail_syntax(parser, "the target is not one");
        return false;
    }
    return true;
}

/* HTTP/1.x SP 3DIGIT [SP reason] (RFC 9112 section 4; servers leave the second blank out). */
static bool parse_status_line(struct http1 *parser, struct span line)
{
    struct message *message = parser->message;

    if (line.size < 12 || line.at[8] != ' ' || !octet_is(line.at[9], OCTET_DIGIT) ||
        !octet_is(line.at[10], OCTET_DIGIT) || !octet_is(line.at[11], OCTET_DIGIT) ||
        line.at[9] == '0' || (line.size > 12 && line.at[12] != ' ')) {
        fail_syntax(parser, "the status line is malformed");
        return false;
    }
    if (!parse_version(parser, span_slice(line, 0, 8)))
        return false;
    message->status = (unsigned)(line.at[9] - '0') * 100 + (unsigned)(line.at[10] - '0') * 10 +
                      (unsigned)(line.at[11] - '0');
    message->reason = line.size > 13 ? span_from(line, 13) : SPAN("");
    if (!octets_are_text(message->reason)) {
        fail_syntax(parser, "a control in the reason phrase");
        return false;
    }
    return true;
}

/* An empty line, or what may become one. */
static bool is_empty_line(struct span line)
{
    return line.at[0] == '\r' && (line.size == 1 || (line.size == 2 && line.at[1] == '\n'));
}

static void eat_first_line(struct http1 *parser, struct span *in)
{
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
    if (!begins_well(parser, line)) {
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
    if (parser->side == SIDE_BROWSER ? !parse_request_line(parser, line)
                                     : !parse_status_line(parser, line))
        return;
    enter(parser, PHASE_HEADERS);
    if (parser->events->on_first_line)
        parser->events->on_first_line(parser->owner);
}

/* ---- fields ------------------------------------------------------------------------------- */

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

/* ---- framing ------------------------------------------------------------------------------ */

/* What the fields say about framing and the connection, before anybody decides. */
struct facts {
    size_t hosts, lengths, codings, upgrades, names; // how many of each
    struct span host, length, coding;                // the first of each
    bool lengths_differ;
    bool says_close, says_keep_alive, names_upgrade;
};

/* RFC 9110 section 8.6: a list, and several fields, may say the same number again and again. */
static void note_lengths(struct facts *facts, struct span list)
{
    for (bool more = true; more;) {
        size_t comma = span_find_byte(list, ',');
        struct span number = span_trim(span_slice(list, 0, comma));

        if (++facts->lengths == 1)
            facts->length = number;
        else if (!span_equal(number, facts->length))
            facts->lengths_differ = true;
        more = comma < list.size;
        list = span_from(list, comma + more);
    }
}

static void note_connection(struct facts *facts, struct span list, bool is_for_proxy)
{
    struct span name;

    while (span_next_element(&list, &name)) {
        if (span_equal_nocase(name, SPAN("close")))
            facts->says_close = true;
        else if (span_equal_nocase(name, SPAN("keep-alive")))
            facts->says_keep_alive = true;
        else if (!is_for_proxy && span_equal_nocase(name, SPAN("upgrade")))
            facts->names_upgrade = true;
        facts->names++;
    }
}

static void collect(struct facts *facts, const struct message *message)
{
    *facts = (struct facts){ 0 };
    for (size_t i = 0; i < message->field_count; i++) {
        const struct field *field = &message->fields[i];

        switch (field->id) {
        case FIELD_HOST:
            if (++facts->hosts == 1)
                facts->host = field->value;
            break;
        case FIELD_CONTENT_LENGTH:
            note_lengths(facts, field->value);
            break;
        case FIELD_TRANSFER_ENCODING:
            if (++facts->codings == 1)
                facts->coding = field->value;
            break;
        case FIELD_CONNECTION:
            note_connection(facts, field->value, false);
            break;
        case FIELD_PROXY_CONNECTION:
            note_connection(facts, field->value, true);
            break;
        case FIELD_UPGRADE:
            facts->upgrades += field->value.size > 0;
            break;
        default:
            break;
        }
    }
}

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
 * fields as they came. It must see in them what we saw; it then decodes the chunks. */
static bool llhttp_agrees(struct http1 *parser, const struct facts *facts, uint64_t length)
{
    enum { VALUE_BYTES = 32 };
    const struct span end = SPAN("\r\n");
    char head[128];
    struct span parts[6] = { parser->side == SIDE_BROWSER ? SPAN("POST / HTTP/1.1\r\n")
                                                          : SPAN("HTTP/1.1 200 OK\r\n") };
    size_t count = 1, size = 0;
    unsigned wanted = 0;
    llhttp_errno_t outcome;

    if (facts->length.size > VALUE_BYTES || facts->coding.size > VALUE_BYTES)
        return false;
    if (facts->lengths) {
        parts[count++] = SPAN("Content-Length: ");
        parts[count++] = facts->length;
        parts[count++] = end;
        wanted |= F_CONTENT_LENGTH;
    } else if (facts->codings) {
        parts[count++] = SPAN("Transfer-Encoding: ");
        parts[count++] = facts->coding;
        parts[count++] = end;
        wanted |= F_TRANSFER_ENCODING;
        if (span_equal_nocase(facts->coding, SPAN("chunked")))
            wanted |= F_CHUNKED;
    }
    parts[count++] = end;
    for (size_t i = 0; i < count; i++) {
        memcpy(head + size, parts[i].at, parts[i].size);
        size += parts[i].size;
    }
    llhttp_init(&parser->llhttp,
                parser->side == SIDE_BROWSER ? HTTP_REQUEST : HTTP_RESPONSE, &llhttp_settings);
    parser->llhttp.data = parser;
    parser->llhttp_flags = 0;
    outcome = llhttp_execute(&parser->llhttp, head, size);
    if (outcome != (parser->message->framing == FRAMING_CHUNKED ? HPE_OK : HPE_PAUSED_UPGRADE))
        return false;
    return (parser->llhttp_flags & (F_CONTENT_LENGTH | F_TRANSFER_ENCODING | F_CHUNKED)) ==
               wanted &&
           (!facts->lengths || parser->llhttp.content_length == length);
}

/* The number in Content-Length; true also when there is none. */
static bool parse_length(struct http1 *parser, const struct facts *facts, uint64_t *length)
{
    *length = 0;
    if (facts->lengths == 0)
        return true;
    if (facts->lengths_differ || !octets_are(facts->length, OCTET_DIGIT)) {
        fail_syntax(parser, "Content-Length is not one number");
        return false;
    }
    if (facts->length.size > 19 || !span_to_u64(facts->length, length) ||
        *length > body_limit_bytes) {
        fail(parser, ERROR_LIMIT, 413, "Content-Length is too large");
        return false;
    }
    return true;
}

/* What RFC 9112 section 6.1 and 6.3 call faulty, on both sides. */
static bool framing_is_sound(struct http1 *parser, const struct facts *facts)
{
    if (facts->codings && facts->lengths)
        fail_syntax(parser, "both Transfer-Encoding and Content-Length");
    else if (facts->codings > 1)
        fail_syntax(parser, "two Transfer-Encoding fields");
    else if (facts->codings && parser->message->version_minor == 0)
        fail_syntax(parser, "Transfer-Encoding in HTTP/1.0");
    else if (facts->names > MESSAGE_CONNECTION_NAMES)
        fail(parser, ERROR_LIMIT, 431, "Connection names too many fields");
    else
        return true;
    return false;
}

static bool host_is_sound(struct http1 *parser, const struct facts *facts)
{
    if (facts->hosts > 1)
        fail_syntax(parser, "two Host fields");
    else if (facts->hosts == 0 && parser->message->version_minor > 0)
        fail_syntax(parser, "no Host field");
    else if (facts->hosts && facts->host.size && !target_is_authority(facts->host))
        fail_syntax(parser, "the Host field is not host and port");
    else
        return true;
    return false;
}

/* Expect means something with content, from HTTP/1.1 on; else it is not passed on, because
 * nothing would be waited for (RFC 9110 section 10.1.1). */
static bool take_expectation(struct http1 *parser)
{
    struct message *message = parser->message;
    struct field *field = message_find(message, FIELD_EXPECT);

    if (!field)
        return true;
    for (; field; field = message_find_next(message, field))
        if (!span_equal_nocase(field->value, SPAN("100-continue"))) {
            fail(parser, ERROR_UNSUPPORTED, 417, "an unknown expectation");
            return false;
        }
    message->expects_continue = message->version_minor > 0 && message->framing != FRAMING_NONE;
    if (!message->expects_continue)
        message_drop(message, FIELD_EXPECT);
    return true;
}

static bool frame_request(struct http1 *parser, const struct facts *facts, uint64_t length)
{
    struct message *message = parser->message;

    if (!host_is_sound(parser, facts))
        return false;
    if (facts->lengths > 1) {
        fail_syntax(parser, "two Content-Lengths");
        return false;
    }
    if (facts->codings && !span_equal_nocase(facts->coding, SPAN("chunked"))) {
        fail(parser, ERROR_UNSUPPORTED, 501, "an unknown Transfer-Encoding");
        return false;
    }
    message->framing = facts->codings ? FRAMING_CHUNKED : length ? FRAMING_LENGTH : FRAMING_NONE;
    if (message->method == METHOD_CONNECT && message->framing != FRAMING_NONE) {
        fail_syntax(parser, "CONNECT with a body");
        return false;
    }
    // RFC 9112 section 9.3: a proxy keeps no connection open for HTTP/1.0
    message->keep_alive = message->version_minor > 0 && !facts->says_close;
    message->is_upgrade = message->version_minor > 0 && facts->names_upgrade && facts->upgrades &&
                          message->method != METHOD_CONNECT;
    return take_expectation(parser);
}

/* Responses that end with their head, whatever their fields say (RFC 9112 section 6.3). */
static bool has_no_body(const struct http1 *parser)
{
    unsigned status = parser->message->status;

    return status < 200 || status == 204 || status == 304 || parser->answers == METHOD_HEAD ||
           (parser->answers == METHOD_CONNECT && status < 300);
}

static bool frame_response(struct http1 *parser, const struct facts *facts, uint64_t length)
{
    struct message *message = parser->message;
    bool is_chunked = facts->codings && span_equal_nocase(facts->coding, SPAN("chunked"));
    bool must_not_have_length = message->status < 200 || message->status == 204;
    bool becomes_tunnel = parser->answers == METHOD_CONNECT && message->status / 100 == 2;

    if (facts->codings && !is_chunked && !span_equal_nocase(facts->coding, SPAN("identity"))) {
        fail(parser, ERROR_UNSUPPORTED, 502, "an unknown Transfer-Encoding");
        return false;
    }
    if (message->status == 101 && (!facts->upgrades || !facts->names_upgrade)) {
        fail_syntax(parser, "101 without Upgrade");
        return false;
    }
    if (has_no_body(parser))
        message->framing = FRAMING_NONE;
    else if (is_chunked)
        message->framing = FRAMING_CHUNKED;
    else if (facts->lengths)
        message->framing = length ? FRAMING_LENGTH : FRAMING_NONE;
    else
        message->framing = FRAMING_UNTIL_CLOSE;

    if (must_not_have_length || becomes_tunnel)
        message->has_length = false;
    message->is_upgrade = message->status == 101;
    message->is_abnormal = parser->is_abnormal || facts->lengths > 1 ||
                           (facts->codings && !is_chunked) ||
                           (must_not_have_length && (facts->codings || length)) ||
                           (message->status == 205 && (facts->codings || length));
    message->keep_alive = !facts->says_close && !message->is_abnormal && !message->is_upgrade &&
                          message->framing != FRAMING_UNTIL_CLOSE && !becomes_tunnel &&
                          (message->version_minor > 0 || facts->says_keep_alive);
    return true;
}

/* ---- the end of the head ------------------------------------------------------------------- */

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
    struct facts facts;
    uint64_t length;

    collect(&facts, message);
    if (!framing_is_sound(parser, &facts) || !parse_length(parser, &facts, &length))
        return;
    message->has_length = facts.lengths > 0;
    message->body_bytes = length;
    if (message->is_request ? !frame_request(parser, &facts, length)
                            : !frame_response(parser, &facts, length))
        return;
    if (!message->has_length)
        message->body_bytes = 0;
    if (!llhttp_agrees(parser, &facts, length)) {
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
        raw_mode(parser, BODY_RAW, length);
        break;
    case FRAMING_UNTIL_CLOSE:
        raw_mode(parser, BODY_RAW, UINT64_MAX);
        break;
    case FRAMING_CHUNKED:
        line_mode(parser, CHUNK_SIZE);
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

/* ---- bodies ------------------------------------------------------------------------------- */

/* How long the quoted string at the front is; 0 when it does not end. */
static size_t quoted_run(struct span text)
{
    for (size_t i = 1; i < text.size; i++) {
        if (text.at[i] == '"')
            return i + 1;
        if (text.at[i] == '\\')
            i++;
    }
    return 0;
}

/* *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 section 7.1.1. */
static bool are_extensions(struct span text)
{
    while (text.size) {
        size_t i = 0;

        text = span_from(text, octets_run(text, OCTET_BLANK));
        if (text.size == 0 || text.at[0] != ';')
            return false;
        text = span_from(text, 1);
        text = span_from(text, octets_run(text, OCTET_BLANK));
        i = octets_run(text, OCTET_TOKEN);
        if (i == 0)
            return false;
        text = span_from(text, i);
        i = octets_run(text, OCTET_BLANK);
        if (i == text.size || text.at[i] != '=')
            continue;
        text = span_from(text, i + 1);
        text = span_from(text, octets_run(text, OCTET_BLANK));
        i = text.size && text.at[0] == '"' ? quoted_run(text) : octets_run(text, OCTET_TOKEN);
        if (i == 0)
            return false;
        text = span_from(text, i);
    }
    return true;
}

static bool parse_chunk_size(struct http1 *parser, struct span line, uint64_t *size)
{
    size_t digits = octets_run(line, OCTET_HEX);
    struct span rest = span_from(line, digits);
    uint64_t value = 0;

    if (digits == 0) {
        fail_syntax(parser, "a chunk without a size");
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        char c = line.at[i];

        if (value > body_limit_bytes >> 4) {
            fail(parser, ERROR_LIMIT, 413, "a chunk is too large");
            return false;
        }
        value = value << 4 | (uint64_t)(octet_is(c, OCTET_DIGIT) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (rest.size && octets_run(rest, OCTET_BLANK) == rest.size && parser->side == SIDE_OUTGOING) {
        parser->message->is_abnormal = true; // servers that fill up a fixed number of columns
        parser->message->keep_alive = false;
    } else if (!octets_are_text(rest) || !are_extensions(rest)) {
        fail_syntax(parser, "a chunk's size is followed by something else");
        return false;
    }
    *size = value;
    return true;
}

static bool feed_llhttp(struct http1 *parser, struct span bytes)
{
    if (llhttp_execute(&parser->llhttp, bytes.at, bytes.size) == HPE_OK)
        return true;
    if (parser->phase == PHASE_BODY)
        fail_syntax(parser, "the chunks can be read in two ways");
    return false;
}

static void eat_chunk_size(struct http1 *parser, struct span *in)
{
    char canonical[HTTP1_CHUNK_HEAD_BYTES];
    struct span line;
    uint64_t size;
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
    if (!parse_chunk_size(parser, line, &size) ||
        !feed_llhttp(parser, span_of(canonical, http1_chunk_head(canonical, size))))
        return;
    if (size == 0) {
        parser->head_bytes = parser->field_count = 0;
        line_mode(parser, TRAILERS);
    } else if (parser->llhttp.content_length != size) {
        fail_syntax(parser, "the chunks can be read in two ways");
    } else {
        raw_mode(parser, CHUNK_DATA, size);
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
        line_mode(parser, CHUNK_SIZE);
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
    struct span piece = span_slice(*in, 0, in->size < parser->raw_left_bytes
                                               ? in->size
                                               : (size_t)parser->raw_left_bytes);

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
    case CHUNK_SIZE:
        eat_chunk_size(parser, in);
        break;
    case CHUNK_END:
        eat_chunk_end(parser, in);
        break;
    default:
        eat_trailer(parser, in);
    }
}

/* ---- for the owner ------------------------------------------------------------------------ */

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
        if (parser->message->framing == FRAMING_UNTIL_CLOSE) {
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
