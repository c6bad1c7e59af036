/*
 * page_links.h - what elements fetch by themselves: which attributes, as which type of request,
 * from which URL.
 *
 * Only elements that fetch without being asked count; a link that a person follows never does.
 * Knows nothing of rules.
 */
#ifndef DEJUNK_PROXY_PAGE_LINKS_H
#define DEJUNK_PROXY_PAGE_LINKS_H

#include "filter/request.h"
#include "html/tokenizer.h"

enum {
    PAGE_LINKS = 4,                                // of one element
    PAGE_URL_BYTES = 64 << 10,                     // of one URL; longer ones are let alone
    PAGE_RESOLVED_BYTES = 4 * PAGE_URL_BYTES + 64, // room for it and what it is relative to
};

enum page_link_kind {
    PAGE_LINK_ELEMENT,   // the element is there for nothing else: it goes
    PAGE_LINK_ATTRIBUTE, // one of several things, or the element has content of its own
    PAGE_LINK_SET,       // candidates of a srcset
    PAGE_LINK_HOST,      // only a connection to the host
};

struct page_link {
    enum page_link_kind kind;
    enum request_type type;
    size_t attribute; // of the token
};

/* What an element fetches; returns how many. */
size_t page_links_of(const struct token *tag, struct page_link links[PAGE_LINKS]);

/* What a link of such a `rel` and `as` (of preload; else not looked at) does by itself. False: it
 * fetches nothing. */
bool page_link_of_rel(struct span rel, struct span as, enum page_link_kind *kind,
                      enum request_type *type);

/* True for each tag that can fetch, or says what URLs are relative to. */
extern const bool page_links_wanted[TAGS_COUNT];

/* The URL that an attribute's value (references replaced) means on a page at `base`, as the URL
 * standard reads it; without a fragment. False: none that is asked for by HTTP, or too long. */
bool page_link_resolve(struct buffer *to, struct span base, struct span value);

/* Cuts the next candidate off a srcset: its URL, and all of it with its descriptor. */
bool page_link_next(struct span *set, struct span *url, struct span *candidate);

#endif
