/* Spans, buffers and arenas: edges of lengths and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"

static void wildcards_match_as_a_shell_does(void **state)
{
    static const struct {
        const char *text, *pattern;
        bool want;
    } cases[] = {
        { "ads.example", "ads.*", true },
        { "ads.example", "*.example", true },
        { "ads.example", "a?s.*", true },
        { "ads.example", "ADS.EXAMPLE", true },
        { "ads.example", "*", true },
        { "", "*", true },
        { "", "?", false },
        { "ads.example", "ads", false },
        { "aaaaaaaaab", "*a*a*a*b", true },
        { "aaaaaaaaac", "*a*a*a*b", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (span_matches_wildcard(span_text(cases[i].text), span_text(cases[i].pattern)) !=
            cases[i].want)
            fail_msg("%s against %s", cases[i].text, cases[i].pattern);
}

static void numbers_stop_at_their_limit(void **state)
{
    uint64_t n = 7;
    (void)state;
    assert_true(span_to_u64(SPAN("18446744073709551615"), &n));
    assert_true(n == UINT64_MAX);
    assert_false(span_to_u64(SPAN("18446744073709551616"), &n));
    assert_false(span_to_u64(SPAN(""), &n));
    assert_false(span_to_u64(SPAN("+1"), &n));
    assert_false(span_to_u64(SPAN("1 "), &n));
}

static void lists_are_cut_at_commas_outside_quotes(void **state)
{
    struct span list = SPAN(" a , \"b,\\\"c\" ,, d"), element;
    (void)state;
    assert_true(span_next_element(&list, &element));
    assert_true(span_equal(element, SPAN("a")));
    assert_true(span_next_element(&list, &element));
    assert_true(span_equal(element, SPAN("\"b,\\\"c\"")));
    assert_true(span_next_element(&list, &element));
    assert_true(span_equal(element, SPAN("d")));
    assert_false(span_next_element(&list, &element));
}

static void a_buffer_holds_its_limit_and_no_more(void **state)
{
    struct buffer buffer = { .limit_bytes = 300 };
    char bytes[300] = { 0 };
    (void)state;
    assert_true(buffer_append(&buffer, span_of(bytes, 300)));
    assert_false(buffer_append(&buffer, span_of(bytes, 1)));
    buffer_consume(&buffer, 299);
    assert_true(buffer_append(&buffer, span_of(bytes, 299)));
    buffer_release(&buffer);
    assert_int_equal(buffer.size, 0);
}

static void an_arena_ends_at_its_limit_and_extends_in_place(void **state)
{
    struct arena arena;
    struct span grown = SPAN_NONE;
    (void)state;
    arena_init(&arena, 100000);
    for (int i = 0; i < 90000; i++)
        assert_true(arena_extend(&arena, &grown, SPAN("x")) || i > 30000);
    assert_true(grown.size > 30000);
    for (size_t i = 0; i < grown.size; i++)
        assert_int_equal(grown.at[i], 'x');
    assert_null(arena_alloc(&arena, 100001));
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 90000));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wildcards_match_as_a_shell_does),
        cmocka_unit_test(numbers_stop_at_their_limit),
        cmocka_unit_test(lists_are_cut_at_commas_outside_quotes),
        cmocka_unit_test(a_buffer_holds_its_limit_and_no_more),
        cmocka_unit_test(an_arena_ends_at_its_limit_and_extends_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
