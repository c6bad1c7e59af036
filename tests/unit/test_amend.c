/* Directives done to texts: URLs, cookies, header fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/amend.h"

static const struct {
    const char *value, *url, *changed; // NULL: stays
} parameters[] = {
    { "utm", "http://a/?utm=1", "http://a/" },
    { "utm", "http://a/?utm=1&b=2", "http://a/?b=2" },
    { "utm", "http://a/?b=2&utm=1", "http://a/?b=2" },
    { "utm", "http://a/?b=2&utm=1&c", "http://a/?b=2&c" },
    { "utm", "http://a/?utm", "http://a/" },
    { "utm", "http://a/?utm=1&utm=2", "http://a/" },
    { "utm", "http://a/?utmx=1", NULL },
    { "utm", "http://a/?xutm=1", NULL },
    { "utm", "http://a/?UTM=1", NULL },
    { "utm", "http://a/utm=1", NULL },
    { "utm", "http://a/#utm=1", NULL },
    { "utm", "http://a/?b#?utm=1", NULL },
    { "utm", "http://a/?utm=1#frag?x=1", "http://a/#frag?x=1" },
    { "utm", "http://a/?x=%7e&&utm=1&%zz=+", "http://a/?x=%7e&&%zz=+" }, // every other byte stays
    { "utm", "http://a/?utm=1?b&c", "http://a/?c" },
    { "utm", "http://a/?", NULL },
    { "", "http://a/?b=2&c", "http://a/" },
    { "", "http://a/", NULL },
    { "~b", "http://a/?b=2&c=3&d", "http://a/?b=2" },
    { "~b", "http://a/?b=2", NULL },
    { "/^utm_/", "http://a/?utm_a=1&utm_b&x_utm_=2", "http://a/?x_utm_=2" },
    { "/=1$/", "http://a/?b=1&c=2", "http://a/?c=2" },
    { "/^UTM/i", "http://a/?utm=1", "http://a/" },
    { "/^UTM/", "http://a/?utm=1", NULL },
    { "~/^utm/", "http://a/?utm=1&b", "http://a/?utm=1" },
    { "/(/", "http://a/?(=1", NULL },
    { "/^to=http:\\/\\//", "http://a/?to=http%3A%2F%2Fb&c", "http://a/?c" }, // its escapes undone
    { "/^to=http%3a/i", "http://a/?to=http%3A%2F%2Fb&c", "http://a/?c" },
    { "~/^a b=/", "http://a/?a%20b=1&c%20=2", "http://a/?a%20b=1" },
    { "a b", "http://a/?a%20b=1", NULL }, // a name is as it is written
};

static void removes_parameters(void **state)
{
    struct amender *amender = amender_new();

    (void)state;
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        struct directive directive = { .kind = DIRECTIVE_REMOVEPARAM,
                                       .value = span_text(parameters[i].value) };
        struct buffer out = { 0 };
        bool changed = amend_url(amender, span_text(parameters[i].url), &directive, 1, &out);

        if (changed != (parameters[i].changed != NULL) ||
            (changed && !span_equal(buffer_span(&out), span_text(parameters[i].changed))))
            fail_msg("%s of %s: %.*s", parameters[i].value, parameters[i].url,
                     SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
    amender_free(&amender);
    assert_null(amender);
}

static const struct {
    const char *value, *url, *changed;
} transforms[] = {
    { "/old/new/", "http://a/old/old", "http://a/new/old" },
    { "/old/new/g", "http://a/old/old", "http://a/new/new" },
    { "/OLD/new/i", "http://a/old", "http://a/new" },
    { "/old/new/", "http://old/x", NULL }, // only path, query and fragment
    { "/\\/(a)\\/(b)/\\/$2\\/$1/", "http://h/a/b", "http://h/b/a" },
    { "/x/x/", "http://a/x", NULL },
    { "/^\\/x/y/", "http://a/x", NULL }, // no path any more
    { "nonsense", "http://a/nonsense", NULL },
    { "/(/x/", "http://a/(", NULL },
    { "/a", "http://a/a", NULL },
    { "/q=\\d+/q=0/", "http://a/?q=12#q=12", "http://a/?q=0#q=12" },
};

static void transforms_urls(void **state)
{
    struct amender *amender = amender_new();

    (void)state;
    for (size_t i = 0; i < sizeof transforms / sizeof *transforms; i++) {
        struct directive directive = { .kind = DIRECTIVE_URITRANSFORM,
                                       .value = span_text(transforms[i].value) };
        struct buffer out = { 0 };
        bool changed = amend_url(amender, span_text(transforms[i].url), &directive, 1, &out);

        if (changed != (transforms[i].changed != NULL) ||
            (changed && !span_equal(buffer_span(&out), span_text(transforms[i].changed))))
            fail_msg("%s of %s: %.*s", transforms[i].value, transforms[i].url,
                     SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
    amender_free(&amender);
}

static void several_in_a_row(void **state)
{
    struct amender *amender = amender_new();
    struct directive directives[] = {
        { .kind = DIRECTIVE_REMOVEPARAM, .value = SPAN("a") },
        { .kind = DIRECTIVE_CSP, .value = SPAN("x") }, // nothing to a URL
        { .kind = DIRECTIVE_URITRANSFORM, .value = SPAN("/b=/c=/") },
        { .kind = DIRECTIVE_REMOVEPARAM, .value = SPAN("c") },
    };
    struct buffer out = { 0 };

    (void)state;
    assert_true(amend_url(amender, SPAN("http://h/?a=1&b=2&d"), directives, 4, &out));
    assert_true(span_equal(buffer_span(&out), SPAN("http://h/?d")));
    buffer_release(&out);
    assert_false(amend_url(amender, SPAN("http://h/"), directives, 4, &out));
    assert_int_equal(out.size, 0);
    amender_free(&amender);
}

static const struct {
    const char *steps, *url, *to; // NULL: nowhere
    bool is_blocked;
} skips[] = {
    { "?to", "http://a/?to=http://b/", "http://b/", false },
    { "?to", "http://a/?x&to=http%3A%2F%2Fb%2F%3Fc%3D1", "http://b/?c=1", false },
    { "?to", "http://a/?other=http://b/", NULL, false },
    { "?to", "http://a/?to=javascript:x", NULL, false },
    { "?to", "http://a/?to=/x", NULL, false },
    { "?to", "http://a/?to=", NULL, false },
    { "?to", "http://a/?to=http://", NULL, false },
    { "?to", "http://a/?to=http://b/%0d%0aX:1", NULL, false }, // no line ends in a URL
    { "?to ?v", "http://a/?to=http%3A%2F%2Fb%2F%3Fv%3Dhttp%253A%252F%252Fc%252F", "http://c/",
      false },
    { "?to -base64", "http://a/?to=aHR0cDovL2IvP3g=", "http://b/?x", false },
    { "?to -base64", "http://a/?to=aHR0cDovL2Iv", "http://b/", false },
    { "?to -base64", "http://a/?to=!!", NULL, false },
    { "?to +https", "http://a/?to=http://b/", "https://b/", false },
    { "#", "http://a/#http://b/", "http://b/", false },
    { "#", "http://a/", NULL, false },
    { "/\\/r\\/(.*)/", "http://a/r/http://b/", "http://b/", false },
    { "/nothing(.*)/", "http://a/r/", NULL, false },
    { "&1", "http://a/?http://b/", "http://b/", false },
    { "&2", "http://a/?x&http://b/&z", "http://b/", false },
    { "&0", "http://a/?http://b/", NULL, false },
    { "?to", "http://a/?to=http://b/", NULL, true },
    { "?to -blocked", "http://a/?to=http://b/", "http://b/", true },
    { "-blocked ?to", "http://a/?to=http://b/", "http://b/", true },
    { "-blocked ?to", "http://a/?to=http://b/", "http://b/", false },
    { "?to -uricomponent", "http://a/?to=http%253A%252F%252Fb%252F", "http://b/", false },
    { "?to -safebase64", "http://a/?to=aHR0cDovL2IvPz4_", "http://b/?>?", false },
    { "", "http://a/", NULL, false },
    { "nonsense", "http://a/", NULL, false },
    { "?to", "http://a/?to=http://a/?to=http://a/", "http://a/?to=http://a/", false },
};

static void skips_to_where_urls_lead(void **state)
{
    struct amender *amender = amender_new();

    (void)state;
    for (size_t i = 0; i < sizeof skips / sizeof *skips; i++) {
        struct buffer out = { 0 };
        bool leads = amend_skip(amender, span_text(skips[i].url), span_text(skips[i].steps),
                                skips[i].is_blocked, &out);

        if (leads != (skips[i].to != NULL) ||
            (leads && !span_equal(buffer_span(&out), span_text(skips[i].to))))
            fail_msg("%s of %s: %.*s", skips[i].steps, skips[i].url, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
    amender_free(&amender);
}

static void steps_that_there_are(void **state)
{
    static const struct {
        const char *steps;
        bool is_good;
    } rows[] = {
        { "?to", true },      { "?", false },
        { "&1", true },       { "&0", false },
        { "&x", false },      { "#", true },
        { "/a(b)/", true },   { "/a(b/", false },
        { "+https", true },   { "+http", false },
        { "-base64", true },  { "-blocked", true },
        { "-base32", false }, { "?a -uricomponent #", true },
        { "?a to", false },   { "", false },
        { "  ", false },
    };
    struct buffer steps = { .limit_bytes = 1000 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (amend_skip_is_good(span_text(rows[i].steps)) != rows[i].is_good)
            fail_msg("%s", rows[i].steps);
    for (unsigned count = 1; count <= 17; count++) { // 16 are done
        buffer_append(&steps, SPAN("?a "));
        assert_int_equal(amend_skip_is_good(buffer_span(&steps)), count <= 16);
    }
    buffer_release(&steps);
}

static void limits_of_urls(void **state)
{
    struct amender *amender = amender_new();
    struct directive directive = { .kind = DIRECTIVE_REMOVEPARAM, .value = SPAN("utm") };
    static char url[AMEND_URL_BYTES + 10];

    (void)state;
    for (size_t size = AMEND_URL_BYTES - 1; size <= AMEND_URL_BYTES + 1; size++) {
        struct buffer out = { 0 };

        memset(url, 'x', size);
        memcpy(url, "http://a/?utm=1&", 16);
        assert_int_equal(amend_url(amender, span_of(url, size), &directive, 1, &out),
                         size <= AMEND_URL_BYTES);
        buffer_release(&out);
    }
    amender_free(&amender);
}

/* The first 1024 parameters are looked at; what is behind them stays in one piece. */
static void limits_of_parameters(void **state)
{
    static const struct {
        const char *value, *last, *behind;
        bool is_changed;
    } rows[] = {
        { "utm", "&utm=1", "&k=1", true },      { "utm", "&k=1", "&utm=1", false },
        { "utm", "&k=1", "&utm=1&k=2", false }, { "~x", "&k=1", "&utm=1&k=2", true },
        { "/^k=2/", "&k=1", "&k=2", false },
    };
    struct amender *amender = amender_new();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer url = { .limit_bytes = AMEND_URL_BYTES };
        struct buffer want = { .limit_bytes = AMEND_URL_BYTES }, out = { 0 };
        struct directive directive = { .kind = DIRECTIVE_REMOVEPARAM,
                                       .value = span_text(rows[i].value) };

        (void)buffer_append(&want, SPAN("http://a/?x"));
        for (unsigned count = 1; count < 1023; count++)
            (void)buffer_append(&want, SPAN("&x"));
        (void)buffer_append(&url, buffer_span(&want));
        (void)buffer_printf(&url, "%s%s", rows[i].last, rows[i].behind);
        (void)buffer_printf(&want, "%s", rows[i].behind);
        assert_int_equal(amend_url(amender, buffer_span(&url), &directive, 1, &out),
                         rows[i].is_changed);
        if (rows[i].is_changed && !span_equal(buffer_span(&out), buffer_span(&want)))
            fail_msg("%s, %s%s: %zu bytes, not %zu", rows[i].value, rows[i].last, rows[i].behind,
                     out.size, want.size);
        buffer_release(&out);
        buffer_release(&url);
        buffer_release(&want);
    }
    for (unsigned before = 1023; before <= 1024; before++) {
        struct directive all = { .kind = DIRECTIVE_REMOVEPARAM, .value = SPAN_NONE };
        struct buffer url = { .limit_bytes = AMEND_URL_BYTES }, out = { 0 };

        (void)buffer_append(&url, SPAN("http://a/?"));
        for (unsigned count = 0; count < before; count++)
            (void)buffer_append(&url, count ? SPAN("&x") : SPAN("x"));
        (void)buffer_append(&url, SPAN("&to=http://b/"));
        assert_int_equal(amend_skip(amender, buffer_span(&url), SPAN("?to"), false, &out),
                         before < 1024);
        buffer_release(&out);
        assert_true(amend_url(amender, buffer_span(&url), &all, 1, &out)); // needs no look at them
        assert_true(span_equal(buffer_span(&out), SPAN("http://a/")));
        buffer_release(&out);
        buffer_release(&url);
    }
    amender_free(&amender);
}

static void names_cookies(void **state)
{
    static const struct {
        const char *value, *cookie;
        bool is_named;
    } rows[] = {
        { "", "uid", true },        { "uid", "uid", true },
        { "uid", "uid2", false },   { "uid", "UID", false },
        { "/^u/", "uid", true },    { "/^u/", "xuid", false },
        { "/^U/i", "uid", true },   { "uid;maxAge=3", "uid", true },
        { ";maxAge=3", "x", true }, { "/a;b/;maxAge=3", "a;b", true },
        { "/(/", "(", false },
    };
    struct amender *amender = amender_new();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (amend_names_cookie(amender, span_text(rows[i].value), span_text(rows[i].cookie)) !=
            rows[i].is_named)
            fail_msg("%s, %s", rows[i].value, rows[i].cookie);
    amender_free(&amender);
}

static void changes_cookies(void **state)
{
    static const struct {
        const char *value;
        bool has_max_age, has_same_site;
        uint64_t max_age_s;
        const char *same_site;
    } rows[] = {
        { "uid", false, false, 0, NULL },
        { "uid;maxAge=60", true, false, 60, NULL },
        { "uid;sameSite=lax", false, true, 0, "lax" },
        { "uid;maxAge=0;sameSite=strict", true, true, 0, "strict" },
        { ";maxAge=5", true, false, 5, NULL },
        { "uid;maxAge=x", false, false, 0, NULL },
        { "uid;nonsense=1", false, false, 0, NULL },
        { "/a;b/;maxAge=7", true, false, 7, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cookie_change change = amend_cookie_change(span_text(rows[i].value));

        if (change.has_max_age != rows[i].has_max_age ||
            change.has_same_site != rows[i].has_same_site ||
            (change.has_max_age && change.max_age_s != rows[i].max_age_s) ||
            (change.has_same_site && !span_equal(change.same_site, span_text(rows[i].same_site))))
            fail_msg("%s", rows[i].value);
    }
}

static void good_cookies(void **state)
{
    static const struct {
        const char *value;
        bool is_good;
    } rows[] = {
        { "", true },
        { "uid", true },
        { "/^u/", true },
        { "/(/", false },
        { "uid;maxAge=60", true },
        { "uid; maxAge=60; sameSite=None", true },
        { "uid;maxAge=", false },
        { "uid;maxAge=soon", false },
        { "uid;maxAge=-1", false },
        { "uid;sameSite=lax;maxAge=1", true },
        { "uid;sameSite=sometimes", false },
        { "uid;domain=a.example", false },
        { "uid;", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (amend_cookie_is_good(span_text(rows[i].value)) != rows[i].is_good)
            fail_msg("%s", rows[i].value);
}

static void removals_of_headers(void **state)
{
    static const struct {
        const char *value, *name, *expression;
        bool from_request;
    } rows[] = {
        { "refresh", "refresh", NULL, false },
        { "request:x-client", "x-client", NULL, true },
        { "Request:X-Client", "X-Client", NULL, true },
        { "location:/ads/", "location", "/ads/", false },
        { "request:cookie:/a:b/", "cookie", "/a:b/", true },
        { "", "", NULL, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct header_removal removal = amend_header_removal(span_text(rows[i].value));

        if (!span_equal(removal.name, span_text(rows[i].name)) ||
            removal.from_request != rows[i].from_request ||
            !span_equal(removal.expression, span_text(rows[i].expression)) ||
            (removal.expression.at != NULL) != (rows[i].expression != NULL))
            fail_msg("%s: %.*s, %.*s", rows[i].value, SPAN_PRINT(removal.name),
                     SPAN_PRINT(removal.expression));
    }
}

/* An expression that would take for ever is given up. */
static void steps_of_expressions_are_limited(void **state)
{
    struct amender *amender = amender_new();
    char text[65];

    (void)state;
    memset(text, 'a', 64);
    text[64] = 0;
    assert_false(amend_matches(amender, SPAN("/^(a+)+$b/"),
                               SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac")));
    assert_true(amend_matches(amender, SPAN("/^a+$/"), span_text(text)));
    assert_false(amend_matches(amender, SPAN("/(/"), span_text(text)));
    assert_false(amend_matches(amender, SPAN("a"), span_text(text))); // no expression
    amender_free(&amender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removes_parameters),   cmocka_unit_test(transforms_urls),
        cmocka_unit_test(several_in_a_row),     cmocka_unit_test(skips_to_where_urls_lead),
        cmocka_unit_test(steps_that_there_are), cmocka_unit_test(limits_of_urls),
        cmocka_unit_test(limits_of_parameters), cmocka_unit_test(names_cookies),
        cmocka_unit_test(changes_cookies),      cmocka_unit_test(good_cookies),
        cmocka_unit_test(removals_of_headers),  cmocka_unit_test(steps_of_expressions_are_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
