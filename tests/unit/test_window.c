/* Windows: which bytes a pattern is sure to need, where, and what of a regular expression. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/window.h"

static struct window_weights weights;

/* "run@bytes" of each window behind its first front, "+" where there are more fronts, "*" when it
 * is not placed. */
static void tell(struct buffer *out, const struct window_choice *choice)
{
    uint64_t bytes = choice->run_bytes;

    buffer_printf(out, "%u%s%s", choice->run, choice->is_placed ? "" : "*",
                  strlen(choice->fronts) > 1 ? "+" : "");
    buffer_printf(out, "%c", choice->fronts[0]);
    for (int i = 0; i < (choice->is_long ? 7 : 3); i++, bytes >>= 8)
        buffer_printf(out, "%c", (bytes & 255) ? (int)(bytes & 255) : '$');
    buffer_append(out, SPAN(" "));
}

static const struct {
    const char *pattern;
    enum window_front front;
    bool to_end;
    const char *windows;
} rows[] = {
    { "", FRONT_UNKNOWN, false, "" },
    { "ad", FRONT_UNKNOWN, false, "" },
    { "adsense", FRONT_UNKNOWN, false, "" }, // may stand inside of a longer run
    { "/ads", FRONT_UNKNOWN, false, "1/ads " },
    { "/ads/x", FRONT_UNKNOWN, false, "1/ads " },
    { "/ads/x.gif", FRONT_UNKNOWN, false, "1/ads 1/ads/x.g 5/x.g 7.gif " },
    { "/banners/", FRONT_UNKNOWN, false, "1/ban 1/banners " },
    { "ads.example", FRONT_LABEL, false, "0+/ads 0+/ads.exa 4.exa 4.example " },
    { "utm", FRONT_PARAMETER, false, "0+?utm " },
    { "x*/ads", FRONT_UNKNOWN, false, "3*/ads " },
    { "*ads", FRONT_UNKNOWN, false, "" },
    { "^ads", FRONT_UNKNOWN, false, "1+/ads " },
    { "/ad^x", FRONT_UNKNOWN, false, "" }, // '^' ends a window
    { "/ad*x", FRONT_UNKNOWN, false, "" },
    { ".js", FRONT_UNKNOWN, true, "1.js$ " }, // with the NUL behind the URL
    { ".js", FRONT_UNKNOWN, false, "" },
    { "/banner.js", FRONT_UNKNOWN, true, "1/ban 1/banner. 8.js$ " },
};

static void lists_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer out = { .limit_bytes = 10000 };
        struct window_choice choices[WINDOW_CHOICES];
        size_t count = window_list(&weights, choices, span_text(rows[i].pattern), rows[i].front,
                                   rows[i].to_end);

        for (size_t k = 0; k < count; k++)
            tell(&out, &choices[k]);
        if (!span_equal(buffer_span(&out), span_text(rows[i].windows)))
            fail_msg("%s: %.*s", rows[i].pattern, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
}

/* However long the pattern is, there is room for what comes back. */
static void limits_of_windows(void **state)
{
    static char pattern[20000];
    struct window_choice choices[WINDOW_CHOICES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 9 ? 'x' : '/';
    memset(&choices[WINDOW_CHOICES], 0x55, sizeof choices[0]);
    for (size_t size = 250; size < sizeof pattern; size += 250) {
        size_t count = window_list(&weights, choices, span_of(pattern, size), FRONT_UNKNOWN, false);
        assert_true(count <= WINDOW_CHOICES && count >= WINDOW_CHOICES - 8 - (size < 400 ? 40 : 0));
        assert_int_equal(((unsigned char *)&choices[WINDOW_CHOICES])[0], 0x55);
    }
}

static uint32_t weight_of(const char *pattern)
{
    struct window_choice choices[WINDOW_CHOICES];

    assert_true(window_list(&weights, choices, span_text(pattern), FRONT_UNKNOWN, false) > 0);
    return choices[0].weight;
}

static void common_ones_weigh_more(void **state)
{
    (void)state;
    assert_true(weight_of("/www") > weight_of("/xqz"));
    assert_true(weight_of(".com") > weight_of(".xqz"));
    assert_true(weight_of("^ads") > weight_of("/ads"));
    for (const char *const *one = (const char *const[]){ "/www", ".com", "/xqz", "^ads", NULL };
         *one; one++)
        assert_true(weight_of(*one) > 0);
}

static void parts_of_expressions(void **state)
{
    static const struct {
        const char *regex, *pattern;
        bool to_end;
    } cases[] = {
        { "ads", "ads", false },
        { "ADS", "ads", false },
        { "ads\\.js", "ads.js", false },
        { "ads\\/x$", "ads/x", true },
        { "^ads", "*ads", false },
        { "ads.*gif", "ads*gif", false },
        { "ads[0-9]+gif", "ads*gif", false },
        { "ads?x", "ad*x", false },
        { "ads*x", "ad*x", false },
        { "ads+x", "ads*x", false },
        { "ads{2}x", "ad*x", false },
        { "(ads|x)gif", "*gif", false },
        { "a|b", "", false }, // either may be missing
        { "ads(?=x)y", "ads*y", false },
        { "\\d+ads", "*ads", false },
    };
    char to[200];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool to_end;
        size_t size = window_pattern_of_regex(span_text(cases[i].regex), to, &to_end);
        size_t from = 0, want_from = 0;
        const char *want = cases[i].pattern;

        while (from < size && to[from] == '*') // stars at the ends say nothing
            from++;
        while (size > from && to[size - 1] == '*')
            size--;
        while (want[want_from] == '*')
            want_from++;
        // Runs of stars are as good as one.
        {
            char squeezed[200];
            size_t count = 0;
            for (size_t k = from; k < size; k++)
                if (to[k] != '*' || squeezed[count - 1] != '*')
                    squeezed[count++] = to[k];
            if (!span_equal(span_of(squeezed, count), span_text(want + want_from)) ||
                to_end != cases[i].to_end)
                fail_msg("%s: %.*s, to the end %d", cases[i].regex, (int)count, squeezed, to_end);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_windows),
        cmocka_unit_test(limits_of_windows),
        cmocka_unit_test(common_ones_weigh_more),
        cmocka_unit_test(parts_of_expressions),
    };

    window_weights_init(&weights);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
