/*
 * Selectors: the first line is a list of them, the rest a page. Whatever they are, what is
 * answered twice is the same, and a set that holds one among others finds it as one alone does.
 */
#include <stdint.h>
#include <stdlib.h>

#include "html/rewrite.h"

struct count {
    size_t matches;
};

static void on_output(void *owner, struct span bytes)
{
    (void)owner;
    (void)bytes;
}

static enum rewrite_action on_element(void *owner, const struct rewrite_element *element)
{
    struct count *count = owner;
    for (size_t i = 0; i < element->match_count; i++)
        count->matches += element->matches[i].id == 7;
    return REWRITE_KEEP;
}

static const struct rewrite_events events = {
    .on_output = on_output,
    .on_element = on_element,
};

static size_t count_matches(struct selector_set *set, struct span page)
{
    const struct selector_set *sets[] = { set };
    struct rewrite_options options = { .sets = sets, .set_count = 1 };
    struct count count = { 0 };
    struct rewrite *rewrite = rewrite_new(&options, &events, &count);

    rewrite_feed(rewrite, page);
    rewrite_finish(rewrite);
    rewrite_free(&rewrite);
    return count.matches;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const others[] = { ".x",           "div > p", "a[href^='http://x']",
                                          "b:not(.c .d)", "* ~ i",   "[y*='abcdefgh']" };
    struct span input = span_of((const char *)bytes, size), text, page;
    struct selector_set *alone = selector_set_new(), *among = selector_set_new();
    enum selector_kind kind;

    text = span_slice(input, 0, span_find_byte(input, '\n'));
    page = span_from(input, text.size);
    kind = selector_set_add(alone, text, 7, NULL);
    for (uint32_t i = 0; i < sizeof others / sizeof *others; i++)
        selector_set_add(among, span_text(others[i]), 100 + i, NULL);
    if (selector_set_add(among, text, 7, NULL) != kind || selector_classify(text) != kind)
        abort();
    if (kind >= SELECTOR_PROCEDURAL && selector_set_count(alone) > 0)
        abort();
    selector_set_finish(alone);
    selector_set_finish(among);
    if (count_matches(alone, page) != count_matches(among, page))
        abort();
    selector_set_free(&alone);
    selector_set_free(&among);
    return 0;
}
