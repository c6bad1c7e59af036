/* Parts of bodies: what Content-Range says, and by what a part can be gone on with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/part.h"

static const struct {
    const char *value;
    bool is_good;
    uint64_t first, last, whole;
} ranges[] = {
    { "bytes 5-9/10", true, 5, 9, 10 },
    { "bytes 0-0/1", true, 0, 0, 1 },
    { "Bytes 5-9/*", true, 5, 9, UINT64_MAX },
    { "bytes 0-18446744073709551614/18446744073709551615", true, 0, UINT64_MAX - 1, UINT64_MAX },
    { "bytes 0-18446744073709551615/*", false, 0, 0, 0 },
    { "bytes 0-18446744073709551616/*", false, 0, 0, 0 },
    { "bytes 5-10/10", false, 0, 0, 0 },
    { "bytes 9-5/10", false, 0, 0, 0 },
    { "bytes */10", false, 0, 0, 0 },
    { "bytes -9/10", false, 0, 0, 0 },
    { "bytes 5-/10", false, 0, 0, 0 },
    { "bytes 5-9/", false, 0, 0, 0 },
    { "bytes 5-9", false, 0, 0, 0 },
    { "bytes 5/10-12", false, 0, 0, 0 },
    { "bytes 5-9/10 ", false, 0, 0, 0 },
    { "bytes +5-9/10", false, 0, 0, 0 },
    { "bytes  5-9/10", false, 0, 0, 0 },
    { "bytes=5-9/10", false, 0, 0, 0 },
    { "lines 5-9/10", false, 0, 0, 0 },
    { "bytes ", false, 0, 0, 0 },
    { "", false, 0, 0, 0 },
};

static void ranges_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct part part = { 0 };

        if (part_read(&part, span_text(ranges[i].value)) != ranges[i].is_good ||
            part.first != ranges[i].first || part.last != ranges[i].last ||
            part.whole != ranges[i].whole)
            fail_msg("%s", ranges[i].value);
    }
    assert_false(part_read(&(struct part){ 0 }, SPAN_NONE));
}

static void ranges_of_nothing(void **state)
{
    static const char *const bad[] = {
        "bytes */",   "bytes */*", "bytes */-1", "bytes 5-9/10", "bytes */18446744073709551616",
        "lines */10", ""
    };
    uint64_t whole;

    (void)state;
    assert_true(part_read_none(&whole, SPAN("bytes */10")) && whole == 10);
    assert_true(part_read_none(&whole, SPAN("BYTES */18446744073709551615")));
    assert_int_equal(whole, UINT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (part_read_none(&whole, span_text(bad[i])))
            fail_msg("%s", bad[i]);
}

#define EARLY "Sat, 21 Nov 2026 06:00:00 GMT"
#define LATE "Sat, 21 Nov 2026 06:00:01 GMT"

static const struct {
    const char *etag, *modified, *date;
    const char *want; // NULL: nothing
    const char *had;  // a validator
    bool is_other;
} answers[] = {
    { "\"a\"", NULL, NULL, "\"a\"", "\"a\"", false },
    { "\"a\"", NULL, NULL, "\"a\"", "\"b\"", true },
    { "\"a\"", EARLY, LATE, "\"a\"", EARLY, false },
    { "\"a\"", EARLY, LATE, "\"a\"", LATE, true },
    { "W/\"a\"", EARLY, LATE, NULL, "\"a\"", true },
    { NULL, EARLY, LATE, EARLY, EARLY, false },
    { NULL, EARLY, LATE, EARLY, "\"a\"", false }, // it does not say
    { NULL, EARLY, EARLY, NULL, LATE, true },     // it may have changed twice in that second
    { NULL, EARLY, NULL, NULL, "", false },
    { NULL, EARLY, "soon", NULL, NULL, false },
    { NULL, "once", LATE, NULL, EARLY, true },
    { NULL, NULL, LATE, NULL, "\"a\"", false },
};

static void put(struct message *message, const char *name, const char *value)
{
    if (value)
        assert_true(message_add(message, span_text(name), span_text(value)));
}

static void validators_are_strong(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 65536);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct message response;
        struct span got, had = answers[i].had ? span_text(answers[i].had) : SPAN_NONE;

        message_init(&response, &arena, false);
        put(&response, "ETag", answers[i].etag);
        put(&response, "Last-Modified", answers[i].modified);
        put(&response, "Date", answers[i].date);
        got = part_validator(&response);
        if (answers[i].want ? !span_equal(got, span_text(answers[i].want)) : got.size > 0)
            fail_msg("row %zu: %.*s", i, SPAN_PRINT(got));
        if (part_is_of_another(&response, had) != answers[i].is_other)
            fail_msg("row %zu: is it another?", i);
    }
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(ranges_of_nothing),
        cmocka_unit_test(validators_are_strong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
