#include "http/http1_write.h"

#include <assert.h>

/* All that a head has beside its first line and the message's fields. */
enum { OWN_FIELDS_BYTES = 160 };

#define PUT(to, literal) span_put(to, SPAN(literal))

static char *put_number(char *to, uint64_t number)
{
    char digits[20], *at = digits + sizeof digits;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return span_put(to, span_of(at, (size_t)(digits + sizeof digits - at)));
}

/* Those that are made here, from the message's own state, and never copied. */
static bool is_ours(enum field_id id, const struct message *message)
{
    switch (id) {
    case FIELD_HOST:
        return message->is_request;
    case FIELD_CONNECTION:
    case FIELD_CONTENT_LENGTH:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TRANSFER_ENCODING:
        return true;
    case FIELD_UPGRADE:
        return !message->is_upgrade;
    default:
        return false;
    }
}

static bool is_written(const struct message *message, const struct field *field)
{
    return !field->is_dropped && !is_ours(field->id, message);
}

static char *put_field(char *to, const struct field *field)
{
    to = span_put(to, field->name);
    to = PUT(to, ": ");
    to = span_put(to, field->value);
    return PUT(to, "\r\n");
}

static size_t size_of_fields(const struct message *message)
{
    size_t size = 0;

    for (size_t i = 0; i < message->field_count; i++)
        if (is_written(message, &message->fields[i]))
            size += message->fields[i].name.size + message->fields[i].value.size + 4;
    return size;
}

static char *put_fields(char *to, const struct message *message)
{
    for (size_t i = 0; i < message->field_count; i++)
        if (is_written(message, &message->fields[i]))
            to = put_field(to, &message->fields[i]);
    return to;
}

static char *put_length(char *to, uint64_t length)
{
    to = PUT(to, "Content-Length: ");
    to = put_number(to, length);
    return PUT(to, "\r\n");
}

/* RFC 9112 section 9.6 and RFC 9110 sections 7.8 and 10.1.4. */
static char *put_connection(char *to, const struct message *message, bool close)
{
    bool te = message->is_request && message_find(message, FIELD_TE);

    if (!close && !message->is_upgrade && !te)
        return to;
    to = PUT(to, "Connection: ");
    if (close)
        to = PUT(to, "close, ");
    if (message->is_upgrade)
        to = PUT(to, "upgrade, ");
    if (te)
        to = PUT(to, "TE, ");
    return span_put(to - 2, SPAN("\r\n"));
}

/* NULL when there is no room. Ended with end(). */
static char *begin(struct buffer *out, size_t size)
{
    return buffer_reserve(out, size) ? out->at + out->size : NULL;
}

static void end(struct buffer *out, const char *at)
{
    size_t size = (size_t)(at - out->at);

    assert(size <= out->capacity);
    out->size = size;
}

bool http1_write_request(struct buffer *out, const struct message *message,
                         const struct http1_request_line *line)
{
    char *to = begin(out, message->method_name.size + line->target.size + line->host.size +
                              size_of_fields(message) + OWN_FIELDS_BYTES);

    if (!to)
        return false;
    to = span_put(to, message->method_name);
    to = PUT(to, " ");
    to = span_put(to, line->target);
    to = PUT(to, " HTTP/1.1\r\nHost: ");
    to = span_put(to, line->host);
    to = PUT(to, "\r\n");
    to = put_fields(to, message);
    if (message->framing == FRAMING_CHUNKED)
        to = PUT(to, "Transfer-Encoding: chunked\r\n");
    else if (message->framing == FRAMING_LENGTH)
        to = put_length(to, message->body_bytes);
    else if (message->has_length)
        to = put_length(to, 0);
    to = put_connection(to, message, line->close);
    to = PUT(to, "\r\n");
    end(out, to);
    return true;
}

/* One framing field at most, and none where there can be no body. */
static char *put_response_framing(char *to, const struct message *message, enum method answers)
{
    if (message->status < 200 || message->status == 204 ||
        (answers == METHOD_CONNECT && message->status < 300))
        return to;
    switch (message->framing) {
    case FRAMING_CHUNKED:
        return PUT(to, "Transfer-Encoding: chunked\r\n");
    case FRAMING_LENGTH:
        return put_length(to, message->body_bytes);
    case FRAMING_NONE:
        if (message->has_length)
            return put_length(to, message->body_bytes);
        if (answers != METHOD_HEAD && message->status != 304)
            return put_length(to, 0); // else it would last until close
        return to;
    case FRAMING_UNTIL_CLOSE:
        break;
    }
    return to;
}

bool http1_write_response(struct buffer *out, const struct message *message, enum method answers,
                          bool close)
{
    struct span reason =
        message->reason.at ? message->reason : span_text(status_phrase(message->status));
    char *to = begin(out, reason.size + size_of_fields(message) + OWN_FIELDS_BYTES);

    if (!to)
        return false;
    to = PUT(to, "HTTP/1.1 ");
    to = put_number(to, message->status);
    to = PUT(to, " ");
    to = span_put(to, reason);
    to = PUT(to, "\r\n");
    to = put_fields(to, message);
    to = put_response_framing(to, message, answers);
    to = put_connection(to, message, close || message->framing == FRAMING_UNTIL_CLOSE);
    to = PUT(to, "\r\n");
    end(out, to);
    return true;
}

size_t http1_chunk_head(char *to, uint64_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 1;

    for (uint64_t rest = size >> 4; rest; rest >>= 4)
        digits++;
    for (size_t i = digits; i-- > 0; size >>= 4)
        to[i] = hex[size & 15];
    to[digits] = '\r';
    to[digits + 1] = '\n';
    return digits + 2;
}

bool http1_write_last_chunk(struct buffer *out, const struct message *message)
{
    size_t size = 5;
    char *to;

    for (size_t i = 0; i < message->trailer_count; i++)
        if (!message->trailers[i].is_dropped)
            size += message->trailers[i].name.size + message->trailers[i].value.size + 4;
    to = begin(out, size);
    if (!to)
        return false;
    to = PUT(to, "0\r\n");
    for (size_t i = 0; i < message->trailer_count; i++)
        if (!message->trailers[i].is_dropped)
            to = put_field(to, &message->trailers[i]);
    to = PUT(to, "\r\n");
    end(out, to);
    return true;
}
