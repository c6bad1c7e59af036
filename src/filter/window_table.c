#include "filter/window_table.h"

enum { FILTER_BITS = 16 }; // of the filter in front of the table, at most: 64 kB

static bool put_window(struct image_window *table, uint32_t slots, uint32_t tag, uint32_t chain)
{
    uint32_t slot = image_window_slot(tag, slots);

    for (unsigned walk = 0; walk <= IMAGE_WINDOW_WALK; walk++, slot++) {
        if (table[slot].chain && table[slot].tag != tag)
            continue;
        if (table[slot].chain & IMAGE_CHAIN && chain & IMAGE_CHAIN)
            return false; // two windows with the same tag
        table[slot].tag = tag;
        table[slot].chain |= chain;
        return true;
    }
    return false;
}

static bool fill_windows(struct image_book *book, const struct vector *keys, char *filter,
                         struct image_window *table, uint32_t *longs)
{
    for (size_t i = 0; i < keys->count; i++) {
        const struct window_key *key = &VECTOR_AT(*keys, struct window_key, i);
        uint32_t tag = image_tag_short((uint32_t)key->bytes, book->factor);

        filter[tag >> (32 - book->filter_bits)] = 1;
        if (!put_window(table, book->table_slots, tag,
                        key->is_long ? IMAGE_WINDOW_LONGER : key->chain))
            return false;
        if (key->is_long) {
            uint32_t tag_long = image_tag_long(key->bytes, book->factor);
            uint32_t bit = tag_long >> (32 - book->longs_bits);

            longs[bit / 32] |= 1u << bit % 32;
            if (!put_window(table, book->table_slots, tag_long, key->chain))
                return false;
        }
    }
    return true;
}

bool window_table_write(struct vector *windows, struct image_book *book, const struct vector *keys)
{
    size_t count = keys->count + 4, at = windows->count;

    for (size_t i = 0; i < keys->count; i++)
        count += VECTOR_AT(*keys, struct window_key, i).is_long;
    book->filter_bits = 6;
    while (book->filter_bits < FILTER_BITS && (1u << book->filter_bits) < keys->count * 8)
        book->filter_bits++;
    book->longs_bits = 5;
    while (book->longs_bits < 15 && (1u << book->longs_bits) < keys->count * 16)
        book->longs_bits++;
    book->factor = 0x9E3779B1u;
    for (unsigned try = 0; try < 40; try++) {
        size_t filter_size = (size_t)1 << book->filter_bits;
        size_t slots = count * (180 + 10 * (try / 4)) / 100;
        size_t table_size = (slots + IMAGE_WINDOW_WALK + 1) * sizeof(struct image_window);

        if (slots > IMAGE_LIMIT / sizeof(struct image_window))
            return false;
        size_t longs_size = ((size_t)1 << book->longs_bits) / 8;
        char *base;

        windows->count = at;
        vector_add(windows, 1, (filter_size + table_size + longs_size + 7) / 8 * 8);
        base = (char *)windows->at + at;
        book->filter_at = (uint32_t)at;
        book->table_at = (uint32_t)(at + filter_size);
        book->table_slots = (uint32_t)slots;
        book->longs_at = (uint32_t)(at + filter_size + table_size);
        if (fill_windows(book, keys, base, (void *)(base + filter_size),
                         (void *)(base + filter_size + table_size)))
            return true;
        book->factor = book->factor * 0x2545F491u | 1;
    }
    return false;
}
