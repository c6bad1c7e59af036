/* Names that certificates carry: what is one, what covers what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "trust/hostname.h"

#define LABEL_63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static void names_cover_hosts(void **state)
{
    static const struct {
        struct span name;
        const char *host;
        bool want;
    } rows[] = {
        { SPAN("a.example"), "a.example", true },
        { SPAN("A.EXAMPLE"), "a.example", true },
        { SPAN("a.example."), "a.example", false },
        { SPAN("a.example\0.evil.example"), "a.example", false },
        { SPAN("a.example\n"), "a.example", false },
        { SPAN(""), "", false },
        { SPAN("*"), "a", false },
        { SPAN("*."), "a.", false },
        { SPAN("*.a.example"), "b.a.example", true },
        { SPAN("*.A.Example"), "b.a.example", true },
        { SPAN("*.a.example"), ".a.example", false },
        { SPAN("*.a.example"), "a.example", false },
        { SPAN("*.a.example"), "c.b.a.example", false },
        { SPAN("*.*.example"), "b.a.example", false },
        { SPAN("b*.a.example"), "ba.a.example", false },
        { SPAN("*b.a.example"), "ab.a.example", false },
        { SPAN("*.com"), "a.com", false },
        { SPAN("*.co.uk"), "a.co.uk", false },
        { SPAN("*.CO.UK"), "a.co.uk", false },
        { SPAN("*.github.io"), "me.github.io", true }, // a private suffix: its owner's to cover
        { SPAN("*.b.kawasaki.jp"), "a.b.kawasaki.jp", false },      // a wildcard rule's child
        { SPAN("*.city.kawasaki.jp"), "a.city.kawasaki.jp", true }, // and its exception
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (hostname_covers(rows[i].name, span_text(rows[i].host)) != rows[i].want)
            fail_msg("%s for %s", rows[i].name.at, rows[i].host);
}

static void reads_what_was_asked_for(void **state)
{
    static const struct {
        struct span host;
        enum hostname_kind want;
        const char *text;
    } rows[] = {
        { SPAN("a.example"), HOSTNAME_NAME, "a.example" },
        { SPAN("A.Example."), HOSTNAME_NAME, "a.example" },
        { SPAN("localhost"), HOSTNAME_NAME, "localhost" },
        { SPAN("a_b.c"), HOSTNAME_NAME, "a_b.c" },
        { SPAN("b\xc3\xbc"
               "cher.example"),
          HOSTNAME_NAME, "xn--bcher-kva.example" },
        { SPAN("xn--bcher-kva.example"), HOSTNAME_NAME, "xn--bcher-kva.example" },
        { SPAN("fa\xc3\x9f.example"), HOSTNAME_NAME, "xn--fa-hia.example" },
        { SPAN("10.0.0.1"), HOSTNAME_ADDRESS, "10.0.0.1" },
        { SPAN("[::1]"), HOSTNAME_ADDRESS, "::1" },
        { SPAN("2001:DB8::1"), HOSTNAME_ADDRESS, "2001:db8::1" },
        { SPAN(LABEL_63 ".a"), HOSTNAME_NAME, LABEL_63 ".a" },
        { SPAN(LABEL_63 "x.a"), HOSTNAME_NONE, NULL },
        { SPAN(""), HOSTNAME_NONE, NULL },
        { SPAN("."), HOSTNAME_NONE, NULL },
        { SPAN(".a"), HOSTNAME_NONE, NULL },
        { SPAN("a..b"), HOSTNAME_NONE, NULL },
        { SPAN("a.."), HOSTNAME_NONE, NULL },
        { SPAN("a\0b"), HOSTNAME_NONE, NULL },
        { SPAN("a b"), HOSTNAME_NONE, NULL },
        { SPAN("a\n.b"), HOSTNAME_NONE, NULL },
        { SPAN("a:1"), HOSTNAME_NONE, NULL },
        { SPAN("*.a.b"), HOSTNAME_NONE, NULL },
        { SPAN("[]"), HOSTNAME_NONE, NULL },
        { SPAN("\xff.a"), HOSTNAME_NONE, NULL },
        { SPAN("a\xe2\x80\xae.b"), HOSTNAME_NONE, NULL }, // turns the direction of writing
    };
    char text[HOSTNAME_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum hostname_kind kind = hostname_read(text, rows[i].host);

        if (kind != rows[i].want || (rows[i].text && strcmp(text, rows[i].text) != 0))
            fail_msg("%s: %d, %s", rows[i].host.at, kind, kind ? text : "");
    }
}

static void a_name_ends_at_its_limit(void **state)
{
    char name[HOSTNAME_BYTES + 1], text[HOSTNAME_BYTES];
    (void)state;

    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name - 5; i += 50)
        name[i] = '.';
    assert_int_equal(hostname_read(text, span_of(name, HOSTNAME_BYTES - 1)), HOSTNAME_NAME);
    assert_int_equal(hostname_read(text, span_of(name, HOSTNAME_BYTES)), HOSTNAME_NONE);
    assert_true(hostname_is_good(span_of(name, HOSTNAME_BYTES - 1)));
    assert_false(hostname_is_good(span_of(name, HOSTNAME_BYTES)));
    name[0] = '*';
    name[1] = '.';
    assert_true(hostname_is_good_in_certificate(span_of(name, HOSTNAME_BYTES - 1)));
    assert_false(hostname_is_good_in_certificate(span_of(name, HOSTNAME_BYTES)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_cover_hosts),
        cmocka_unit_test(reads_what_was_asked_for),
        cmocka_unit_test(a_name_ends_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
