/* Talks with parents: what is said, and what comes of each answer, however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/parent.h"

#define BYTES(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

struct row {
    const char *name;
    enum parent_kind kind;
    const char *user, *password, *authorization, *host;
    struct span said;    // all that we send
    struct span answers; // all that the parent sends
    enum error_kind want;
    struct span left; // behind the answer
};

static const struct row rows[] = {
    { "connect", PARENT_HTTP, NULL, NULL, NULL, "h.example",
      BYTES("CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n"),
      BYTES("HTTP/1.1 200 OK\r\nA: b\r\n\r\nmore"), ERROR_NONE, BYTES("more") },
    { "connect to an IPv6 address, with a login", PARENT_HTTP, "u", "p", "Basic dTpw", "::1",
      BYTES("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"
            "Proxy-Authorization: Basic dTpw\r\n\r\n"),
      BYTES("HTTP/1.0 200 \r\n\r\n"), ERROR_NONE, BYTES("") },
    { "connect refused", PARENT_HTTP, NULL, NULL, NULL, "h",
      BYTES("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"), BYTES("HTTP/1.1 403 No\r\n\r\n"),
      ERROR_REFUSED, BYTES("") },
    { "connect redirected", PARENT_HTTP, NULL, NULL, NULL, "h",
      BYTES("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"), BYTES("HTTP/1.1 302 No\r\n\r\n"),
      ERROR_REFUSED, BYTES("") },
    { "connect, not HTTP", PARENT_HTTP, NULL, NULL, NULL, "h",
      BYTES("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"), BYTES("SSH-2.0-x\r\n\r\n"),
      ERROR_SYNTAX, BYTES("") },
    { "connect, no number", PARENT_HTTP, NULL, NULL, NULL, "h",
      BYTES("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"), BYTES("HTTP/1.1 2x0 OK\r\n\r\n"),
      ERROR_SYNTAX, BYTES("") },
    { "socks to a name", PARENT_SOCKS5, NULL, NULL, NULL, "h.example",
      BYTES("\5\1\0"
            "\5\1\0\3\11h.example\1\273"),
      BYTES("\5\0"
            "\5\0\0\1\1\2\3\4\0\120more"),
      ERROR_NONE, BYTES("more") },
    { "socks to an IPv4 address, bound to IPv6", PARENT_SOCKS5, NULL, NULL, NULL, "1.2.3.4",
      BYTES("\5\1\0"
            "\5\1\0\1\1\2\3\4\1\273"),
      BYTES("\5\0"
            "\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\120"),
      ERROR_NONE, BYTES("") },
    { "socks to an IPv6 address, bound to a name", PARENT_SOCKS5, NULL, NULL, NULL, "::1",
      BYTES("\5\1\0"
            "\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\273"),
      BYTES("\5\0"
            "\5\0\0\3\2ab\0\120"),
      ERROR_NONE, BYTES("") },
    { "socks with a login", PARENT_SOCKS5, "me", "pw", NULL, "h",
      BYTES("\5\2\0\2"
            "\1\2me\2pw"
            "\5\1\0\3\1h\1\273"),
      BYTES("\5\2"
            "\1\0"
            "\5\0\0\1\1\2\3\4\0\120"),
      ERROR_NONE, BYTES("") },
    { "socks, a login that is not wanted", PARENT_SOCKS5, "me", "pw", NULL, "h",
      BYTES("\5\2\0\2"
            "\5\1\0\3\1h\1\273"),
      BYTES("\5\0"
            "\5\0\0\1\1\2\3\4\0\120"),
      ERROR_NONE, BYTES("") },
    { "socks, a wrong login", PARENT_SOCKS5, "me", "pw", NULL, "h",
      BYTES("\5\2\0\2"
            "\1\2me\2pw"),
      BYTES("\5\2"
            "\1\1"),
      ERROR_REFUSED, BYTES("") },
    { "socks, wants a login", PARENT_SOCKS5, NULL, NULL, NULL, "h", BYTES("\5\1\0"),
      BYTES("\5\377"), ERROR_REFUSED, BYTES("") },
    { "socks, chooses what was not offered", PARENT_SOCKS5, NULL, NULL, NULL, "h", BYTES("\5\1\0"),
      BYTES("\5\2"), ERROR_REFUSED, BYTES("") },
    { "socks, version 4", PARENT_SOCKS5, NULL, NULL, NULL, "h", BYTES("\5\1\0"), BYTES("\4\0"),
      ERROR_SYNTAX, BYTES("") },
    { "socks, an unknown kind of address", PARENT_SOCKS5, NULL, NULL, NULL, "h",
      BYTES("\5\1\0"
            "\5\1\0\3\1h\1\273"),
      BYTES("\5\0"
            "\5\0\0\2\0\0\0\0\0\0"),
      ERROR_SYNTAX, BYTES("") },
};

enum { WHOLE, BYTEWISE, AT_RANDOM, CUTS };

static void play(const struct row *row, int cut)
{
    struct parent parent = { .kind = row->kind, .name = SPAN("p") };
    struct parent_talk talk;
    struct buffer said = { .limit_bytes = 4096 };
    struct error error = { 0 };
    enum error_kind got = ERROR_NONE;
    unsigned chance = 8119;

    parent.user = span_text(row->user);
    parent.password = span_text(row->password);
    parent.authorization = span_text(row->authorization);
    parent_talk_init(&talk, &parent, span_text(row->host), 443);
    for (size_t at = 0; !got && at < row->answers.size;) {
        size_t size = row->answers.size - at;

        chance = chance * 1103515245u + 12345u;
        if (cut == BYTEWISE)
            size = 1;
        else if (cut == AT_RANDOM && size > 1)
            size = 1 + (chance >> 16) % size;
        buffer_append(&said, buffer_span(&talk.out));
        talk.out.size = 0;
        got = parent_talk_feed(&talk, span_slice(row->answers, at, size), &error);
        at += size;
    }
    buffer_append(&said, buffer_span(&talk.out));
    if (got != row->want)
        fail_msg("%s, cut %d: kind %d, %s", row->name, cut, got, error.text);
    if (got && error.kind != got)
        fail_msg("%s: the error is of kind %d", row->name, error.kind);
    if (!span_equal(buffer_span(&said), row->said))
        fail_msg("%s, cut %d: said %zu bytes", row->name, cut, said.size);
    if (!got && talk.step != PARENT_DONE)
        fail_msg("%s, cut %d: step %d", row->name, cut, talk.step);
    if (!got && !span_equal(buffer_span(&talk.answer), row->left))
        fail_msg("%s, cut %d: %zu bytes left", row->name, cut, talk.answer.size);
    parent_talk_done(&talk);
    buffer_release(&said);
}

static void says_and_understands(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int cut = 0; cut < CUTS; cut++)
            play(&rows[i], cut);
}

/* The octet with which a server says how the connection went (RFC 1928 section 6). */
static void tells_socks_replies_apart(void **state)
{
    static const struct {
        const char *name;
        char octet;
        enum error_kind want;
    } replies[] = {
        { "done", 0, ERROR_NONE },
        { "failed", 1, ERROR_SYSTEM },
        { "not allowed", 2, ERROR_FORBIDDEN },
        { "network unreachable", 3, ERROR_ADDRESS },
        { "host unreachable", 4, ERROR_ADDRESS },
        { "refused", 5, ERROR_REFUSED },
        { "no such reply", 9, ERROR_SYNTAX },
        { "none at all", '\377', ERROR_SYNTAX },
    };

    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        char answers[] = "\5\0\5_\0\1\0\0\0\0\0\0";
        const struct row row = { replies[i].name,
                                 PARENT_SOCKS5,
                                 NULL,
                                 NULL,
                                 NULL,
                                 "h",
                                 BYTES("\5\1\0"
                                       "\5\1\0\3\1h\1\273"),
                                 { answers, sizeof answers - 1 },
                                 replies[i].want,
                                 BYTES("") };

        answers[3] = replies[i].octet;
        for (int cut = 0; cut < CUTS; cut++)
            play(&row, cut);
    }
}

static void an_answer_has_a_limit(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        struct parent parent = { .kind = PARENT_HTTP, .name = SPAN("p") };
        struct parent_talk talk;
        struct error error;
        char *answer = malloc(PARENT_ANSWER_BYTES + 1);

        assert_non_null(answer);
        memset(answer, 'x', PARENT_ANSWER_BYTES + 1);
        parent_talk_init(&talk, &parent, SPAN("h"), 443);
        assert_int_equal(
            parent_talk_feed(&talk, span_of(answer, PARENT_ANSWER_BYTES + over), &error),
            over ? ERROR_LIMIT : ERROR_NONE);
        parent_talk_done(&talk);
        free(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_and_understands),
        cmocka_unit_test(tells_socks_replies_apart),
        cmocka_unit_test(an_answer_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
