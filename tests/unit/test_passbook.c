/* The book of passes and its text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "admin/passbook.h"

#define HEAD "dejunk passes 1\n"
#define TEN "aaaaaaaaaa"
#define FIFTY TEN TEN TEN TEN TEN

static char *text_of(const struct passbook *book)
{
    struct buffer text = { .limit_bytes = PASSBOOK_TEXT_BYTES };

    assert_true(passbook_write(book, &text));
    assert_true(buffer_append(&text, span_of("", 1)));
    return text.at;
}

static void hosts_and_clients_are_checked(void **state)
{
    static const struct {
        const char *host, *client, *want; // its line; NULL: refused
    } cases[] = {
        { "a.example", "", "a.example * 7\n" },
        { "A.Example.", "", "a.example * 7\n" },
        { "under_score-1.example", "", "under_score-1.example * 7\n" },
        { "", "", "* * 7\n" },
        { "", "10.0.0.1", "* 10.0.0.1 7\n" },
        { "a", "fd00:0:0::1", "a fd00::1 7\n" },
        { "192.0.2.1", "", "192.0.2.1 * 7\n" },
        { "[::1]", "", "::1 * 7\n" },
        { FIFTY FIFTY FIFTY FIFTY FIFTY "aaa", "", FIFTY FIFTY FIFTY FIFTY FIFTY "aaa * 7\n" },
        { FIFTY FIFTY FIFTY FIFTY FIFTY "aaaa", "", NULL },
        { ".", "", NULL },
        { "..", "", NULL },
        { ".a", "", NULL },
        { "a..b", "", NULL },
        { "a..", "", NULL },
        { "a b", "", NULL },
        { "a\n", "", NULL },
        { "a/", "", NULL },
        { "*", "", NULL },
        { "a:80", "", NULL },
        { "\xc3\xa4", "", NULL },
        { "a", "ann", NULL },
        { "a", "10.0.0.0/8", NULL },
        { "a", "10.0.0.1 ", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct passbook *book = passbook_new();
        struct error error;
        enum error_kind kind =
            passbook_give(book, span_text(cases[i].host), span_text(cases[i].client), 7, &error);
        char want[400], *got = text_of(book);

        snprintf(want, sizeof want, HEAD "%send %d\n", cases[i].want ? cases[i].want : "",
                 cases[i].want != NULL);
        if ((kind == ERROR_NONE) != (cases[i].want != NULL) || strcmp(got, want) != 0)
            fail_msg("%s, %s: %s", cases[i].host, cases[i].client, got);
        if (cases[i].want) {
            assert_true(
                passbook_take_back(book, span_text(cases[i].host), span_text(cases[i].client)));
            assert_int_equal(passbook_view(book).count, 0);
        }
        free(got);
        passbook_free(&book);
    }
}

static void texts_are_read_whole_or_not_at_all(void **state)
{
    static const struct {
        const char *name, *text;
        bool is_good;
    } cases[] = {
        { "empty book", HEAD "end 0\n", true },
        { "a pass", HEAD "a.example * 7\nend 1\n", true },
        { "for good", HEAD "a.example 10.0.0.1 always\nend 1\n", true },
        { "a pause", HEAD "* * 18446744073709551614\nend 1\n", true },
        { "nothing", "", false },
        { "another version", "dejunk passes 2\nend 0\n", false },
        { "no end", HEAD "a.example * 7\n", false },
        { "cut in its end", HEAD "a.example * 7\nend 1", false },
        { "another count", HEAD "a.example * 7\nend 2\n", false },
        { "more behind its end", HEAD "end 0\n\n", false },
        { "twice", HEAD "a * 7\na * 8\nend 1\n", false },
        { "twice, in another spelling", HEAD "a * 7\nA * 8\nend 2\n", false },
        { "no time", HEAD "a *\nend 1\n", false },
        { "a bad time", HEAD "a * 7x\nend 1\n", false },
        { "the time that is for good", HEAD "a * 18446744073709551615\nend 1\n", false },
        { "a negative time", HEAD "a * -1\nend 1\n", false },
        { "two blanks", HEAD "a  * 7\nend 1\n", false },
        { "an empty line", HEAD "\nend 0\n", false },
        { "no host", HEAD " * 7\nend 1\n", false },
        { "a bad host", HEAD "a/b * 7\nend 1\n", false },
        { "a bad client", HEAD "a ann 7\nend 1\n", false },
        { "a used token", HEAD "a * 7\nused: 18446744073709551615 9\nend 2\n", true },
        { "only used ones", HEAD "used: 0 9\nused: 1 8\nend 2\n", true },
        { "used twice", HEAD "used: 1 9\nused: 1 9\nend 2\n", false },
        { "one that is not counted", HEAD "used: 1 9\nend 0\n", false },
        { "a used token without a time", HEAD "used: 1\nend 1\n", false },
        { "a used token without a number", HEAD "used:  9\nend 1\n", false },
        { "a used token with more", HEAD "used: 1 9 9\nend 1\n", false },
        { "a host of that name", HEAD "used 10.0.0.1 9\nend 1\n", true },
        { "CRLF", "dejunk passes 1\r\nend 0\r\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct passbook *book = passbook_new();
        struct error error;
        char *got;

        assert_int_equal(passbook_give(book, SPAN("old"), SPAN(""), 1, &error), ERROR_NONE);
        if ((passbook_read(book, span_text(cases[i].text), &error) == ERROR_NONE) !=
            cases[i].is_good)
            fail_msg("%s", cases[i].name);
        got = text_of(book);
        if (strcmp(got, cases[i].is_good ? cases[i].text : HEAD "old * 1\nend 1\n") != 0)
            fail_msg("%s: %s", cases[i].name, got);
        free(got);
        passbook_free(&book);
    }
}

static void the_book_has_a_limit(void **state)
{
    struct passbook *book = passbook_new(), *copy = passbook_new();
    struct error error;
    char name[PASSBOOK_HOST_BYTES + 1], *text;

    (void)state;
    for (int i = 0; i < PROXY_PASSES; i++) {
        snprintf(name, sizeof name, "%0*d", PASSBOOK_HOST_BYTES, i);
        name[0] = 'h';
        assert_int_equal(passbook_give(book, span_text(name),
                                       SPAN("1111:1111:1111:1111:1111:1111:1111:1111"),
                                       UINT64_MAX - 1, &error),
                         ERROR_NONE);
    }
    for (uint64_t i = 0; i < PASSBOOK_TOKENS; i++)
        assert_true(passbook_use_token(book, UINT64_MAX - i, UINT64_MAX - 1));
    assert_int_equal(passbook_give(book, SPAN("more"), SPAN(""), 1, &error), ERROR_LIMIT);
    assert_int_equal(passbook_give(book, span_text(name),
                                   SPAN("1111:1111:1111:1111:1111:1111:1111:1111"), 1, &error),
                     ERROR_NONE); // in place of an earlier one
    text = text_of(book);
    assert_true(strlen(text) <= PASSBOOK_TEXT_BYTES);
    assert_int_equal(passbook_read(copy, span_text(text), &error), ERROR_NONE);
    assert_int_equal(passbook_view(copy).count, PROXY_PASSES);
    free(text);
    passbook_free(&copy);
    passbook_free(&book);
}

static void a_text_beyond_the_limit_is_refused(void **state)
{
    struct passbook *book = passbook_new();
    char *text = calloc(1, PASSBOOK_TEXT_BYTES + 1);
    struct error error;

    (void)state;
    memset(text, '\n', PASSBOOK_TEXT_BYTES + 1);
    assert_int_equal(passbook_read(book, span_of(text, PASSBOOK_TEXT_BYTES), &error), ERROR_SYNTAX);
    assert_int_equal(passbook_read(book, span_of(text, PASSBOOK_TEXT_BYTES + 1), &error),
                     ERROR_LIMIT);
    free(text);
    passbook_free(&book);
}

static void passes_end(void **state)
{
    struct passbook *book = passbook_new();
    struct error error;

    (void)state;
    assert_true(passbook_next_end_ms(book) == PROXY_PASS_FOR_GOOD);
    passbook_give(book, SPAN("a"), SPAN(""), 10, &error);
    passbook_give(book, SPAN("b"), SPAN(""), 30, &error);
    passbook_give(book, SPAN("c"), SPAN(""), PROXY_PASS_FOR_GOOD, &error);
    passbook_give(book, SPAN("d"), SPAN(""), 20, &error);
    assert_int_equal(passbook_next_end_ms(book), 10);
    assert_false(passbook_expire(book, 9));
    assert_true(passbook_expire(book, 20));
    assert_int_equal(passbook_view(book).count, 2);
    assert_int_equal(passbook_next_end_ms(book), 30);
    assert_true(passbook_expire(book, UINT64_MAX - 1));
    assert_int_equal(passbook_view(book).count, 1);
    assert_true(span_equal(passbook_view(book).items[0].host, SPAN("c")));
    assert_false(passbook_take_back(book, SPAN("a"), SPAN("")));
    assert_false(passbook_take_back(book, SPAN("c"), SPAN("10.0.0.1")));
    assert_true(passbook_take_back(book, SPAN("C"), SPAN("")));
    passbook_free(&book);
}

static void tokens_are_good_once(void **state)
{
    struct passbook *book = passbook_new();

    (void)state;
    assert_true(passbook_use_token(book, 7, 10));
    assert_false(passbook_use_token(book, 7, 20));
    assert_true(passbook_use_token(book, 8, 30));
    assert_false(passbook_expire(book, 9));
    assert_false(passbook_use_token(book, 7, 20));
    assert_false(passbook_expire(book, 10)); // no pass
    assert_true(passbook_use_token(book, 7, 20));
    assert_false(passbook_use_token(book, 8, 40));
    assert_true(passbook_next_end_ms(book) == PROXY_PASS_FOR_GOOD);
    passbook_free(&book);
}

static void tokens_have_a_limit(void **state)
{
    struct passbook *book = passbook_new(), *copy = passbook_new();
    struct buffer text = { .limit_bytes = PASSBOOK_TEXT_BYTES };
    struct error error;
    struct span all;

    (void)state;
    for (uint64_t i = 0; i <= PASSBOOK_TOKENS; i++)
        assert_true(passbook_use_token(book, UINT64_MAX - i, UINT64_MAX - 1));
    assert_true(passbook_write(book, &text));
    all = buffer_span(&text);
    assert_int_equal(passbook_read(copy, all, &error), ERROR_NONE);
    assert_false(passbook_use_token(copy, UINT64_MAX - 1, 1));
    assert_true(passbook_use_token(copy, UINT64_MAX, 1)); // the oldest went for the last
    text.size -= strlen("end 4096\n");
    assert_true(buffer_append(&text, SPAN("used: 1 1\nend 4097\n")));
    assert_int_equal(passbook_read(copy, buffer_span(&text), &error), ERROR_LIMIT);
    buffer_release(&text);
    passbook_free(&copy);
    passbook_free(&book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_clients_are_checked),
        cmocka_unit_test(texts_are_read_whole_or_not_at_all),
        cmocka_unit_test(the_book_has_a_limit),
        cmocka_unit_test(a_text_beyond_the_limit_is_refused),
        cmocka_unit_test(passes_end),
        cmocka_unit_test(tokens_are_good_once),
        cmocka_unit_test(tokens_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
