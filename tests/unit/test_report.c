/* What was done to a request: told to clients on this machine that ask, and to nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/report.h"

static const struct {
    const char *client;
    bool asks, wanted;
} clients[] = {
    { "127.0.0.1", true, true },   { "127.8.9.10", true, true },
    { "::1", true, true },         { "::ffff:127.0.0.1", true, true },
    { "127.0.0.1", false, false }, { "192.168.1.2", true, false },
    { "8.8.8.8", true, false },    { "fe80::1", true, false },
};

static void is_told_here_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        struct report report = { .is_wanted = false };
        struct message request;
        struct address client;
        struct arena arena;

        arena_init(&arena, 1 << 16);
        message_init(&request, &arena, true);
        if (clients[i].asks)
            assert_true(message_add(&request, SPAN("proxy-dejunk-explain"), SPAN("1")));
        assert_true(message_add(&request, SPAN("Proxy-Dejunk-Other"), SPAN("1")));
        assert_true(message_add(&request, SPAN("Accept"), SPAN("*/*")));
        assert_true(address_parse(&client, span_text(clients[i].client), 1));
        report_begin(&report, &request, &client);
        assert_int_equal(report.is_wanted, clients[i].wanted);
        // and goes no further
        for (size_t j = 0; j < request.field_count; j++)
            assert_int_equal(request.fields[j].is_dropped,
                             !span_equal(request.fields[j].name, SPAN("Accept")));
        if (!clients[i].wanted)
            assert_null(report_value(&report, &arena, SPAN_NONE).at);
        arena_done(&arena);
    }
}

static void says_what_was_done(void **state)
{
    struct report report = { .is_wanted = true };
    struct message response;
    struct arena arena;
    struct span value;

    (void)state;
    arena_init(&arena, 1 << 16);
    message_init(&response, &arena, false);
    value = report_value(&report, &arena, SPAN_NONE);
    assert_true(span_equal(value, SPAN("passed")));
    assert_true(message_add(&response, SPAN("Set-Cookie"), SPAN("a=b")));
    assert_true(message_add(&response, SPAN("Refresh"), SPAN("1")));
    assert_true(message_add(&response, SPAN("Proxy-Dejunk"), SPAN("a lie")));
    report_strip(&response);
    assert_null(message_find_name(&response, REPORT_FIELD));
    response.fields[0].is_dropped = response.fields[1].is_dropped = true;
    report_note(&report, &arena, "url", SPAN("/a\"\r\nX: y\x80"));
    report_note_dropped(&report, &arena, &response);
    value = report_value(&report, &arena, SPAN_NONE);
    assert_true(
        span_equal(value, SPAN("changed; url=\"/a???X: y?\"; headers=\"Set-Cookie, Refresh\"")));
    value = report_value(&report, &arena, SPAN("||ads^ (list, line 7)"));
    assert_true(span_equal(value, SPAN("blocked; by=\"||ads^ (list, line 7)\"")));
    arena_done(&arena);
}

static void has_a_limit(void **state)
{
    static char text[REPORT_BYTES + 100];
    struct report report = { .is_wanted = true };
    struct arena arena;

    (void)state;
    memset(text, 'x', sizeof text);
    arena_init(&arena, 1 << 20);
    report_note(&report, &arena, "url", span_of(text, REPORT_BYTES - 8));
    assert_true(report.changes.size > REPORT_BYTES - 300 && report.changes.size <= REPORT_BYTES);
    report_note(&report, &arena, "url", span_of(text, sizeof text));
    assert_true(report.changes.size < REPORT_BYTES + 20);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_told_here_only),
        cmocka_unit_test(says_what_was_done),
        cmocka_unit_test(has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
