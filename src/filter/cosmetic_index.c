#include "filter/cosmetic_index.h"

#include <xxhash.h>

#include "filter/image.h"
#include "filter/known.h"

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

/* What of a name's hash is written: names that are equal in it have their rules in common. */
static uint64_t key_of(const struct cosmetic_name *name)
{
    return name->hash >> IMAGE_COSMETIC_UNUSED;
}

/* The rules of one name, as a list; where it begins in `lists`. */
static uint32_t add_list(const struct cosmetic_index *index, const struct cosmetic_name *names,
                         size_t count, struct vector *lists, struct known *known)
{
    size_t start = lists->count;

    for (size_t i = 0; i < count; i++)
        put(lists, word_of(index, names[i].line, names[i].is_not) |
                       (i + 1 == count ? IMAGE_COSMETIC_LAST : 0));
    return known_settle(known, lists, sizeof(uint32_t), start);
}

/* Index, keys and rules of the names, which are in order, and the lists of those with several. */
static uint32_t write_names(const struct cosmetic_index *index, struct vector *words)
{
    const struct cosmetic_name *names = index->names.at;
    size_t count = index->names.count, different = 0;
    struct vector lists = { 0 };
    struct known known = { 0 };
    uint32_t *starts, *keys, *rules;

    for (size_t i = 0; i < count; i++)
        different += i == 0 || key_of(&names[i]) != key_of(&names[i - 1]);
    starts = vector_add(words, sizeof *starts, IMAGE_COSMETIC_INDEX + 2 * different);
    keys = starts + IMAGE_COSMETIC_INDEX;
    rules = keys + different;
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && key_of(&names[end]) == key_of(&names[i]);)
            end++;
        *keys++ = image_cosmetic_key(names[i].hash);
        starts[image_cosmetic_byte(names[i].hash) + 1]++;
        if (end == i + 1)
            *rules++ = word_of(index, names[i].line, names[i].is_not);
        else
            *rules++ = add_list(index, &names[i], end - i, &lists, &known) | IMAGE_COSMETIC_LIST;
    }
    for (size_t i = 1; i < IMAGE_COSMETIC_INDEX; i++)
        starts[i] += starts[i - 1];
    for (rules = keys; rules < keys + different; rules++) // where lists begin is known now
        if (*rules & IMAGE_COSMETIC_LIST)
            *rules += (uint32_t)words->count;
    if (lists.count)
        memcpy(vector_add(words, sizeof(uint32_t), lists.count), lists.at,
               lists.count * sizeof(uint32_t));
    vector_done(&lists);
    known_done(&known);
    return (uint32_t)different;
}

/* Most generic rules follow each other: a word for the first, and how many there are. */
static uint32_t write_generics(const struct cosmetic_index *index, struct vector *words)
{
    const struct cosmetic_line *lines = index->lines.at;
    uint32_t all = 0;

    for (uint32_t i = 0, end; i < index->lines.count; i = end) {
        end = i + 1;
        if (!lines[i].is_generic)
            continue;
        while (end < index->lines.count && lines[end].is_generic &&
               lines[end].is_exception == lines[i].is_exception)
            end++;
        put(words, word_of(index, i, false));
        put(words, end - i);
        all += end - i;
    }
    return all;
}

bool cosmetic_index_write(struct cosmetic_index *index, struct vector *words)
{
    struct image_cosmetic head = { 0 };

    for (size_t i = 0; i < index->lines.count; i++)
        if (VECTOR_AT(index->lines, struct cosmetic_line, i).number > IMAGE_COSMETIC_NUMBER)
            return false;
    if (index->names.count)
        qsort(index->names.at, index->names.count, sizeof(struct cosmetic_name), compare);
    vector_add(words, sizeof(uint32_t), IMAGE_COSMETIC_HEAD);
    head.names = write_names(index, words);
    head.generics_at = (uint32_t)words->count;
    head.generics = write_generics(index, words);
    head.regexes_at = (uint32_t)words->count;
    for (size_t i = 0; i < index->regexes.count; i++) {
        const struct cosmetic_name *name = &VECTOR_AT(index->regexes, struct cosmetic_name, i);
        put(words, (uint32_t)name->hash);
        put(words, word_of(index, name->line, name->is_not));
    }
    memcpy(words->at, &head, sizeof head);
    return words->count <= IMAGE_COSMETIC_NUMBER;
}
