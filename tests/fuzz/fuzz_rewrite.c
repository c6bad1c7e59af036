/*
 * The HTML rewriter: without a match, or where all elements are kept, the output is the input;
 * however the input is cut, the output is the same; the elements that were matched are the same.
 * The first byte says what is done with elements and how the input is cut.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../streams.h"
#include "html/rewrite.h"

enum { LIMIT_BYTES = 1 << 24 };

static const char *const selectors[] = {
    ".a",
    "#b",
    "[c]",
    "[d=x]",
    "[e^=xy]",
    "[f*=abcd]",
    "[g$=abcdef]",
    "i > .h",
    "b .j",
    "p + p",
    "li ~ li",
    "td",
    "a",
    "span:first-child",
    "div > :nth-child(2n+1)",
    "em:not(.k, .l b)",
    "*|u:is(.m, i .n)",
    "svg *",
    "form",
    "table.o",
    "option",
    "script",
    "q:empty",
    "q:not(:empty)",
    ":root > x",
    "h1:nth-of-type(2)",
};
enum { SELECTORS = sizeof selectors / sizeof *selectors };

static struct selector_set *set;

struct page {
    struct buffer output, seen;
    unsigned flags;
    struct rewrite *rewrite;
};

static void on_output(void *owner, struct span bytes)
{
    struct page *page = owner;
    if (bytes.size == 0 || !buffer_append(&page->output, bytes))
        abort();
}

static enum rewrite_action on_element(void *owner, const struct rewrite_element *element)
{
    struct page *page = owner;

    if (!buffer_printf(&page->seen, "%d%d:", element->name, element->is_in_hollow))
        abort();
    for (size_t i = 0; i < element->match_count; i++)
        if (!buffer_printf(&page->seen, "%u,", element->matches[i].id))
            abort();
    if (page->flags & 8 && element->tag && element->tag->attribute_count > 1) {
        (void)rewrite_remove_attribute(page->rewrite, 0);
        (void)rewrite_set_attribute(page->rewrite, element->tag->attribute_count - 1, SPAN("new"));
    }
    if (element->match_count == 0)
        return page->flags & 16 && element->is_raw_text ? REWRITE_INSPECT : REWRITE_KEEP;
    switch (page->flags & 3) {
    case 0:
        return REWRITE_KEEP;
    case 1:
        return REWRITE_REMOVE;
    case 2:
        return REWRITE_HOLLOW;
    default:
        return element->matches[0].id % 2 ? REWRITE_REMOVE : REWRITE_HOLLOW;
    }
}

static enum rewrite_action on_text(void *owner, struct span *text, bool is_whole)
{
    struct page *page = owner;
    if (!buffer_printf(&page->seen, "text %zu %d", is_whole ? text->size : 0, is_whole))
        abort();
    return page->flags & 1 && text->size % 3 == 0 && is_whole ? REWRITE_REMOVE : REWRITE_KEEP;
}

static struct span on_head(void *owner)
{
    struct page *page = owner;
    return page->flags & 4 ? SPAN("<style>x</style>") : SPAN_NONE;
}

static const struct rewrite_events events = {
    .on_output = on_output,
    .on_element = on_element,
    .on_text = on_text,
    .on_head = on_head,
};

static void rewrite(struct page *page, struct span input, unsigned flags, unsigned cut)
{
    bool wanted[TAGS_COUNT] = { [TAG_SCRIPT] = true, [TAG_STYLE] = true, [TAG_IMG] = true };
    const struct selector_set *sets[] = { set };
    struct rewrite_options options = {
        .sets = sets,
        .set_count = 1,
        .wanted = wanted,
        .hollow = SPAN(" hidden"),
        .inspect_bytes = 32,
    };
    struct stream stream = stream_of(input, cut);
    struct span piece;

    *page = (struct page){
        { .limit_bytes = LIMIT_BYTES }, { .limit_bytes = LIMIT_BYTES }, flags, NULL
    };
    page->rewrite = rewrite_new(&options, &events, page);
    while (stream_next(&stream, &piece))
        rewrite_feed(page->rewrite, piece);
    rewrite_finish(page->rewrite);
    if (rewrite_removed_elements(page->rewrite) == 0 && (flags & (4 | 8)) == 0 &&
        !span_equal(buffer_span(&page->output), input))
        abort();
    rewrite_free(&page->rewrite);
}

static void compare(struct buffer *one, struct buffer *other)
{
    if (!span_equal(buffer_span(one), buffer_span(other))) {
        fprintf(stderr, "%.*s\n-- differs from --\n%.*s\n", SPAN_PRINT(buffer_span(one)),
                SPAN_PRINT(buffer_span(other)));
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct page pages[3];
    struct span input;

    if (!set) {
        set = selector_set_new();
        for (uint32_t i = 0; i < SELECTORS; i++)
            selector_set_add(set, span_text(selectors[i]), i, NULL);
        selector_set_finish(set);
    }
    if (size < 1)
        return 0;
    input = span_of((const char *)bytes + 1, size - 1);
    rewrite(&pages[0], input, bytes[0], 0);
    rewrite(&pages[1], input, bytes[0], 1);
    rewrite(&pages[2], input, bytes[0], 2 + bytes[0] % 12);
    for (int i = 1; i < 3; i++) {
        compare(&pages[0].output, &pages[i].output);
        compare(&pages[0].seen, &pages[i].seen);
    }
    for (int i = 0; i < 3; i++) {
        buffer_release(&pages[i].output);
        buffer_release(&pages[i].seen);
    }
    return 0;
}
