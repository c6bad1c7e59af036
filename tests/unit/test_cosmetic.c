/* Cosmetic rules: what a line says, and which rules a host has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/rulebook.h"
#include "filter/cosmetic.h"

static const struct {
    const char *line, *want; // effect selector | style | tests | sizes; NULL: not well-formed
} lines[] = {
    { "##.ad", "0 .ad" },
    { "a.example##.ad:style(color: red)", "1 .ad|color: red" },
    { "a.example##.ad:remove()", "2 .ad" },
    { "a.example##.ad:remove(x)", NULL },
    { "a.example##.ad:has(:is(b)):style(top: 0 !important)",
      "1 .ad:has(:is(b))|top: 0 !important" },
    { "a.example##.ad:style(background: url(x))", NULL },
    { "a.example##.ad:style(color: red}body{)", NULL },
    { "a.example##.ad:style(a: b /* c)", NULL },
    { "a.example##.ad:style(a: \\75rl(x))", NULL },
    { "a.example##.ad:style()", NULL },
    { "a.example##:style(a: b)", NULL },
    { "a.example#$#.ad { color: red; }", "1 .ad|color: red;" },
    { "a.example#$#.ad[x='{'] { a: b }", "1 .ad[x='{']|a: b" },
    { "a.example#$#.ad { remove: true; }", "2 .ad" },
    { "a.example#$#.ad", NULL },
    { "a.example#$#@media x { .ad { a: b } }", NULL },
    { "a.example##.ad {remove:true;}", "2 .ad" },
    { "a.example##.ad {height:0 !important;}", "1 .ad|height:0 !important;" },
    { "a.example##[x=\"}\"]", "0 [x=\"}\"]" },
    { "a.example##^script", "2h script" },
    { "a.example##^script:has-text(ads)", "2h script|t:ads" },
    { "a.example##^script:has-text(/a(d|s)/i)", "2h script|r:a(d|s)" },
    { "a.example##^script:has-text('x'):has-text(y)", "2h script|t:y|t:x" },
    { "a.example##^script:has-text(/[z-a]/)", NULL },
    { "a.example##^script:has-text()", NULL },
    { "a.example$$script", "2h script|0-8192" },
    { "a.example$$div[id=\"x\"][tag-content=\"y\"]", "2h div[id=\"x\"]|t:y|0-8192" },
    { "a.example$$script[tag-content=\"a \"\"b\"\"\"]", "2h script|t:a \"b\"|0-8192" },
    { "a.example$$script[min-length=\"5\"][max-length=\"9\"]", "2h script|5-9" },
    { "a.example$$script[min-length=\"x\"]", NULL },
    { "a.example$$script[wildcard=\"*ad*x\"]", "2h script|l:*ad*x|0-8192" },
    { "a.example$$script:contains(y)", "2h script|t:y|0-8192" },
    { "[$path=/x]a.example##.ad", NULL },
};

static void write_parts(struct buffer *to, const struct cosmetic_parts *parts)
{
    static const char kinds[] = {
        [COSMETIC_HAS_TEXT] = 't', [COSMETIC_HAS_REGEX] = 'r', [COSMETIC_IS_LIKE] = 'l'
    };

    (void)buffer_printf(to, "%d%s %.*s", parts->effect, parts->is_html ? "h" : "",
                        SPAN_PRINT(parts->selector));
    if (parts->style.size)
        (void)buffer_printf(to, "|%.*s", SPAN_PRINT(parts->style));
    for (size_t i = 0; i < parts->test_count; i++)
        (void)buffer_printf(to, "|%c:%.*s", kinds[parts->tests[i].kind],
                            SPAN_PRINT(parts->tests[i].text));
    if (parts->most_bytes != SIZE_MAX)
        (void)buffer_printf(to, "|%zu-%zu", parts->least_bytes, parts->most_bytes);
}

static void lines_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct buffer got = { .limit_bytes = 1000 };
        struct cosmetic_parts parts;
        struct rule rule;
        bool is_good;

        rule_parse(&rule, span_text(lines[i].line));
        assert_int_equal(rule.kind, RULE_COSMETIC);
        is_good = cosmetic_parse(&parts, &rule);
        if (is_good)
            write_parts(&got, &parts);
        if (is_good != (lines[i].want != NULL) ||
            (is_good && !span_equal(buffer_span(&got), span_text(lines[i].want))))
            fail_msg("%s: %d %.*s", lines[i].line, is_good, SPAN_PRINT(buffer_span(&got)));
        buffer_release(&got);
    }
}

static void tests_have_a_limit(void **state)
{
    (void)state;
    for (size_t count = COSMETIC_TESTS; count <= COSMETIC_TESTS + 1; count++) {
        struct buffer line = { .limit_bytes = 1000 };
        struct cosmetic_parts parts;
        struct rule rule;

        (void)buffer_append(&line, SPAN("a.example##^script"));
        for (size_t i = 0; i < count; i++)
            (void)buffer_append(&line, SPAN(":has-text(x)"));
        rule_parse(&rule, buffer_span(&line));
        assert_int_equal(cosmetic_parse(&parts, &rule), count <= COSMETIC_TESTS);
        buffer_release(&line);
    }
}

/* However long it is. */
static void what_is_no_attribute_of_ours_stays_in_the_selector(void **state)
{
    (void)state;
    for (size_t size = 10; size <= 3000; size += 2990) {
        struct buffer line = { .limit_bytes = 10000 };
        struct cosmetic_parts parts;
        struct rule rule;

        (void)buffer_append(&line, SPAN("a.example$$p[wildcard=\""));
        for (size_t i = 0; i < size; i++)
            (void)buffer_append(&line, SPAN("x"));
        (void)buffer_append(&line, SPAN("\" i]"));
        rule_parse(&rule, buffer_span(&line));
        assert_true(cosmetic_parse(&parts, &rule));
        assert_int_equal(parts.test_count, 0);
        assert_true(span_equal(parts.selector, span_from(buffer_span(&line), 11)));
        buffer_release(&line);
    }
}

/* ---- by host ---- */

struct rules {
    struct rulebook *book;
    struct database *database;
};

static struct rules open_rules(const char *text)
{
    struct rules rules = { .book = rulebook_new(NULL, NULL) };
    struct list_summary summary;
    struct compile_counts counts;
    struct error error;
    struct span image;

    (void)rulebook_add_suffixes(rules.book, NULL, &error);
    assert_int_equal(rulebook_add_text(rules.book, span_text(text), "list", true, &summary, &error),
                     0);
    assert_int_equal(rulebook_compile(rules.book, &image, &counts, &error), 0);
    assert_int_equal(database_open(&rules.database, image, &error), 0);
    return rules;
}

static void close_rules(struct rules *rules)
{
    database_unref(&rules->database);
    rulebook_free(&rules->book);
}

#define LIST                                                                                       \
    "##.1\n"                                                                                       \
    "a.example##.2\n"                                                                              \
    "b.a.example##.3\n"                                                                            \
    "a.*##.4\n"                                                                                    \
    "a.example,~b.a.example##.5\n"                                                                 \
    "~a.example##.6\n"                                                                             \
    "~a.example,b.a.example##.7\n"                                                                 \
    "a.example#@#.8\n"                                                                             \
    "#@#.9\n"                                                                                      \
    "/^x[0-9]+\\.example$/##.10\n"                                                                 \
    "www.a.*##.11\n"                                                                               \
    "*##.12\n"                                                                                     \
    "example##.13\n"

static const struct {
    const char *host, *want; // numbers of lines; '-': not, '@': exception
} hosts[] = {
    { "a.example", "2 4 5 -6 -7 @8 13 " },
    { "A.EXAMPLE", "2 4 5 -6 -7 @8 13 " },
    { "b.a.example", "2 3 4 -5 -6 7 @8 13 " },
    { "c.b.a.example", "2 3 4 -5 -6 7 @8 13 " },
    { "www.a.example", "2 4 5 -6 -7 @8 11 13 " },
    { "a.co.uk", "4 " },
    { "www.a.co.uk", "4 11 " },
    { "x12.example", "10 13 " },
    { "other.example", "13 " },
    { "xa.example", "13 " },
    { "127.0.0.1", "" },
    { "", "" },
};

static void hosts_have_their_rules(void **state)
{
    struct rules rules = open_rules(LIST);
    struct rule_view view;

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct cosmetic_found found[20];
        struct buffer got = { .limit_bytes = 1000 };
        size_t count = cosmetic_select(rules.database, span_text(hosts[i].host), found, 20);

        for (size_t k = 0; k < count; k++) {
            assert_true(database_rule(rules.database, found[k].rule, &view));
            (void)buffer_printf(&got, "%s%s%u ", found[k].is_not ? "-" : "",
                                found[k].is_exception ? "@" : "", view.line);
        }
        if (!span_equal(buffer_span(&got), span_text(hosts[i].want)))
            fail_msg("%s: %.*s", hosts[i].host, SPAN_PRINT(buffer_span(&got)));
        buffer_release(&got);
    }
    close_rules(&rules);
}

static void generic_rules_are_listed(void **state)
{
    struct rules rules = open_rules(LIST);
    struct rule_view view;
    struct buffer got = { .limit_bytes = 1000 };
    struct cosmetic_walk walk = { 0 };
    struct cosmetic_found found;

    (void)state;
    while (cosmetic_next_generic(rules.database, &walk, &found)) {
        assert_true(database_rule(rules.database, found.rule, &view));
        (void)buffer_printf(&got, "%s%u ", found.is_exception ? "@" : "", view.line);
    }
    assert_true(span_equal(buffer_span(&got), SPAN("1 6 @9 12 ")));
    buffer_release(&got);
    close_rules(&rules);
}

static void rules_of_one_host_have_a_limit(void **state)
{
    static struct cosmetic_found found[COSMETIC_FOUND_LIMIT + 1];

    (void)state;
    for (unsigned count = COSMETIC_FOUND_LIMIT; count <= COSMETIC_FOUND_LIMIT + 1; count++) {
        struct buffer text = { .limit_bytes = 1 << 20 };
        struct rules rules;

        for (unsigned i = 0; i < count; i++)
            (void)buffer_printf(&text, "a.example##.x%u\n", i);
        (void)buffer_append(&text, SPAN("\0"));
        rules = open_rules(text.at);
        assert_int_equal(
            cosmetic_select(rules.database, SPAN("a.example"), found, COSMETIC_FOUND_LIMIT + 1),
            COSMETIC_FOUND_LIMIT);
        close_rules(&rules);
        buffer_release(&text);
    }
}

static void long_lines_keep_their_selector(void **state)
{
    struct buffer text = { .limit_bytes = 1 << 20 };
    struct cosmetic_found found;
    struct rule_view view;
    struct rules rules;

    (void)state;
    for (int i = 0; i < 1000; i++)
        (void)buffer_printf(&text, "%shost%d.example", i ? "," : "", i);
    (void)buffer_append(&text, SPAN("##.the-end\n\0"));
    rules = open_rules(text.at);
    assert_int_equal(cosmetic_select(rules.database, SPAN("host999.example"), &found, 1), 1);
    assert_true(database_rule(rules.database, found.rule, &view));
    assert_false(view.is_cut);
    assert_true(span_ends(view.text, SPAN("##.the-end")));
    close_rules(&rules);
    buffer_release(&text);
}

static void no_rules_are_no_rules(void **state)
{
    struct rules rules = open_rules("");
    struct cosmetic_walk walk = { 0 };
    struct cosmetic_found found;

    (void)state;
    assert_int_equal(cosmetic_select(rules.database, SPAN("a.example"), &found, 1), 0);
    assert_false(cosmetic_next_generic(rules.database, &walk, &found));
    close_rules(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_taken_apart),
        cmocka_unit_test(tests_have_a_limit),
        cmocka_unit_test(what_is_no_attribute_of_ours_stays_in_the_selector),
        cmocka_unit_test(hosts_have_their_rules),
        cmocka_unit_test(generic_rules_are_listed),
        cmocka_unit_test(rules_of_one_host_have_a_limit),
        cmocka_unit_test(long_lines_keep_their_selector),
        cmocka_unit_test(no_rules_are_no_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
