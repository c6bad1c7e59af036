#include "filter/known.h"

#include <assert.h>
#include <xxhash.h>

enum { CAPACITY = 1024 }; // at first

void known_done(struct known *known)
{
    free(known->items);
    *known = (struct known){ 0 };
}

static void grow(struct known *known)
{
    struct known old = *known;
    size_t capacity = old.capacity ? old.capacity * 2 : CAPACITY;

    known->capacity = capacity;
    known->items = calloc(capacity, sizeof *known->items);
    if (!known->items)
        abort();
    for (size_t i = 0; i < old.capacity; i++) {
        size_t slot = old.items[i].hash & (capacity - 1);

        if (!old.items[i].count)
            continue;
        while (known->items[slot].count)
            slot = (slot + 1) & (capacity - 1);
        known->items[slot] = old.items[i];
    }
    free(old.items);
}

uint32_t known_settle(struct known *known, struct vector *section, size_t item_size, size_t start)
{
    const char *bytes = section->at, *added = bytes + start * item_size;
    size_t count = section->count - start, slot;
    uint64_t hash = XXH3_64bits(added, count * item_size);

    assert(count > 0 && section->count <= UINT32_MAX);
    if (known->used * 2 >= known->capacity)
        grow(known);
    slot = hash & (known->capacity - 1);
    for (; known->items[slot].count; slot = (slot + 1) & (known->capacity - 1)) {
        const struct known_item *item = &known->items[slot];
        if (item->hash != hash || item->count != count ||
            memcmp(bytes + item->at * item_size, added, count * item_size) != 0)
            continue;
        section->count = start;
        return item->at;
    }
    known->items[slot] =
        (struct known_item){ .hash = hash, .at = (uint32_t)start, .count = (uint32_t)count };
    known->used++;
    return (uint32_t)start;
}
