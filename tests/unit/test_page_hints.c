/* Link fields, by rows: what stays of them where ads.example is stopped, and images of /banner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/page_hints.h"

static int asked;

static bool is_stopped(void *owner, struct span url, enum request_type type, bool is_host_only)
{
    assert_ptr_equal(owner, &asked);
    asked++;
    if (is_host_only)
        return span_starts(url, SPAN("https://ads.example/"));
    return span_starts(url, SPAN("https://ads.example/")) ||
           (type == TYPE_IMAGE && span_equal(url, SPAN("https://news.example/banner")));
}

static const struct {
    const char *value, *want; // want NULL: the field goes
    int asked;
} rows[] = {
    { "<https://ads.example/x.js>; rel=preload; as=script", NULL, 1 },
    { "<//ads.example/x.js>;rel=\"preload\";as=\"script\"", NULL, 1 },
    { "</x.js>; rel=preload; as=script", "</x.js>; rel=preload; as=script", 1 },
    { "</banner>; rel=preload; as=image", NULL, 1 },
    { "</banner>; as=fetch; rel=preload", "</banner>; as=fetch; rel=preload", 1 },
    { "</a>; rel=next, <https://ads.example/>; rel=preconnect; crossorigin, </b>; rel=icon",
      "</a>; rel=next, </b>; rel=icon", 2 },
    { "<https://ads.example/>; REL=\"dns-prefetch preconnect\",</a>;rel=next", "</a>;rel=next", 1 },
    { "<https://ads.example/s.css>; rel=stylesheet", NULL, 1 },
    { "<https://ads.example/s.css>; rel=\"alternate stylesheet\"",
      "<https://ads.example/s.css>; rel=\"alternate stylesheet\"", 0 },
    { "<https://ads.example/>; rel=canonical", "<https://ads.example/>; rel=canonical", 0 },
    { "<https://ads.example/x>; rel=preload; as=nothing",
      "<https://ads.example/x>; rel=preload; as=nothing", 0 },
    { "<https://ads.example/x>; rel=next; rel=prefetch",
      "<https://ads.example/x>; rel=next; rel=prefetch", 0 },
    { "<https://ads.example/a,b;c>; title=\"x, y; \\\" z\"; rel=prefetch, </a>; rel=prefetch",
      "</a>; rel=prefetch", 2 },
    // not well-formed
    { "https://ads.example/; rel=preload; as=script",
      "https://ads.example/; rel=preload; as=script", 0 },
    { "<https://ads.example/; rel=preload", "<https://ads.example/; rel=preload", 0 },
    { "<https://ads.example/>", "<https://ads.example/>", 0 },
    { "<https://ads.example/>; rel=\"prefetch", "<https://ads.example/>; rel=\"prefetch", 0 },
    { ", ,", ", ,", 0 },
    { "", "", 0 },
};

static void what_would_be_stopped_goes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena;
        struct message response;
        struct span got;

        arena_init(&arena, 1 << 16);
        message_init(&response, &arena, false);
        asked = 0;
        assert_true(message_add(&response, SPAN("link"), span_text(rows[i].value)));
        page_hints_filter(&response, SPAN("https://news.example/dir/page"), is_stopped, &asked);
        got = message_find_name(&response, SPAN("Link"))
                  ? message_find_name(&response, SPAN("Link"))->value
                  : SPAN_NONE;
        if ((got.at != NULL) != (rows[i].want != NULL) || asked != rows[i].asked ||
            !span_equal(got, span_text(rows[i].want)))
            fail_msg("%s: %d, %.*s", rows[i].value, asked, SPAN_PRINT(got));
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_would_be_stopped_goes) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
