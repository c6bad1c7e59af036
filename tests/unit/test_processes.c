/* What processes take, by the texts of /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <unistd.h>

#include "admin/processes.h"

static void stat_is_read_by_its_columns(void **state)
{
    static const char good[] =
        "42 (a b) c)) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 1234 8192000 500 184";
    static const struct {
        const char *name, *text;
        bool want;
    } cases[] = {
        { "good", good, true },
        { "no parenthesis", "42 a S 1 1", false },
        { "cut short", "42 (a) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 1 8192",
          false },
        { "nothing", "", false },
        { "two blanks", "42 (a) S  1 42 42 0 -1 4194304 100 0 0 0 1 5 0 0 20 0 1 0 1 8 5", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct overview_processes all = { .count = 1, .cpu_ms = 5 };
        bool got = processes_add_stat(&all, span_text(cases[i].text), 100, 4096);

        if (got != cases[i].want)
            fail_msg("%s: got %d", cases[i].name, got);
        assert_int_equal(all.count, 1 + (got ? 1 : 0));
        assert_int_equal(all.cpu_ms, got ? 2005 : 5);
        assert_int_equal(all.virtual_bytes, got ? 8192000 : 0);
        assert_int_equal(all.resident_bytes, got ? 500 * 4096 : 0);
    }
}

static void this_process_takes_something(void **state)
{
    struct overview_processes all;

    (void)state;
    processes_read(&all, getpid());
    assert_true(all.count >= 1);
    assert_true(all.resident_bytes > 100000);
    assert_true(all.open_descriptors >= 3);
    assert_true(all.descriptor_limit >= all.open_descriptors);
    processes_read(&all, 0x7ffffff0);
    assert_int_equal(all.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_is_read_by_its_columns),
        cmocka_unit_test(this_process_takes_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
