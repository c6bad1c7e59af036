/* The text of a filter list: never a crash; compiled twice it gives the same bytes; what was
 * compiled opens, and answers whatever it is asked. */
#include <assert.h>
#include <stdlib.h>

#include "filter/amend.h"
#include "filter/compile.h"
#include "filter/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_rule(void *owner, const struct rule *rule, uint32_t line)
{
    compiler_add(owner, rule, line);
}

static struct compiler *compile(struct span text, struct span *image)
{
    struct compiler *compiler = compiler_new();
    struct list_reader reader = { .is_trusted = true, .on_rule = on_rule, .owner = compiler };
    struct list_summary summary;
    struct compile_counts counts;

    assert(compiler_begin_list(compiler, SPAN("list")));
    assert(list_read(&summary, &reader, text));
    assert(compiler_finish(compiler, image, &counts, NULL) == ERROR_NONE);
    return compiler;
}

static void ask(struct database *database)
{
    static const struct {
        struct span url, source;
        enum request_type type;
    } requests[] = {
        { { "http://ads.example/banner.js?a=1&b=2#c", 38 },
          { "http://news.example/", 20 },
          TYPE_SCRIPT },
        { { "https://www.a.b.example.co.uk:8443/ad/x.gif", 43 }, { "", 0 }, TYPE_IMAGE },
        { { "http://[::1]/", 13 }, { "http://127.0.0.1/", 17 }, TYPE_DOCUMENT },
        { { "ws://x/", 7 }, { "x", 1 }, TYPE_WEBSOCKET },
    };
    struct matcher *matcher = matcher_new(database);
    struct amender *amender = amender_new();

    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct request request = { .url = requests[i].url,
                                   .source = requests[i].source,
                                   .type = requests[i].type,
                                   .method = SPAN("GET"),
                                   .client = SPAN("192.0.2.1") };
        struct directive directives[DIRECTIVES_LIMIT];
        struct buffer changed = { 0 };
        struct verdict verdict;
        struct rule_view view;
        size_t count;

        matcher_ask(matcher, &request, &verdict);
        assert((verdict.action == VERDICT_PASS) == (verdict.rule == 0));
        if (verdict.rule)
            assert(database_rule(database, verdict.rule, &view));
        matcher_connect(matcher, SPAN("ads.example"), &verdict);
        matcher_name(matcher, &request, SPAN("tracker.example"), &verdict);
        count = matcher_directives(matcher, &request, DIRECTIVES_ALL, directives, DIRECTIVES_LIMIT);
        assert(count <= DIRECTIVES_LIMIT);
        amend_url(amender, request.url, directives, count, &changed);
        buffer_release(&changed);
        for (size_t k = 0; k < count; k++) {
            if (directives[k].kind == DIRECTIVE_URLSKIP)
                amend_skip(amender, request.url, directives[k].value, k % 2, &changed);
            buffer_release(&changed);
        }
        matcher_page(matcher, &request);
    }
    amender_free(&amender);
    matcher_free(&matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)data, size), image, again;
    struct compiler *first, *second;
    struct database *database;

    first = compile(text, &image);
    second = compile(text, &again);
    assert(span_equal(image, again));
    assert(database_open(&database, image, NULL) == ERROR_NONE);
    ask(database);
    database_unref(&database);
    compiler_free(&first);
    compiler_free(&second);
    return 0;
}
