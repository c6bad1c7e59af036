#include "filter/cosmetic_index.h"

#include <xxhash.h>

#include "filter/image.h"

enum { ENTITY_SEED = 0x2a2e, NAME_SEED = 0x2e };

uint64_t cosmetic_hash(struct span name, bool is_entity)
{
    return XXH3_64bits_withSeed(name.at, name.size, is_entity ? ENTITY_SEED : NAME_SEED);
}

void cosmetic_index_done(struct cosmetic_index *index)
{
    vector_done(&index->lines);
    vector_done(&index->names);
    vector_done(&index->regexes);
}

void cosmetic_index_begin(struct cosmetic_index *index, const struct cosmetic_line *line)
{
    *VECTOR_ADD(index->lines, struct cosmetic_line) = *line;
}

void cosmetic_index_name(struct cosmetic_index *index, struct span name, bool is_entity,
                         bool is_not)
{
    *VECTOR_ADD(index->names, struct cosmetic_name) =
        (struct cosmetic_name){ .hash = cosmetic_hash(name, is_entity),
                                .line = (uint32_t)index->lines.count - 1,
                                .is_not = is_not };
}

void cosmetic_index_regex(struct cosmetic_index *index, uint32_t regex, bool is_not)
{
    *VECTOR_ADD(index->regexes, struct cosmetic_name) = (struct cosmetic_name){
        .hash = regex, .line = (uint32_t)index->lines.count - 1, .is_not = is_not
    };
}

static int compare(const void *a, const void *b)
{
    const struct cosmetic_name *one = a, *other = b;

    if (one->hash != other->hash)
        return one->hash < other->hash ? -1 : 1;
    return one->line < other->line ? -1 : one->line > other->line;
}

static uint32_t word_of(const struct cosmetic_index *index, uint32_t number, bool is_not)
{
    const struct cosmetic_line *line = &VECTOR_AT(index->lines, struct cosmetic_line, number);

    return line->number | (line->is_exception ? IMAGE_COSMETIC_EXCEPTION : 0) |
           (is_not ? IMAGE_COSMETIC_NOT : 0);
}

static void put(struct vector *words, uint32_t word)
{
    *VECTOR_ADD(*words, uint32_t) = word;
}

/* The rules of each name, one after the other, and where they begin in the table. */
static void write_names(const struct cosmetic_index *index, struct vector *words, uint32_t bits)
{
    const struct cosmetic_name *names = index->names.at;
    size_t mask = ((size_t)1 << bits) - 1;

    for (size_t i = 0, end; i < index->names.count; i = end) {
        size_t slot = names[i].hash & mask, at = words->count;
        uint32_t *table;

        for (end = i; end < index->names.count && names[end].hash == names[i].hash;)
            end++;
        put(words, (uint32_t)(end - i));
        for (size_t k = i; k < end; k++)
            put(words, word_of(index, names[k].line, names[k].is_not));
        table = (uint32_t *)words->at + IMAGE_COSMETIC_TABLE;
        while (table[2 * slot + 1])
            slot = (slot + 1) & mask;
        table[2 * slot] = (uint32_t)(names[i].hash >> 32);
        table[2 * slot + 1] = (uint32_t)at;
    }
}

bool cosmetic_index_write(struct cosmetic_index *index, struct vector *words)
{
    struct image_cosmetic head = { .bits = 4 };

    for (size_t i = 0; i < index->lines.count; i++)
        if (VECTOR_AT(index->lines, struct cosmetic_line, i).number > IMAGE_COSMETIC_NUMBER)
            return false;
    if (index->names.count)
        qsort(index->names.at, index->names.count, sizeof(struct cosmetic_name), compare);
    for (size_t i = 0; i < index->names.count; i++)
        head.names += i == 0 || VECTOR_AT(index->names, struct cosmetic_name, i).hash !=
                                    VECTOR_AT(index->names, struct cosmetic_name, i - 1).hash;
    while (((size_t)1 << head.bits) < (size_t)head.names * 8 / 7)
        head.bits++;
    if (head.bits > IMAGE_COSMETIC_BITS)
        return false;
    vector_add(words, 4, IMAGE_COSMETIC_TABLE + ((size_t)2 << head.bits));
    write_names(index, words, head.bits);
    head.generics_at = (uint32_t)words->count;
    for (uint32_t i = 0; i < index->lines.count; i++)
        if (VECTOR_AT(index->lines, struct cosmetic_line, i).is_generic)
            put(words, word_of(index, i, false));
    head.regexes_at = (uint32_t)words->count;
    for (size_t i = 0; i < index->regexes.count; i++) {
        const struct cosmetic_name *name = &VECTOR_AT(index->regexes, struct cosmetic_name, i);
        put(words, (uint32_t)name->hash);
        put(words, word_of(index, name->line, name->is_not));
    }
    memcpy(words->at, &head, sizeof head);
    return words->count < IMAGE_LIMIT / 4;
}
