/* What directives do to URLs, cookies and fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/amend.h"

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

static const struct {
    const char *name, *value, *url, *want; // want NULL: nothing is changed
} removals[] = {
    { "the first", "a", "http://x/?a=1&b=2", "http://x/?b=2" },
    { "the last", "b", "http://x/?a=1&b=2", "http://x/?a=1" },
    { "the only one", "a", "http://x/p?a=1", "http://x/p" },
    { "in front of a fragment", "a", "http://x/p?a=1#a=1", "http://x/p#a=1" },
    { "in the fragment only", "a", "http://x/p#?a=1", NULL },
    { "not there", "a", "http://x/?aa=1&b=a", NULL },
    { "no query", "a", "http://x/a=1", NULL },
    { "an empty query", "a", "http://x/?", NULL },
    { "without a value", "a", "http://x/?a&b", "http://x/?b" },
    { "with an empty value", "a", "http://x/?b&a=", "http://x/?b" },
    { "many of the name", "a", "http://x/?a=1&b=2&a=3", "http://x/?b=2" },
    { "case counts", "a", "http://x/?A=1", NULL },
    { "what is left stays as written", "a", "http://x/?%7e=%20&&a=1&=&c=d=e?f", "http://x/?%7e=%20&&=&c=d=e?f" },
    { "a second question mark", "a", "http://x/?b=?a=1&a=2", "http://x/?b=?a=1" },
    { "no pattern", "a.", "http://x/?ab=1", NULL },
    { "all of them", "", "http://x/p?a=1&b#c", "http://x/p#c" },
    { "all but one", "~b", "http://x/?a=1&b=2&c", "http://x/?b=2" },
    { "an expression on the name", "/^utm_/", "http://x/?utm_a=1&b=utm_", "http://x/?b=utm_" },
    { "an expression on name and value", "/^p=1$/", "http://x/?p=1&p=11", "http://x/?p=11" },
    { "an expression without case", "/^UTM/i", "http://x/?utm=1&b", "http://x/?b" },
    { "all but an expression", "~/^b/", "http://x/?a=1&b=2&bc", "http://x/?b=2&bc" },
    { "an expression that does not compile", "/a(/", "http://x/?a(", NULL },
};

static const struct {
    const char *name, *value, *url, *want;
} transforms[] = {
    { "a path", "/old/new/", "http://old/old?old", "http://old/new?old" },
    { "everywhere but the host", "/old/new/g", "http://old/old?old#old", "http://old/new?new#new" },
    { "groups", "/(pref\\/).*\\/(suf)/$1$2/", "http://x/pref/y/suf", "http://x/pref/suf" },
    { "escaped slashes", "/\\/ref=[^\\/?#]+//", "http://x/dp/B0/ref=sr_1?k=v", "http://x/dp/B0?k=v" },
    { "not found", "/old/new/", "http://old/", NULL },
    { "no path left", "/^.*$//", "http://x/a", NULL },
    { "a path that begins elsewhere", "/^\\/a/b/", "http://x/a", NULL },
    { "the whole URL", "/^http:\\/\\/x\\//https:\\/\\/y\\//", "http://x/a", "https://y/a" },
    { "no web URL", "/^http:/ftp:/", "http://x/a", NULL },
    { "not of that form", "old", "http://x/old", NULL },
};

static bool amend(void **state, enum directive_kind kind, const char *value, const char *url,
                  struct buffer *out)
{
    struct directive directive = { .kind = kind, .rule = 1, .value = span_text(value) };
    return amend_url(*state, span_text(url), &directive, 1, out);
}

static void parameters_are_removed(void **state)
{
    for (size_t i = 0; i < sizeof removals / sizeof *removals; i++) {
        struct buffer out = { 0 };
        bool changed = amend(state, DIRECTIVE_REMOVEPARAM, removals[i].value, removals[i].url, &out);

        if (changed != (removals[i].want != NULL) ||
            (changed && !span_equal(buffer_span(&out), span_text(removals[i].want))))
            fail_msg("%s: %d, %.*s", removals[i].name, changed, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
}

static void urls_are_transformed(void **state)
{
    for (size_t i = 0; i < sizeof transforms / sizeof *transforms; i++) {
        struct buffer out = { 0 };
        bool changed =
            amend(state, DIRECTIVE_URITRANSFORM, transforms[i].value, transforms[i].url, &out);

        if (changed != (transforms[i].want != NULL) ||
            (changed && !span_equal(buffer_span(&out), span_text(transforms[i].want))))
            fail_msg("%s: %d, %.*s", transforms[i].name, changed, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
}

static void the_rules_own_expression_is_behind_a_nul(void **state)
{
    static const char value[] = "//$1b$2/\0(.*)\\/a(\\/.*)";
    struct directive directive = { .kind = DIRECTIVE_URITRANSFORM,
                                   .value = { value, sizeof value - 1 } };
    struct buffer out = { 0 };

    assert_true(amend_url(*state, SPAN("http://x/a/c"), &directive, 1, &out));
    assert_true(span_equal(buffer_span(&out), SPAN("http://xb/c")));
    buffer_release(&out);
    directive.value.size = strlen(value); // no expression at all
    assert_false(amend_url(*state, SPAN("http://x/a/c"), &directive, 1, &out));
}

static void many_work_one_after_the_other(void **state)
{
    struct directive directives[] = {
        { .kind = DIRECTIVE_REMOVEPARAM, .value = SPAN("a") },
        { .kind = DIRECTIVE_CSP, .value = SPAN("b") }, // nothing for a URL
        { .kind = DIRECTIVE_URITRANSFORM, .value = SPAN("/b/c/") },
        { .kind = DIRECTIVE_REMOVEPARAM, .value = SPAN("c") },
    };
    struct buffer out = { 0 };

    assert_true(amend_url(*state, SPAN("http://x/?a&b&d"), directives, 4, &out));
    assert_true(span_equal(buffer_span(&out), SPAN("http://x/?d")));
    buffer_release(&out);
    assert_false(amend_url(*state, SPAN("http://x/?d"), directives, 4, &out));
    assert_int_equal(out.size, 0);
}

static void urls_have_a_limit(void **state)
{
    char *url = malloc(AMEND_URL_BYTES + 2);
    struct directive directive = { .kind = DIRECTIVE_REMOVEPARAM, .value = SPAN("a") };

    assert_non_null(url);
    memset(url, 'x', AMEND_URL_BYTES + 2);
    memcpy(url, "http://x/?a=", 12);
    url[AMEND_URL_BYTES - 3] = '&';
    for (size_t more = 0; more < 2; more++) {
        struct buffer out = { 0 };
        bool changed = amend_url(*state, span_of(url, AMEND_URL_BYTES + more), &directive, 1, &out);

        assert_int_equal(changed, !more);
        assert_int_equal(out.size, more ? 0 : 12); // "http://x/?xx"
        buffer_release(&out);
    }
    free(url);
}

static const struct {
    const char *name, *steps, *url, *want; // want NULL: nowhere
} skips[] = {
    { "a parameter", "?u", "http://x/go?u=https%3A%2F%2Fy.example%2Fp%3Fq", "https://y.example/p?q" },
    { "as it is written", "?u", "http://x/go?a=1&u=http://y.example/", "http://y.example/" },
    { "no such parameter", "?v", "http://x/go?u=http://y.example/", NULL },
    { "no URL", "?u", "http://x/go?u=y.example", NULL },
    { "no web URL", "?u", "http://x/go?u=javascript:alert(1)", NULL },
    { "a blank in it", "?u", "http://x/go?u=http://y/%20z", NULL },
    { "a line end in it", "?u", "http://x/go?u=http://y/%0d%0az", NULL },
    { "itself", "?u", "http://x/?u=http://x/?u=1", "http://x/?u=1" },
    { "base64", "?u -base64", "http://x/go?u=aHR0cDovL3kuZXhhbXBsZS8=", "http://y.example/" },
    { "base64 without its end", "?u -base64", "http://x/go?u=aHR0cDovL3kuZXhhbXBsZS8", "http://y.example/" },
    { "base64 for URLs", "?u -safebase64", "http://x/go?u=aHR0cDovL3kuZXhhbXBsZS8_YT1ifg", "http://y.example/?a=b~" },
    { "no base64", "?u -base64", "http://x/go?u=%2A%2A", NULL },
    { "a name", "&1 -base64", "http://x/go?aHR0cDovL3kuZXhhbXBsZS8", "http://y.example/" },
    { "the second name", "&2 -base64", "http://x/go?a&aHR0cDovL3kuZXhhbXBsZS8=&b", "http://y.example/" },
    { "the fragment", "#", "http://x/go#http://y.example/", "http://y.example/" },
    { "a group", "/__(.*)__;/", "http://x/v3/__http://y.example/a__;!!b", "http://y.example/a" },
    { "no match", "/__(.*)__;/", "http://x/v3/", NULL },
    { "once more", "?u -uricomponent", "http://x/go?u=http%253A%252F%252Fy.example%252F", "http://y.example/" },
    { "https", "?u +https", "http://x/go?u=http://y.example/", "https://y.example/" },
    { "https in front", "/(y\\.example\\/.*)/ +https", "http://x/r/y.example/a.mp3", "https://y.example/a.mp3" },
    { "two parameters", "?u ?v", "http://x/go?u=http%3A%2F%2Fz%2F%3Fv%3Dhttp%253A%252F%252Fy%252F", "http://y/" },
    { "an unknown step", "?u !x", "http://x/go?u=http://y.example/", NULL },
    { "no steps", "", "http://x/go?u=http://y.example/", NULL },
};

static void redirections_are_skipped(void **state)
{
    for (size_t i = 0; i < sizeof skips / sizeof *skips; i++) {
        struct buffer out = { 0 };
        bool leads = amend_skip(*state, span_text(skips[i].url), span_text(skips[i].steps), &out);

        if (leads != (skips[i].want != NULL) ||
            (leads && !span_equal(buffer_span(&out), span_text(skips[i].want))))
            fail_msg("%s: %d, %.*s", skips[i].name, leads, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
}

static void cookies_are_named(void **state)
{
    static const struct {
        const char *value, *cookie;
        bool want;
    } cases[] = {
        { "uid", "uid", true },          { "uid", "uid2", false },
        { "uid", "UID", false },         { "", "uid", true },
        { "/^u/", "uid", true },         { "/^u/", "sid", false },
        { "/^U/i", "uid", true },        { "uid;maxAge=5", "uid", true },
        { ";maxAge=5", "uid", true },    { "/a;b/;maxAge=5", "a;b", true },
        { "/u(/", "u(", false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (amend_names_cookie(*state, span_text(cases[i].value), span_text(cases[i].cookie)) !=
            cases[i].want)
            fail_msg("%s %s", cases[i].value, cases[i].cookie);
    assert_true(amend_cookie_is_good(SPAN("/u/;maxAge=5")));
    assert_true(amend_cookie_is_good(SPAN("u(")));
    assert_false(amend_cookie_is_good(SPAN("/u(/;maxAge=5")));
}

static void changes_of_cookies_are_read(void **state)
{
    struct cookie_change change = amend_cookie_change(SPAN("uid"));

    (void)state;
    assert_false(change.has_max_age || change.has_same_site);
    change = amend_cookie_change(SPAN("uid;maxAge=60;sameSite=lax"));
    assert_true(change.has_max_age && change.has_same_site);
    assert_int_equal(change.max_age_s, 60);
    assert_true(span_equal(change.same_site, SPAN("lax")));
    change = amend_cookie_change(SPAN("/a;b/;SameSite=none"));
    assert_true(!change.has_max_age && span_equal(change.same_site, SPAN("none")));
    assert_false(amend_cookie_change(SPAN("uid;maxAge=x")).has_max_age);
}

static void removals_of_fields_are_read(void **state)
{
    static const struct {
        const char *value, *name, *expression;
        bool from_request;
    } cases[] = {
        { "refresh", "refresh", NULL, false },
        { "request:x-client", "x-client", NULL, true },
        { "set-cookie:/a:b/", "set-cookie", "/a:b/", false },
        { "request:referer:/x/i", "referer", "/x/i", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct header_removal removal = amend_header_removal(span_text(cases[i].value));
        if (removal.from_request != cases[i].from_request ||
            !span_equal(removal.name, span_text(cases[i].name)) ||
            !span_equal(removal.expression, span_text(cases[i].expression)))
            fail_msg("%s", cases[i].value);
    }
    assert_true(amend_matches(*state, SPAN("/^a+$/"), SPAN("aaa")));
    assert_false(amend_matches(*state, SPAN("/^a+$/"), SPAN("aab")));
    assert_false(amend_matches(*state, SPAN("/^a+$/"), SPAN_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parameters_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(urls_are_transformed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rules_own_expression_is_behind_a_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(many_work_one_after_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(urls_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(redirections_are_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(cookies_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_of_cookies_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(removals_of_fields_are_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
