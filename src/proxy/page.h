/*
 * page.h - edits one page as it streams: bytes in, bytes out.
 *
 * Joins the rewriter of html/ with what page_rules.h says of a host and with its owner's answer to
 * "would this be stopped?". Elements that would fetch what is stopped go before a browser sees
 * them; those that cosmetic rules name are hidden, hollowed or removed; one text is put in at the
 * start of the head. Knows nothing of messages, connections or the config.
 */
#ifndef DEJUNK_PROXY_PAGE_H
#define DEJUNK_PROXY_PAGE_H

#include "html/rewrite.h"
#include "proxy/page_links.h"
#include "proxy/page_rules.h"

enum page_strip { PAGE_STRIP_HIDE, PAGE_STRIP_HOLLOW, PAGE_STRIP_REMOVE };

enum page_change_kind { PAGE_REMOVED, PAGE_HOLLOWED, PAGE_HIDDEN, PAGE_CANDIDATE_REMOVED };

struct page_change { // borrowed
    enum page_change_kind kind;
    struct span tag;  // its name as written; empty for an implied one
    rule_number rule; // 0: a policy
    struct span url;  // of what it would have fetched; .at NULL: a cosmetic rule
};

struct page_events {
    void (*on_output)(void *owner, struct span bytes);
    /* May be NULL. */
    void (*on_change)(void *owner, const struct page_change *change);
    void (*on_gave_up)(void *owner, const char *why, rule_number rule);
    /* Would a request for `url` be stopped for certain, by a block and not by a redirect?
     * is_host_only: every request to its host. *rule: by which; 0: a policy. */
    bool (*is_stopped)(void *owner, struct span url, enum request_type type, bool is_host_only,
                       rule_number *rule);
};

struct page_setup {
    struct page_sheet *sheet; // referenced; NULL: no cosmetic rules
    struct span url;          // of the page; copied
    enum page_strip strip;
    bool removes_blocked;
    struct span head;      // to be put in at the start of the head: ASCII; copied; may be empty
    bool has_script;       // page_late.h's is in it: it is told by what an element is hidden
    struct span connect;   // a URL that a policy in <meta> must allow; copied; may be empty
    bool charset_is_known; // as one that can be read
};

/* Appends what a sheet needs at the start of the head where its rules do `strip`: a <style>, or
 * nothing. *css: the text in it, .at NULL: none; good until `to` changes. False: it does not fit.
 */
bool page_write_style(struct buffer *to, const struct page_sheet *sheet, enum page_strip strip,
                      struct span *css);

struct page; // opaque

struct page *page_new(const struct page_setup *setup, const struct page_events *events,
                      void *owner);
void page_free(struct page **page);

void page_feed(struct page *page, struct span bytes);
void page_finish(struct page *page);
/* Out with what is held, as it is; the rest is copied. Answers the rule that cost most, or 0. */
rule_number page_stop(struct page *page);

/* Memory that grew with the input. */
size_t page_held(const struct page *page);
uint64_t page_removed_bytes(const struct page *page);
uint64_t page_removed_elements(const struct page *page);

#endif
