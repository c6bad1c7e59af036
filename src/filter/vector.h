/*
 * vector.h - growing arrays for the compiler of databases.
 *
 * A zeroed struct is an empty vector. Items are moved when it grows: pointers into it are good
 * until the next vector_add(). Out of memory ends the process, as everywhere.
 */
#ifndef DEJUNK_FILTER_VECTOR_H
#define DEJUNK_FILTER_VECTOR_H

#include <stdlib.h>
#include <string.h>

struct vector {
    void *at;
    size_t count, capacity; // in items
};

/* Room for `items` more, zeroed, at the end. */
static inline void *vector_add(struct vector *vector, size_t item_size, size_t items)
{
    char *added;

    if (vector->count + items > vector->capacity) {
        size_t capacity = vector->capacity ? vector->capacity * 2 : 256;
        while (capacity < vector->count + items)
            capacity *= 2;
        vector->at = realloc(vector->at, capacity * item_size);
        if (!vector->at)
            abort();
        vector->capacity = capacity;
    }
    added = (char *)vector->at + vector->count * item_size;
    memset(added, 0, items * item_size);
    vector->count += items;
    return added;
}

static inline void vector_done(struct vector *vector)
{
    free(vector->at);
    *vector = (struct vector){ 0 };
}

#define VECTOR_ADD(vector, type) ((type *)vector_add(&(vector), sizeof(type), 1))
#define VECTOR_AT(vector, type, index) (((type *)(vector).at)[index])

#endif
