/* The report that the compiler of rules leaves: what is taken from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/keep.h"
#include "admin/lists.h"

static struct lists lists;

static void lines_are_taken_or_passed_over(void **state)
{
    static const struct {
        const char *name, *line;
        size_t want;
    } cases[] = {
        { "a list", "easylist\t/x\tuntrusted\t10\t8\t1\t1\t0", 1 },
        { "blanks in the name", "my list\t/x\ttrusted\t1\t2\t3\t4\t5", 1 },
        { "the key", "0123456789abcdef", 0 },
        { "a comment", "# 8 hosts\t\t\t1\t1\t1\t1\t1", 0 },
        { "too few columns", "a\t/x\ttrusted\t1\t2\t3\t4", 0 },
        { "too many columns", "a\t/x\ttrusted\t1\t2\t3\t4\t5\t6", 0 },
        { "no name", "\t/x\ttrusted\t1\t2\t3\t4\t5", 0 },
        { "no number", "a\t/x\ttrusted\t1\tx\t3\t4\t5", 0 },
        { "an empty number", "a\t/x\ttrusted\t1\t\t3\t4\t5", 0 },
        { "the largest number", "a\t/x\ttrusted\t1\t4294967295\t3\t4\t5", 1 },
        { "beyond it", "a\t/x\ttrusted\t1\t4294967296\t3\t4\t5", 0 },
        { "nothing", "", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lists_parse(&lists, span_text(cases[i].line));
        if (lists.count != cases[i].want)
            fail_msg("%s: %zu lists", cases[i].name, lists.count);
    }
    lists_parse(&lists,
                SPAN("key\na\x1b\t/x\ttrusted\t1\t2\t3\t4\t5\nb\t/x\tuntrusted\t1\t20\t3\t4\t5"));
    assert_int_equal(lists.count, 2);
    assert_int_equal(lists.rules, 22);
    assert_string_equal(lists.items[0].name, "a?");
    assert_int_equal(lists.items[0].lines, 1);
    assert_int_equal(lists.items[0].rules, 2);
    assert_int_equal(lists.items[0].cosmetic, 3);
    assert_int_equal(lists.items[0].unsupported, 4);
    assert_int_equal(lists.items[0].bad, 5);
}

static void counts_and_names_have_limits(void **state)
{
    static char text[(LISTS_MOST + 1) * 40];
    char line[LISTS_NAME_BYTES + 64];
    size_t size = 0;

    (void)state;
    for (int i = 0; i <= LISTS_MOST; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "l%d\t/x\tt\t1\t1\t1\t1\t1\n", i);
    lists_parse(&lists, span_of(text, size));
    assert_int_equal(lists.count, LISTS_MOST);
    for (int more = 0; more < 2; more++) {
        snprintf(line, sizeof line, "%0*d\t/x\tt\t1\t1\t1\t1\t1", LISTS_NAME_BYTES - 1 + more, 7);
        lists_parse(&lists, span_text(line));
        assert_int_equal(lists.count, 1 - more);
    }
}

static void files_are_looked_at(void **state)
{
    char directory[] = "/tmp/dejunk-lists-XXXXXX", path[PATH_MAX], text[2 * PATH_MAX];

    (void)state;
    assert_non_null(mkdtemp(directory));
    lists_read(&lists, directory);
    assert_int_equal(lists.count + lists.compiled_ms, 0);
    snprintf(path, sizeof path, "%s/rules.txt", directory);
    snprintf(text, sizeof text, "key\na\t%s\tt\t1\t1\t1\t1\t1\nb\t%s/none\tt\t1\t1\t1\t1\t1\n",
             path, directory);
    assert_int_equal(keep_write(path, span_text(text), 0600, NULL, NULL), ERROR_NONE);
    lists_read(&lists, directory);
    assert_int_equal(lists.count, 2);
    assert_true(lists.compiled_ms > UINT64_C(1600000000000));
    assert_true(lists.items[0].changed_ms == lists.compiled_ms);
    assert_int_equal(lists.items[1].changed_ms, 0);
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_taken_or_passed_over),
        cmocka_unit_test(counts_and_names_have_limits),
        cmocka_unit_test(files_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
