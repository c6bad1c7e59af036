/* The scans: against a loop that looks at one byte after the other, at every offset and length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/scan.h"

enum { BYTES = 200 };

static char text[BYTES];
static uint64_t random_state = 1;

static unsigned next_random(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33);
}

/* Mostly letters, now and then any byte. */
static void fill(void)
{
    static const char odd[] = " \t\n\f\r/>=<?\"'&-!";

    for (size_t i = 0; i < BYTES; i++) {
        unsigned dice = next_random() % 40;
        text[i] = dice == 0   ? (char)next_random()
                  : dice == 1 ? odd[next_random() % (sizeof odd - 1)]
                              : (char)('a' + next_random() % 26);
    }
}

static bool is_in(char c, const char *set)
{
    return c && strchr(set, c);
}

static const char *slow(const char *at, const char *end, const char *set, bool wanted)
{
    while (at < end && is_in(*at, set) != wanted)
        at++;
    return at;
}

static void finds_what_a_plain_loop_finds(void **state)
{
    static const char spaces[] = " \t\n\f\r";

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        fill();
        for (size_t from = 0; from < BYTES; from += 1 + next_random() % 7) {
            const char *at = text + from, *end = at + next_random() % (BYTES - from + 1);

            assert_ptr_equal(scan_spaces(at, end), slow(at, end, spaces, false));
            assert_ptr_equal(scan_to_space(at, end), slow(at, end, spaces, true));
            assert_ptr_equal(scan_to_class(at, end, SCAN_TAG_NAME_END),
                             slow(at, end, " \t\n\f\r/>", true));
            assert_ptr_equal(scan_to_class(at, end, SCAN_NAME_END),
                             slow(at, end, " \t\n\f\r/>=", true));
            assert_ptr_equal(scan_to_class(at, end, SCAN_VALUE_END),
                             slow(at, end, " \t\n\f\r>", true));
            assert_ptr_equal(scan_to_byte(at, end, '<'), slow(at, end, "<", true));
            assert_ptr_equal(scan_to_either(at, end, '<', '&'), slow(at, end, "<&", true));
        }
    }
}

static void classes_are_those_of_the_standard(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        char c = (char)i;
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (scan_is(c, SCAN_SPACE) != is_in(c, " \t\n\f\r") ||
            scan_is(c, SCAN_TAG_NAME_END) != is_in(c, " \t\n\f\r/>") ||
            scan_is(c, SCAN_NAME_END) != is_in(c, " \t\n\f\r/>=") ||
            scan_is(c, SCAN_VALUE_END) != is_in(c, " \t\n\f\r>") ||
            scan_is(c, SCAN_LETTER) != is_letter)
            fail_msg("byte %u", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_plain_loop_finds),
        cmocka_unit_test(classes_are_those_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
