/* Values of options: what they are without escapes, and which are good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/values.h"

static const struct {
    const char *line, *want; // NULL: not good
} rows[] = {
    { "a$removeparam=b", "b" },
    { "a$removeparam=b\\,c", "b,c" },
    { "a$removeparam=/b(c/", NULL },
    { "a$removeparam=~/b(c)/", "~/b(c)/" },
    { "a$removeparam=b|c", NULL },
    { "a$removeparam", "" },
    { "a$urlskip=?to", "?to" },
    { "a$urlskip=to", NULL },
    { "@@a$urlskip=to", "to" }, // no step of ours: it lifts what others name so
    { "a$csp=script-src 'none'\\, x", "script-src 'none', x" },
    { "a$csp=x; Report-URI /r", NULL },
    { "a$permissions=camera=()|x=()", "camera=(),x=()" },
    { "a$permissions=x=()|report-to=y", NULL },
    { "a$referrerpolicy=origin", "origin" },
    { "a$referrerpolicy=Origin", NULL },
    { "a$cookie=uid;maxAge=60", "uid;maxAge=60" },
    { "a$cookie=uid;maxAge=soon", NULL },
    { "a$removeheader=location:/a\\,b/", "location:/a,b/" },
    { "a$removeheader=location:/(/", NULL },
    { "a$replace=/b/c/", "/b/c/" },
    { "a$replace=/(/c/", NULL },
    { "a$replace=//c/", NULL },                       // it has no expression of its own to use
    { "/a(b)/$uritransform=//c/", "//c/\t(?i)a(b)" }, // the tab stands for NUL here
    { "/a(b)/$uritransform=//c/,match-case", "//c/\ta(b)" },
    { "a$jsonprune=\\$.b", "$.b" },
    { "a$jsonprune=$b", NULL },
    { "a$xmlprune=//b", "//b" },
    { "a$xmlprune=//", NULL },
    { "a$redirect=noop.js:5", "noop.js:5" },
};

static void values_are_as_they_are_meant(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum rule_reason reason;
        struct arena arena;
        struct span value;
        struct rule rule;
        char shown[100];

        arena_init(&arena, 10000);
        rule_parse(&rule, span_text(rows[i].line));
        if (rule.kind != RULE_NETWORK)
            fail_msg("%s: no rule", rows[i].line);
        reason = values_clean(&arena, &rule, &value);
        assert_true(value.size < sizeof shown);
        for (size_t k = 0; k < value.size; k++)
            shown[k] = value.at[k] ? value.at[k] : '\t';
        if ((reason == REASON_NONE) != (rows[i].want != NULL) ||
            (rows[i].want && !span_equal(span_of(shown, value.size), span_text(rows[i].want))))
            fail_msg("%s: %.*s, %s", rows[i].line, (int)value.size, shown,
                     rule_reason_text(reason));
        arena_done(&arena);
    }
}

static void escapes_are_undone(void **state)
{
    static const struct {
        const char *text, *bytes, *want;
    } cases[] = {
        { "a\\,b", ",", "a,b" },        { "a\\|b", ",", "a\\|b" }, { "a\\\\,b", ",", "a\\\\,b" },
        { "a\\", ",", "a\\" },          { "\\,", ",", "," },       { "", ",", "" },
        { "\\$\\,\\d", ",$", "$,\\d" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct span got;

        arena_init(&arena, 1000);
        got = values_unescape(&arena, span_text(cases[i].text), cases[i].bytes);
        if (!span_equal(got, span_text(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].text, SPAN_PRINT(got));
        arena_done(&arena);
    }
}

static void expressions_inside_are_tried(void **state)
{
    (void)state;
    assert_true(values_items_are_good(SPAN("10.0.0.0/8|~lan|/^1/|'it is /(/'")));
    assert_false(values_items_are_good(SPAN("lan|/(/")));
    assert_false(values_items_are_good(SPAN("'/(/'")));
    assert_true(values_field_is_good(SPAN("x-ads")));
    assert_true(values_field_is_good(SPAN("x-ads:(")));
    assert_true(values_field_is_good(SPAN("x-ads: ~/a(b)/i")));
    assert_false(values_field_is_good(SPAN("x-ads:/(/")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_as_they_are_meant),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(expressions_inside_are_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
