/*
 * names.h - the host names of a database under construction.
 *
 * Every name that a rule mentions is entered once and has an index; in the end the names become
 * the sections BUCKETS, SLOTS and HOSTS of the image. Knows nothing of rules: whoever compiles
 * them says which names are plain, which are needed and which have a record.
 */
#ifndef DEJUNK_FILTER_NAMES_H
#define DEJUNK_FILTER_NAMES_H

#include "base/arena.h"
#include "filter/pieces.h"
#include "filter/vector.h"

#define NAMES_NONE UINT32_MAX

struct name {
    uint64_t hash;    // with the seed in force
    const char *text; // lower case; of "name.*" without ".*"
    uint32_t place;   // of the plain rule
    uint32_t at;      // offset in HOSTS, after names_write_hosts(); 0: left out
    uint32_t record;  // index in NAMES, set by the owner before names_write_table(); 0: none
    uint8_t size;
    bool is_entity, is_plain, is_needed; // set by the owner, but for is_entity
};

struct names {
    struct vector items; // struct name
    struct vector plain; // uint32_t: names made plain, in that order
    uint32_t *table;     // open addressing, index + 1
    size_t table_size;
    uint64_t seed;
    struct pieces_index *pieces; // borrowed
};

void names_init(struct names *names, struct pieces_index *pieces);
void names_done(struct names *names);

/* The index of a name in lower case that names_can_be(), entered if `create`; NAMES_NONE: not
 * there. The text is not copied. */
uint32_t names_find(struct names *names, struct span text, bool is_entity, bool create);
static inline struct name *names_at(struct names *names, uint32_t index)
{
    return &VECTOR_AT(names->items, struct name, index);
}
/* Makes it plain; false when it was. */
bool names_make_plain(struct names *names, uint32_t index, uint32_t place);

/* Does it have a size and bytes that the packed form can take? */
bool names_can_be(struct span text);

/* The hash of a name as image.h says, with the given seed. */
uint64_t names_hash(uint64_t seed, struct span text);

/* Writes HOSTS (plain names first, in the order they were made plain) and where the plain ones
 * stand (struct image_run). Sets `at` of each name that is plain or needed. */
void names_write_hosts(struct names *names, struct vector *hosts, struct vector *runs);
/* Writes BUCKETS and SLOTS; may choose another seed. False when no seed will do. */
bool names_write_table(struct names *names, struct vector *buckets, struct vector *slots);

#endif
