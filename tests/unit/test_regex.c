/* Regular expressions of filter lists: their dialect, the cache, limits of length, steps, work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/regex.h"

static bool finds(struct span written, unsigned more, struct span subject)
{
    struct regex_cache *cache = regex_cache_new(1);
    struct span text = SPAN_NONE;
    unsigned flags = 0;
    bool found;

    assert_true(regex_split(written, &text, &flags));
    found = regex_find(cache, 0, text, flags | more, subject);
    assert_int_equal(regex_find(cache, 0, text, flags | more, subject), found); // as it was kept
    regex_cache_free(&cache);
    assert_null(cache);
    return found;
}

static void they_are_split(void **state)
{
    static const struct {
        const char *written, *text; // NULL: it is of another form
        unsigned flags;
    } rows[] = {
        { "/a/", "a", 0 },
        { "/a/i", "a", REGEX_NOCASE },
        { "/a/gims", "a", REGEX_GLOBAL | REGEX_NOCASE | REGEX_MULTILINE | REGEX_DOT_ALL },
        { "/a/u", "a", 0 },
        { "/a/b/i", "a/b", REGEX_NOCASE },
        { "/a\\/b/", "a\\/b", 0 },
        { "//", NULL, 0 },
        { "//i", NULL, 0 },
        { "/a", NULL, 0 },
        { "a/i", NULL, 0 },
        { "", NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span text = SPAN_NONE;
        unsigned flags = 0;

        if (regex_split(span_text(rows[i].written), &text, &flags) != (rows[i].text != NULL) ||
            !span_equal(text, span_text(rows[i].text ? rows[i].text : "")) ||
            flags != rows[i].flags)
            fail_msg("%s: %.*s, %x", rows[i].written, SPAN_PRINT(text), flags);
    }
}

static void they_are_of_the_lists_dialect(void **state)
{
    static const struct {
        const char *written, *subject;
        bool is_found;
    } rows[] = {
        { "/b+c/", "abbc", true },
        { "/^b/", "ab", false },
        { "/B/", "ab", false },
        { "/B/i", "ab", true },
        { "/a.b/", "a\nb", false },
        { "/a.b/s", "a\nb", true },
        { "/^b/m", "a\nb", true },
        { "/a$/", "a\n", false },    // only at the very end
        { "/a[]b|c/", "c", true },   // nothing is in it
        { "/a[^]b/", "a\nb", true }, // and everything in this
        { "/\\u0061\\x62/", "ab", true },
        { "/^(?:(a)|b)\\1c$/", "bc", true }, // of a group that took no part: empty
        { "/a(?=b)/", "ab", true },
        { "/(?<!a)b/", "ab", false },
        { "/a\\Cb/", "axb", false }, // would cut characters
        { "/a(/", "a(", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (finds(span_text(rows[i].written), 0, span_text(rows[i].subject)) != rows[i].is_found)
            fail_msg("%s in %s", rows[i].written, rows[i].subject);
}

static void each_number_has_its_own(void **state)
{
    struct regex_cache *cache = regex_cache_new(3);

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_true(regex_find(cache, 0, SPAN("^a"), 0, SPAN("ab")));
        assert_false(regex_find(cache, 1, SPAN("a("), 0, SPAN("a(")));
        assert_true(regex_find(cache, 2, SPAN("b$"), 0, SPAN("ab")));
        assert_false(regex_find(cache, 0, SPAN("^a"), 0, SPAN("b")));
    }
    regex_cache_free(&cache);
}

static void length_has_a_limit(void **state)
{
    static char text[REGEX_LIMIT + 1];

    (void)state;
    memset(text, 'a', sizeof text);
    assert_true(regex_check(span_of(text, REGEX_LIMIT), 0));
    assert_false(regex_check(span_of(text, REGEX_LIMIT + 1), 0));
    assert_false(regex_check(SPAN(""), 0));
}

/* Twice as many ways to try for each byte more. */
static void steps_have_a_limit(void **state)
{
    (void)state;
    assert_true(finds(SPAN("/^(?:a|a)*b/"), 0, SPAN("aaaaaaab")));
    assert_false(finds(SPAN("/^(?:a|a)*c|b$/"), 0,
                       SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")));
    assert_true(finds(SPAN("/^(?:a|a)*c|b$/"), 0, SPAN("aaaaaaab")));
}

/* A step or two at each place: too little for PCRE2's limits, which hold for one place. */
static void work_has_a_limit(void **state)
{
    size_t size = REGEX_WORK + 1;
    char *text = malloc(size);

    (void)state;
    assert_non_null(text);
    memset(text, 'a', size);
    text[size - 1] = 'c';
    assert_true(
        finds(SPAN("/[ab]c/"), REGEX_WATCHED, span_from(span_of(text, size), size * 7 / 8)));
    assert_false(finds(SPAN("/[ab]c/"), REGEX_WATCHED, span_of(text, size)));
    assert_true(finds(SPAN("/[ab]c/"), 0, span_of(text, size))); // nobody watches
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_split),          cmocka_unit_test(they_are_of_the_lists_dialect),
        cmocka_unit_test(each_number_has_its_own), cmocka_unit_test(length_has_a_limit),
        cmocka_unit_test(steps_have_a_limit),      cmocka_unit_test(work_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
