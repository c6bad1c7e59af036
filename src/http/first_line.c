#include "http/first_line.h"

#include "http/octets.h"

bool first_line_may_begin(struct span bytes, bool is_request)
{
    static const char version[] = "HTTP/1.";
    const size_t size = sizeof version - 1;

    if (is_request)
        return octet_is(bytes.at[0], OCTET_TOKEN);
    return memcmp(bytes.at, version, bytes.size < size ? bytes.size : size) == 0;
}

/* RFC 9112 section 3.2. What is in an absolute-form is looked at by target_split(). */
static bool set_target_form(struct message *message)
{
    struct span target = message->target;
    size_t scheme;

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
    message->target_form = TARGET_ABSOLUTE; // schemes with digits or signs are none of ours
    scheme = octets_run(target, OCTET_ALPHA);
    return scheme > 0 && span_starts(span_from(target, scheme), SPAN("://"));
}

static bool parse_version(struct message *message, struct span text, struct refusal *why)
{
    if (text.size != 8 || memcmp(text.at, "HTTP/", 5) != 0 || text.at[6] != '.' ||
        !octet_is(text.at[5], OCTET_DIGIT) || !octet_is(text.at[7], OCTET_DIGIT))
        return refuse_syntax(why, "the first line has no HTTP/1.1 in its place");
    if (text.at[5] != '1')
        return refuse(why, ERROR_UNSUPPORTED, 505, "not HTTP/1.x");
    message->version_minor = text.at[7] > '0';
    return true;
}

/* method SP target SP HTTP/1.x, nothing else between them (RFC 9112 section 3). */
static bool parse_request(struct message *message, struct span line, struct refusal *why)
{
    size_t method = octets_run(line, OCTET_TOKEN);
    const char *last = memrchr(line.at, ' ', line.size);

    if (method == 0 || method == line.size || line.at[method] != ' ')
        return refuse_syntax(why, "the method is not a token");
    if (method > FIRST_LINE_METHOD_BYTES)
        return refuse(why, ERROR_LIMIT, 501, "the method is too long");
    if (last == line.at + method)
        return refuse_syntax(why, "the first line has no HTTP/1.1 in its place");
    message->method_name = span_slice(line, 0, method);
    message->method = method_of(message->method_name);
    message->target = span_of(line.at + method + 1, (size_t)(last - line.at) - method - 1);
    if (!parse_version(message, span_of(last + 1, (size_t)(line.at + line.size - last) - 1), why))
        return false;
    if (!octets_are(message->target, OCTET_TARGET) || !set_target_form(message))
        return refuse_syntax(why, "the target is not one");
    return true;
}

/* HTTP/1.x SP 3DIGIT [SP reason] (RFC 9112 section 4; servers leave the second blank out). */
static bool parse_status(struct message *message, struct span line, struct refusal *why)
{
    if (line.size < 12 || line.at[8] != ' ' || line.at[9] == '0' ||
        octets_run(span_slice(line, 9, 3), OCTET_DIGIT) != 3 ||
        (line.size > 12 && line.at[12] != ' '))
        return refuse_syntax(why, "the status line is malformed");
    if (!parse_version(message, span_slice(line, 0, 8), why))
        return false;
    message->status = (unsigned)(line.at[9] - '0') * 100 + (unsigned)(line.at[10] - '0') * 10 +
                      (unsigned)(line.at[11] - '0');
    message->reason = line.size > 13 ? span_from(line, 13) : SPAN("");
    if (!octets_are_text(message->reason))
        return refuse_syntax(why, "a control in the reason phrase");
    return true;
}

bool first_line_parse(struct message *message, struct span line, struct refusal *why)
{
    return message->is_request ? parse_request(message, line, why)
                               : parse_status(message, line, why);
}
