/* What directives do to bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/edit.h"

static int setup(void **state)
{
    *state = amender_new();
    return 0;
}

static int teardown(void **state)
{
    struct amender *amender = *state;
    amender_free(&amender);
    return 0;
}

static void media_are_known(void **state)
{
    static const struct {
        const char *type, *url;
        enum edit_media want;
    } cases[] = {
        { "text/html", "http://x/", EDIT_TEXT },
        { "text/html; charset=utf-8", "http://x/", EDIT_TEXT },
        { "Text/CSS", "http://x/", EDIT_TEXT },
        { "application/javascript", "http://x/", EDIT_TEXT },
        { "application/xhtml+xml", "http://x/", EDIT_TEXT },
        { "image/svg+xml", "http://x/", EDIT_TEXT },
        { "application/vnd.apple.mpegurl", "http://x/", EDIT_TEXT },
        { "application/json", "http://x/", EDIT_JSON },
        { "application/vnd.api+json ; x=y", "http://x/", EDIT_JSON },
        { "application/dash+xml", "http://x/", EDIT_XML },
        { "text/xml", "http://x/", EDIT_XML },
        { "text/plain", "http://x/a.json?b", EDIT_JSON },
        { "text/plain", "http://x/a.txt?b.json", EDIT_TEXT },
        { "text/plain", "http://x/ad.xml", EDIT_XML },
        { "application/octet-stream", "http://x/a.mpd", EDIT_XML },
        { "application/octet-stream", "http://x/a.M3U8#x", EDIT_TEXT },
        { "application/octet-stream", "http://x/a", EDIT_NONE },
        { "", "http://x/a", EDIT_NONE },
        { "image/png", "http://x/a", EDIT_NONE },
        { "video/mp4", "http://x/a", EDIT_NONE },
        { "font/woff2", "http://x/a", EDIT_NONE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum edit_media got = edit_media_of(span_text(cases[i].type), span_text(cases[i].url));
        if (got != cases[i].want)
            fail_msg("%s %s: %d", cases[i].type, cases[i].url, (int)got);
    }
}

static void directives_are_picked(void **state)
{
    struct directive all[] = {
        { .kind = DIRECTIVE_CSP, .rule = 1 },       { .kind = DIRECTIVE_REPLACE, .rule = 2 },
        { .kind = DIRECTIVE_JSONPRUNE, .rule = 3 }, { .kind = DIRECTIVE_XMLPRUNE, .rule = 4 },
        { .kind = DIRECTIVE_REPLACE, .rule = 5 },
    };
    struct directive some[5];

    (void)state;
    assert_false(edit_may(all, 1));
    assert_true(edit_may(all, 2));
    assert_true(edit_may(all + 3, 1));
    assert_int_equal(edit_pick(all, 5, EDIT_NONE, some, 5), 0);
    assert_int_equal(edit_pick(all, 5, EDIT_TEXT, some, 5), 4);
    assert_int_equal(edit_pick(all, 5, EDIT_JSON, some, 5), 3);
    assert_int_equal(edit_pick(all, 5, EDIT_JSON, some, 2), 2);
    assert_int_equal(some[1].rule, 3);
    assert_int_equal(edit_pick(all, 5, EDIT_XML, all, 5), 3); // in place
    assert_int_equal(all[0].rule, 2);
    assert_int_equal(all[1].rule, 4);
    assert_int_equal(all[2].rule, 5);
}

static const struct {
    const char *name, *value, *body, *want; // want NULL: nothing is changed
} replacements[] = {
    { "the first", "/a/b/", "aaa", "baa" },
    { "all", "/a/b/g", "aaa", "bbb" },
    { "not found", "/x/y/", "aaa", NULL },
    { "what it was", "/a/a/g", "aaa", NULL },
    { "case", "/A/b/i", "aaa", "baa" },
    { "a dot for line ends", "/a.b/x/s", "a\nb", "x" },
    { "no dot for line ends", "/a.b/x/", "a\nb", NULL },
    { "lines", "/^b$/x/m", "a\nb\nc", "a\nx\nc" },
    { "all of it", "/^.+$/<VAST version=\"3.0\"><\\/VAST>/s", "<VAST>\n</VAST>\n",
      "<VAST version=\"3.0\"></VAST>" },
    { "groups", "/(x)(y)/\\$2\\$1/", "xy", "yx" },
    { "groups without the lists' escape", "/(x)(y)/$2$1/", "xy", "yx" },
    { "a group of ten", "/(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)/$10$1/", "abcdefghij", "ja" },
    { "no group of ten", "/(a)/$10/", "a", "a0" },
    { "no such group", "/a/$1-$0/", "a", "$1-$0" },
    { "a group that took no part", "/a(b)?/[$1]/", "a", "[]" },
    { "the match", "/b+/<$&>/g", "abba b", "a<bb>a <b>" },
    { "a dollar sign", "/a/$$1/", "a", "$1" },
    { "a dollar sign alone", "/a/$/", "a", "$" },
    { "jQuery", "/a/$(b)/", "a", "$(b)" },
    { "a name", "/(?<n>b+)/<$<n>>/", "abb", "a<bb>" },
    { "no such name", "/(b)/$<n>/", "ab", "a$<n>" },
    { "escapes of the lists", "/a/\\/\\,\\d\\n/", "a", "/,\\d\\n" },
    { "nothing in its place", "/popunder//", "x.popunder()", "x.()" },
    { "the front", "/^/<script><\\/script>/", "<html>", "<script></script><html>" },
    { "between all", "/x*/-/g", "a\xc3\xa4x", "-a-\xc3\xa4--" },
    { "characters of many bytes", "/<.>/!/", "<\xc3\xa4>", "!" },
    { "bytes that are no characters", "/b/x/",
      "\xff\xfe"
      "ab",
      "\xff\xfe"
      "ax" },
    { "a text that is in the way", "/\\{\"ad\":\\{[^\\n]+?\\}\\},?//g",
      "[{\"ad\":{\"a\":1}},{\"b\":2}]", "[{\"b\":2}]" },
    { "an expression that does not compile", "/a(/b/", "a(", NULL },
    { "no expression", "a", "a", NULL },
    { "an empty body", "/^$/x/", "", "x" },
};

static void texts_are_replaced(void **state)
{
    for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++) {
        struct directive edit = { .kind = DIRECTIVE_REPLACE,
                                  .rule = 1,
                                  .value = span_text(replacements[i].value) };
        struct buffer out = { 0 };
        const char *want = replacements[i].want;
        enum prune_result got = edit_body(*state, &edit, span_text(replacements[i].body), &out);

        if (got != (want ? PRUNE_DONE : PRUNE_NOTHING) ||
            !span_equal(buffer_span(&out), span_text(want ? want : "")))
            fail_msg("%s: %d, %.*s", replacements[i].name, got, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
}

static enum prune_result change(void *amender, enum directive_kind kind, const char *value,
                                struct span body, struct buffer *out)
{
    struct directive edit = { .kind = kind, .rule = 1, .value = span_text(value) };

    buffer_release(out);
    return edit_body(amender, &edit, body, out);
}

static void each_kind_does_its_own(void **state)
{
    struct buffer out = { 0 };

    assert_int_equal(change(*state, DIRECTIVE_XMLPRUNE, "//a", SPAN("x"), &out), PRUNE_NOTHING);
    assert_int_equal(change(*state, DIRECTIVE_XMLPRUNE, "//a", SPAN("<b><a>x</a></b>"), &out),
                     PRUNE_DONE);
    assert_true(span_equal(buffer_span(&out), SPAN("<b></b>")));
    assert_int_equal(change(*state, DIRECTIVE_JSONPRUNE, "$.a", SPAN("{\"a\":1,\"b\":2}"), &out),
                     PRUNE_DONE);
    assert_true(span_equal(buffer_span(&out), SPAN("{\"b\":2}")));
    assert_int_equal(change(*state, DIRECTIVE_REPLACE, "/^$/x/", SPAN_NONE, &out), PRUNE_NOTHING);
    assert_int_equal(out.size, 0);
}

static void limits_hold(void **state)
{
    char *body = malloc(EDIT_BODY_LIMIT);
    struct span all = span_of(body, EDIT_BODY_LIMIT);
    struct buffer out = { 0 };

    assert_non_null(body);
    memset(body, 'a', EDIT_BODY_LIMIT);
    body[40] = 'b';
    assert_int_equal( // takes for ever at one place
        change(*state, DIRECTIVE_REPLACE, "/(a+)+$/x/", span_of(body, 41), &out), PRUNE_TOO_MUCH);
    body[40] = 'a';
    assert_int_equal( // and so does this at millions of them
        change(*state, DIRECTIVE_REPLACE, "/a[^x]*y/x/", all, &out), PRUNE_TOO_MUCH);
    assert_int_equal(change(*state, DIRECTIVE_REPLACE, "/(a+)\\1b/x/", all, &out), PRUNE_TOO_MUCH);
    assert_int_equal(change(*state, DIRECTIVE_REPLACE, "/y[^x]*y/x/", all, &out), PRUNE_NOTHING);
    assert_int_equal(change(*state, DIRECTIVE_REPLACE, "/^a/x/", all, &out), PRUNE_DONE);
    assert_int_equal(out.size, EDIT_BODY_LIMIT);

    assert_int_equal( // grows, but not much
        change(*state, DIRECTIVE_REPLACE, "/^a/$&$&$&$&$&$&$&$&$&/", all, &out), PRUNE_DONE);
    assert_int_equal( // three times as long: beyond EDIT_RESULT_LIMIT
        change(*state, DIRECTIVE_REPLACE, "/a.*/$&$&$&/s", all, &out), PRUNE_TOO_MUCH);
    assert_int_equal(out.size, 0);
    free(body);
}

/* Many places in a long text, which is UTF-8 or is not. */
static void many_places_are_replaced(void **state)
{
    struct buffer body = { .limit_bytes = EDIT_BODY_LIMIT }, out = { 0 };

    for (size_t i = 0; i < 20000; i++)
        assert_true(buffer_append(&body, SPAN("<p class=\"x\">caf\xc3\xa9</p>\n")));
    assert_int_equal(change(*state, DIRECTIVE_REPLACE, "/caf./tea/g", buffer_span(&body), &out),
                     PRUNE_DONE);
    assert_int_equal(out.size, body.size - 20000 * 2);
    body.at[20] = '\xc3';
    assert_int_equal(change(*state, DIRECTIVE_REPLACE, "/caf./tea/", buffer_span(&body), &out),
                     PRUNE_DONE);
    assert_int_equal(out.size, body.size - 2);
    assert_int_equal( // each search of it would look at all of it
        change(*state, DIRECTIVE_REPLACE, "/caf./tea/g", buffer_span(&body), &out), PRUNE_TOO_MUCH);
    buffer_release(&body);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(media_are_known),
        cmocka_unit_test(directives_are_picked),
        cmocka_unit_test_setup_teardown(texts_are_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(each_kind_does_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(many_places_are_replaced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
