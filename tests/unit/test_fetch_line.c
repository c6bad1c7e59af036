/* Lines of the progress display: in any width they fit, and say what matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cli/fetch_line.h"
#include "cli/fetch_report.h"

static const uint64_t amounts[] = {
    0,      1,       999,     1000,          9994,      9995,
    99999,  999949,  999950,  1234567890123, 1u << 31,  UINT64_MAX - 1,
    100000, 5000000, 60 * 60, 100 * 3600,    UINT64_MAX
};
enum { AMOUNTS = sizeof amounts / sizeof *amounts };

static void fits_in_any_width(void **state)
{
    static const char long_name[] =
        "a-file-with-a-name-that-is-longer-than-any-terminal-that-I-have-"
        "ever-seen-in-my-life-and-that-goes-on-and-on-and-on.iso";
    static const char *const names[] = { "", "a", long_name, "\x1b[31m\xc3\xa9\n\t" };

    (void)state;
    for (size_t columns = 1; columns < 300; columns++)
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            for (size_t i = 0; i < AMOUNTS; i++)
                for (int bar = 0; bar < 2; bar++) {
                    struct fetch_line line = {
                        span_text(names[n]),         amounts[i],
                        amounts[(i + 3) % AMOUNTS],  amounts[(i + 7) % AMOUNTS],
                        amounts[(i + 11) % AMOUNTS], bar
                    };
                    char text[FETCH_LINE_ROOM];
                    size_t size = fetch_line_write(text, columns, &line);

                    assert_int_equal(size, strlen(text));
                    assert_true(size <= columns && size <= FETCH_LINE_COLUMNS);
                    for (size_t at = 0; at < size; at++)
                        assert_true(text[at] >= 0x20 && text[at] < 0x7f);
                }
}

static const struct {
    size_t columns;
    bool has_bar;
    uint64_t bytes, whole, bytes_s, left_s;
    const char *want;
} rows[] = {
    { 79, true, 500000, 1000000, 100000, 5,
      "name.iso             [==========>         ]  50%  500.0 kB  100.0 kB/s     0:05" },
    { 79, true, 1000, FETCH_LINE_UNKNOWN, 100, FETCH_LINE_UNKNOWN,
      "name.iso                                           1.00 kB 100 bytes/s        -" },
    { 79, true, 0, 0, 0, 0,
      "name.iso             [====================] 100%   0 bytes   0 bytes/s     0:00" },
    { 39, true, 500000, 1000000, 100000, 3723, "name.iso  500.0 kB  100.0 kB/s  1:02:03" },
    { 20, true, 500000, 1000000, 100000, 5, "name.iso    500.0 kB" },
    { 12, true, 500000, 1000000, 100000, 5, "name.iso    " },
    { 79, false, 1000, FETCH_LINE_UNKNOWN, 100, 60,
      "name.iso                                           1.00 kB 100 bytes/s     1:00" },
};

static void shows_what_fits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fetch_line line = { SPAN("name.iso"), rows[i].bytes,  rows[i].whole,
                                   rows[i].bytes_s,  rows[i].left_s, rows[i].has_bar };
        char text[FETCH_LINE_ROOM];

        fetch_line_write(text, rows[i].columns, &line);
        if (strcmp(text, rows[i].want) != 0)
            fail_msg("row %zu:\n%s|\n%s|", i, text, rows[i].want);
    }
}

static void long_names_show_their_end(void **state)
{
    struct fetch_line line = { SPAN("host.example/a/long/way/down/to/file.iso"), 1, 2, 1, 1, true };
    char text[FETCH_LINE_ROOM];

    (void)state;
    fetch_line_write(text, 39, &line);
    assert_memory_equal(text, "..le.iso ", 9);
}

static void times_and_amounts(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *want;
    } times[] = { { 0, "0:00" },      { 59, "0:59" },          { 60, "1:00" },
                  { 3599, "59:59" },  { 3600, "1:00:00" },     { 359999, "99:59:59" },
                  { 360000, "4 d" },  { 863999999, "9999 d" }, { 864000000, "-" },
                  { UINT64_MAX, "-" } };
    static const struct {
        uint64_t bytes;
        const char *want;
    } sizes[] = { { 0, "0 bytes" },      { 999, "999 bytes" },     { 1000, "1.00 kB" },
                  { 9994, "9.99 kB" },   { 9996, "10.0 kB" },      { 999949, "999.9 kB" },
                  { 999951, "1.00 MB" }, { UINT64_MAX, "18.4 EB" } };
    char text[FETCH_AMOUNT_ROOM];

    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        assert_string_equal(fetch_time_text(text, times[i].seconds), times[i].want);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_string_equal(fetch_amount_text(text, sizes[i].bytes), sizes[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_in_any_width),
        cmocka_unit_test(shows_what_fits),
        cmocka_unit_test(long_names_show_their_end),
        cmocka_unit_test(times_and_amounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
