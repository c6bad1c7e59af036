/* What a request is for, where it comes from, and which page is behind a style sheet or frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy/kind.h"

static void fill(struct message *message, struct arena *arena, const char *const fields[][2])
{
    arena_init(arena, 1 << 16);
    message_init(message, arena, true);
    message->method = METHOD_GET;
    for (size_t i = 0; i < 3 && fields[i][0]; i++)
        assert_true(message_add(message, span_text(fields[i][0]), span_text(fields[i][1])));
}

static const struct {
    const char *path;
    enum method method;
    const char *fields[3][2];
    enum request_type type;
    bool is_guess;
} kinds[] = {
    { "/", METHOD_GET, { { "Sec-Fetch-Dest", "document" } }, TYPE_DOCUMENT, false },
    { "/a.js", METHOD_GET, { { "Sec-Fetch-Dest", "iframe" } }, TYPE_SUBDOCUMENT, false },
    { "/a", METHOD_GET, { { "Sec-Fetch-Dest", "script" } }, TYPE_SCRIPT, false },
    { "/a", METHOD_GET, { { "Sec-Fetch-Dest", "style" } }, TYPE_STYLESHEET, false },
    { "/a", METHOD_GET, { { "Sec-Fetch-Dest", "empty" } }, TYPE_XHR, false },
    { "/a.png", METHOD_GET, { { "Sec-Fetch-Dest", "unheard-of" } }, TYPE_IMAGE, false },
    { "/",
      METHOD_GET,
      { { "Accept", "text/html,application/xhtml+xml,*/*;q=0.8" } },
      TYPE_DOCUMENT,
      false },
    { "/x", METHOD_GET, { { "Accept", "image/avif,image/webp,*/*;q=0.8" } }, TYPE_IMAGE, false },
    { "/x", METHOD_GET, { { "Accept", "text/css,*/*;q=0.1" } }, TYPE_STYLESHEET, false },
    { "/x", METHOD_GET, { { "Accept", "text/event-stream" } }, TYPE_XHR, false },
    { "/x", METHOD_GET, { { "Accept", "*/*" } }, TYPE_OTHER, true },
    { "/x.js", METHOD_GET, { { "Accept", "*/*" } }, TYPE_SCRIPT, false },
    { "/x.js?y=z.css", METHOD_GET, { { "Accept", "*/*" } }, TYPE_SCRIPT, false },
    { "/x.js;a=b", METHOD_GET, { { NULL } }, TYPE_SCRIPT, false },
    { "/x.WOFF2", METHOD_GET, { { NULL } }, TYPE_FONT, false },
    { "/x.js/y", METHOD_GET, { { NULL } }, TYPE_OTHER, true },
    { "/.", METHOD_GET, { { NULL } }, TYPE_OTHER, true },
    { "", METHOD_GET, { { NULL } }, TYPE_OTHER, true },
    { "/x?a.js", METHOD_GET, { { NULL } }, TYPE_OTHER, true },
    { "/x", METHOD_GET, { { "X-Requested-With", "XMLHttpRequest" } }, TYPE_XHR, false },
    { "/x", METHOD_POST, { { "Accept", "*/*" } }, TYPE_XHR, false },
    { "/x", METHOD_GET, { { "Origin", "http://a.example" } }, TYPE_XHR, false },
    { "/x", METHOD_GET, { { "Upgrade", "websocket" } }, TYPE_WEBSOCKET, false },
    { "/x", METHOD_POST, { { "Ping-To", "http://a.example/" } }, TYPE_PING, false },
    { "/x", METHOD_POST, { { "Content-Type", "text/ping" } }, TYPE_PING, false },
};

static void tells_what_a_request_is_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct message request;
        struct arena arena;
        struct kind got;

        fill(&request, &arena, kinds[i].fields);
        request.method = kinds[i].method;
        got = kind_of_request(&request, span_text(kinds[i].path));
        if (got.type != kinds[i].type || got.is_guess != kinds[i].is_guess)
            fail_msg("row %zu, %s: type %d, guess %d", i, kinds[i].path, got.type, got.is_guess);
        arena_done(&arena);
    }
}

static void tells_by_the_response(void **state)
{
    static const struct {
        const char *content_type;
        enum request_type type;
    } rows[] = {
        { "text/javascript; charset=utf-8", TYPE_SCRIPT },
        { "IMAGE/PNG", TYPE_IMAGE },
        { "application/json", TYPE_XHR },
        { "text/html", TYPE_OTHER },
        { "video/mp4", TYPE_MEDIA },
        { "text/plain", TYPE_OTHER },
        { "", TYPE_OTHER },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(kind_of_response(span_text(rows[i].content_type)), rows[i].type);
}

static const struct {
    enum request_type type;
    const char *fields[3][2];
    const char *page; // NULL: not known
    enum kind_party party;
} sources[] = {
    { TYPE_SCRIPT,
      { { "Referer", "http://a.example/x" } },
      "http://a.example/x",
      KIND_PARTY_UNKNOWN },
    { TYPE_SCRIPT, { { "Origin", "https://a.example" } }, "https://a.example", KIND_PARTY_UNKNOWN },
    { TYPE_SCRIPT, { { "Origin", "null" } }, NULL, KIND_PARTY_UNKNOWN },
    { TYPE_SCRIPT, { { "Referer", "about:blank" } }, NULL, KIND_PARTY_UNKNOWN },
    { TYPE_SCRIPT, { { "Sec-Fetch-Site", "same-origin" } }, "host.example", KIND_PARTY_FIRST },
    { TYPE_SCRIPT, { { "Sec-Fetch-Site", "same-site" } }, NULL, KIND_PARTY_FIRST },
    { TYPE_SCRIPT, { { "Sec-Fetch-Site", "cross-site" } }, NULL, KIND_PARTY_THIRD },
    { TYPE_SCRIPT,
      { { "Sec-Fetch-Site", "cross-site" }, { "Referer", "http://b.example/" } },
      "http://b.example/",
      KIND_PARTY_THIRD },
    { TYPE_DOCUMENT, { { "Referer", "http://a.example/x" } }, NULL, KIND_PARTY_UNKNOWN },
    { TYPE_SCRIPT, { { NULL } }, NULL, KIND_PARTY_UNKNOWN },
};

static void tells_where_it_comes_from(void **state)
{
    const struct target target = { .host = SPAN("host.example"), .port = 80 };

    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct message request;
        struct arena arena;
        struct kind_source got;

        fill(&request, &arena, sources[i].fields);
        got = kind_source_of(&request, &target, sources[i].type);
        if (got.party != sources[i].party || !got.page.at != !sources[i].page ||
            (got.page.at && !span_equal(got.page, span_text(sources[i].page))))
            fail_msg("row %zu: \"%.*s\", party %d", i, SPAN_PRINT(got.page), got.party);
        arena_done(&arena);
    }
}

static void remembers_the_page_behind(void **state)
{
    struct kind_memory *memory = kind_memory_new();
    struct address ann, bob;
    char url[64], page[600];

    (void)state;
    assert_true(address_parse(&ann, SPAN("192.0.2.1"), 1));
    assert_true(address_parse(&bob, SPAN("2001:db8::1"), 1));
    kind_memory_keep(memory, &ann, SPAN("http://a/x.css"), SPAN("http://page/"), 1000);
    assert_true(span_equal(kind_memory_find(memory, &ann, SPAN("http://a/x.css"), 1001),
                           SPAN("http://page/")));
    assert_true(span_equal(kind_memory_find(memory, &ann, SPAN("http://a/x.css#f"), 1001),
                           SPAN("http://page/")));
    address_set_port(&ann, 2); // another connection of the same client
    assert_non_null(kind_memory_find(memory, &ann, SPAN("http://a/x.css"), 1001).at);
    assert_null(kind_memory_find(memory, &bob, SPAN("http://a/x.css"), 1001).at);
    assert_null(kind_memory_find(memory, &ann, SPAN("http://a/y.css"), 1001).at);
    assert_non_null(
        kind_memory_find(memory, &ann, SPAN("http://a/x.css"), 1000 + KIND_MEMORY_MS - 1).at);
    assert_null(kind_memory_find(memory, &ann, SPAN("http://a/x.css"), 1000 + KIND_MEMORY_MS).at);

    memset(page, 'p', sizeof page);
    memcpy(page, "http://long.example/", 20);
    kind_memory_keep(memory, &ann, SPAN("http://a/l.css"), span_of(page, sizeof page), 1000);
    assert_true(span_equal(kind_memory_find(memory, &ann, SPAN("http://a/l.css"), 1001),
                           SPAN("http://long.example")));

    for (int i = 0; i < KIND_MEMORY_LOADS; i++) { // the oldest make room
        snprintf(url, sizeof url, "http://b/%d.css", i);
        kind_memory_keep(memory, &bob, span_text(url), SPAN("http://bob/"), 1000);
    }
    assert_null(kind_memory_find(memory, &ann, SPAN("http://a/x.css"), 1001).at);
    assert_non_null(kind_memory_find(memory, &bob, SPAN("http://b/0.css"), 1001).at);
    kind_memory_free(&memory);
    assert_null(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_a_request_is_for),
        cmocka_unit_test(tells_by_the_response),
        cmocka_unit_test(tells_where_it_comes_from),
        cmocka_unit_test(remembers_the_page_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
