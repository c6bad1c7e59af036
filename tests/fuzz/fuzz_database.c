/* A rule database that is damaged in any way: it is refused, or it answers in bounds. The input is
 * a row of changes (four bytes of offset, one of value) to a good one; its checksum is mended
 * after them, or nothing behind it would ever be reached. */
#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#include "filter/compile.h"
#include "filter/image.h"
#include "filter/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char rules[] = "||ads.example^$third-party\n/banner/*/x^\n@@||ads.example/ok$script\n"
                            "||x.example^\n*$removeparam=a\n/b[a]nner\\.js/$script\n"
                            "||cdn.example^$redirect=noopjs,domain=news.example\n$csp=x,to=~y\n";

static void on_rule(void *owner, const struct rule *rule, uint32_t line)
{
    compiler_add(owner, rule, line);
}

/* The good one, made once. */
static struct span good(void)
{
    static struct compiler *compiler; // stays, as its image does
    static struct span image;
    struct list_summary summary;
    struct compile_counts counts;

    if (image.at)
        return image;
    compiler = compiler_new();
    assert(compiler_begin_list(compiler, SPAN("list")));
    assert(list_read(&summary, &(struct list_reader){ .on_rule = on_rule, .owner = compiler },
                     SPAN(rules)));
    assert(compiler_finish(compiler, &image, &counts, NULL) == ERROR_NONE);
    return image;
}

static void ask(struct database *database)
{
    struct request request = { .url = SPAN("http://ads.example/banner.js?a=1"),
                               .source = SPAN("http://news.example/"),
                               .type = TYPE_SCRIPT,
                               .method = SPAN("GET") };
    struct matcher *matcher = matcher_new(database);
    struct directive directives[DIRECTIVES_LIMIT];
    struct verdict verdict;
    struct rule_view view;

    matcher_ask(matcher, &request, &verdict);
    database_rule(database, verdict.rule, &view);
    matcher_connect(matcher, SPAN("x.example"), &verdict);
    matcher_directives(matcher, &request, DIRECTIVES_ALL, directives, DIRECTIVES_LIMIT);
    matcher_free(&matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span image = good();
    struct database *database;
    struct image_header *header;
    char *copy = aligned_alloc(64, (image.size + 63) & ~(size_t)63);

    if (!copy)
        return 0;
    memcpy(copy, image.at, image.size);
    for (size_t i = 0; i + 5 <= size; i += 5) {
        uint32_t offset;
        memcpy(&offset, data + i, sizeof offset);
        copy[offset % image.size] = (char)data[i + 4];
    }
    header = (struct image_header *)copy;
    header->checksum = XXH3_64bits(&header->seed, image.size - offsetof(struct image_header, seed));
    if (database_open(&database, span_of(copy, image.size), NULL) == ERROR_NONE) {
        ask(database);
        database_unref(&database);
    }
    free(copy);
    return 0;
}
