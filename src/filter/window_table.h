/*
 * window_table.h - one book's share of the section WINDOWS: a filter, the table of windows, and a
 * filter of the long ones (image.h).
 *
 * Knows nothing of rules: each window leads to a chain that somebody else has written.
 */
#ifndef DEJUNK_FILTER_WINDOW_TABLE_H
#define DEJUNK_FILTER_WINDOW_TABLE_H

#include "filter/image.h"
#include "filter/vector.h"

struct window_key {
    uint64_t bytes; // window_bytes()
    uint32_t chain;
    bool is_long;
};

/* Appends to `windows`, and fills in the book. `keys`: struct window_key, each once. Tries factors
 * and sizes until every window is near its place; false when none will do. */
bool window_table_write(struct vector *windows, struct image_book *book, const struct vector *keys);

#endif
