/* Characters as bytes, and back; what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/utf8.h"

static void every_character_comes_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint32_t got = 1;
        char bytes[5];
        size_t size = utf8_put(bytes, code);

        if (code >= 0xd800 && code < 0xe000) {
            assert_int_equal(utf8_take(span_of(bytes, size), &got), 0);
            continue;
        }
        bytes[size] = 'x';
        if (utf8_take(span_of(bytes, size + 1), &got) != size || got != code)
            fail_msg("U+%04X: %u", code, got);
        for (size_t cut = 1; cut < size; cut++)
            assert_int_equal(utf8_take(span_of(bytes, cut), &got), 0);
    }
}

static void what_is_none(void **state)
{
    static const char *const rows[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf", // overlong, as some more are
        "\xc3x",
        "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xe2\x82x",
        "\xed\xa0\x80", // a surrogate
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", // too high
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
    };
    uint32_t code;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (utf8_take(span_text(rows[i]), &code))
            fail_msg("row %zu: U+%04X", i, code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_comes_back),
        cmocka_unit_test(what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
