/* How long to wait before another attempt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/patience.h"

static void waits_longer_each_time(void **state)
{
    static const struct {
        unsigned attempt;
        uint64_t most_ms;
    } rows[] = { { 1, 1000 },  { 2, 2000 },  { 3, 4000 },    { 6, 32000 },
                 { 7, 60000 }, { 8, 60000 }, { 1000, 60000 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t half = rows[i].most_ms / 2;

        assert_int_equal(patience_wait_ms(rows[i].attempt, 0), half);
        assert_int_equal(patience_wait_ms(rows[i].attempt, (uint32_t)half), rows[i].most_ms);
        for (uint32_t chance = 0; chance < 1000; chance++) {
            uint64_t wait = patience_wait_ms(rows[i].attempt, chance * 4294967);
            assert_true(wait >= half && wait <= rows[i].most_ms);
        }
    }
}

static void reads_retry_after(void **state)
{
    static const struct {
        const char *value;
        bool good;
        uint64_t seconds;
    } rows[] = {
        { "0", true, 0 },
        { "120", true, 120 },
        { "Sun, 06 Nov 1994 08:49:47 GMT", true, 10 },
        { "Sunday, 06-Nov-94 08:49:47 GMT", true, 10 },
        { "Sun Nov  6 08:49:47 1994", true, 10 },
        { "Sun, 06 Nov 1994 08:49:36 GMT", true, 0 },
        { "", false, 0 },
        { "-1", false, 0 },
        { "soon", false, 0 },
        { "99999999999999999999", false, 0 },
        { "Sun, 06 Nov 1994 08:49:47 GMT and more", false, 0 },
        { "Sun, 06 Nov 1994 08:49:47 GMT ........................................", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t seconds = 0;
        bool good = patience_retry_after(span_text(rows[i].value), 784111777, &seconds);

        if (good != rows[i].good || (good && seconds != rows[i].seconds))
            fail_msg("%s: %d %llu", rows[i].value, good, (unsigned long long)seconds);
    }
}

static void knows_what_may_pass(void **state)
{
    (void)state;
    for (unsigned status = 100; status < 600; status++)
        assert_int_equal(patience_status(status), status == 408 || status == 425 || status == 429 ||
                                                      status == 500 || status == 502 ||
                                                      status == 503 || status == 504);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_longer_each_time),
        cmocka_unit_test(reads_retry_after),
        cmocka_unit_test(knows_what_may_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
