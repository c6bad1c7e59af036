/* Rules compiled: the same bytes for the same lists, repetitions and badfilters left out, limits,
 * each rule found by what it is entered under. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/image.h"
#include "rules.h"

static const char many_kinds[] =
    "||ads.example^\n||b.example^$third-party\n||c.example/x$script\n/banner/*/x^\n@@/"
    "ok$script,domain=a.example|~b.a.example\n"
    "/b[a]nner\\.js/"
    "\n*$removeparam=a\n||d.example^$redirect=noopjs:5\n$csp=x,to=google.*\n@@||e.example^$ghide\n"
    "f$client=127.0.0.1,method=get\ng$header=x:y\n0.0.0.0 h.example i.example\n";

static void same_bytes_for_the_same_lists(void **state)
{
    struct rules first, second, other;

    (void)state;
    rules_open(&first, many_kinds);
    rules_open(&second, many_kinds);
    assert_true(span_equal(first.image, second.image));
    assert_true(database_generation(first.database) == database_generation(second.database));
    rules_open_lists(&other, (const char *const[]){ "", many_kinds, NULL }, true);
    assert_false(span_equal(first.image, other.image));
    rules_close(&first);
    rules_close(&second);
    rules_close(&other);
}

static const struct {
    const char *name, *rules;
    uint32_t plain_hosts, others, repeated, negated;
} counts[] = {
    { "nothing", "", 0, 0, 0, 0 },
    { "kinds", many_kinds, 3, 11, 0, 0 },
    { "a host twice", "||a.example^\n||a.example^\n0.0.0.0 a.example\nA.example", 1, 0, 3, 0 },
    { "a rule twice", "ads$script,3p\nads$3p,script", 0, 1, 1, 0 },
    { "other order of domains", "ads$domain=a.b|c.d\nads$domain=c.d|a.b", 0, 1, 1, 0 },
    { "other domains", "ads$domain=a.b\nads$domain=~a.b", 0, 2, 0, 0 },
    { "badfilter", "ads\nads$badfilter", 0, 0, 0, 2 },
    { "badfilter in front", "ads$badfilter\nads", 0, 0, 0, 2 },
    { "badfilter of nothing", "ads$badfilter\nadz", 0, 1, 0, 1 },
    { "badfilter of a host", "||a.example^\na.example\n||a.example^$badfilter", 0, 0, 1, 2 },
    { "an important host is no plain one", "||a.example^$important", 0, 1, 0, 0 },
    { "with types, too", "||a.example^$script", 0, 1, 0, 0 },
};

static void counts_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct rules rules;

        rules_open(&rules, counts[i].rules);
        if (rules.counts.plain_hosts != counts[i].plain_hosts ||
            rules.counts.rules != counts[i].others || rules.counts.repeated != counts[i].repeated ||
            rules.counts.negated != counts[i].negated)
            fail_msg("%s: %u plain, %u others, %u repeated, %u negated", counts[i].name,
                     rules.counts.plain_hosts, rules.counts.rules, rules.counts.repeated,
                     rules.counts.negated);
        assert_int_equal(database_rules(rules.database), counts[i].plain_hosts + counts[i].others);
        rules_close(&rules);
    }
}

static void entered_where_they_are_found(void **state)
{
    static const struct {
        const char *rule;
        enum { BY_HOST, BY_WINDOW, BY_SOURCE, LOOSE } by;
    } rows[] = {
        { "||a.example^$script", BY_HOST },
        { "||a.example/x", BY_HOST },
        { "/banner/ads/", BY_WINDOW },
        { "/banner-ad.gif?", BY_WINDOW },
        { "||ads.*/x/banner.", BY_WINDOW },
        { "/\\/banner\\/[0-9]+/", BY_WINDOW },
        { "$domain=a.example", BY_SOURCE },
        { "*$script,domain=a.example|b.example", BY_SOURCE },
        { "$script,to=a.example", BY_HOST },
        { "$removeparam=utm_source", BY_WINDOW },
        { "$xhr,3p", LOOSE },
        { "/^https?:.{200}$/", LOOSE },
        { "*$csp=x", LOOSE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rules rules;
        uint32_t by[4];

        rules_open(&rules, rows[i].rule);
        by[BY_HOST] = rules.counts.by_host;
        by[BY_WINDOW] = rules.counts.by_window;
        by[BY_SOURCE] = rules.counts.by_source;
        by[LOOSE] = rules.counts.loose;
        for (unsigned k = 0; k < 4; k++)
            if ((by[k] > 0) != (k == rows[i].by))
                fail_msg("%s: by host %u, window %u, source %u, loose %u", rows[i].rule, by[0],
                         by[1], by[2], by[3]);
        rules_close(&rules);
    }
}

static enum rule_reason add(struct compiler *compiler, struct span line)
{
    struct rule rule;

    rule_parse(&rule, line);
    assert_int_equal(rule.kind, RULE_NETWORK);
    return compiler_add(compiler, &rule, 1);
}

static void refuses(void **state)
{
    static const struct {
        const char *line;
        enum rule_reason reason;
    } rows[] = {
        { "ads", REASON_NONE },
        { "/(/$script", REASON_REGEX },
        { "/a/$domain=/(/", REASON_VALUE },
        { "a$domain=/", REASON_VALUE },
        { "a$domain=~/", REASON_VALUE },
        { "||a.example^", REASON_NONE },
    };
    struct compiler *compiler = compiler_new();

    (void)state;
    assert_true(compiler_begin_list(compiler, SPAN("1")));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum rule_reason reason = add(compiler, span_text(rows[i].line));
        if (reason != rows[i].reason)
            fail_msg("%s: %s", rows[i].line, rule_reason_text(reason));
    }
    compiler_free(&compiler);
    assert_null(compiler);
    compiler_free(&compiler);
}

/* Patterns up to 16 kB, lines up to 64 kB. */
static void limits_of_rules(void **state)
{
    static const struct {
        size_t pattern, line;
        bool is_taken;
    } rows[] = {
        { 16384, 0, true },
        { 16385, 0, false },
        { 10, 65535, true },
        { 10, 65536, false },
    };
    static char line[70000];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct compiler *compiler = compiler_new();
        struct compile_counts counted;
        struct span image;
        size_t size = rows[i].pattern;

        memset(line, 'a', size);
        if (rows[i].line) {
            size += (size_t)snprintf(line + size, sizeof line - size, "$domain=a.b");
            while (size < rows[i].line)
                size += (size_t)snprintf(line + size, rows[i].line - size + 1, "|x%zu.y", size);
            size = rows[i].line;
            memcpy(line + size - 20, "|aaaaaaaaaaaaaaaaa.b", 20);
        }
        assert_true(compiler_begin_list(compiler, SPAN("1")));
        if ((add(compiler, span_of(line, size)) == REASON_NONE) != rows[i].is_taken)
            fail_msg("row %zu", i);
        assert_int_equal(compiler_finish(compiler, &image, &counted, NULL), ERROR_NONE);
        assert_int_equal(counted.rules, rows[i].is_taken);
        compiler_free(&compiler);
    }
}

/* A rule is entered under its pages' names, but not under more than 1024; it holds anyway. */
static void number_of_names_to_be_entered_under(void **state)
{
    (void)state;
    for (unsigned count = 1024; count <= 1025; count++) {
        struct buffer text = { .limit_bytes = 1 << 20 };
        struct rules rules;

        (void)buffer_append(&text, SPAN("*$script,domain=x0.example"));
        for (unsigned i = 1; i < count; i++)
            (void)buffer_printf(&text, "|x%u.example", i);
        (void)buffer_append(&text, SPAN("\0"));
        rules_open(&rules, text.at);
        assert_int_equal(rules.counts.by_source, count <= 1024 ? count : 0);
        assert_int_equal(rules.counts.loose, count > 1024);
        for (unsigned i = 0; i <= count; i += i < 1020 ? 100 : 1) {
            struct request request = { .url = SPAN("http://a.test/"), .type = TYPE_SCRIPT };
            struct verdict verdict;
            char source[40];

            request.source =
                span_of(source, (size_t)snprintf(source, sizeof source, "x%u.example", i));
            matcher_ask(rules.matcher, &request, &verdict);
            if ((verdict.action == VERDICT_BLOCK) != (i < count))
                fail_msg("%u names, the one numbered %u", count, i);
        }
        rules_close(&rules);
        buffer_release(&text);
    }
}

/* 64 lines with badfilter take domains from one rule. */
static void number_of_badfilters(void **state)
{
    (void)state;
    for (unsigned count = 64; count <= 65; count++) {
        struct buffer text = { .limit_bytes = 1 << 20 };
        struct rules rules;

        (void)buffer_append(&text, SPAN("ads$domain=x0.example"));
        for (unsigned i = 1; i < count; i++)
            (void)buffer_printf(&text, "|x%u.example", i);
        for (unsigned i = 0; i < count; i++)
            (void)buffer_printf(&text, "\nads$domain=x%u.example,badfilter", i);
        (void)buffer_append(&text, SPAN("\0"));
        rules_open(&rules, text.at);
        assert_int_equal(rules.counts.rules, count > 64);
        rules_close(&rules);
        buffer_release(&text);
    }
}

static void number_of_lists(void **state)
{
    struct compiler *compiler = compiler_new();

    (void)state;
    for (int i = 0; i < 255; i++)
        assert_true(compiler_begin_list(compiler, SPAN("x")));
    assert_false(compiler_begin_list(compiler, SPAN("x")));
    compiler_free(&compiler);
}

static void long_names_of_lists(void **state)
{
    static char name[70000];
    struct compiler *compiler = compiler_new();
    struct compile_counts counted;
    struct database *database;
    struct rule_view view;
    struct verdict verdict;
    struct matcher *matcher;
    struct span image;

    (void)state;
    memset(name, 'n', sizeof name);
    assert_true(compiler_begin_list(compiler, span_of(name, sizeof name)));
    assert_int_equal(add(compiler, SPAN("||a.example^")), REASON_NONE);
    assert_int_equal(compiler_finish(compiler, &image, &counted, NULL), ERROR_NONE);
    assert_int_equal(database_open(&database, image, NULL), ERROR_NONE);
    matcher = matcher_new(database);
    matcher_connect(matcher, SPAN("a.example"), &verdict);
    assert_true(database_rule(database, verdict.rule, &view));
    assert_int_equal(view.list.size, UINT16_MAX);
    matcher_free(&matcher);
    database_unref(&database);
    compiler_free(&compiler);
}

/* Many rules with one key, many keys alike: all are found. */
static void crowds(void **state)
{
    struct buffer text = { .limit_bytes = 1 << 22 };
    struct rules rules;
    char url[200];

    (void)state;
    for (int i = 0; i < 3000; i++)
        buffer_printf(&text, "||one.example/p%d/\n/ads/banner%d.\n/adframe/%d-\n", i, i, i);
    buffer_append(&text, SPAN("\0"));
    rules_open(&rules, text.at);
    assert_int_equal(rules.counts.rules, 9000);
    for (int i = 0; i < 3100; i += 31) {
        for (int k = 0; k < 3; k++) {
            struct request request = { .type = TYPE_SCRIPT };
            struct verdict verdict;
            int size = k == 0   ? snprintf(url, sizeof url, "http://one.example/p%d/", i)
                       : k == 1 ? snprintf(url, sizeof url, "http://x.example/ads/banner%d.gif", i)
                                : snprintf(url, sizeof url, "http://x.example/adframe/%d-x", i);

            request.url = span_of(url, (size_t)size);
            matcher_ask(rules.matcher, &request, &verdict);
            if ((verdict.action == VERDICT_BLOCK) != (i < 3000))
                fail_msg("%s", url);
        }
    }
    rules_close(&rules);
    buffer_release(&text);
}

/* Slots of the table of names have three bytes, or four where the names are too many for that. */
static void small_and_large_slots(void **state)
{
    static const struct {
        uint32_t names, slot_bytes;
    } rows[] = { { 100, 3 }, { 400000, 4 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer text = { .limit_bytes = 1 << 26 };
        struct rules rules;

        for (uint32_t k = 0; k < rows[i].names; k++)
            (void)buffer_printf(&text, "%s%06x.example%s\n", k % 2 ? "||" : "0.0.0.0 ", k,
                                k % 2 ? "^$third-party" : "");
        (void)buffer_append(&text, SPAN("\0"));
        rules_open(&rules, text.at);
        assert_int_equal(((const struct image_header *)rules.image.at)->slot_bytes,
                         rows[i].slot_bytes);
        for (uint32_t k = 0; k < rows[i].names + 5; k += 1 + rows[i].names / 1000) {
            struct request request = { .type = TYPE_SCRIPT, .source = SPAN("http://a.test/") };
            struct verdict verdict;
            char url[40];

            request.url =
                span_of(url, (size_t)snprintf(url, sizeof url, "http://%06x.example/", k));
            matcher_ask(rules.matcher, &request, &verdict);
            if ((verdict.action == VERDICT_BLOCK) != (k < rows[i].names))
                fail_msg("%u names: %s", rows[i].names, url);
        }
        rules_close(&rules);
        buffer_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_for_the_same_lists),
        cmocka_unit_test(counts_rules),
        cmocka_unit_test(entered_where_they_are_found),
        cmocka_unit_test(refuses),
        cmocka_unit_test(limits_of_rules),
        cmocka_unit_test(number_of_names_to_be_entered_under),
        cmocka_unit_test(number_of_badfilters),
        cmocka_unit_test(number_of_lists),
        cmocka_unit_test(long_names_of_lists),
        cmocka_unit_test(crowds),
        cmocka_unit_test(small_and_large_slots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
