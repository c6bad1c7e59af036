/*
 * tally.h - what browsers were spared: of requests that were stopped, and out of pages, by site.
 *
 * A request that is not sent has no size; it counts as much as answers to requests of its type
 * have had on average here. The site is that of the page that asked.
 */
#ifndef DEJUNK_PROXY_TALLY_H
#define DEJUNK_PROXY_TALLY_H

#include "proxy/context.h"
#include "proxy/judge.h"

struct tally_entry { // an exchange at its end
    const struct judgement *judgement;
    struct span host;  // that was asked
    bool has_size;     // the answer was on its way, and said how long it is
    uint64_t bytes;    // that, or of the body of one that passed
    bool was_answered; // by the origin, in full
    uint64_t removed_bytes, removed_elements;
};

void tally_note(struct proxy *proxy, const struct tally_entry *entry);

#endif
