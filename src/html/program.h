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
    uint8_t leads;   // bits 1 << combinator: what later positions ask of this one
    bool uses_empty; // whether it holds is known one token later
    bool is_listed;  // in the index
    uint32_t slot;   // of one that leads to descendants: where those that reached it are counted
    uint32_t first, count; // ids
};

/* Under which key an element's part is looked up. */
enum key_kind { KEY_ID = 1, KEY_CLASS, KEY_EQUALS, KEY_PREFIX, KEY_SUFFIX, KEY_GRAM, KEY_TYPE };

struct bucket {
    uint32_t first, count; // in `listed`
};

enum {
    PROGRAM_PREFIXES = 9,
    PROGRAM_SUFFIX = 6, // bytes
    PROGRAM_GRAM_BITS = 2048,
    PROGRAM_STRIDE = 8,
    PROGRAM_NAME_BITS = 512,
    PROGRAM_START_BITS = 512,
    PROGRAM_MIDDLE = 8, // bytes from there on are known of prefixes of twice the size
    PROGRAM_MIDDLE_BITS = 2048
};
extern const uint8_t program_prefixes[PROGRAM_PREFIXES]; // sizes, ascending

struct attribute_keys { // where to look up the values of an attribute
    uint64_t name;      // key of its name; 0: an empty place
    bool has_equals, has_suffix;
    uint16_t prefixes;                          // bits: which of program_prefixes
    uint64_t starts[PROGRAM_START_BITS / 64];   // how values may begin, for them,
    uint64_t middles[PROGRAM_MIDDLE_BITS / 64]; // and go on, for the long ones
    uint64_t ends[PROGRAM_START_BITS / 64];     // how values may end, for suffixes
    struct bucket has;                          // positions to be tried on any value
    uint8_t stride;                         // four bytes at every so many are looked up; 0: none
    uint64_t grams[PROGRAM_GRAM_BITS / 64]; // those that are there
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
    bool any_follows; // all of those ask for something of the parent or an elder sibling
    bool has_other_types, asks_siblings, asks_types;
    uint32_t slots;
    uint64_t names[PROGRAM_NAME_BITS / 64]; // of attributes that are asked for
    const struct attribute_keys *id_keys, *class_keys;

    struct builder *builder; // until it is finished
};

/* ---- building: selector.c ---- */

struct selector_set *program_new(void);
void program_free(struct selector_set **set);
/* Keeps a text; returns where. */
uint32_t program_keep(struct selector_set *set, struct span text);
struct span program_text(const struct selector_set *set, const struct test *test);
/* An attribute is asked for. */
void program_add_name(struct selector_set *set, struct span name);
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

static inline uint64_t program_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* At most eight bytes, zeros behind them. */
static inline uint64_t program_load(const char *at, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return word;
}

/* The key of a text: equal for texts that differ only in the case of ASCII letters, and for some
 * others: of a long one its size, its first and its last eight bytes count. `is_inside` says that
 * the eight bytes up to its end may be read: it is faster then. Never 0. */
static inline uint64_t program_key(enum key_kind kind, uint64_t name, struct span text,
                                   bool is_inside)
{
    const uint64_t fold = 0x2020202020202020;
    const char *at = text.at;
    size_t size = text.size;
    uint64_t key = (name * 8 + kind + size) * 0xd6e8feb86659fd93;

    if (size > 8) {
        uint64_t last = program_word(at + size - 8) | fold;
        key += (program_word(at) | fold) + (last << 23 | last >> 41);
    } else if (is_inside && size) {
        key += program_word(at + size - 8) >> (8 * (8 - size)) | fold;
    } else {
        key += program_load(at, size) | fold;
    }
    key *= 0x9fb21c651e98df25;
    return (key ^ key >> 32) | 1;
}

/* The beginning of a text, which is looked up under several sizes: a number that grows with it
 * by whole words; sizes below eight have a number of their own. */
static inline uint64_t program_begin(uint64_t name)
{
    return name * 0xd6e8feb86659fd93 + KEY_PREFIX;
}

static inline uint64_t program_extend(uint64_t begun, uint64_t word)
{
    begun = (begun ^ (word | 0x2020202020202020)) * 0x9fb21c651e98df25;
    return begun ^ begun >> 32;
}

static inline uint64_t program_prefix_key(uint64_t begun, unsigned size)
{
    uint64_t key = (begun + size) * 0xa0761d6478bd642f;
    return (key ^ key >> 29) | 1;
}

/* Two bits in one word of the filter. */
static inline uint64_t program_filter_bits(uint64_t key)
{
    return (uint64_t)1 << (key >> 8 & 63) | (uint64_t)1 << (key >> 14 & 63);
}

static inline bool program_may_have(const struct selector_set *set, uint64_t key)
{
    uint64_t bits = program_filter_bits(key);
    return (set->filter[key >> 20 & set->filter_mask] & bits) == bits;
}

/* The positions under a key; the bucket may be empty. */
static inline struct bucket program_find(const struct selector_set *set, uint64_t key)
{
    if (__builtin_expect(program_may_have(set, key), 0))
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

/* A few bits of an attribute's name: of its size and its beginning, tag_beginning(). */
static inline unsigned program_name_bits(size_t size, uint64_t beginning)
{
    return (unsigned)((beginning + size) * 0x9fb21c651e98df25 >> 55); // less than PROGRAM_NAME_BITS
}

/* A few bits of the first, or last, two bytes of a value that has them. */
static inline unsigned program_start_bits(const char *at)
{
    uint16_t two;
    memcpy(&two, at, sizeof two);
    return (two | 0x2020U) * 0x9e3779b1U >> 23; // less than PROGRAM_START_BITS
}

/* A few bits of the second eight bytes of a value that has them. */
static inline unsigned program_middle_bits(const char *at)
{
    uint64_t word = program_word(at + PROGRAM_MIDDLE) | 0x2020202020202020;
    return (unsigned)(word * 0x9fb21c651e98df25 >> 53); // less than PROGRAM_MIDDLE_BITS
}

/* Is the bit set? */
static inline bool program_bit(const uint64_t *bits, unsigned bit)
{
    return bits[bit / 64] >> (bit % 64) & 1;
}

static inline uint32_t program_gram(const char *at)
{
    uint32_t word;
    memcpy(&word, at, 4);
    return word | 0x20202020;
}

static inline unsigned program_gram_bits(uint32_t gram)
{
    return gram * 0x9e3779b1U >> 21; // less than PROGRAM_GRAM_BITS
}

static inline uint64_t program_gram_key(uint64_t name, uint32_t gram)
{
    uint64_t key = ((name * 8 + KEY_GRAM) ^ (uint64_t)gram << 13) * 0x9fb21c651e98df25;
    return (key ^ key >> 29) | 1;
}

#endif
