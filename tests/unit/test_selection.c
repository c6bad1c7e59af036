/* Which elements selectors match, by rows; each page whole, byte by byte, and cut at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../streams.h"
#include "html/rewrite.h"

static struct buffer seen;
static size_t match_count; // of the element that was offered last

static void on_output(void *owner, struct span bytes)
{
    (void)owner;
    (void)bytes;
}

/* The value of its attribute "n" says which element it is. */
static enum rewrite_action on_element(void *owner, const struct rewrite_element *element)
{
    size_t index;

    (void)owner;
    if (element->match_count == 0)
        return REWRITE_KEEP;
    match_count = element->match_count;
    if (element->tag && token_find_attribute(element->tag, SPAN("n"), &index))
        (void)buffer_printf(&seen, "%.*s", SPAN_PRINT(token_attribute_value(element->tag, index)));
    else
        (void)buffer_printf(&seen, "(%s)", tag_row(element->name)->name);
    return REWRITE_KEEP;
}

static const struct rewrite_events events = { .on_output = on_output, .on_element = on_element };

static void run_through(struct span page, const char *selector, unsigned cut)
{
    struct selector_set *set = selector_set_new();
    const struct selector_set *sets[] = { set };
    struct rewrite_options options = { .sets = sets, .set_count = 1 };
    struct stream stream = stream_of(page, cut);
    struct rewrite *rewrite;
    struct span piece;

    if (selector_set_add(set, span_text(selector), 1, NULL) != SELECTOR_STREAMED)
        fail_msg("%s is not streamed", selector);
    selector_set_finish(set);
    seen.size = 0;
    seen.limit_bytes = 1000;
    rewrite = rewrite_new(&options, &events, NULL);
    while (stream_next(&stream, &piece))
        rewrite_feed(rewrite, piece);
    rewrite_finish(rewrite);
    rewrite_free(&rewrite);
    selector_set_free(&set);
}

#define PAGE                                                                                       \
    "<!doctype html><body n=0><div n=1 id=top class='A b'><p n=2 class=b>x<em n=3></em></p>"       \
    "<p n=4 lang=en-US title='one two'>y</p><span n=5 data-x=alphabet></span><p n=6></p></div>"    \
    "<ul n=7><li n=8>a<li n=9 class=b>b<li n=a>c</ul><a n=b "                                      \
    "href='https://ads.example/x.gif'>z</a>"

static const struct {
    const char *selector, *want;
} cases[] = {
    { "p", "246" },
    { "P", "246" },
    { "*", "(html)(head)0123456789ab" },
    { "#top", "1" },
    { "#Top", "" },
    { ".b", "129" },
    { ".B", "" },
    { ".A.b", "1" },
    { "div.b", "1" },
    { "[lang]", "4" },
    { "[lang|=en]", "4" },
    { "[lang=en]", "" },
    { "[title~=two]", "4" },
    { "[title~=tw]", "" },
    { "[data-x^=alpha]", "5" },
    { "[data-x$=bet]", "5" },
    { "[data-x*=phab]", "5" },
    { "[data-x*=PHAB]", "" },
    { "[data-x*=PHAB i]", "5" },
    { "[data-x='alphabet']", "5" },
    { "[data-x^='']", "" },
    { "a[href*='//ads.']", "b" },
    { "div p", "246" },
    { "div > p", "246" },
    { "div > em", "" },
    { "div em", "3" },
    { "p + p", "4" },
    { "p ~ p", "46" },
    { "span + p", "6" },
    { "p:not(.b)", "46" },
    { "p:not(.b):not([title])", "6" },
    { "p:is(.b, [title])", "24" },
    { ":where(div, ul) > .b", "29" },
    { "p:first-child", "2" },
    { "p:nth-child(2n)", "46" },
    { "li:nth-child(2n+1)", "8a" },
    { "p:nth-of-type(2)", "4" },
    { "li:nth-child(-n+2)", "89" },
    { ":root", "(html)" },
    { "p:empty", "6" },
    { "p:not(:empty)", "24" },
    { "body > div, li", "189a" },
    { "*|p", "246" },
    { ":link", "b" },
};

static void match_by_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            run_through(SPAN(PAGE), cases[i].selector, cut);
            if (!span_equal(buffer_span(&seen), span_text(cases[i].want)))
                fail_msg("%s, cut %u: %.*s", cases[i].selector, cut,
                         SPAN_PRINT(buffer_span(&seen)));
        }
}

static void quirky_pages_compare_without_case(void **state)
{
    (void)state;
    run_through(SPAN("<div n=1 class=AD id=TOP></div>"), "div.ad", 0);
    assert_true(span_equal(buffer_span(&seen), SPAN("1")));
    run_through(SPAN("<div n=1 class=AD id=TOP></div>"), "#top", 0);
    assert_true(span_equal(buffer_span(&seen), SPAN("1")));
    run_through(SPAN("<!doctype html><div n=1 class=AD id=TOP></div>"), "div.ad", 0);
    assert_true(span_equal(buffer_span(&seen), SPAN("")));
}

/* The value that is searched has to stay while what was found in it is asked about another one. */
static void values_of_two_attributes_are_decoded(void **state)
{
    static const char *const selectors[] = {
        "[href*='/first/']:not([title^='&']), [href*='/second/']",
        "[href^='&&']:not([title^='&']), [href^='&&&&/first/----']",
        "[href^='&&']:not([title^='&']), [href$='/second/']",
        "#no:not([title^='&']), [id=no]",
        ".b:not([title^='&']), [class*=xyz]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++)
        for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
            run_through(
                SPAN("<!doctype html><a n=1 id='&#110;o' class='a &#98; wxyz' "
                     "href='&amp;&amp;&amp;&amp;/first/----------------------/second/' "
                     "title='&amp;zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
                     "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'>"),
                selectors[i], cut);
            if (!span_equal(buffer_span(&seen), SPAN("1")))
                fail_msg("%s, cut %u: %.*s", selectors[i], cut, SPAN_PRINT(buffer_span(&seen)));
        }
}

/* Values are looked at in blocks, and names by their first and last bytes. */
static void classes_are_found_wherever_they_stand(void **state)
{
    static const struct {
        const char *before, *between, *behind;
        bool is_there;
    } rows[] = {
        { "", " ", "", true },
        { " \t", "\n", "\f\r ", true },
        { "a&amp;b ", "\t", " c", true },
        { "\001 ", " ", " \001", true },
        { "", "\001", "", false },
        { "", "&amp;", "", false },
        { "", "-", "", false },
    };
    char fill[200], page[1000], selector[300];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int size = 1; size <= 140; size++) {
            struct span text;

            memset(fill, 'x', sizeof fill);
            for (int j = 5; j < size - 1 && size % 2; j += 5)
                fill[j] = ' ';
            snprintf(page, sizeof page,
                     "<!doctype html><p n=1 class='%s%.*s%s%s%s'><p n=2 class='%s%s%s%.*s%s'>"
                     "<p n=3 class=\"targe &#116;arget targe\"><i class=t n=4></i>",
                     rows[i].before, size, fill, rows[i].between, "target", rows[i].behind,
                     rows[i].before, "target", rows[i].between, size, fill, rows[i].behind);
            text = span_text(page);
            run_through(text, ".target", 0);
            if (!span_equal(buffer_span(&seen), rows[i].is_there ? SPAN("123") : SPAN("3")))
                fail_msg("row %zu, size %d: %.*s", i, size, SPAN_PRINT(buffer_span(&seen)));
            run_through(text, ".t", 0);
            assert_true(span_equal(buffer_span(&seen), SPAN("4")));
            memset(fill, 'x', sizeof fill);
            snprintf(selector, sizeof selector, ".y%.*sz", size, fill);
            snprintf(page, sizeof page,
                     "<!doctype html><p n=1 class='a y%.*sz b'><p n=2 class='y%.*sxz'>"
                     "<p n=3 class='y%.*sx&#122;'><p n=4 class='%s%s y%.*s&#122;'>",
                     size, fill, size, fill, size, fill, "a b ", "c", size, fill);
            run_through(span_text(page), selector, 0);
            assert_true(span_equal(buffer_span(&seen), SPAN("14")));
        }
}

/* Long prefixes are told by their second eight bytes, suffixes by their last two. */
static void prefixes_and_suffixes_of_all_sizes(void **state)
{
    static const char value[] = "https://ads.example.com/some/where/over/the/rainbow?way=up";
    char page[300], selector[300];

    (void)state;
    snprintf(page, sizeof page, "<!doctype html><a n=1 href='%s'></a><a n=2 href='%.3s'></a>",
             value, value);
    for (int size = 4; size < (int)sizeof value; size++) {
        snprintf(selector, sizeof selector, "[href^='%.*s']", size, value);
        run_through(span_text(page), selector, 0);
        assert_true(span_equal(buffer_span(&seen), SPAN("1")));
        snprintf(selector, sizeof selector, "[href^='%.*s!']", size, value);
        run_through(span_text(page), selector, 0);
        assert_true(span_equal(buffer_span(&seen), SPAN("")));
        snprintf(selector, sizeof selector, "[href$='%s']", value + sizeof value - 1 - size);
        run_through(span_text(page), selector, 0);
        assert_true(span_equal(buffer_span(&seen), SPAN("1")));
        snprintf(selector, sizeof selector, "[href$='!%s']", value + sizeof value - 1 - size);
        run_through(span_text(page), selector, 0);
        assert_true(span_equal(buffer_span(&seen), SPAN("")));
    }
}

static void many_selectors_are_told_apart(void **state)
{
    struct selector_set *set = selector_set_new();
    const struct selector_set *sets[] = { set };
    struct rewrite_options options = { .sets = sets, .set_count = 1 };
    struct rewrite *rewrite;
    char text[64];

    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, i % 2 ? ".c%u" : "[x%u]", i);
        assert_int_equal(selector_set_add(set, span_text(text), i, NULL), SELECTOR_STREAMED);
    }
    assert_int_equal(selector_set_count(set), 20000);
    selector_set_finish(set);
    seen.size = 0;
    rewrite = rewrite_new(&options, &events, NULL);
    rewrite_feed(rewrite, SPAN("<p n=1 class=c77><p n=2 class=c78><p n=3 x12><p n=4 x13>"));
    rewrite_finish(rewrite);
    rewrite_free(&rewrite);
    selector_set_free(&set);
    assert_true(span_equal(buffer_span(&seen), SPAN("13")));
}

/* More selectors match one element than are told of it. */
static void matches_have_a_limit(void **state)
{
    static const struct {
        const char *selector, *page;
        unsigned limit;
    } rows[] = {
        { ".x", "<p class=x>a", SELECTION_MATCHES },
        { ".x:empty", "<p class=x></p>", SELECTION_UNDECIDED },
        { ".x:not(:empty)", "<p class=x>a</p>", SELECTION_UNDECIDED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint32_t count = rows[i].limit; count <= rows[i].limit + 1; count++) {
            struct selector_set *set = selector_set_new();
            const struct selector_set *sets[] = { set };
            struct rewrite_options options = { .sets = sets, .set_count = 1 };
            struct rewrite *rewrite;

            for (uint32_t id = 0; id < count; id++)
                assert_int_equal(selector_set_add(set, span_text(rows[i].selector), id, NULL),
                                 SELECTOR_STREAMED);
            selector_set_finish(set);
            match_count = 0;
            rewrite = rewrite_new(&options, &events, NULL);
            rewrite_feed(rewrite, span_text(rows[i].page));
            rewrite_finish(rewrite);
            rewrite_free(&rewrite);
            selector_set_free(&set);
            if (match_count != rows[i].limit)
                fail_msg("%s: %zu of %u", rows[i].selector, match_count, count);
        }
}

static int release(void **state)
{
    (void)state;
    buffer_release(&seen);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match_by_rows),
        cmocka_unit_test(quirky_pages_compare_without_case),
        cmocka_unit_test(values_of_two_attributes_are_decoded),
        cmocka_unit_test(classes_are_found_wherever_they_stand),
        cmocka_unit_test(prefixes_and_suffixes_of_all_sizes),
        cmocka_unit_test(many_selectors_are_told_apart),
        cmocka_unit_test(matches_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
