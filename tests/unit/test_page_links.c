/* What elements fetch, by rows: attributes, types, URLs, candidates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/page_links.h"

static const struct {
    const char *tag, *want; // attribute:type:kind, in order
} tags[] = {
    { "<img src=a srcset=b>", "src:image:0 srcset:image:2" },
    { "<img data-src=a>", "" },
    { "<script src=a>", "src:script:0" },
    { "<script src=a type=module>", "src:script:0" },
    { "<script src=a type='text/javascript; charset=x'>", "src:script:0" },
    { "<script src=a type=application/json>", "" },
    { "<script src=a type=text/template>", "" },
    { "<iframe src=a>", "src:subdocument:0" },
    { "<iframe src=a srcdoc=b>", "" },
    { "<frame src=a>", "src:subdocument:0" },
    { "<embed src=a>", "src:object:0" },
    { "<object data=a>", "data:object:1" },
    { "<source src=a srcset=b>", "src:media:0 srcset:image:2" },
    { "<video poster=a src=b>", "poster:image:1 src:media:1" },
    { "<audio src=a>", "src:media:1" },
    { "<track src=a>", "src:other:0" },
    { "<input type=IMAGE src=a>", "src:image:1" },
    { "<input type=text src=a>", "" },
    { "<link rel=stylesheet href=a>", "href:stylesheet:0" },
    { "<link rel='alternate stylesheet' href=a>", "" },
    { "<link rel='shortcut icon' href=a>", "href:image:0" },
    { "<link rel=preload as=font href=a>", "href:font:0" },
    { "<link rel=preload as=image href=a imagesrcset=b>", "href:image:0 imagesrcset:image:2" },
    { "<link rel=preload href=a>", "" },
    { "<link rel=modulepreload href=a>", "href:script:0" },
    { "<link rel=prefetch href=a>", "href:other:0" },
    { "<link rel=preconnect href=a>", "href:other:3" },
    { "<link rel=dns-prefetch href=a>", "href:other:3" },
    { "<link rel=canonical href=a>", "" },
    { "<link rel=next href=a>", "" },
    { "<a href=a>", "" },
    { "<area href=a>", "" },
    { "<form action=a>", "" },
};

static void elements_fetch_what_they_fetch(void **state)
{
    static struct tokenizer tokenizer;

    (void)state;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        struct buffer got = { .limit_bytes = 1000 };
        struct page_link links[PAGE_LINKS];
        struct token token;
        size_t count;

        tokenizer_init(&tokenizer);
        tokenizer_feed(&tokenizer, span_text(tags[i].tag));
        assert_true(tokenizer_next(&tokenizer, &token));
        count = page_links_of(&token, links);
        for (size_t k = 0; k < count; k++)
            (void)buffer_printf(&got, "%s%.*s:%s:%d", k ? " " : "",
                                SPAN_PRINT(token_attribute_name(&token, links[k].attribute)),
                                request_type_name(links[k].type), links[k].kind);
        if (!span_equal(buffer_span(&got), span_text(tags[i].want)))
            fail_msg("%s: %.*s", tags[i].tag, SPAN_PRINT(buffer_span(&got)));
        if (count && !page_links_wanted[token.tag])
            fail_msg("%s is not wanted", tags[i].tag);
        buffer_release(&got);
        tokenizer_done(&tokenizer);
    }
}

static const struct {
    const char *base, *value, *want; // NULL: nothing is fetched
} urls[] = {
    { "http://a.example/b/c?d#e", "f", "http://a.example/b/f" },
    { "http://a.example/b/c?d/e", "f", "http://a.example/b/f" },
    { "http://a.example", "f", "http://a.example/f" },
    { "http://a.example?x", "f", "http://a.example/f" },
    { "http://a.example/b/c", "/f", "http://a.example/f" },
    { "http://a.example/b/c", "?f", "http://a.example/b/c?f" },
    { "http://a.example/b/c?d", "?f", "http://a.example/b/c?f" },
    { "http://a.example/b/", "//x.example/y", "http://x.example/y" },
    { "https://a.example/b/", "//x.example/y", "https://x.example/y" },
    { "http://a.example/", "\\\\x.example\\y", "http://x.example/y" },
    { "http://a.example/", "HTTPS://x.example/y", "https://x.example/y" },
    { "http://a.example/", "https:///x.example/y", "https://x.example/y" },
    { "http://a.example/", "https:x.example/y", "https://x.example/y" },
    { "http://a.example/b/", "http:y", "http://a.example/b/y" },
    { "http://a.example/", " \n\thttp://x.example/\ty\n ", "http://x.example/y" },
    { "http://a.example/", "ht\ntp://x.exa\tmple/", "http://x.example/" },
    { "http://a.example/b/c/d", "../e", "http://a.example/b/e" },
    { "http://a.example/b/c/d", "../../../e", "http://a.example/e" },
    { "http://a.example/b/c/d", "./e/./f", "http://a.example/b/c/e/f" },
    { "http://a.example/b/c/d", "..", "http://a.example/b/" },
    { "http://a.example/b", "e?x=/../y", "http://a.example/e?x=/../y" },
    { "http://a.example/b", ".hidden/..x", "http://a.example/.hidden/..x" },
    { "http://a.example/", "x#y", "http://a.example/x" },
    { "http://a.example/", "a b.png", "http://a.example/a%20b.png" },
    { "http://a.example/", "", NULL },
    { "http://a.example/", " ", NULL },
    { "http://a.example/", "#x", NULL },
    { "http://a.example/", "data:image/png;base64,xx", NULL },
    { "http://a.example/", "javascript:x", NULL },
    { "http://a.example/", "about:blank", NULL },
    { "http://a.example/", "blob:http://a.example/x", NULL },
    { "http://a.example/", "1http://x/", "http://a.example/1http://x/" },
};

static void urls_are_read_as_browsers_do(void **state)
{
    struct buffer got = { .limit_bytes = PAGE_RESOLVED_BYTES };

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        bool is_url = page_link_resolve(&got, span_text(urls[i].base), span_text(urls[i].value));

        if (is_url != (urls[i].want != NULL) ||
            (is_url && !span_equal(buffer_span(&got), span_text(urls[i].want))))
            fail_msg("%s at %s: %d %.*s", urls[i].value, urls[i].base, is_url,
                     SPAN_PRINT(buffer_span(&got)));
    }
    buffer_release(&got);
}

static void long_urls_are_let_alone(void **state)
{
    struct buffer got = { .limit_bytes = PAGE_RESOLVED_BYTES };
    static char value[PAGE_URL_BYTES + 1];

    (void)state;
    memset(value, 'a', sizeof value);
    assert_true(page_link_resolve(&got, SPAN("http://a/"), span_of(value, PAGE_URL_BYTES)));
    assert_false(page_link_resolve(&got, SPAN("http://a/"), span_of(value, PAGE_URL_BYTES + 1)));
    memset(value, '<', sizeof value); // three bytes each
    assert_true(page_link_resolve(&got, SPAN("http://a/"), span_of(value, PAGE_URL_BYTES)));
    assert_int_equal(got.size, 9 + 3 * PAGE_URL_BYTES);
    buffer_release(&got);
}

static void sets_have_candidates(void **state)
{
    static const struct {
        const char *set, *want; // url{candidate}
    } sets[] = {
        { "a", "a{a}" },
        { "a 1x, b 2x", "a{a 1x} b{b 2x}" },
        { " , a 100w ,b", "a{a 100w } b{b}" },
        { "a,b 1x", "a,b{a,b 1x}" },
        { "a, b", "a{a} b{b}" },
        { "a,, b", "a{a} b{b}" },
        { "data:x,y 1x, b", "data:x,y{data:x,y 1x} b{b}" },
        { "a (1,2) x, b", "a{a (1,2) x} b{b}" },
        { "", "" },
        { " ,,, ", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct buffer got = { .limit_bytes = 1000 };
        struct span left = span_text(sets[i].set), url, candidate;

        while (page_link_next(&left, &url, &candidate))
            (void)buffer_printf(&got, "%s%.*s{%.*s}", got.size ? " " : "", SPAN_PRINT(url),
                                SPAN_PRINT(candidate));
        if (!span_equal(buffer_span(&got), span_text(sets[i].want)))
            fail_msg("%s: %.*s", sets[i].set, SPAN_PRINT(buffer_span(&got)));
        buffer_release(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_fetch_what_they_fetch),
        cmocka_unit_test(urls_are_read_as_browsers_do),
        cmocka_unit_test(long_urls_are_let_alone),
        cmocka_unit_test(sets_have_candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
