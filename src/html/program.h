/*
 * program.h - what selector.c makes of selectors, for selection.c to run.
 *
 * A selector "a.x > b" becomes two positions: the first is reached by an element that passes the
 * tests of "a.x", the second by one that passes those of "b" and whose parent has reached the
 * first. An element looks up the positions it might reach in `index`, by its id, its classes,
 * its attributes and its type. Each position is under one key, the rarest of its tests (or
 * under several: those of each alternative in an :is()).
 */
#ifndef DEJUNK_HTML_PROGRAM_H
#define DEJUNK_HTML_PROGRAM_H

#include "html/selector.h"

enum test_kind {
    TEST_TYPE,      // number: the key of the name
    TEST_ID,        // text
    TEST_CLASS,     // text
    TEST_HAS,       // number: the key of the attribute's name, as in the next seven
    TEST_EQUALS,    // text
    TEST_WORD,      // ~=
    TEST_LANGUAGE,  // |=
    TEST_PREFIX,    // ^=
    TEST_SUFFIX,    // $=
    TEST_SUBSTRING, // *=
    TEST_NTH_CHILD, // step, offset
    TEST_NTH_OF_TYPE,
    TEST_ROOT,
    TEST_EMPTY,
    TEST_LINK, // a or area with href
    TEST_ANY,  // first, count: alternatives, of which one must hold
    TEST_NONE, // of which none may
    TEST_NEVER
};

struct test {
    uint8_t kind;
    bool ignores_case;
    uint32_t at, size; // of the text
    union {
        uint64_t number;
        struct {
            int32_t step, offset;
        };
        struct {
            uint32_t first, count;
        };
    };
};

enum combinator { NO_COMBINATOR, DESCENDANT, CHILD, NEXT_SIBLING, LATER_SIBLING };

enum { NO_POSITION = UINT32_MAX };

struct compound {
    uint32_t first, count; // tests
};

struct position {
    uint32_t compound;
    uint32_t before; // the position on the other side of the combinator
    uint8_t combinator;
    uint8_t leads;         // bits 1 << combinator: what later positions ask of this one
    bool uses_empty;       // whether it holds is known one token later
    bool is_listed;        // in the index
    uint32_t first, count; // ids
};

/* Under which key an element's part is looked up. */
enum key_kind { KEY_ID = 1, KEY_CLASS, KEY_EQUALS, KEY_PREFIX, KEY_TYPE };

struct bucket {
    uint32_t first, count; // in `listed`
};

enum { PROGRAM_PREFIXES = 10, PROGRAM_GRAM_BITS = 2048, PROGRAM_STRIDE = 8 };
extern const uint8_t program_prefixes[PROGRAM_PREFIXES]; // sizes, ascending

struct attribute_keys { // where to look up the values of an attribute
    uint64_t name;      // key of its name; 0: an empty place
    bool has_equals;
    uint16_t prefixes;        // bits: which of program_prefixes
    struct bucket has;        // positions to be tried on any value
    struct bucket substrings; // on values that have one of their grams, four bytes,
    uint8_t stride;           // at every so many bytes
    uint64_t grams[PROGRAM_GRAM_BITS / 64];
};

struct selector_set { // selection.c reads it; all arrays are the set's own
    struct test *tests;
    struct compound *compounds;
    struct position *positions;
    uint32_t *alternatives; // positions
    uint32_t *ids;
    char *text;
    size_t tests_count, compounds_count, positions_count, alternatives_count, ids_count, text_size,
        selectors_count;

    uint32_t *listed; // positions, bucket by bucket; the index, from here on
    size_t listed_count;
    uint64_t *filter; // a bit for each key
    uint64_t *keys;   // open addressing; 0: an empty place
    struct bucket *buckets;
    size_t filter_mask, keys_mask;
    struct attribute_keys *attributes; // open addressing
    size_t attributes_mask;
    struct bucket types[TAGS_COUNT];
    struct bucket any;
    bool has_other_types, asks_siblings, asks_types;
    const struct attribute_keys *id_keys, *class_keys;

    struct builder *builder; // until it is finished
};

/* ---- building: selector.c ---- */

struct selector_set *program_new(void);
void program_free(struct selector_set **set);
/* Keeps a text; returns where. */
uint32_t program_keep(struct selector_set *set, struct span text);
struct span program_text(const struct selector_set *set, const struct test *test);
void program_add_test(struct selector_set *set, const struct test *test);
/* The tests from `first` on become a compound, or turn out to be one that is there. */
uint32_t program_add_compound(struct selector_set *set, size_t first);
uint32_t program_add_position(struct selector_set *set, uint32_t compound, uint32_t before,
                              enum combinator combinator);
/* Keeps a list of positions; returns where it begins. */
uint32_t program_add_alternatives(struct selector_set *set, const uint32_t *positions,
                                  size_t count);
/* A selector ends in this position. */
void program_add_id(struct selector_set *set, uint32_t position, uint32_t id);
/* Makes the index. */
void program_finish(struct selector_set *set);

/* ---- looking up ---- */

static inline uint64_t program_load(const char *at, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, at, size);
    return word;
}

/* Equal for texts that differ only in the case of ASCII letters (and for some others). */
static inline uint64_t program_hash(struct span text, uint64_t seed)
{
    const uint64_t fold = 0x2020202020202020, factor = 0x9fb21c651e98df25;
    const char *at = text.at;
    size_t size = text.size;
    uint64_t hash = (seed + size) * factor, one = 0, two = 0;

    for (; size > 16; at += 8, size -= 8) {
        hash = (hash ^ (program_load(at, 8) | fold)) * factor;
        hash ^= hash >> 32;
    }
    if (size >= 8) {
        one = program_load(at, 8);
        two = program_load(at + size - 8, 8);
    } else if (size >= 4) {
        one = program_load(at, 4);
        two = program_load(at + size - 4, 4);
    } else if (size > 0) {
        one = (uint64_t)(unsigned char)at[0] << 16 | (uint64_t)(unsigned char)at[size / 2] << 8 |
              (unsigned char)at[size - 1];
    }
    hash = (hash ^ (one | fold)) * factor;
    hash ^= hash >> 29;
    hash = (hash ^ (two | fold)) * factor;
    return (hash ^ hash >> 32) | 1; // never 0
}

static inline uint64_t program_key(enum key_kind kind, uint64_t name, struct span text)
{
    return program_hash(text, name * 8 + kind);
}

/* The positions under a key; the bucket may be empty. */
static inline struct bucket program_find(const struct selector_set *set, uint64_t key)
{
    size_t bit = key >> 20 & set->filter_mask;

    if (set->filter[bit / 64] >> (bit % 64) & 1)
        for (size_t i = key >> 32 & set->keys_mask; set->keys[i]; i = (i + 1) & set->keys_mask)
            if (set->keys[i] == key)
                return set->buckets[i];
    return (struct bucket){ 0, 0 };
}

static inline size_t program_attribute_place(const struct selector_set *set, uint64_t name)
{
    return (name * 0x9fb21c651e98df25 >> 40) & set->attributes_mask;
}

/* What is asked of the attribute whose name has this key, or NULL. */
static inline const struct attribute_keys *program_attribute(const struct selector_set *set,
                                                             uint64_t name)
{
    for (size_t i = program_attribute_place(set, name); set->attributes[i].name;
         i = (i + 1) & set->attributes_mask)
        if (set->attributes[i].name == name)
            return &set->attributes[i];
    return NULL;
}

static inline unsigned program_gram(const char *at)
{
    uint32_t word;
    memcpy(&word, at, 4);
    return ((word | 0x20202020) * 0x9e3779b1U) >> 21;
}

#endif
