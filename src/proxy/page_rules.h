/*
 * page_rules.h - the cosmetic rules of one database, ready for pages: selectors compiled, style
 * sheets written.
 *
 * Generic rules are compiled once for a database, when the first page needs them; those of a host
 * once for it, and kept for the next page. A sheet is what holds for one host: it is shared by
 * reference, lives as long as a page needs it, and keeps all that it points into alive. Joins
 * filter/cosmetic and html/selector; knows nothing of messages.
 */
#ifndef DEJUNK_PROXY_PAGE_RULES_H
#define DEJUNK_PROXY_PAGE_RULES_H

#include "filter/cosmetic.h"
#include "html/selector.h"

enum {
    PAGE_SHEETS = 64, // kept
    PAGE_STYLE_BYTES = 256 << 10,
    PAGE_LATE_BYTES = 512 << 10, // of one answer to the script in a page
    PAGE_LATE_NAMES = 1024,      // asked for at once
};

enum page_action {
    PAGE_HIDE, // as the config wants it
    PAGE_REMOVE,
    PAGE_INSPECT, // remove if its text passes the tests
};

struct page_rule { // one that is decided as the page streams
    rule_number number;
    uint8_t action;
    bool is_in_style; // the sheet's style hides it too
};

struct page_rules; // opaque

struct page_sheet {
    unsigned references;
    struct page_rules *owner; // referenced
    struct selector_set *set; // of this host; NULL: it has none
    struct page_rule *rules;  // by the set's numbers
    size_t rule_count;
    bool has_generics;  // in force here, but for:
    uint32_t *excluded; // generic numbers, ascending
    size_t excluded_count;
    bool has_late;       // some of them may be asked for by page_rules_late()
    bool hides_in_style; // there are rules of PAGE_HIDE whose selector is in the style,
    bool hides_alone;    // and such as are not there
    struct buffer style; // ASCII, for a <style>; may be empty
    size_t not_done;     // rules that need an engine in the page
    // page_rules.c only, from here
    char *host;
    unsigned flags;
    uint64_t used;
};

/* With a reference to `database`. Counted by reference. */
struct page_rules *page_rules_new(struct database *database);
void page_rules_unref(struct page_rules **rules);
struct database *page_rules_database(const struct page_rules *rules);

/* What holds for a page of this host (lower case) under these flags (enum page_flag); with a
 * reference. NULL: no cosmetic rule does. */
struct page_sheet *page_rules_sheet(struct page_rules *rules, struct span host, unsigned flags);
void page_sheet_unref(struct page_sheet **sheet);

/* The generic selectors that are decided as a page streams, and the rule of each number. */
const struct selector_set *page_rules_generics(struct page_rules *rules);
const struct page_rule *page_rules_generic(const struct page_rules *rules, uint32_t id);
bool page_sheet_excludes(const struct page_sheet *sheet, uint32_t generic_id);

/* Appends the selector of a rule as ASCII that can stand in a <style>. False: it does not fit. */
bool page_rules_selector(struct page_rules *rules, rule_number number, struct buffer *to);

/* Does the text of an inspected element pass the tests of a rule? */
bool page_rules_test(struct page_rules *rules, rule_number number, struct span text, bool is_whole);

/* For elements that come later: rules, a line each, for what was asked. `names` are numbers
 * (page_rules_late_name()) in base 36 divided by '.'; with `wants_all` also those generic rules
 * that no class or id leads to. */
bool page_rules_late(struct page_rules *rules, const struct page_sheet *sheet, struct span names,
                     bool wants_all, struct buffer *to);
/* The number of ".class" or "#id". */
uint32_t page_rules_late_name(struct span name);

/* Appends a selector as ASCII that can stand in a <style>. */
bool page_write_selector(struct buffer *to, struct span selector);

#endif
