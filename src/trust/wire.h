/*
 * wire.h - reading numbers and vectors off a message: every take past its end fails for good.
 *
 * Numbers are in network order, as TLS and our own messages have them.
 */
#ifndef DEJUNK_TRUST_WIRE_H
#define DEJUNK_TRUST_WIRE_H

#include "base/bytes.h"

struct wire { // lives inside its owner
    struct span left;
    bool is_short; // something was taken that is not there
};

static inline struct span wire_take(struct wire *wire, size_t size)
{
    struct span taken;

    if (wire->is_short || size > wire->left.size) {
        wire->is_short = true;
        return SPAN_NONE;
    }
    taken = span_slice(wire->left, 0, size);
    wire->left = span_from(wire->left, size);
    return taken;
}

/* Of 1 to 4 bytes; 0 when short. */
static inline uint32_t wire_number(struct wire *wire, size_t width)
{
    struct span bytes = wire_take(wire, width);
    uint32_t number = 0;

    for (size_t i = 0; i < bytes.size; i++)
        number = number << 8 | (unsigned char)bytes.at[i];
    return number;
}

/* The bytes behind their own length of `width` bytes. */
static inline struct span wire_vector(struct wire *wire, size_t width)
{
    return wire_take(wire, wire_number(wire, width));
}

#endif
