/*
 * nearest.h - which known name a mistyped one was meant to be.
 *
 * Knows nothing of what the names stand for. Offer every known name; the nearest by edit
 * distance (a letter more, less, other, or two swapped) is kept, when it is near enough.
 */
#ifndef DEJUNK_BASE_NEAREST_H
#define DEJUNK_BASE_NEAREST_H

#include "base/bytes.h"

enum { NEAREST_BYTES = 64 }; // longer names have no neighbours

struct nearest {
    struct span wanted; // borrowed
    const char *name;   // borrowed; the best so far, or NULL
    size_t distance;    // of `name`, or the first that is too far
};

void nearest_init(struct nearest *nearest, struct span wanted);
/* Keeps `name` when it is nearer than all before it. */
void nearest_offer(struct nearest *nearest, const char *name);

#endif
