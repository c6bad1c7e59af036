/*
 * Megabytes a second through a page's whole editor, as the proxy has it: all of config B's rules,
 * cosmetic and network, in force, the page's host set.
 *
 *     bench_page [ROUNDS]     best of the rounds; pages and lists are those under DEJUNK_SHARED
 *
 * Lists are EasyList, EasyPrivacy and uBlock's defaults. Pages are fed 16 kB at a time.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/url.h"
#include "bench.h"
#include "daemon/rulebook.h"
#include "filter/match.h"
#include "proxy/page.h"

enum { PAGES = 512, PIECE_BYTES = 16384 };

static struct entry {
    struct buffer bytes;
    char url[300];
    uint64_t changes;
} pages[PAGES];
static size_t page_count;
static struct matcher *matcher;
static struct page_rules *rules;
static size_t outputs, changes, asked;
static struct entry *now;

static void read_url(struct entry *page, const char *path)
{
    struct buffer text = { 0 };
    const struct span key = SPAN("\"host\":\"");
    struct span host = SPAN("page.invalid");
    size_t at;

    if (read_gzip(&text, path)) {
        at = span_find(buffer_span(&text), key) + key.size;
        if (at < text.size) {
            host = span_from(buffer_span(&text), at);
            host.size = span_find_byte(host, '"');
        }
    }
    snprintf(page->url, sizeof page->url, "http://%.*s/", SPAN_PRINT(host));
    buffer_release(&text);
}

static void read_pages(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) && page_count < PAGES) {
        struct span name = span_text(entry->d_name);
        char path[8192];

        if (!span_ends(name, SPAN(".html.gz")))
            continue;
        snprintf(path, sizeof path, "%.4000s/%s", folder, entry->d_name);
        if (!read_gzip(&pages[page_count].bytes, path))
            continue;
        snprintf(path, sizeof path, "%.4000s/%.*s.selectors.json", folder,
                 (int)(name.size - 8) & 0xfff, name.at);
        read_url(&pages[page_count++], path);
    }
    if (dir)
        closedir(dir);
}

static void on_output(void *owner, struct span bytes)
{
    (void)owner;
    outputs += bytes.size;
}

static void on_change(void *owner, const struct page_change *change)
{
    (void)owner;
    (void)change;
    changes++;
    now->changes++;
}

static void on_gave_up(void *owner, const char *why, rule_number rule)
{
    (void)owner;
    (void)rule;
    printf("%s: %s\n", now->url, why);
}

static bool is_stopped(void *owner, struct span url, enum request_type type, bool is_host_only,
                       rule_number *rule)
{
    struct request request = {
        .url = url, .source = span_text(now->url), .type = type, .method = SPAN("GET")
    };
    struct verdict verdict;

    (void)owner;
    asked++;
    if (is_host_only)
        matcher_connect(matcher, url_find_host(url), &verdict);
    else
        matcher_ask(matcher, &request, &verdict);
    *rule = verdict.rule;
    return verdict.action == VERDICT_BLOCK;
}

static const struct page_events events = {
    .on_output = on_output,
    .on_change = on_change,
    .on_gave_up = on_gave_up,
    .is_stopped = is_stopped,
};

static void edit(struct entry *entry)
{
    struct page_setup setup = { .url = span_text(entry->url), .removes_blocked = true };
    struct page *page;

    now = entry;
    setup.sheet = page_rules_sheet(rules, url_find_host(setup.url), 0);
    if (setup.sheet)
        setup.head = buffer_span(&setup.sheet->style);
    page = page_new(&setup, &events, NULL);
    for (size_t at = 0, size; at < entry->bytes.size; at += size) {
        size = entry->bytes.size - at < PIECE_BYTES ? entry->bytes.size - at : PIECE_BYTES;
        page_feed(page, span_slice(buffer_span(&entry->bytes), at, size));
    }
    page_finish(page);
    page_free(&page);
    page_sheet_unref(&setup.sheet);
}

static bool open_rules(struct rulebook *book, const char *shared, struct database **database)
{
    static const char *const lists[] = { "easylist", "easyprivacy", "ublock-default-flat" };
    struct list_summary summary;
    struct compile_counts counts;
    struct error error;
    struct span image;
    char path[8192];

    (void)rulebook_add_suffixes(book, NULL, &error);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        snprintf(path, sizeof path, "%.4000s/engine/lists/%s.txt.gz", shared, lists[i]);
        if (rulebook_add(book, path, NULL, true, &summary, &error) != ERROR_NONE) {
            printf("%s: nothing to measure\n", error.text);
            return false;
        }
    }
    return rulebook_compile(book, &image, &counts, &error) == ERROR_NONE &&
           database_open(database, image, &error) == ERROR_NONE;
}

static void measure(int rounds, bool only_untouched)
{
    double best = 1e9;
    size_t bytes = 0;

    for (int i = 0; i < rounds; i++) {
        double start = now_s();
        changes = asked = bytes = 0;
        for (size_t k = 0; k < page_count; k++) {
            if (only_untouched && pages[k].changes)
                continue;
            edit(&pages[k]);
            bytes += pages[k].bytes.size;
        }
        if (now_s() - start < best)
            best = now_s() - start;
    }
    printf("%-30s %7.0f MB/s  (%.1f MB, %zu changes, %zu questions)\n",
           only_untouched ? "pages that nothing touches" : "all pages", (double)bytes / best / 1e6,
           (double)bytes / 1e6, changes, asked);
}

int main(int argc, char **argv)
{
    const char *shared = getenv("DEJUNK_SHARED");
    struct rulebook *book = rulebook_new(NULL, NULL);
    struct database *database = NULL;
    uint64_t rounds = 15;
    char path[8192];

    if (argc > 1)
        (void)span_to_u64(span_text(argv[1]), &rounds);
    shared = shared ? shared : "../shared";
    snprintf(path, sizeof path, "%s/kits/html/open", shared);
    read_pages(path);
    if (page_count > 0 && open_rules(book, shared, &database)) {
        matcher = matcher_new(database);
        rules = page_rules_new(database);
        for (size_t k = 0; k < page_count; k++)
            edit(&pages[k]);
        measure((int)rounds, false);
        measure((int)rounds, true);
        page_rules_unref(&rules);
        matcher_free(&matcher);
    } else {
        printf("no pages under %s: nothing to measure\n", shared);
    }
    database_unref(&database);
    rulebook_free(&book);
    for (size_t k = 0; k < page_count; k++)
        buffer_release(&pages[k].bytes);
    return 0;
}
