/*
 * page_edit.h - what the rules change in a page: its fields at once, its body as it streams.
 *
 * Joins rules and html/rewrite. What comes of it depends on the URL, the rules, the config and the
 * response's fields alone, so that a 304 gets the same fields as the page did.
 */
#ifndef DEJUNK_PROXY_PAGE_EDIT_H
#define DEJUNK_PROXY_PAGE_EDIT_H

#include "proxy/body_edit.h"
#include "proxy/judge.h"

struct page_subject { // all borrowed, until the editor is freed
    struct judge *judge;
    struct settings *settings;
    const struct case_file *file;      // the request
    const struct judgement *judgement; // is_filtered; a document or subdocument, or a guess
    struct message *response;          // fields may be changed; texts go into its arena
    struct span charset;               // as Content-Type says; may be empty
};

/* Before the request goes out, response NULL: may its page be edited? Cheap. */
bool page_edit_may(const struct page_subject *subject);

/* For the head of a page, after all else was done to its fields. False: nothing can touch it, and
 * nothing was changed. Else its fields are what the edited page needs (CSP), and *out edits it. */
bool page_edit_open(struct body_edit *out, const struct page_subject *subject,
                    const struct body_edit_events *events, void *owner);

/* Only the fields, for a 304, which may have no Content-Type. False: it would not be edited. */
bool page_edit_fields(const struct page_subject *subject);

/* Changes when the same rules make something else of a page. */
uint64_t page_edit_generation(void);

#endif
