/*
 * Pages, URLs of elements, policies and cosmetic rules: nothing crashes; however a page is cut the
 * output is the same; what is put in a style cannot end it.
 *
 * The input: a byte for the way, then a rule's line, a zero byte, and a page.
 */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/rulebook.h"
#include "proxy/page.h"
#include "proxy/page_policy.h"

enum { LIMIT_BYTES = 1 << 24 };

static void on_output(void *owner, struct span bytes)
{
    if (!buffer_append(owner, bytes))
        abort();
}

static void on_gave_up(void *owner, const char *why, rule_number rule)
{
    (void)owner;
    (void)why;
    (void)rule;
}

/* Every other URL, by its bytes. */
static bool is_stopped(void *owner, struct span url, enum request_type type, bool is_host_only,
                       rule_number *rule)
{
    unsigned sum = type;

    (void)owner;
    (void)is_host_only;
    for (size_t i = 0; i < url.size; i++)
        sum += (unsigned char)url.at[i];
    *rule = 0;
    return sum & 1;
}

static const struct page_events events = {
    .on_output = on_output,
    .on_gave_up = on_gave_up,
    .is_stopped = is_stopped,
};

static void edit(struct page_sheet *sheet, unsigned way, struct span text, size_t piece,
                 struct buffer *output)
{
    struct page_setup setup = { .sheet = sheet,
                                .url = SPAN("http://a.example/b/c?d"),
                                .strip = (enum page_strip)(way % 3),
                                .removes_blocked = way & 4,
                                .connect = way & 8 ? SPAN("http://a.example/x/") : SPAN_NONE,
                                .head = way & 16 ? SPAN("<style>x</style>") : SPAN_NONE };
    struct page *page = page_new(&setup, &events, output);

    for (size_t at = 0, size; at < text.size; at += size) {
        size = text.size - at < piece ? text.size - at : piece;
        page_feed(page, span_slice(text, at, size));
        if (way & 32 && at + size > text.size / 2)
            (void)page_stop(page);
    }
    page_finish(page);
    page_free(&page);
}

static void try_policy(struct span text)
{
    struct page_policy needs = { .style = SPAN("'sha256-S'"),
                                 .script = SPAN("'sha256-X'"),
                                 .connect = SPAN("http://a/b/") };
    struct buffer once = { .limit_bytes = LIMIT_BYTES }, twice = { .limit_bytes = LIMIT_BYTES };

    // What was changed is good: there is nothing more to change.
    if (page_policy_change(&once, text, &needs) &&
        page_policy_change(&twice, buffer_span(&once), &needs))
        abort();
    buffer_release(&once);
    buffer_release(&twice);
}

static void try_sheet(struct page_rules *rules, unsigned way, struct span text)
{
    struct page_sheet *sheet = page_rules_sheet(rules, SPAN("www.a.example"), 0);
    struct buffer whole = { .limit_bytes = LIMIT_BYTES }, cut = { .limit_bytes = LIMIT_BYTES };

    if (sheet && span_find_byte(buffer_span(&sheet->style), '<') < sheet->style.size)
        abort();
    for (size_t i = 0; sheet && i < sheet->style.size; i++)
        if ((unsigned char)sheet->style.at[i] >= 0x7f)
            abort();
    edit(sheet, way & ~32u, text, text.size + 1, &whole);
    edit(sheet, way & ~32u, text, way / 8 + 1, &cut);
    if (!span_equal(buffer_span(&whole), buffer_span(&cut)))
        abort();
    cut.size = 0;
    edit(sheet, way | 32u, text, 7, &cut);
    page_sheet_unref(&sheet);
    buffer_release(&whole);
    buffer_release(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of((const char *)data, size), line, text;
    struct rulebook *book;
    struct database *database;
    struct page_rules *rules;
    struct list_summary summary;
    struct compile_counts counts;
    struct error error;
    struct span image;
    size_t end;

    if (size < 2)
        return 0;
    all = span_from(all, 1);
    end = span_find_byte(all, 0);
    line = span_slice(all, 0, end);
    text = span_from(all, end + (end < all.size));
    try_policy(text);
    book = rulebook_new(NULL, NULL);
    if (rulebook_add_text(book, line, "list", true, &summary, &error) == ERROR_NONE &&
        rulebook_compile(book, &image, &counts, &error) == ERROR_NONE) {
        if (database_open(&database, image, &error) != ERROR_NONE)
            abort();
        rules = page_rules_new(database);
        try_sheet(rules, data[0], text);
        page_rules_unref(&rules);
        database_unref(&database);
    }
    rulebook_free(&book);
    return 0;
}
