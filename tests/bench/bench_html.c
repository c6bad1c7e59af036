/*
 * Megabytes a second through the tokenizer and the rewriter, over real pages.
 *
 *     bench_html [ROUNDS]     best of the rounds; pages and lists are those under DEJUNK_SHARED
 *
 * Cosmetic rules are EasyList's and uBlock's defaults: the generic ones compiled once, those for
 * a page's host by host. Pages are fed in pieces of 64 kB, as they come from a socket.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "html/rewrite.h"

enum { PAGES = 512, PIECE_BYTES = 65536 };

static struct page {
    struct buffer bytes;
    char host[256];
    struct selector_set *specific;
    size_t matches;
} pages[PAGES];
static size_t page_count, total_bytes;

static struct buffer lists[2];
static struct selector_set *generic, *unmatched;
static bool was_matched[1 << 20];
static size_t outputs, found;
static bool removes;
static struct page *page_now;

static void read_host(struct page *page, const char *path)
{
    struct buffer text = { .limit_bytes = 1 << 24 };
    const struct span key = SPAN("\"host\":\"");
    size_t at, size = 0;

    if (!read_gzip(&text, path))
        return;
    at = span_find(buffer_span(&text), key) + key.size;
    while (at + size < text.size && text.at[at + size] != '"' && size < sizeof page->host - 1)
        size++;
    if (at < text.size)
        memcpy(page->host, text.at + at, size);
    buffer_release(&text);
}

static void read_pages(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) && page_count < PAGES) {
        struct span name = span_text(entry->d_name);
        char path[8192];
        struct page *page = &pages[page_count];

        if (!span_ends(name, SPAN(".html.gz")))
            continue;
        snprintf(path, sizeof path, "%.4000s/%s", folder, entry->d_name);
        if (!read_gzip(&page->bytes, path))
            continue;
        snprintf(path, sizeof path, "%.4000s/%.*s.selectors.json", folder,
                 (int)(name.size - 8) & 0xfff, name.at);
        read_host(page, path);
        total_bytes += page->bytes.size;
        page_count++;
    }
    if (dir)
        closedir(dir);
}

/* Is `host` one of the domains, or below one? */
static bool is_for(struct span domains, struct span host)
{
    struct span domain;

    while (span_next_element(&domains, &domain)) {
        if (host.size >= domain.size &&
            span_equal(span_from(host, host.size - domain.size), domain) &&
            (host.size == domain.size || host.at[host.size - domain.size - 1] == '.'))
            return true;
    }
    return false;
}

/* Adds the rules for a host, or the generic ones where it is NULL. */
static void add_rules(struct selector_set *set, const char *host, bool only_unmatched)
{
    uint32_t number = 0;

    for (size_t i = 0; i < 2; i++) {
        struct span text = buffer_span(&lists[i]);
        while (text.size) {
            struct span line = span_slice(text, 0, span_find_byte(text, '\n')), domains;
            size_t mark = span_find(line, SPAN("##"));

            number++;
            text = span_from(text, line.size + (line.size < text.size));
            if (mark == line.size || line.at[0] == '!' ||
                span_find(line, SPAN("##+js")) < line.size)
                continue;
            domains = span_slice(line, 0, mark);
            if (host ? domains.size == 0 || !is_for(domains, span_text(host)) : domains.size > 0)
                continue;
            if (only_unmatched && was_matched[number])
                continue;
            selector_set_add(set, span_from(line, mark + 2), number, NULL);
        }
    }
}

static void on_output(void *owner, struct span bytes)
{
    (void)owner;
    outputs += bytes.size;
}

static enum rewrite_action on_element(void *owner, const struct rewrite_element *element)
{
    (void)owner;
    for (size_t i = 0; i < element->match_count; i++) {
        found++;
        page_now->matches++;
        if (element->matches[i].set == 0)
            was_matched[element->matches[i].id] = true;
    }
    return element->match_count && removes ? REWRITE_REMOVE : REWRITE_KEEP;
}

static const struct rewrite_events events = {
    .on_output = on_output,
    .on_element = on_element,
};

static void tokenize(struct page *page)
{
    static struct tokenizer tokenizer;
    struct token token;

    tokenizer_init(&tokenizer);
    for (size_t at = 0, size; at < page->bytes.size; at += size) {
        size = page->bytes.size - at < PIECE_BYTES ? page->bytes.size - at : PIECE_BYTES;
        tokenizer_feed(&tokenizer, span_slice(buffer_span(&page->bytes), at, size));
        while (tokenizer_next(&tokenizer, &token)) {
            if (token.kind == TOKEN_START_TAG && token.tag == TAG_SCRIPT)
                tokenizer_set_state(&tokenizer, TOKENIZER_SCRIPT, token.name);
            else if (token.kind == TOKEN_START_TAG && token.tag == TAG_STYLE)
                tokenizer_set_state(&tokenizer, TOKENIZER_RAWTEXT, token.name);
            outputs += token.bytes.size;
        }
    }
    tokenizer_done(&tokenizer);
}

static void rewrite(struct page *page, const struct selector_set *const *sets, size_t count)
{
    struct rewrite_options options = { .sets = sets, .set_count = count };
    struct rewrite *rewriting;

    page_now = page;
    rewriting = rewrite_new(&options, &events, NULL);
    for (size_t at = 0, size; at < page->bytes.size; at += size) {
        size = page->bytes.size - at < PIECE_BYTES ? page->bytes.size - at : PIECE_BYTES;
        rewrite_feed(rewriting, span_slice(buffer_span(&page->bytes), at, size));
    }
    rewrite_finish(rewriting);
    if (rewrite_gave_up(rewriting))
        printf("gave up on %s\n", page->host);
    rewrite_free(&rewriting);
}

static void parse_only(struct page *page)
{
    static struct selector_set *empty;
    const struct selector_set *sets[1];

    if (!empty) {
        empty = selector_set_new();
        selector_set_finish(empty);
    }
    sets[0] = empty;
    rewrite(page, sets, 1);
}

static void all_rules(struct page *page)
{
    const struct selector_set *sets[2] = { generic, page->specific };
    rewrite(page, sets, 2);
}

static void unmatched_rules(struct page *page)
{
    const struct selector_set *sets[1] = { unmatched };
    rewrite(page, sets, 1);
}

static void untouched_pages(struct page *page)
{
    if (page->matches == 0)
        all_rules(page);
}

static void measure(const char *name, int rounds, void (*work)(struct page *), size_t bytes)
{
    double best = 1e9;

    for (int i = 0; i < rounds; i++) {
        double start = now_s();
        found = 0;
        for (size_t j = 0; j < page_count; j++)
            work(&pages[j]);
        if (now_s() - start < best)
            best = now_s() - start;
    }
    printf("%-46s %7.0f MB/s  (%zu matches)\n", name, (double)bytes / best / 1e6, found);
}

int main(int argc, char **argv)
{
    const char *shared = getenv("DEJUNK_SHARED");
    uint64_t rounds = 60;
    char path[8192];
    size_t untouched_bytes = 0;
    double start;

    if (argc > 1)
        (void)span_to_u64(span_text(argv[1]), &rounds);
    shared = shared ? shared : "../shared";
    snprintf(path, sizeof path, "%s/kits/html/open", shared);
    read_pages(path);
    snprintf(path, sizeof path, "%s/engine/lists/easylist.txt.gz", shared);
    if (page_count == 0 || !read_gzip(&lists[0], path)) {
        printf("no pages or lists under %s: nothing to measure\n", shared);
        return 0;
    }
    snprintf(path, sizeof path, "%s/engine/lists/ublock-default-flat.txt.gz", shared);
    if (!read_gzip(&lists[1], path))
        printf("without %s\n", path);

    generic = selector_set_new();
    start = now_s();
    add_rules(generic, NULL, false);
    selector_set_finish(generic);
    printf("%zu pages, %.1f MB; %zu generic selectors, %zu kB, compiled in %.1f ms\n", page_count,
           (double)total_bytes / 1e6, selector_set_count(generic),
           selector_set_bytes(generic) / 1000, (now_s() - start) * 1e3);
    for (size_t i = 0; i < page_count; i++) {
        pages[i].specific = selector_set_new();
        add_rules(pages[i].specific, pages[i].host, false);
        selector_set_finish(pages[i].specific);
    }
    for (size_t i = 0; i < page_count; i++)
        all_rules(&pages[i]);
    removes = true;
    for (size_t i = 0; i < page_count; i++)
        untouched_bytes += pages[i].matches ? 0 : pages[i].bytes.size;
    unmatched = selector_set_new();
    add_rules(unmatched, NULL, true);
    selector_set_finish(unmatched);

    measure("tokenizer alone", (int)rounds, tokenize, total_bytes);
    measure("rewriter without selectors", (int)rounds, parse_only, total_bytes);
    measure("all rules, page host set", (int)rounds, all_rules, total_bytes);
    if (untouched_bytes)
        measure("all rules, pages in which none matches", (int)rounds, untouched_pages,
                untouched_bytes);
    measure("rules that match no page", (int)rounds, unmatched_rules, total_bytes);

    for (size_t i = 0; i < page_count; i++) {
        buffer_release(&pages[i].bytes);
        selector_set_free(&pages[i].specific);
    }
    selector_set_free(&generic);
    selector_set_free(&unmatched);
    buffer_release(&lists[0]);
    buffer_release(&lists[1]);
    return 0;
}
