/* What begins like a page, by rows; and that a start which is cut short never tells otherwise than
 * all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/sniff.h"

static const struct {
    struct span start;
    enum sniff on_visit, else_;
} rows[] = {
    { { "", 0 }, SNIFF_OTHER, SNIFF_OTHER },
    { { " \r\n\t\f", 5 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "\xef\xbb\xbf", 3 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "\xef\xbb\xbf<p>", 6 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<", 1 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<!DOCTYPE html>", 15 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "\n <p>x", 6 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "words", 5 }, SNIFF_PAGE, SNIFF_OTHER },
    { { "\xe9t\xe9", 3 }, SNIFF_PAGE, SNIFF_OTHER },
    { { "{\"a\":1}", 7 }, SNIFF_OTHER, SNIFF_OTHER },
    { { " [1]", 4 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "\x89PNG\r\n\x1a\n", 8 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "a\0b", 3 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "\xff\xfe<\0", 4 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "\xfe\xffxy", 4 }, SNIFF_OTHER, SNIFF_OTHER },
    // feeds
    { { "<rss version=2>", 15 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<RSS>", 5 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<rssx>", 6 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<feed\nxmlns=x>", 14 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<feedback>", 10 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<rdf:RDF a=b>", 13 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<!-- a --> <? b ?>\n<!-- --><feed>", 33 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<!-- a --><p>", 13 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<!-- <rss>", 10 }, SNIFF_PAGE, SNIFF_PAGE },
    // XML
    { { "<?xml version='1.0'?>\n<svg>", 27 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<?xml version='1.0'?><!-- x --><items/>", 39 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<?xml version='1.0'?><!DOCTYPE svg>", 35 }, SNIFF_OTHER, SNIFF_OTHER },
    { { "<?xml version='1.0'?>\n<html>", 28 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<?xml version='1.0'?>\n<HTML lang=en>", 36 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<?xml version='1.0'?><!DOCTYPE html PUBLIC>", 43 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<?xml version='1.0'?>words", 26 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<?php x ?><div>", 15 }, SNIFF_PAGE, SNIFF_PAGE },
    { { "<svg>", 5 }, SNIFF_PAGE, SNIFF_PAGE },
};

static void starts_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int is_visit = 0; is_visit < 2; is_visit++) {
            enum sniff want = is_visit ? rows[i].on_visit : rows[i].else_;
            enum sniff got = sniff_page(rows[i].start, true, true, is_visit);

            if (got != want)
                fail_msg("%zu, %d: %d", i, is_visit, (int)got);
            for (size_t size = 0; size < rows[i].start.size; size++) {
                got = sniff_page(span_slice(rows[i].start, 0, size), false, false, is_visit);
                if (got != SNIFF_MORE && got != want)
                    fail_msg("%zu, %d, cut at %zu: %d", i, is_visit, size, (int)got);
            }
        }
}

/* What is clear is not waited for. */
static void first_tags_tell(void **state)
{
    (void)state;
    assert_int_equal(sniff_page(SPAN("<p"), false, false, false), SNIFF_PAGE);
    assert_int_equal(sniff_page(SPAN("<html"), false, false, false), SNIFF_PAGE);
    assert_int_equal(sniff_page(SPAN("<!D"), false, false, false), SNIFF_PAGE);
    assert_int_equal(sniff_page(SPAN("<r"), false, false, false), SNIFF_MORE);
    assert_int_equal(sniff_page(SPAN("<?xml?><ht"), false, false, false), SNIFF_MORE);
    assert_int_equal(sniff_page(SPAN(" "), true, false, true), SNIFF_PAGE); // blanks without end
    assert_int_equal(sniff_page(SPAN(" "), true, false, false), SNIFF_OTHER);
}

/* 64 bytes of words are looked at. */
static void words_are_looked_at(void **state)
{
    char text[65];

    (void)state;
    memset(text, 'w', sizeof text);
    assert_int_equal(sniff_page(span_of(text, 63), false, false, true), SNIFF_MORE);
    assert_int_equal(sniff_page(span_of(text, 64), false, false, true), SNIFF_PAGE);
    text[63] = 0;
    assert_int_equal(sniff_page(span_of(text, 64), false, false, true), SNIFF_OTHER);
    text[63] = 'w', text[64] = 0;
    assert_int_equal(sniff_page(span_of(text, 65), false, false, true), SNIFF_PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_are_told_apart),
        cmocka_unit_test(first_tags_tell),
        cmocka_unit_test(words_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
