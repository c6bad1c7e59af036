/* Charsets: labels and byte order marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/charset.h"

static void labels_have_names_and_kinds(void **state)
{
    static const struct {
        const char *label, *name;
        enum charset_kind kind;
    } cases[] = {
        { "UTF-8", "utf-8", CHARSET_READABLE },
        { " utf8\t", "utf-8", CHARSET_READABLE },
        { "latin1", "windows-1252", CHARSET_READABLE },
        { "X-SJIS", "shift_jis", CHARSET_READABLE },
        { "gb2312", "gbk", CHARSET_READABLE },
        { "utf-16", "utf-16le", CHARSET_UNREADABLE },
        { "unicode", "utf-16le", CHARSET_UNREADABLE },
        { "ISO-2022-JP", "iso-2022-jp", CHARSET_UNREADABLE },
        { "hz-gb-2312", "replacement", CHARSET_UNREADABLE },
        { "utf-7", "utf-7", CHARSET_UNREADABLE },
        { "", NULL, CHARSET_UNKNOWN },
        { "utf", NULL, CHARSET_UNKNOWN },
        { "utf-8 x", NULL, CHARSET_UNKNOWN },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span label = span_text(cases[i].label), name = charset_name(label);
        if (!span_equal(name, span_text(cases[i].name)) || charset_kind(label) != cases[i].kind)
            fail_msg("%s: %.*s, %d", cases[i].label, SPAN_PRINT(name), charset_kind(label));
    }
}

static void marks_are_seen(void **state)
{
    static const struct {
        struct span start;
        const char *want;
    } cases[] = {
        { { "\xef\xbb\xbf<p>", 6 }, "utf-8" }, { { "\xfe\xff\0<", 4 }, "utf-16be" },
        { { "\xff\xfe<\0", 4 }, "utf-16le" },  { { "\xef\xbb<", 3 }, NULL },
        { { "<p>\xff\xfe", 5 }, NULL },        { { "", 0 }, NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!span_equal(charset_mark(cases[i].start), span_text(cases[i].want)))
            fail_msg("%zu: %.*s", i, SPAN_PRINT(charset_mark(cases[i].start)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_have_names_and_kinds),
        cmocka_unit_test(marks_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
