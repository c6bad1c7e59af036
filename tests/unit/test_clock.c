/* The time of the calendar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <time.h>

#include "base/clock.h"

static void it_is_in_milliseconds_since_1970(void **state)
{
    const uint64_t now_ms = clock_unix_ms();

    (void)state;
    assert_true(now_ms / 1000 <= (uint64_t)time(NULL));
    assert_true(now_ms > UINT64_C(1600000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(it_is_in_milliseconds_since_1970) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
