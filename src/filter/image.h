/*
 * image.h - the format of a compiled database, shared by those who make, check and match it.
 *
 * One flat file in the machine's byte order; offsets and indexes, no pointers. All sections start
 * at multiples of 64.
 *
 *      header        magic, version, order, size, checksum, seed, sections, books
 *      BUCKETS       hash table of names: 64 bytes each, 31 fingerprints, and whom to look further
 *                    for
 *      SLOTS         for each fingerprint what it stands for (below)
 *      HOSTS         names, packed (pieces.h): how many codes (1), codes; plain ones first
 *      NAMES         words: what rules there are for a name
 *      RULES         32 bytes each; those of one key stand together (a chain), the last is marked
 *      NUMBERS       for each of RULES its number: where its text begins in LINES
 *      EXTRAS        words: what few rules need: long patterns, domains, values ...
 *      SETS          words: lists of domains
 *      WINDOWS       for each book: a filter (bytes, 0 or 1), a hash table of windows, filters
 *                    (bits) of long windows and of the names on SIDE_SOURCE and of entities
 *      REGEXES       for each regular expression: its text and flags
 *      SUFFIXES      public suffixes: hash table and texts
 *      TEXTS         patterns and values: size (2), bytes
 *      LINES         texts of rules, packed (lines.h)
 *      HOST_PLACES   where plain names stand in the lists: runs of consecutive lines
 *      LINE_PLACES   where the other rules stand
 *      LISTS         names of the lists: offsets in TEXTS
 *      COSMETIC      words: which cosmetic rules a host has; their texts stand in LINES
 *
 * The road of a URL through it:
 *
 *      ads.example.com          each of "ads.example.com", "example.com" -> bucket -> slot
 *        slot, plain            offset in HOSTS: `||name^` without options, block
 *        slot, name             offset in HOSTS: it has no rules, but domain= or to= names it
 *        slot, record           index in NAMES -> chains of rules, for each book and side
 *      /banner/ad.js?x=1        windows: at each start of a run of letters and digits the byte in
 *      ^^^^                     front and three more -> filter -> table -> chain of rules, or the
 *      ^^^^^^^^                 byte in front and seven more -> table -> chain of rules
 *
 * A *book* holds the rules of one question, a *side* says whether a name stands for the request's
 * host (`||name/path`, `to=`) or for the host it came from (`domain=`). Where a name ends an
 * entity ("name.*"), it stands in HOSTS with a star in front, under its last label in chains and
 * as a whole in sets. A name's number in sets is its offset in HOSTS.
 */
#ifndef DEJUNK_FILTER_IMAGE_H
#define DEJUNK_FILTER_IMAGE_H

#include "base/inline.h"
#include "filter/database.h"
#include "filter/request.h"

#define IMAGE_MAGIC "dejunkdb"
#define IMAGE_VERSION 4u
#define IMAGE_ORDER 0x01020304u
#define IMAGE_LIMIT (1u << 29) // bytes
#define IMAGE_ALIGN 64u

enum image_section {
    SECTION_BUCKETS,
    SECTION_SLOTS,
    SECTION_HOSTS,
    SECTION_NAMES,
    SECTION_RULES,
    SECTION_NUMBERS,
    SECTION_EXTRAS,
    SECTION_SETS,
    SECTION_WINDOWS,
    SECTION_REGEXES,
    SECTION_SUFFIXES,
    SECTION_TEXTS,
    SECTION_LINES,
    SECTION_HOST_PLACES,
    SECTION_LINE_PLACES,
    SECTION_LISTS,
    SECTION_COSMETIC,
    SECTIONS
};

enum image_book_name {
    BOOK_MAIN,   // what stops requests, and exceptions and stubs
    BOOK_MODIFY, // directives and their exceptions
    BOOK_LATE,   // rules with `ipaddress=` or `header=`, and their exceptions
    BOOK_PAGE,   // exceptions for pages, and `cname`
    BOOKS
};
enum image_side { SIDE_HOST, SIDE_SOURCE, SIDES };

struct image_range {
    uint32_t at, size; // bytes
};

struct image_book {
    uint32_t filter_at;   // byte offset in WINDOWS
    uint32_t filter_bits; // it has 1 << filter_bits bytes, 6 to 16, each 0 or 1
    uint32_t table_at;    // byte offset in WINDOWS, a multiple of 8
    uint32_t table_slots; // a window stands at its place or up to IMAGE_WINDOW_WALK behind it
    uint32_t factor;      // of the hash of windows, odd
    uint32_t longs_at;    // byte offset in WINDOWS, a multiple of 4, of a filter of long windows:
    uint32_t longs_bits;  // 1 << longs_bits bits, 5 to 15
    uint32_t keys_at;     // byte offset in WINDOWS, a multiple of 4, of a filter of names:
    uint32_t keys_bits;   // 1 << keys_bits bits, 5 to 16; see image_key()
    uint32_t flags;       // below
    uint32_t loose[REQUEST_TYPES]; // chains of the rules without a key; 0: none
    uint64_t singles;              // image_single() of the names on SIDE_HOST without a dot
};
enum {                            // image_book.flags
    BOOK_HAS_SOURCES = 1,         // chains of names on SIDE_SOURCE
    BOOK_HAS_HOST_ENTITIES = 2,   // of entities on SIDE_HOST
    BOOK_HAS_SOURCE_ENTITIES = 4, // ... on SIDE_SOURCE
};

struct image_header {
    char magic[8];
    uint32_t version, order;
    uint64_t size;       // of the file
    uint64_t checksum;   // XXH3 of all behind this field
    uint64_t seed;       // of the hash of names
    uint64_t generation; // XXH3 of all sections
    uint32_t bucket_count;
    uint32_t suffix_bits;   // 1 << suffix_bits words at the start of SUFFIXES
    uint32_t rule_total;    // rules, plain hosts included
    uint32_t once_count;    // numbers for EXTRA_ONCE
    uint32_t page_lines_at; // in LINES: the texts of cosmetic rules begin here
    uint32_t slot_bytes;    // of SLOTS: 3 where all numbers are small, else 4
    struct image_book books[BOOKS];
    struct image_range sections[SECTIONS];
};
// ---- names ----

#define IMAGE_BUCKET_SLOTS 31u
#define IMAGE_BUCKET_WALK 12u // buckets that a name may stand away from its own
struct image_bucket {
    uint16_t prints[IMAGE_BUCKET_SLOTS]; // 0: free
    uint16_t moved;                      // image_moved() of the names that went on to the next
};

/* A slot of three bytes makes the upper ones of such a word. */
#define IMAGE_SLOT_RECORD 0x80000000u // an index in NAMES; else an offset in HOSTS:
#define IMAGE_SLOT_NAME 0x40000000u   // of a name without rules; else of a plain one
#define IMAGE_SLOT_NUMBER 0x1fffffffu
#define IMAGE_SLOT_SMALL 0x1fffffu // the largest number in three bytes

/* A record in NAMES, in words: [0] offset in HOSTS and IMAGE_NAME_PLAIN, [1] marks, then for each
 * mark that is set, lowest first, the index of a chain's first rule; with IMAGE_NAME_SIMPLE, which
 * is alone, the rule's number. */
#define IMAGE_NAME_PLAIN 0x80000000u // `||name^` without options blocks
#define IMAGE_NAME_MARK(book, side) (1u << ((book)*SIDES + (side)))
#define IMAGE_NAME_CHAINS ((1u << (BOOKS * SIDES)) - 1)
#define IMAGE_NAME_SIMPLE 0x40000000u // `||name^` with types or a party only, instead of a chain:
#define IMAGE_NAME_NOT_TYPES 8u       // image_rule.not_types from this bit on
#define IMAGE_NAME_FIRST 0x10000000u  // its party
#define IMAGE_NAME_THIRD 0x20000000u

#define IMAGE_HASH_FACTOR 0x9E3779B97F4A7C15u

/* One step of the hash of names: up to eight bytes of a label, from its end to its start, from the
 * last label to the first. */
ALWAYS_INLINE uint64_t image_hash_step(uint64_t hash, uint64_t bytes)
{
    hash = (hash ^ bytes) * IMAGE_HASH_FACTOR;
    return hash ^ hash >> 32;
}
ALWAYS_INLINE uint16_t image_print(uint64_t hash)
{
    return (uint16_t)(hash >> 48 | 1);
}
/* Its bit in the bucket that it found full. */
ALWAYS_INLINE uint32_t image_moved(uint16_t print)
{
    return 1u << (print >> 12);
}
ALWAYS_INLINE uint32_t image_bucket_of(uint64_t hash, uint32_t bucket_count)
{
    return (uint32_t)((uint64_t)(uint32_t)hash * bucket_count >> 32);
}
/* Its bit in the filter of a book's names. */
ALWAYS_INLINE uint32_t image_key(uint64_t hash, uint32_t bits)
{
    return (uint32_t)(hash >> 16) & ((1u << bits) - 1);
}
/* The bit of a name without a dot in image_book.singles: "com" seldom has rules. */
ALWAYS_INLINE uint64_t image_single(uint64_t hash)
{
    return (uint64_t)1 << (hash & 63);
}
/* "name.*" hashes as its labels behind this seed. */
ALWAYS_INLINE uint64_t image_entity_seed(uint64_t seed)
{
    return seed ^ 0x2A2E2A2E2A2E2A2Eu;
}

// ---- windows ----

/* Bytes from the byte in front of a run's start on, little end first: four make a short window,
 * eight a long one. The first four of a long one stand in the table as a short one, too. */
ALWAYS_INLINE uint32_t image_tag_short(uint32_t bytes, uint32_t factor)
{
    return bytes * factor;
}
ALWAYS_INLINE uint32_t image_tag_long(uint64_t bytes, uint32_t factor)
{
    uint64_t hash = (bytes ^ factor) * IMAGE_HASH_FACTOR;
    return (uint32_t)(hash >> 32);
}
ALWAYS_INLINE uint32_t image_window_slot(uint32_t tag, uint32_t slots)
{
    return (uint32_t)((uint64_t)tag * slots >> 32);
}

struct image_window {
    uint32_t tag;
    uint32_t chain; // index in RULES; 0 and no mark: free
};
#define IMAGE_WINDOW_LONGER 0x80000000u // long windows begin with this short one
#define IMAGE_WINDOW_WALK 40u

// ---- rules ----

/* Whatever leads to a chain says where it begins in RULES, and what is in it. */
#define IMAGE_CHAIN 0x0fffffffu
#define IMAGE_CHAIN_BLOCK 0x10000000u // rules without RULE_NOT_BLOCK
#define IMAGE_CHAIN_AFTER 0x20000000u // rules without RULE_NOT_AFTER
#define IMAGE_CHAIN_ANY (IMAGE_CHAIN | IMAGE_CHAIN_BLOCK | IMAGE_CHAIN_AFTER)

struct image_rule {
    uint32_t flags;
    uint16_t not_types;  // bits of types that it does not apply to, and RULE_NOT_... below
    uint16_t need;       // which bytes of `literal` must be equal
    uint16_t separators; // which stand for a separator
    uint8_t offset;      // where the window's run starts in `literal`
    uint8_t size;        // bytes that `literal` covers, separators among them
    uint32_t extra;      // index of a word in EXTRAS; 0: nothing there
    char literal[16];    // the pattern's first bytes in lower case, or others of it (RULE_ANYWHERE)
};

enum {                         // image_rule.not_types, beside enum request_type
    RULE_NOT_BLOCK = 1u << 12, // BOOK_MAIN: it stops nothing
    RULE_NOT_AFTER = 1u << 13, // BOOK_MAIN: it is neither exception nor stub
};

enum {                   // image_rule.flags
    RULE_LAST = 1u << 0, // of its chain
    RULE_EXCEPTION = 1u << 1,
    RULE_IMPORTANT = 1u << 2,
    RULE_CNAME = 1u << 3,
    RULE_EVERYTHING = 1u << 4,  // stops every request to its host, or lifts such a rule
    RULE_AT_NAME_END = 1u << 5, // the pattern begins where the name whose chain this is ends
    // the rest is looked at only when the literal fits
    RULE_IS_FIRST = 1u << 6, // first party only
    RULE_IS_THIRD = 1u << 7,
    RULE_IS_STRICT_FIRST = 1u << 8,
    RULE_IS_STRICT_THIRD = 1u << 9,
    RULE_AT_HOST = 1u << 10,    // the pattern begins at a label of the host
    RULE_AT_START = 1u << 11,   // ... at the start of the URL
    RULE_ANYWHERE = 1u << 12,   // ... anywhere: EXTRA_PATTERN decides, if there is one
    RULE_AT_END = 1u << 13,     // it must end with the URL
    RULE_SEPARATOR = 1u << 14,  // one separator, or the end, behind the tail
    RULE_SEPARATORS = 1u << 15, // `separators` is not 0
    RULE_LONG = 1u << 16,       // EXTRA_PATTERN is the tail behind the literal
    RULE_GENERAL = 1u << 17,    // EXTRA_PATTERN is the whole pattern, with '*' or '^' inside
    RULE_REGEX = 1u << 18,
    RULE_MATCH_CASE = 1u << 19, // EXTRA_PATTERN as written (then RULE_GENERAL too)
    RULE_CONDITIONS = 1u << 20, // EXTRAS say more about when it applies
    RULE_CONTAINS = 1u << 21,   // `literal` is somewhere in the URL (`need` is 0)
    RULE_ENDS = 1u << 22,       // ... at its end
    RULE_MORE = 0x7fffc0,       // any of these
    RULE_MODIFIER_SHIFT = 24,   // 5 bits: enum rule_modifier
};
#define IMAGE_MODIFIER(flags) ((flags) >> RULE_MODIFIER_SHIFT & 31)

/* A record in EXTRAS: a word of these bits, then a word for each, lowest first. */
enum image_extra {
    EXTRA_ONCE = 1,    // number for what need be tried once only for each request
    EXTRA_PATTERN = 2, // offset in TEXTS
    EXTRA_REGEX = 4,   // index in REGEXES
    EXTRA_DOMAINS = 8, // index in SETS, as are the next two
    EXTRA_TO = 16,
    EXTRA_DENYALLOW = 32,
    EXTRA_METHODS = 64, // bits of enum rule_method
    EXTRA_CLIENT = 128, // offset in TEXTS, as are the next four
    EXTRA_ADDRESS = 256,
    EXTRA_HEADER = 512,
    EXTRA_REQUEST_HEADER = 1024,
    EXTRA_VALUE = 2048,
    EXTRA_PAGE = 4096, // bits of enum page_flag
    EXTRA_ALL = 8191,
};

/* A set: a word with how many names and expressions are in it and marks, a word of image_set_mark()
 * for all its names (all bits where that is not to be asked), then words: numbers of names in
 * ascending order, then indexes of regular expressions. */
#define IMAGE_SET_HAS_WITH 0x80000000u     // some are not negated
#define IMAGE_SET_HAS_ENTITIES 0x40000000u // some are "name.*"
#define IMAGE_SET_HAS_REGEXES 0x20000000u
#define IMAGE_SET_HAS_SINGLES 0x10000000u // some have no dot: "com"
#define IMAGE_SET_COUNT 0x00ffffffu
#define IMAGE_SET_NOT 0x80000000u // in a word of it: negated
#define IMAGE_SET_REGEX 0x40000000u
#define IMAGE_SET_NUMBER 0x3fffffffu
#define IMAGE_SET_WORDS 2u // in front of the names

/* The bit of a name in a set's marks: most hosts are in no set, and have none of its bits. */
ALWAYS_INLINE uint32_t image_set_mark(const char *at, uint32_t size)
{
    return 1u << ((size + 5u * (uint8_t)*at) & 31);
}

struct image_regex {
    uint32_t text;  // offset in TEXTS
    uint32_t flags; // of regex.h
};

// ---- public suffixes ----

/* SUFFIXES begins with 1 << suffix_bits words: 0, or a fingerprint in the high 12 bits and an
 * offset into the texts behind them: how many codes (1), kind (1), codes. */
#define IMAGE_SUFFIX_OFFSET 0xfffffu
enum { SUFFIX_NORMAL = 1, SUFFIX_WILD = 2 /* *.name */, SUFFIX_EXCEPTION = 4 /* !name */ };
#define IMAGE_SUFFIX_LABELS 8u // none has more
#define IMAGE_SUFFIX_WALK 64u

// ---- places ----

/* Records of HOSTS or LINES from `at` on, up to the next run, stand on consecutive lines; in LINES
 * they may skip some (lines.h). The last run begins where the records end. */
struct image_run {
    uint32_t at;
    uint32_t place; // of the first: list and line in one word
};
#define IMAGE_RUN_LIMIT 64u // records of one
#define IMAGE_LINE_BITS 24u
#define IMAGE_LIST_LIMIT 255u

/* In the rule numbers of database.h: a plain host by its offset in HOSTS. */
#define IMAGE_NUMBER_HOST 0x80000000u

// ---- cosmetic rules ----

/* COSMETIC begins with this. Behind it, words:
 *      index         IMAGE_COSMETIC_INDEX: how many of the names have a hash that begins with
 *                    less than this byte
 *      keys          for each name the next 32 bits of its hash, ascending
 *      rules         for each name its rule, or where its list begins
 *      lists         rules, the last of each list marked
 *      generics      pairs of words: a rule, and how many stand behind it in LINES that are
 *                    generic like it, it included
 *      regexes       pairs of words: index in REGEXES, rule */
struct image_cosmetic {
    uint32_t names;
    uint32_t generics_at, regexes_at; // words
    uint32_t generics;                // rules
};
#define IMAGE_COSMETIC_HEAD 4u // words
#define IMAGE_COSMETIC_INDEX 257u
#define IMAGE_COSMETIC_NOT 0x80000000u // the rule does not hold here
#define IMAGE_COSMETIC_EXCEPTION 0x40000000u
#define IMAGE_COSMETIC_LIST 0x20000000u   // no rule, but where a list begins
#define IMAGE_COSMETIC_LAST 0x10000000u   // of its list
#define IMAGE_COSMETIC_NUMBER 0x0fffffffu // where the rule's text begins in LINES

#define IMAGE_COSMETIC_UNUSED 24u // bits of a name's hash, the low ones
ALWAYS_INLINE uint32_t image_cosmetic_byte(uint64_t hash)
{
    return (uint32_t)(hash >> 56);
}
ALWAYS_INLINE uint32_t image_cosmetic_key(uint64_t hash)
{
    return (uint32_t)(hash >> IMAGE_COSMETIC_UNUSED);
}

// ---- an image in memory ----

/* The sections of an image that has been checked. */
struct image_view {
    const struct image_header *header;
    const struct image_bucket *buckets;
    const char *slots; // a word ends where a slot does: of three bytes, one stands in front
    uint32_t slot_bytes, slot_shift;
    const uint8_t *hosts;
    const uint32_t *names;
    const struct image_rule *rules;
    const uint32_t *numbers;
    const uint32_t *extras;
    const uint32_t *sets;
    const char *windows;
    const struct image_regex *regexes;
    const uint32_t *suffixes;
    const uint8_t *suffix_texts;
    const char *texts;
    const uint8_t *lines;
    const struct image_run *host_runs, *line_runs;
    const uint32_t *lists, *cosmetics;
    uint32_t cosmetic_words, hosts_size, name_words, rule_count, extra_words, set_words,
        windows_size, regex_count;
    uint32_t suffix_texts_size, texts_size, lines_size, host_run_count, line_run_count, list_count;
};
const struct image_view *database_image(const struct database *database);
/* List and line of a rule: see struct image_run. 0xffffffff for a number that is none. */
uint32_t database_place(const struct image_view *view, rule_number rule);

ALWAYS_INLINE uint32_t image_slot(const struct image_view *view, size_t index)
{
    uint32_t slot;

    memcpy(&slot, view->slots + index * view->slot_bytes, sizeof slot);
    return slot;
}

/* What a slot leads to: an index in NAMES or an offset in HOSTS. */
ALWAYS_INLINE uint32_t image_slot_number(const struct image_view *view, uint32_t slot)
{
    return (slot & IMAGE_SLOT_NUMBER) >> view->slot_shift;
}

/* The last run that does not begin behind this record; there is at least one run. */
ALWAYS_INLINE const struct image_run *image_find_run(const struct image_run *runs, uint32_t count,
                                                     uint32_t at)
{
    uint32_t low = 0, high = count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (runs[middle].at <= at)
            low = middle;
        else
            high = middle - 1;
    }
    return &runs[low];
}

/* A text in TEXTS. */
ALWAYS_INLINE struct span image_text(const struct image_view *view, uint32_t at)
{
    uint16_t size;

    memcpy(&size, view->texts + at, sizeof size);
    return span_of(view->texts + at + sizeof size, size);
}

/* The word of one part of a record in EXTRAS; the part must be there. */
ALWAYS_INLINE uint32_t image_part(const uint32_t *record, enum image_extra part)
{
    uint32_t before = record[0] & ((uint32_t)part - 1);

    for (record++; before; before &= before - 1) // mostly none or one: no matter for popcount()
        record++;
    return *record;
}

#endif
