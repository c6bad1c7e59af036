/* Selectors, by rows: what they are for, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/selector.h"

static const struct {
    const char *text;
    enum selector_kind kind;
} cases[] = {
    { "a", SELECTOR_STREAMED },
    { ".a#b[c]", SELECTOR_STREAMED },
    { "*", SELECTOR_STREAMED },
    { "a > b + c ~ d e", SELECTOR_STREAMED },
    { "[a=b][a='b' i][a~=b][a|=b][a^=b][a$=b][a*=b s]", SELECTOR_STREAMED },
    { "a:not(.b, #c)", SELECTOR_STREAMED },
    { "a:is(b, .c > d)", SELECTOR_STREAMED },
    { ":where(.a) b", SELECTOR_STREAMED },
    { "a:first-child", SELECTOR_STREAMED },
    { "a:nth-child(2n + 1)", SELECTOR_STREAMED },
    { "a:nth-of-type(even)", SELECTOR_STREAMED },
    { ":root", SELECTOR_STREAMED },
    { "a:empty", SELECTOR_STREAMED },
    { ".\\31 23", SELECTOR_STREAMED },
    { ".caf\xc3\xa9", SELECTOR_STREAMED },
    { "a, b", SELECTOR_STREAMED },
    { "a:last-child", SELECTOR_FOR_PAGE },
    { "a:has(> b)", SELECTOR_FOR_PAGE },
    { "a:hover", SELECTOR_FOR_PAGE },
    { "a::before", SELECTOR_FOR_PAGE },
    { "a, b:has(c)", SELECTOR_FOR_PAGE },
    { "a:has-text(x)", SELECTOR_PROCEDURAL },
    { "a:upward(2)", SELECTOR_PROCEDURAL },
    { "a:matches-css(color: red)", SELECTOR_PROCEDURAL },
    { ":xpath(//a)", SELECTOR_PROCEDURAL },
    { "", SELECTOR_INVALID },
    { "a >", SELECTOR_INVALID },
    { "> a", SELECTOR_INVALID },
    { "a,", SELECTOR_INVALID },
    { ".", SELECTOR_INVALID },
    { "#", SELECTOR_INVALID },
    { "[a", SELECTOR_INVALID },
    { "[a=]", SELECTOR_INVALID },
    { "a:not(", SELECTOR_INVALID },
    { "a{}", SELECTOR_INVALID },
    { "a:nth-child(x)", SELECTOR_INVALID },
    { "a!b", SELECTOR_INVALID },
};

static void are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum selector_kind got = selector_classify(span_text(cases[i].text));
        struct selector_set *set = selector_set_new();
        struct error error = { 0 };

        if (got != cases[i].kind)
            fail_msg("'%s' is %d", cases[i].text, got);
        got = selector_set_add(set, span_text(cases[i].text), 1, &error);
        if (got != cases[i].kind || (got == SELECTOR_INVALID && !error.text[0]))
            fail_msg("'%s' was added as %d", cases[i].text, got);
        if (got == SELECTOR_STREAMED && selector_set_count(set) == 0)
            fail_msg("'%s' is not in the set", cases[i].text);
        if (got >= SELECTOR_PROCEDURAL && selector_set_count(set) != 0)
            fail_msg("'%s' is in the set", cases[i].text);
        selector_set_free(&set);
    }
}

/* `count` times a piece, then an end. */
static enum selector_kind repeated(const char *start, const char *piece, size_t count,
                                   const char *end)
{
    struct buffer text = { .limit_bytes = 1 << 20 };
    enum selector_kind kind;

    (void)buffer_append(&text, span_text(start));
    for (size_t i = 0; i < count; i++)
        (void)buffer_append(&text, span_text(piece));
    (void)buffer_append(&text, span_text(end));
    kind = selector_classify(buffer_span(&text));
    buffer_release(&text);
    return kind;
}

static void have_limits(void **state)
{
    (void)state;
    assert_int_equal(repeated("a", "a", SELECTOR_LIMIT_BYTES - 1, ""), SELECTOR_STREAMED);
    assert_int_equal(repeated("a", "a", SELECTOR_LIMIT_BYTES, ""), SELECTOR_INVALID);
    assert_int_equal(repeated("a", " a", SELECTOR_COMPOUNDS - 1, ""), SELECTOR_STREAMED);
    assert_int_equal(repeated("a", " a", SELECTOR_COMPOUNDS, ""), SELECTOR_INVALID);
    assert_int_equal(repeated("", ".a", SELECTOR_TESTS, ""), SELECTOR_STREAMED);
    assert_int_equal(repeated("", ".a", SELECTOR_TESTS + 1, ""), SELECTOR_INVALID);
    assert_int_equal(repeated("", ":not(", SELECTOR_NESTING, "a))))))))"), SELECTOR_STREAMED);
    assert_int_equal(repeated("", ":not(", SELECTOR_NESTING + 1, "a)))))))))"), SELECTOR_INVALID);
    assert_int_not_equal(repeated("", ":is(", 100000, ""), SELECTOR_STREAMED);
}

/* Of all selectors of a set: the last compound that fits, and one more; then conditions. */
static void sets_have_limits(void **state)
{
    static const struct {
        const char *first, *piece;
        unsigned pieces, sets; // what a selector adds; how many of them fill the set
    } rows[] = {
        { ".c%u", " a", SELECTOR_COMPOUNDS - 1, SELECTOR_POSITIONS / SELECTOR_COMPOUNDS },
        { ".c%u", ".a", SELECTOR_TESTS - 1, 2 * SELECTOR_POSITIONS / SELECTOR_TESTS },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct selector_set *set = selector_set_new();
        struct buffer text = { .limit_bytes = SELECTOR_LIMIT_BYTES };
        struct error error = { 0 };

        for (unsigned k = 0; k < rows[i].sets; k++) {
            text.size = 0;
            (void)buffer_printf(&text, rows[i].first, k);
            for (unsigned piece = 0; piece < rows[i].pieces; piece++)
                (void)buffer_append(&text, span_text(rows[i].piece));
            if (selector_set_add(set, buffer_span(&text), k, &error) != SELECTOR_STREAMED)
                fail_msg("row %zu, selector %u: %s", i, k, error.text);
        }
        assert_int_equal(selector_set_add(set, SPAN("b"), 0, &error), SELECTOR_INVALID);
        assert_int_equal(selector_set_count(set), rows[i].sets);
        selector_set_free(&set);
        buffer_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_told_apart),
        cmocka_unit_test(have_limits),
        cmocka_unit_test(sets_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
