/* Texts of lists: conditions, includes, headers, counts, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/list.h"

struct reading {
    struct buffer taken;         // "line:text " for each rule, "line!reason " for each problem
    const char *const *includes; // name, text ...; NULL ends them
};

static void on_rule(void *owner, const struct rule *rule, uint32_t line)
{
    struct reading *reading = owner;

    buffer_printf(&reading->taken, "%u:%.*s ", line, SPAN_PRINT(rule->text));
}

static const char *word_of(enum rule_reason reason)
{
    switch (reason) {
    case REASON_PREPROCESSOR:
        return "preprocessor";
    case REASON_INCLUDE:
        return "include";
    case REASON_UNTRUSTED:
        return "untrusted";
    case REASON_POPUP:
        return "popup";
    case REASON_OPTION:
        return "option";
    default:
        return "other";
    }
}

static void on_problem(void *owner, struct span text, enum rule_reason reason, uint32_t line)
{
    struct reading *reading = owner;

    (void)text;
    buffer_printf(&reading->taken, "%u!%s ", line, word_of(reason));
}

static bool on_include(void *owner, struct span name, struct span *text)
{
    struct reading *reading = owner;

    for (size_t i = 0; reading->includes && reading->includes[i]; i += 2)
        if (span_equal(name, span_text(reading->includes[i]))) {
            *text = span_text(reading->includes[i + 1]);
            return true;
        }
    return false;
}

static bool read_text(struct reading *reading, struct list_summary *summary, struct span text,
                      bool is_trusted)
{
    struct list_reader reader = { .is_trusted = is_trusted,
                                  .on_rule = on_rule,
                                  .on_problem = on_problem,
                                  .on_include = on_include,
                                  .owner = reading };

    reading->taken.limit_bytes = 1 << 20;
    return list_read(summary, &reader, text);
}

static const char *const files[] = {
    "more.txt",
    "c\nd",
    "open.txt",
    "!#if false\nx",
    "deep.txt",
    "e\n!#include deep.txt",
    "bom.txt",
    "\xef\xbb\xbf"
    "f",
    "sub/in.txt",
    "k\n!#include deeper/in.txt",
    "sub/deeper/in.txt",
    "l",
    "else.txt",
    "!#else\n!#endif\ng",
    NULL,
};

static const struct {
    const char *name, *text, *taken;
    bool is_trusted;
} rows[] = {
    { "empty", "", "", false },
    { "two rules", "a\nb\n", "1:a 2:b ", false },
    { "no end of line at the end", "a\nb", "1:a 2:b ", false },
    { "CRLF", "a\r\nb\r\n", "1:a 2:b ", false },
    { "byte order mark",
      "\xef\xbb\xbf"
      "a",
      "1:a ", false },
    { "comments and empty lines", "! x\n\n[Adblock]\na", "4:a ", false },
    { "if true", "!#if ext_ublock\na\n!#endif\nb", "2:a 4:b ", false },
    { "if false", "!#if env_mobile\na\n!#endif\nb", "4:b ", false },
    { "else", "!#if env_mobile\na\n!#else\nb\n!#endif\nc", "4:b 6:c ", false },
    { "else of a true one", "!#if true\na\n!#else\nb\n!#endif\nc", "2:a 6:c ", false },
    { "one in another", "!#if false\n!#if true\na\n!#else\nb\n!#endif\n!#endif\nc", "8:c ", false },
    { "a missing end", "!#if true\na\n", "2:a 1!preprocessor ", false },
    { "an end too many", "!#endif\na", "1!preprocessor 2:a ", false },
    { "an else too many", "!#else\na", "1!preprocessor 2:a ", false },
    { "a condition that is none", "!#if (\na\n!#endif", "1!preprocessor ", false },
    { "include", "a\n!#include more.txt\nb", "1:a 2:c 2:d 3:b ", false },
    { "include behind a tab", "!#include\tmore.txt", "1:c 1:d ", false },
    { "include beside the one that includes", "!#include sub/in.txt\nb", "1:k 1:l 2:b ", false },
    { "include of what is not there", "!#include x.txt\nb", "1!include 2:b ", false },
    { "include that is off", "!#if false\n!#include more.txt\n!#endif", "", false },
    { "what an included file left open ends with it", "!#include open.txt\na",
      "1!preprocessor 2:a ", false },
    { "an else of the includer's", "!#if true\n!#include else.txt\na\n!#endif",
      "2!preprocessor 2!preprocessor 2:g 3:a ", false },
    { "trusted only", "a$urlskip=?x\nb", "1!untrusted 2:b ", false },
    { "trusted", "a$urlskip=?x\nb", "1:a$urlskip=?x 2:b ", true },
    { "exceptions need no trust", "@@a$urlskip", "1:@@a$urlskip ", false },
    { "idle and bad", "a$popup\nb$nonsense\n##.x", "1!popup 2!option 3:##.x ", false },
};

static void reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reading reading = { .includes = files };
        struct list_summary summary;

        assert_true(read_text(&reading, &summary, span_text(rows[i].text), rows[i].is_trusted));
        if (!span_equal(buffer_span(&reading.taken), span_text(rows[i].taken)))
            fail_msg("%s: %.*s", rows[i].name, SPAN_PRINT(buffer_span(&reading.taken)));
        if (summary.lines != summary.network + summary.hosts + summary.cosmetic + summary.comments +
                                 summary.left_out + summary.idle + summary.bad)
            fail_msg("%s: the counts are not those of all %u lines", rows[i].name, summary.lines);
        buffer_release(&reading.taken);
    }
}

static void conditions(void **state)
{
    static const struct {
        const char *text;
        bool value, is_good;
    } cases[] = {
        { "true", true, true },
        { "false", false, true },
        { "ext_ublock", true, true },
        { "env_chromium", false, true },
        { "!true", false, true },
        { "!!true", true, true },
        { "! true", false, true },
        { "true && false", false, true },
        { "true || false", true, true },
        { "true&&true", true, true },
        { "false || true && false", false, true },
        { "true || true && false", true, true },
        { "(true || true) && false", false, true },
        { "!(true && false)", true, true },
        { "!(true || false) || true", true, true },
        { "((true))", true, true },
        { "  true  ", true, true },
        { "", false, false },
        { "(", false, false },
        { "()", false, false },
        { "(true", false, false },
        { "true)", false, false },
        { "true true", false, false },
        { "&& true", false, false },
        { "true &&", false, false },
        { "true & true", false, false },
        { "!", false, false },
        { "a-b", false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_good, value = list_condition(span_text(cases[i].text), &is_good);
        if (value != cases[i].value || is_good != cases[i].is_good)
            fail_msg("\"%s\": %d, good %d", cases[i].text, value, is_good);
    }
}

static void depth_of_conditions(void **state)
{
    char text[200];

    (void)state;
    for (int depth = 30; depth <= 33; depth++) {
        bool is_good, value;

        memset(text, '(', (size_t)depth);
        memcpy(text + depth, "true", 4);
        memset(text + depth + 4, ')', (size_t)depth);
        value = list_condition(span_of(text, 2 * (size_t)depth + 4), &is_good);
        assert_int_equal(is_good, depth <= 31);
        assert_int_equal(value, depth <= 31);
    }
}

static void headers(void **state)
{
    static const char text[] =
        "[Adblock Plus 2.0]\n! Title: Ours\n! Version: 7\n!Expires: 4 days (update)\n"
        "! Homepage: http://a.example/\n! Title: Not this\na\n";
    struct reading reading = { 0 };
    struct list_summary summary;

    (void)state;
    assert_true(read_text(&reading, &summary, SPAN(text), false));
    assert_true(span_equal(summary.title, SPAN("Ours")));
    assert_true(span_equal(summary.version, SPAN("7")));
    assert_true(span_equal(summary.homepage, SPAN("http://a.example/")));
    assert_int_equal(summary.expires_s, 4 * 86400);
    assert_int_equal(summary.lines, 7);
    assert_int_equal(summary.comments, 6);
    buffer_release(&reading.taken);
}

static void expiries(void **state)
{
    static const struct {
        const char *text;
        uint64_t expires_s;
    } cases[] = {
        { "! Expires: 1 day", 86400 },
        { "! Expires: 12 hours", 43200 },
        { "! Expires: 5h", 18000 },
        { "! Expires: 3", 3 * 86400 },
        { "! Expires: 30 minutes", 1800 },
        { "! Expires: 1 d", 86400 },
        { "! Expires: 4 days (update frequency)", 4 * 86400 },
        { "! Expires: soon", 0 },
        { "! Expires: 99999 days", 0 },
        { "! Expires: 9999 days", 9999 * 86400u },
        { "! expires: 2 days", 2 * 86400 },
        { "# Expires: 1 day", 86400 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reading reading = { 0 };
        struct list_summary summary;

        assert_true(read_text(&reading, &summary, span_text(cases[i].text), false));
        if (summary.expires_s != cases[i].expires_s)
            fail_msg("%s: %llu", cases[i].text, (unsigned long long)summary.expires_s);
        buffer_release(&reading.taken);
    }
}

/* `depth` conditions, one in another. */
static void depth_of_ifs(void **state)
{
    (void)state;
    for (unsigned depth = LIST_IF_DEPTH - 1; depth <= LIST_IF_DEPTH + 1; depth++) {
        struct reading reading = { 0 };
        struct list_summary summary;
        struct buffer text = { .limit_bytes = 10000 };

        for (unsigned i = 0; i < depth; i++)
            buffer_append(&text, SPAN("!#if true\n"));
        buffer_append(&text, SPAN("a\n"));
        for (unsigned i = 0; i < depth; i++)
            buffer_append(&text, SPAN("!#endif\n"));
        buffer_append(&text, SPAN("b\n"));
        assert_true(read_text(&reading, &summary, buffer_span(&text), false));
        assert_int_equal(summary.network, depth <= LIST_IF_DEPTH ? 2 : 1);
        assert_int_equal(summary.bad, depth <= LIST_IF_DEPTH ? 0 : 1);
        buffer_release(&text);
        buffer_release(&reading.taken);
    }
}

static void depth_of_includes(void **state)
{
    struct reading reading = { .includes = files };
    struct list_summary summary;

    (void)state;
    assert_true(read_text(&reading, &summary, SPAN("!#include deep.txt\na"), false));
    assert_int_equal(summary.included, LIST_INCLUDE_DEPTH);
    assert_int_equal(summary.network, LIST_INCLUDE_DEPTH + 1);
    assert_int_equal(summary.by_reason[REASON_INCLUDE], 1);
    buffer_release(&reading.taken);
}

/* Of an included file's name, with the folder of the one that includes it. */
static void bytes_of_include_names(void **state)
{
    (void)state;
    for (unsigned size = LIST_INCLUDE_NAME - 1; size <= LIST_INCLUDE_NAME + 1; size++) {
        char name[LIST_INCLUDE_NAME + 2], line[300];
        const char *const long_files[] = { name, "c", "sub/in.txt", line, NULL };
        struct reading reading = { .includes = long_files };
        struct list_summary summary;

        memset(name, 'a', size);
        memcpy(name, "sub/", 4);
        name[size] = '\0';
        snprintf(line, sizeof line, "!#include %s", name + 4);
        assert_true(read_text(&reading, &summary, SPAN("!#include sub/in.txt"), false));
        assert_int_equal(summary.network, size <= LIST_INCLUDE_NAME);
        assert_int_equal(summary.by_reason[REASON_INCLUDE], size > LIST_INCLUDE_NAME);
        buffer_release(&reading.taken);
    }
}

static void number_of_includes(void **state)
{
    (void)state;
    for (unsigned count = LIST_INCLUDES; count <= LIST_INCLUDES + 1; count++) {
        struct reading reading = { .includes = files };
        struct list_summary summary;
        struct buffer text = { .limit_bytes = 10000 };

        for (unsigned i = 0; i < count; i++)
            buffer_append(&text, SPAN("!#include bom.txt\n"));
        assert_true(read_text(&reading, &summary, buffer_span(&text), false));
        assert_int_equal(summary.included, LIST_INCLUDES);
        assert_int_equal(summary.by_reason[REASON_INCLUDE], count - LIST_INCLUDES);
        buffer_release(&text);
        buffer_release(&reading.taken);
    }
}

static void count_only(void *owner, const struct rule *rule, uint32_t line)
{
    (void)rule;
    (void)line;
    ++*(uint32_t *)owner;
}

static void number_of_lines(void **state)
{
    size_t size = LIST_LINE_LIMIT + 1;
    char *text = malloc(size);
    struct list_summary summary;
    uint32_t rules = 0;
    struct list_reader reader = { .on_rule = count_only, .owner = &rules };

    (void)state;
    assert_non_null(text);
    memset(text, '\n', size);
    assert_true(list_read(&summary, &reader, span_of(text, LIST_LINE_LIMIT)));
    assert_int_equal(summary.lines, LIST_LINE_LIMIT);
    assert_false(list_read(&summary, &reader, span_of(text, size)));
    free(text);
}

/* The last line is as long as it takes, of NULs, which are blanks. */
static void bytes_of_a_list(void **state)
{
    size_t limit = LIST_TEXT_LIMIT;
    char *text = calloc(limit + 1, 1); // untouched memory costs nothing
    struct list_summary summary;
    uint32_t rules = 0;
    struct list_reader reader = { .on_rule = count_only, .owner = &rules };

    (void)state;
    assert_non_null(text);
    text[0] = 'a';
    text[1] = '\n';
    assert_false(list_read(&summary, &reader, span_of(text, limit + 1)));
    assert_int_equal(rules, 0);
    assert_true(list_read(&summary, &reader, span_of(text, limit)));
    assert_int_equal(rules, 1);
    assert_int_equal(summary.lines, 2);
    free(text);
}

static bool on_huge_include(void *owner, struct span name, struct span *text)
{
    (void)name;
    *text = *(struct span *)owner;
    return true;
}

static void ignore(void *owner, const struct rule *rule, uint32_t line)
{
    (void)owner;
    (void)rule;
    (void)line;
}

/* With what it includes. */
static void bytes_of_all_texts(void **state)
{
    struct span outer = SPAN("!#include x.txt\n"), included = { NULL, LIST_TEXT_LIMIT };
    struct list_reader reader = { .on_rule = ignore,
                                  .on_include = on_huge_include,
                                  .owner = &included };
    struct list_summary summary;
    char *text = calloc(LIST_TEXT_LIMIT, 1);

    (void)state;
    assert_non_null(text);
    included = span_of(text, LIST_TEXT_LIMIT - outer.size);
    assert_true(list_read(&summary, &reader, outer));
    assert_int_equal(summary.included, 1);
    included.size++;
    assert_true(list_read(&summary, &reader, outer));
    assert_int_equal(summary.included, 0);
    assert_int_equal(summary.by_reason[REASON_INCLUDE], 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(conditions),
        cmocka_unit_test(depth_of_conditions),
        cmocka_unit_test(headers),
        cmocka_unit_test(expiries),
        cmocka_unit_test(depth_of_ifs),
        cmocka_unit_test(depth_of_includes),
        cmocka_unit_test(bytes_of_include_names),
        cmocka_unit_test(number_of_includes),
        cmocka_unit_test(number_of_lines),
        cmocka_unit_test(bytes_of_a_list),
        cmocka_unit_test(bytes_of_all_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
