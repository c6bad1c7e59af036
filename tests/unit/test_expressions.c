/* Regular expressions by their text: what is kept of them, and the limits of one replacement. What
 * each kind of replacement means: test_edit.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/expressions.h"

static int setup(void **state)
{
    *state = expressions_new();
    return 0;
}

static int teardown(void **state)
{
    struct expressions *expressions = *state;
    expressions_free(&expressions);
    assert_null(expressions);
    return 0;
}

static void first_groups_are_found(void **state)
{
    static const struct {
        const char *written, *text, *group; // NULL: there is none
    } rows[] = {
        { "/a(b+)c/", "xabbc", "bb" }, { "/a(b*)c/", "ac", "" }, { "/A(B)/i", "ab", "b" },
        { "/a(b)?(c)/", "ac", NULL },  { "/ab/", "ab", NULL },   { "/a(b)/", "ac", NULL },
        { "/a(b/", "ab", NULL },       { "a(b)", "ab", NULL },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span group = SPAN_NONE;
        bool is_there =
            expressions_group(*state, span_text(rows[i].written), span_text(rows[i].text), &group);

        if (is_there != (rows[i].group != NULL) ||
            (is_there && !span_equal(group, span_text(rows[i].group))))
            fail_msg("%s in %s: %.*s", rows[i].written, rows[i].text, SPAN_PRINT(group));
    }
}

/* More than are kept: those that went are made again. */
static void all_are_found_however_many(void **state)
{
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < EXPRESSIONS_KEPT + 1; i++) {
            struct buffer written = { .limit_bytes = 100 };

            assert_true(buffer_printf(&written, "/^x%u$/", i));
            assert_true(expressions_find(*state, buffer_span(&written),
                                         span_slice(buffer_span(&written), 2, written.size - 4)));
            assert_false(expressions_find(*state, buffer_span(&written), SPAN("x")));
            buffer_release(&written);
        }
}

static void groups_have_a_limit(void **state)
{
    for (unsigned number = EXPRESSIONS_GROUPS; number <= EXPRESSIONS_GROUPS + 1; number++) {
        struct buffer written = { .limit_bytes = 1000 }, out = { .limit_bytes = 1000 };
        struct replacement parts;

        assert_true(buffer_append(&written, SPAN("/")));
        for (unsigned i = 1; i < number; i++)
            assert_true(buffer_append(&written, SPAN("(a)")));
        assert_true(buffer_printf(&written, "(b)/<$%u>/", number));
        assert_true(replacement_split(&parts, buffer_span(&written)));
        assert_int_equal(
            expressions_replace(*state, &parts, SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &out),
            REPLACE_DONE);
        if (number <= EXPRESSIONS_GROUPS)
            assert_true(span_equal(buffer_span(&out), SPAN("a<b>")));
        else
            assert_true(span_equal(buffer_span(&out), SPAN("<>")));
        buffer_release(&out);
        buffer_release(&written);
    }
}

static void places_have_a_limit(void **state)
{
    static char text[EXPRESSIONS_REPLACED + 1], want[EXPRESSIONS_REPLACED + 1];
    struct replacement parts;

    assert_true(replacement_split(&parts, SPAN("/a/b/g")));
    memset(text, 'a', sizeof text);
    memset(want, 'b', sizeof want);
    want[EXPRESSIONS_REPLACED] = 'a';
    for (size_t size = EXPRESSIONS_REPLACED; size <= EXPRESSIONS_REPLACED + 1; size++) {
        struct buffer out = { .limit_bytes = sizeof text };

        assert_int_equal(expressions_replace(*state, &parts, span_of(text, size), &out),
                         REPLACE_DONE);
        assert_true(span_equal(buffer_span(&out), span_of(want, size)));
        buffer_release(&out);
    }
}

static void results_have_a_limit(void **state)
{
    struct replacement parts;

    assert_true(replacement_split(&parts, SPAN("/b/xyz/")));
    for (size_t limit = 4; limit <= 5; limit++) {
        struct buffer out = { .limit_bytes = limit };

        assert_int_equal(expressions_replace(*state, &parts, SPAN("abc"), &out),
                         limit < 5 ? REPLACE_TOO_MUCH : REPLACE_DONE);
        assert_int_equal(out.size, limit < 5 ? 0 : 5);
        buffer_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_groups_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(all_are_found_however_many, setup, teardown),
        cmocka_unit_test_setup_teardown(groups_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(places_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(results_have_a_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
