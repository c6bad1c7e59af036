/* URLs as people and Location fields write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/place.h"

static const struct {
    const char *base, *text;
    const char *url; // NULL: refused
} cases[] = {
    { NULL, "http://example.com/", "http://example.com/" },
    { NULL, "http://example.com", "http://example.com/" },
    { NULL, "  http://example.com/a#b ", "http://example.com/a" },
    { NULL, "example.com/x?y", "http://example.com/x?y" },
    { NULL, "example.com:8080", "http://example.com:8080/" },
    { NULL, "example.com/?u=http://other.example/", "http://example.com/?u=http://other.example/" },
    { NULL, "HTTPS://Example.com/A", "https://Example.com/A" },
    { NULL, "http://[::1]:80/", "http://[::1]:80/" },
    { NULL, "http://ann:secret@example.com/", "http://example.com/" },
    { NULL, "http://example.com/a b\"c", "http://example.com/a%20b%22c" },
    { NULL, "http://example.com/caf\xc3\xa9", "http://example.com/caf%C3%A9" },
    { NULL,
      "http://b\xc3\xbc"
      "cher.example/",
      "http://xn--bcher-kva.example/" },
    { NULL, "http://example.com/a/../../b/./c", "http://example.com/b/c" },
    { NULL, "", NULL },
    { NULL, "http://", NULL },
    { NULL, "http:///x", NULL },
    { NULL, "file:///etc/passwd", NULL },
    { NULL, "ftp://example.com/", NULL },
    { NULL, "http://exa mple.com/", NULL },
    { NULL, "http://example.com:99999/", NULL },
    { NULL, "http://0x7f.1/", NULL },
    // RFC 3986 section 5.4
    { "http://a/b/c/d;p?q", "g", "http://a/b/c/g" },
    { "http://a/b/c/d;p?q", "./g", "http://a/b/c/g" },
    { "http://a/b/c/d;p?q", "g/", "http://a/b/c/g/" },
    { "http://a/b/c/d;p?q", "/g", "http://a/g" },
    { "http://a/b/c/d;p?q", "//g", "http://g/" },
    { "http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y" },
    { "http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y" },
    { "http://a/b/c/d;p?q", "#s", "http://a/b/c/d;p?q" },
    { "http://a/b/c/d;p?q", ";x", "http://a/b/c/;x" },
    { "http://a/b/c/d;p?q", "", "http://a/b/c/d;p?q" },
    { "http://a/b/c/d;p?q", ".", "http://a/b/c/" },
    { "http://a/b/c/d;p?q", "..", "http://a/b/" },
    { "http://a/b/c/d;p?q", "../g", "http://a/b/g" },
    { "http://a/b/c/d;p?q", "../../g", "http://a/g" },
    { "http://a/b/c/d;p?q", "../../../g", "http://a/g" },
    { "http://a/b/c/d;p?q", "/./g", "http://a/g" },
    { "http://a/b/c/d;p?q", "/../g", "http://a/g" },
    { "http://a/b/c/d;p?q", "g.", "http://a/b/c/g." },
    { "http://a/b/c/d;p?q", "..g", "http://a/b/c/..g" },
    { "http://a/b/c/d;p?q", "g;x=1/../y", "http://a/b/c/y" },
    { "http://a/b/c/d;p?q", "g?y/../x", "http://a/b/c/g?y/../x" },
    { "https://a/x", "//b/y", "https://b/y" },
    { "https://a/x", "http://b/y", "http://b/y" },
    { "http://a/", "http://user@b/", NULL },
    { "http://a/", "file:///etc/passwd", NULL },
    { "http://a/", "javascript:alert(1)", NULL },
    { "http://a/", "data:,x", NULL },
    { "http://a/", "http:b", NULL },
    { "http://a/", "//", NULL },
};

static void places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct place base, place;
        struct arena arena;
        struct error error;
        bool good;

        arena_init(&arena, 1 << 20);
        if (cases[i].base)
            assert_int_equal(place_read(&base, &arena, span_text(cases[i].base), NULL, NULL), 0);
        good = place_read(&place, &arena, span_text(cases[i].text), cases[i].base ? &base : NULL,
                          &error) == ERROR_NONE;
        if (good != (cases[i].url != NULL) ||
            (good && !span_equal(place.url, span_text(cases[i].url))))
            fail_msg("%s: %.*s", cases[i].text, good ? (int)place.url.size : 0, place.url.at);
        arena_done(&arena);
    }
}

static void credentials_are_kept_apart(void **state)
{
    struct arena arena;
    struct place place;

    (void)state;
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        place_read(&place, &arena, SPAN("http://Aladdin:open%20sesame@h/"), NULL, NULL), 0);
    assert_true(span_equal(place.authorization, SPAN("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")));
    assert_true(span_equal(place.url, SPAN("http://h/")));
    arena_done(&arena);
}

static void length_has_a_limit(void **state)
{
    static char text[PLACE_URL_BYTES + 100] = "http://h/";

    (void)state;
    for (size_t size = PLACE_URL_BYTES - 9; size <= PLACE_URL_BYTES - 7; size++) {
        struct arena arena;
        struct place place;
        struct error error;

        arena_init(&arena, 1 << 20);
        memset(text + 9, 'x', size - 9);
        assert_int_equal(place_read(&place, &arena, span_of(text, size), NULL, &error),
                         size <= PLACE_URL_BYTES - 8 ? ERROR_NONE : ERROR_LIMIT);
        arena_done(&arena);
    }
}

static void origins(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        { "http://a/", "http://a/x", true },      { "http://a/", "http://A:80/", true },
        { "https://a/", "https://a:443/", true }, { "http://a/", "https://a/", false },
        { "http://a/", "http://a:81/", false },   { "http://a/", "http://b/", false },
        { "http://a/", "http://x.a/", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct arena arena;
        struct place a, b;

        arena_init(&arena, 1 << 20);
        assert_int_equal(place_read(&a, &arena, span_text(pairs[i].a), NULL, NULL), 0);
        assert_int_equal(place_read(&b, &arena, span_text(pairs[i].b), NULL, NULL), 0);
        if (place_same_origin(&a, &b) != pairs[i].same)
            fail_msg("%s %s", pairs[i].a, pairs[i].b);
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(credentials_are_kept_apart),
        cmocka_unit_test(length_has_a_limit),
        cmocka_unit_test(origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
