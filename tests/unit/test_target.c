/* Targets: what browsers send is kept byte for byte, what could be read in two ways is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "http/target.h"

static const char *describe(char *to, size_t size, const struct target *target)
{
    snprintf(to, size, "%s %.*s%s%s%s %u %.*s %.*s", target->scheme == TARGET_HTTPS ? "s" : "p",
             SPAN_PRINT(target->host), target->is_literal_v4 ? "(4)" : "",
             target->is_literal_v6 ? "(6)" : "", target->is_rooted ? "(.)" : "", target->port,
             SPAN_PRINT(target->authority), SPAN_PRINT(target->path_and_query));
    return to;
}

/* What became of it: "scheme host port authority path", or the kind of error. */
static void check(enum target_form form, enum method method, struct span text, struct span host,
                  const char *want)
{
    char got[1024];
    struct message message;
    struct target target;
    struct arena arena;
    struct error error = { 0 };
    enum error_kind kind;

    arena_init(&arena, 1 << 16);
    message_init(&message, &arena, true);
    message.target_form = form;
    message.method = method;
    message.target = text;
    if (host.at)
        assert_true(message_add(&message, SPAN("Host"), host));
    kind = target_split(&target, &message, &error);
    if (kind == ERROR_NONE)
        describe(got, sizeof got, &target);
    else
        snprintf(got, sizeof got, "%s", error_kind_name(kind));
    if (strcmp(got, want) != 0)
        fail_msg("%.*s: wanted \"%s\", got \"%s\" (%s)", SPAN_PRINT(text), want, got, error.text);
    arena_done(&arena);
}

static void absolute_forms_are_split(void **state)
{
    static const struct {
        struct span target;
        const char *want;
    } cases[] = {
        { SPAN("http://a.example/"), "p a.example 80 a.example /" },
        { SPAN("http://a.example"), "p a.example 80 a.example /" },
        { SPAN("http://a.example?x"), "p a.example 80 a.example /?x" },
        { SPAN("http://a.example/?x=/?"), "p a.example 80 a.example /?x=/?" },
        { SPAN("http://a.example:80/b"), "p a.example 80 a.example /b" },
        { SPAN("http://a.example:8080/b"), "p a.example 8080 a.example:8080 /b" },
        { SPAN("http://a.example:443/b"), "p a.example 443 a.example:443 /b" },
        { SPAN("https://a.example/"), "s a.example 443 a.example /" },
        { SPAN("https://a.example:443/"), "s a.example 443 a.example /" },
        { SPAN("https://a.example:80/"), "s a.example 80 a.example:80 /" },
        { SPAN("HTTP://A.Example/B"), "p a.example 80 a.example /B" },
        { SPAN("http://a_b-c-.example/"), "p a_b-c-.example 80 a_b-c-.example /" },
        { SPAN("http://xn--bcher-kva.example/"),
          "p xn--bcher-kva.example 80 xn--bcher-kva.example /" },
        { SPAN("http://localhost:65535/"), "p localhost 65535 localhost:65535 /" },
        { SPAN("http://1.example/"), "p 1.example 80 1.example /" },
        { SPAN("http://127.0.0.1/"), "p 127.0.0.1(4) 80 127.0.0.1 /" },
        { SPAN("http://[::1]/"), "p ::1(6) 80 [::1] /" },
        { SPAN("http://[2001:DB8::A]:81/x"), "p 2001:db8::a(6) 81 [2001:db8::a]:81 /x" },
        { SPAN("http://[::ffff:127.0.0.1]/"), "p ::ffff:127.0.0.1(6) 80 [::ffff:127.0.0.1] /" },
        { SPAN("http://a.example./"), "p a.example(.) 80 a.example. /" },
        { SPAN("http://a.example.:81/"), "p a.example(.) 81 a.example.:81 /" },
        // old links, byte for byte
        { SPAN("http://a/_ylh=X3oD/;_ylt=A|*$~'()!\"<>\\^`{}%zz%00%0d%0a"),
          "p a 80 a /_ylh=X3oD/;_ylt=A|*$~'()!\"<>\\^`{}%zz%00%0d%0a" },
        { SPAN("http://a/%2e%2e/%2f//../"), "p a 80 a /%2e%2e/%2f//../" },
        { SPAN("http://a/\xc3\xa9"), "p a 80 a /\xc3\xa9" },
        { SPAN("http://a/u@h:x"), "p a 80 a /u@h:x" },

        { SPAN("http://"), "syntax" },
        { SPAN("http:///x"), "syntax" },
        { SPAN("http://?x"), "syntax" },
        { SPAN("http://./"), "syntax" },
        { SPAN("http://.a/"), "syntax" },
        { SPAN("http://a..b/"), "syntax" },
        { SPAN("http://a../"), "syntax" },
        { SPAN("http://:80/"), "syntax" },
        { SPAN("http://a:/"), "syntax" },
        { SPAN("http://a:0/"), "syntax" },
        { SPAN("http://a:080/"), "syntax" },
        { SPAN("http://a:-1/"), "syntax" },
        { SPAN("http://a:+80/"), "syntax" },
        { SPAN("http://a: 80/"), "syntax" },
        { SPAN("http://a:65536/"), "syntax" },
        { SPAN("http://a:99999/"), "syntax" },
        { SPAN("http://a:0x50/"), "syntax" },
        { SPAN("http://a:80a/"), "syntax" },
        { SPAN("http://a:80:80/"), "syntax" },
        { SPAN("http://a:18446744073709551696/"), "syntax" },
        { SPAN("http://u@a/"), "syntax" },
        { SPAN("http://u:p@a/"), "syntax" },
        { SPAN("http://@a/"), "syntax" },
        { SPAN("http://a@/"), "syntax" },
        { SPAN("http://a:80%2f@b/"), "syntax" },
        { SPAN("http://a;b/"), "syntax" },
        { SPAN("http://a,b/"), "syntax" },
        { SPAN("http://a\\b/"), "syntax" },
        { SPAN("http://a%2eb/"), "syntax" },
        { SPAN("http://%61/"), "syntax" },
        { SPAN("http://a%00/"), "syntax" },
        { SPAN("http://a*b/"), "syntax" },
        { SPAN("http://a~b/"), "syntax" },
        { SPAN("http://b\xc3\xbc"
               "cher.example/"),
          "syntax" },
        { SPAN("http://a\t/"), "syntax" },
        { SPAN("http://a/x#f"), "syntax" },
        { SPAN("http://a#f"), "syntax" },
        { SPAN("http://a/ x"), "syntax" },
        { SPAN("http://[::1/"), "syntax" },
        { SPAN("http://::1/"), "syntax" },
        { SPAN("http://[]/"), "syntax" },
        { SPAN("http://[::1]]/"), "syntax" },
        { SPAN("http://[::1]x/"), "syntax" },
        { SPAN("http://[::1]:/"), "syntax" },
        { SPAN("http://[zz::1]/"), "syntax" },
        { SPAN("http://[fe80::1%25lo]/"), "syntax" },
        { SPAN("http://[::1\0a]/"), "syntax" },
        { SPAN("http://127.0.0.1\0/"), "syntax" },
        { SPAN("http://[v1.x]/"), "syntax" },
        { SPAN("http://[127.0.0.1]/"), "syntax" },
        { SPAN("http://[::1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20]/"), "syntax" },
        // numbers that only some take for addresses
        { SPAN("http://2130706433/"), "syntax" },
        { SPAN("http://0x7f000001/"), "syntax" },
        { SPAN("http://0X7F.1/"), "syntax" },
        { SPAN("http://017700000001/"), "syntax" },
        { SPAN("http://127.1/"), "syntax" },
        { SPAN("http://127.0.0.01/"), "syntax" },
        { SPAN("http://127.0.0.1./"), "syntax" },
        { SPAN("http://127.0.0.256/"), "syntax" },
        { SPAN("http://1.2.3.4.5/"), "syntax" },
        { SPAN("http://a.0x/"), "syntax" },
        { SPAN("http://a.1/"), "syntax" },
        { SPAN("ftp://a/"), "unsupported" },
        { SPAN("file:///etc/passwd"), "unsupported" },
        { SPAN("gopher://a/"), "unsupported" },
        { SPAN("javascript:alert(1)"), "unsupported" },
        { SPAN("http:/a/"), "unsupported" },
        { SPAN("http:a/"), "unsupported" },
        { SPAN("http:\\\\a\\"), "unsupported" },
        { SPAN("ws://a/"), "unsupported" },
        { SPAN(""), "unsupported" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(TARGET_ABSOLUTE, METHOD_GET, cases[i].target, SPAN("other"), cases[i].want);
    check(TARGET_ABSOLUTE, METHOD_OPTIONS, SPAN("http://a"), SPAN("a"), "p a 80 a *");
    check(TARGET_ABSOLUTE, METHOD_OPTIONS, SPAN("http://a/"), SPAN("a"), "p a 80 a /");
    check(TARGET_ABSOLUTE, METHOD_OPTIONS, SPAN("http://a?"), SPAN("a"), "p a 80 a /?");
}

static void authorities_need_a_port(void **state)
{
    static const struct {
        struct span target;
        const char *want;
    } cases[] = {
        { SPAN("a.example:443"), "p a.example 443 a.example:443 " },
        { SPAN("A.Example:80"), "p a.example 80 a.example:80 " },
        { SPAN("127.0.0.1:1"), "p 127.0.0.1(4) 1 127.0.0.1:1 " },
        { SPAN("[::1]:443"), "p ::1(6) 443 [::1]:443 " },
        { SPAN("a.example"), "syntax" },
        { SPAN("a.example:"), "syntax" },
        { SPAN("[::1]"), "syntax" },
        { SPAN("::1:443"), "syntax" },
        { SPAN("[::1]]:443"), "syntax" },
        { SPAN("[]:443"), "syntax" },
        { SPAN("a:65536"), "syntax" },
        { SPAN("u@a:443"), "syntax" },
        { SPAN("http://a:443"), "syntax" },
        { SPAN("a:443/"), "syntax" },
        { SPAN("a:443?"), "syntax" },
        { SPAN("*"), "syntax" },
        { SPAN(":443"), "syntax" },
        { SPAN(""), "syntax" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(TARGET_AUTHORITY, METHOD_CONNECT, cases[i].target, SPAN("other:1"), cases[i].want);
}

static void other_forms_go_by_host(void **state)
{
    (void)state;
    check(TARGET_ORIGIN, METHOD_GET, SPAN("/x?y"), SPAN("A:81"), "p a 81 a:81 /x?y");
    check(TARGET_ORIGIN, METHOD_GET, SPAN("//b/x"), SPAN("a"), "p a 80 a //b/x");
    check(TARGET_ORIGIN, METHOD_GET, SPAN("/"), SPAN("[::1]:80"), "p ::1(6) 80 [::1] /");
    check(TARGET_ORIGIN, METHOD_GET, SPAN("/"), SPAN(""), "syntax");
    check(TARGET_ORIGIN, METHOD_GET, SPAN("/"), SPAN_NONE, "syntax");
    check(TARGET_ORIGIN, METHOD_GET, SPAN("/#x"), SPAN("a"), "syntax");
    check(TARGET_ASTERISK, METHOD_OPTIONS, SPAN("*"), SPAN("a"), "p a 80 a *");
}

/* A host of `size` bytes in labels of at most `label`. */
static struct span long_host(char *to, size_t size, size_t label)
{
    memcpy(to, "http://", 7);
    for (size_t i = 0; i < size; i++)
        to[7 + i] = i % (label + 1) == label ? '.' : 'a';
    return span_of(to, size + 7);
}

static void names_have_limits(void **state)
{
    char text[400], want[1024];
    struct span target;

    (void)state;
    target = long_host(text, 63, 63);
    snprintf(want, sizeof want, "p %.63s 80 %.63s /", text + 7, text + 7);
    check(TARGET_ABSOLUTE, METHOD_GET, target, SPAN("a"), want);
    check(TARGET_ABSOLUTE, METHOD_GET, long_host(text, 64, 64), SPAN("a"), "syntax");
    target = long_host(text, 253, 49);
    snprintf(want, sizeof want, "p %.253s 80 %.253s /", text + 7, text + 7);
    check(TARGET_ABSOLUTE, METHOD_GET, target, SPAN("a"), want);
    check(TARGET_ABSOLUTE, METHOD_GET, long_host(text, 254, 49), SPAN("a"), "syntax");
}

static void a_full_arena_is_an_error(void **state)
{
    struct message message;
    struct target target;
    struct arena arena;
    struct error error;

    (void)state;
    for (size_t limit = 0; limit < 30; limit++) {
        enum error_kind kind;

        arena_init(&arena, limit);
        message_init(&message, &arena, true);
        message.target_form = TARGET_ABSOLUTE;
        message.target = SPAN("http://host:81?x");
        kind = target_split(&target, &message, &error);
        // "host", "host:81", "/?x", each with its NUL
        assert_int_equal(kind, limit < 17 ? ERROR_LIMIT : ERROR_NONE);
        arena_done(&arena);
    }
}

static void inside_of_tls_the_scheme_is_given(void **state)
{
    static const struct {
        enum target_form form;
        struct span target, host;
        const char *want;
    } cases[] = {
        { TARGET_ORIGIN, SPAN("/a?b"), SPAN("a.example"), "s a.example 443 a.example /a?b" },
        { TARGET_ORIGIN, SPAN("/"), SPAN("a.example:443"), "s a.example 443 a.example /" },
        { TARGET_ORIGIN, SPAN("/"), SPAN("a.example:80"), "s a.example 80 a.example:80 /" },
        { TARGET_ASTERISK, SPAN("*"), SPAN("[::1]:8443"), "s ::1(6) 8443 [::1]:8443 *" },
        { TARGET_ABSOLUTE, SPAN("https://a.example/"), SPAN("a.example"),
          "s a.example 443 a.example /" },
        { TARGET_ABSOLUTE, SPAN("http://a.example/"), SPAN("a.example"),
          "p a.example 80 a.example /" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[1024];
        struct message message;
        struct target target;
        struct arena arena;

        arena_init(&arena, 1 << 16);
        message_init(&message, &arena, true);
        message.target_form = cases[i].form;
        message.method = METHOD_OPTIONS;
        message.target = cases[i].target;
        message_add(&message, SPAN("Host"), cases[i].host);
        assert_int_equal(target_split_in(&target, &message, TARGET_HTTPS, NULL), ERROR_NONE);
        assert_string_equal(describe(got, sizeof got, &target), cases[i].want);
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_of_tls_the_scheme_is_given),
        cmocka_unit_test(absolute_forms_are_split),
        cmocka_unit_test(authorities_need_a_port),
        cmocka_unit_test(other_forms_go_by_host),
        cmocka_unit_test(names_have_limits),
        cmocka_unit_test(a_full_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
