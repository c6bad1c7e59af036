/*
 * known.h - sections of a database in which nothing stands twice.
 *
 * Whoever makes a section adds a thing at its end, then settles it: if the same bytes were settled
 * before, what was added is taken away again, and the elder's place is told. A zeroed struct is
 * ready for use; end it with known_done(). The section stays the owner's.
 */
#ifndef DEJUNK_FILTER_KNOWN_H
#define DEJUNK_FILTER_KNOWN_H

#include <stdint.h>

#include "filter/vector.h"

struct known_item {
    uint64_t hash;
    uint32_t at, count; // count 0: free
};

struct known {
    struct known_item *items; // open addressing
    size_t capacity;          // a power of two, or 0
    size_t used;
};

void known_done(struct known *known);

/* The items of the section from index `start` to its end, at least one, are one thing. Returns the
 * index where it is to be found from now on. */
uint32_t known_settle(struct known *known, struct vector *section, size_t item_size, size_t start);

#endif
