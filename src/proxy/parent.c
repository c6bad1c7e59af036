#include "proxy/parent.h"

#include "io/address.h"
#include "proxy/report.h"

enum { SOCKS_VERSION = 5, SOCKS_NO_LOGIN = 0, SOCKS_USER_PASSWORD = 2, SOCKS_CONNECT = 1 };

static void send_byte(struct parent_talk *talk, unsigned value)
{
    char byte = (char)value;
    buffer_append(&talk->out, span_of(&byte, 1));
}

static void send_http_connect(struct parent_talk *talk)
{
    bool v6 = span_find_byte(talk->host, ':') < talk->host.size;
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";

    buffer_printf(&talk->out, "CONNECT %s%.*s%s:%u HTTP/1.1\r\nHost: %s%.*s%s:%u\r\n", open,
                  SPAN_PRINT(talk->host), close, talk->port, open, SPAN_PRINT(talk->host), close,
                  talk->port);
    if (talk->parent->authorization.at)
        buffer_printf(&talk->out, "Proxy-Authorization: %.*s\r\n",
                      SPAN_PRINT(talk->parent->authorization));
    if (talk->parent->asks_why)
        buffer_printf(&talk->out, "%s: 1\r\n", REPORT_ASK.at);
    buffer_append(&talk->out, SPAN("\r\n"));
}

static void send_socks_request(struct parent_talk *talk)
{
    struct address literal;

    send_byte(talk, SOCKS_VERSION);
    send_byte(talk, SOCKS_CONNECT);
    send_byte(talk, 0);
    if (address_parse(&literal, talk->host, 0)) {
        bool v6 = literal.any.sa_family == AF_INET6;
        send_byte(talk, v6 ? 4 : 1);
        buffer_append(&talk->out, v6 ? span_of((char *)&literal.v6.sin6_addr, 16)
                                     : span_of((char *)&literal.v4.sin_addr, 4));
    } else {
        send_byte(talk, 3);
        send_byte(talk, (unsigned)talk->host.size); // at most 253: a name
        buffer_append(&talk->out, talk->host);
    }
    send_byte(talk, talk->port >> 8);
    send_byte(talk, talk->port & 255);
}

void parent_talk_init(struct parent_talk *talk, const struct parent *parent, struct span host,
                      uint16_t port)
{
    *talk = (struct parent_talk){ .parent = parent, .host = host, .port = port };
    talk->out.limit_bytes = 4096;
    talk->answer.limit_bytes = PARENT_ANSWER_BYTES;
    if (parent->kind == PARENT_HTTP) {
        talk->step = PARENT_REQUEST;
        send_http_connect(talk);
    } else {
        talk->step = PARENT_GREETING;
        send_byte(talk, SOCKS_VERSION);
        send_byte(talk, talk->parent->user.at ? 2 : 1);
        send_byte(talk, SOCKS_NO_LOGIN);
        if (talk->parent->user.at)
            send_byte(talk, SOCKS_USER_PASSWORD);
    }
}

void parent_talk_done(struct parent_talk *talk)
{
    buffer_release(&talk->out);
    buffer_release(&talk->answer);
}

/* What a dejunk says in its answer's head of why; printable ASCII, or nothing. */
static struct span find_report(struct span head)
{
    size_t at = span_find(head, SPAN("\r\nProxy-Dejunk: "));
    struct span why;

    if (at == head.size)
        return SPAN_NONE;
    why = span_from(head, at + 16);
    why.size = span_find_byte(why, '\r');
    for (size_t i = 0; i < why.size; i++)
        if (why.at[i] < 0x20 || why.at[i] > 0x7e)
            return SPAN_NONE;
    return why;
}

static enum error_kind feed_http(struct parent_talk *talk, struct error *error)
{
    struct span answer = buffer_span(&talk->answer);
    size_t end = span_find(answer, SPAN("\r\n\r\n"));
    uint64_t status;

    if (end == answer.size)
        return ERROR_NONE;
    if (answer.size < 12 || !span_starts(answer, SPAN("HTTP/1.")) || answer.at[8] != ' ' ||
        !span_to_u64(span_slice(answer, 9, 3), &status) || status < 200)
        return error_set(error, ERROR_SYNTAX, "parent %.*s does not answer in HTTP",
                         SPAN_PRINT(talk->parent->name));
    if (status >= 300) {
        struct span why = find_report(span_slice(answer, 0, end + 2));
        return error_set(error, ERROR_REFUSED, "parent %.*s refused the tunnel with %u%s%.*s",
                         SPAN_PRINT(talk->parent->name), (unsigned)status, why.size ? ": " : "",
                         SPAN_PRINT(why));
    }
    buffer_consume(&talk->answer, end + 4);
    talk->step = PARENT_DONE;
    return ERROR_NONE;
}

static enum error_kind socks_syntax(const struct parent_talk *talk, struct error *error)
{
    return error_set(error, ERROR_SYNTAX, "parent %.*s does not answer in SOCKS5",
                     SPAN_PRINT(talk->parent->name));
}

static enum error_kind feed_greeting(struct parent_talk *talk, struct error *error)
{
    unsigned method;

    if (talk->answer.size < 2)
        return ERROR_NONE;
    method = (unsigned char)talk->answer.at[1];
    if (talk->answer.at[0] != SOCKS_VERSION)
        return socks_syntax(talk, error);
    if (method == SOCKS_USER_PASSWORD && talk->parent->user.at) {
        send_byte(talk, 1);
        send_byte(talk, (unsigned)talk->parent->user.size);
        buffer_append(&talk->out, talk->parent->user);
        send_byte(talk, (unsigned)talk->parent->password.size);
        buffer_append(&talk->out, talk->parent->password);
        talk->step = PARENT_LOGIN;
    } else if (method == SOCKS_NO_LOGIN) {
        send_socks_request(talk);
        talk->step = PARENT_REQUEST;
    } else {
        return error_set(error, ERROR_REFUSED, "parent %.*s wants a login that we do not have",
                         SPAN_PRINT(talk->parent->name));
    }
    buffer_consume(&talk->answer, 2);
    return ERROR_NONE;
}

static enum error_kind feed_login(struct parent_talk *talk, struct error *error)
{
    if (talk->answer.size < 2)
        return ERROR_NONE;
    if (talk->answer.at[1] != 0)
        return error_set(error, ERROR_REFUSED, "parent %.*s does not take our login",
                         SPAN_PRINT(talk->parent->name));
    buffer_consume(&talk->answer, 2);
    send_socks_request(talk);
    talk->step = PARENT_REQUEST;
    return ERROR_NONE;
}

static enum error_kind feed_reply(struct parent_talk *talk, struct error *error)
{
    static const struct {
        enum error_kind kind;
        const char *words;
    } replies[] = {
        { ERROR_NONE, "" },
        { ERROR_SYSTEM, "failed" },
        { ERROR_FORBIDDEN, "does not allow this destination" },
        { ERROR_ADDRESS, "cannot reach the network" },
        { ERROR_ADDRESS, "cannot reach the host" },
        { ERROR_REFUSED, "was refused the connection" },
        { ERROR_TIMEOUT, "waited too long" },
        { ERROR_UNSUPPORTED, "knows no CONNECT" },
        { ERROR_UNSUPPORTED, "does not know this kind of address" },
    };
    size_t size;
    unsigned reply;

    if (talk->answer.size < 5)
        return ERROR_NONE;
    reply = (unsigned char)talk->answer.at[1];
    switch (talk->answer.at[3]) {
    case 1:
        size = 4 + 4 + 2;
        break;
    case 3:
        size = 4 + 1 + (unsigned char)talk->answer.at[4] + 2;
        break;
    case 4:
        size = 4 + 16 + 2;
        break;
    default:
        return socks_syntax(talk, error);
    }
    if (talk->answer.at[0] != SOCKS_VERSION || reply >= sizeof replies / sizeof *replies)
        return socks_syntax(talk, error);
    if (replies[reply].kind)
        return error_set(error, replies[reply].kind, "parent %.*s %s",
                         SPAN_PRINT(talk->parent->name), replies[reply].words);
    if (talk->answer.size < size)
        return ERROR_NONE;
    buffer_consume(&talk->answer, size);
    talk->step = PARENT_DONE;
    return ERROR_NONE;
}

enum error_kind parent_talk_feed(struct parent_talk *talk, struct span bytes, struct error *error)
{
    if (!buffer_append(&talk->answer, bytes))
        return error_set(error, ERROR_LIMIT, "parent %.*s answers with more than %d bytes",
                         SPAN_PRINT(talk->parent->name), PARENT_ANSWER_BYTES);
    for (;;) {
        enum parent_step before = talk->step;
        enum error_kind kind = ERROR_NONE;

        if (talk->step == PARENT_DONE)
            return ERROR_NONE;
        if (talk->parent->kind == PARENT_HTTP)
            kind = feed_http(talk, error);
        else if (talk->step == PARENT_GREETING)
            kind = feed_greeting(talk, error);
        else if (talk->step == PARENT_LOGIN)
            kind = feed_login(talk, error);
        else
            kind = feed_reply(talk, error);
        if (kind || talk->step == before)
            return kind;
    }
}
