/* Patterns with '*' and '^' against texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/pattern.h"

static const struct {
    const char *pattern, *text;
    size_t at;
    bool floats, to_end;
    enum pattern_result result;
} rows[] = {
    { "", "abc", 0, false, false, PATTERN_YES },
    { "", "abc", 3, false, true, PATTERN_YES },
    { "", "abc", 0, true, true, PATTERN_YES },
    { "abc", "abc", 0, false, false, PATTERN_YES },
    { "abc", "abc", 0, false, true, PATTERN_YES },
    { "abc", "abcd", 0, false, true, PATTERN_NO },
    { "bc", "abc", 0, false, false, PATTERN_NO },
    { "bc", "abc", 1, false, false, PATTERN_YES },
    { "bc", "abc", 0, true, false, PATTERN_YES },
    { "bc", "abc", 2, true, false, PATTERN_NOWHERE },
    { "c", "abcbc", 0, true, true, PATTERN_YES },
    { "ab", "abcbc", 0, true, true, PATTERN_NOWHERE },
    { "a^", "a/", 0, false, false, PATTERN_YES },
    { "a^", "a", 0, false, false, PATTERN_YES }, // the end is a separator
    { "a^", "a", 0, false, true, PATTERN_YES },
    { "a^", "a/", 0, false, true, PATTERN_YES },
    { "a^", "a/b", 0, false, true, PATTERN_NO },
    { "a^", "ab", 0, false, false, PATTERN_NO },
    { "a^^", "a", 0, false, false, PATTERN_YES },
    { "a^^", "a/", 0, false, false, PATTERN_YES },
    { "a^b", "a", 0, false, false, PATTERN_NO },
    { "^a^", "x/a/b", 0, true, false, PATTERN_YES },
    { "^a^", "xaab", 0, true, false, PATTERN_NOWHERE },
    { "^", "abc", 0, true, false, PATTERN_YES },
    { "^^", "abc", 0, true, false, PATTERN_YES },
    { "^^", "a/?c", 0, true, false, PATTERN_YES },
    { "a*c", "abbbc", 0, false, false, PATTERN_YES },
    { "a*c", "ac", 0, false, true, PATTERN_YES },
    { "a*c", "acb", 0, false, true, PATTERN_NOWHERE },
    { "a*c", "acbc", 0, false, true, PATTERN_YES },
    { "a*b*c", "aXbXc", 0, false, true, PATTERN_YES },
    { "a*b*c", "aXcXb", 0, false, false, PATTERN_NOWHERE },
    { "a*^c", "ab/c", 0, false, false, PATTERN_YES },
    { "a*^", "ab", 0, false, true, PATTERN_YES },
    { "a**c", "abc", 0, false, false, PATTERN_YES },
    { "*", "abc", 0, false, true, PATTERN_YES },
    { "abab", "aababab", 0, true, false, PATTERN_YES },
    { "abab*bab", "ababab", 0, true, true, PATTERN_NOWHERE }, // the parts do not overlap
    { "abcdefghijklmnopqrstuvwxyz0123456789",
      "xxxxxxxxxxxxxxxxxxxxabcdefghijklmnopqrstuvwxyz0123456789yy", 0, true, false, PATTERN_YES },
    { "abcdefghijklmnopqrstuvwxyz0123456789",
      "xxxxxxxxxxxxxxxxxxxxabcdefghijklmnopqrstuvwxyz012345678", 0, true, false, PATTERN_NOWHERE },
};

static void matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum pattern_result got = pattern_match(span_text(rows[i].pattern), span_text(rows[i].text),
                                                rows[i].at, rows[i].floats, rows[i].to_end);
        if (got != rows[i].result)
            fail_msg("\"%s\" in \"%s\" from %zu, floats %d, to the end %d: got %d", rows[i].pattern,
                     rows[i].text, rows[i].at, rows[i].floats, rows[i].to_end, got);
    }
}

static void separators(void **state)
{
    static const char signs[] = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}~";

    (void)state;
    for (int c = 0; c < 256; c++) {
        bool want = c == 0 || (c < 128 && strchr(signs, c) != NULL);
        if (pattern_is_separator((char)c) != want)
            fail_msg("byte %d", c);
    }
}

/* The first place by comparing everywhere. */
static size_t find_slowly(struct span text, struct span needle)
{
    for (size_t at = 0; at + needle.size <= text.size; at++)
        if (memcmp(text.at + at, needle.at, needle.size) == 0)
            return at;
    return text.size;
}

static void finds(void **state)
{
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t size, needle_size, got, want;
        char *text, *needle; // on the heap: a sanitizer sees a step too far

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size = random % 90;
        needle_size = 1 + random / 100 % 40;
        text = malloc(size ? size : 1);
        needle = malloc(needle_size);
        assert_true(text && needle);
        for (size_t i = 0; i < size; i++)
            text[i] = (char)('a' + (random >> i % 59 & 1));
        for (size_t i = 0; i < needle_size; i++)
            needle[i] = (char)('a' + (random >> (i + 7) % 59 & 1));
        got = pattern_find(span_of(text, size), span_of(needle, needle_size));
        want = find_slowly(span_of(text, size), span_of(needle, needle_size));
        if (got != want)
            fail_msg("%.*s in %.*s: %zu, not %zu", (int)needle_size, needle, (int)size, text, got,
                     want);
        free(text);
        free(needle);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(separators),
        cmocka_unit_test(finds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
