/*
 * image.h - the format of a compiled database, shared by those who make, check and match it.
 *
 * One flat file in the machine's byte order; offsets and indexes, no pointers. All sections start
 * at multiples of 64.
 *
 *      header      magic, version, order, size, checksum, seed, sections, books
 *      BUCKETS     hash table of names: 64 bytes each, 31 fingerprints and a mark "look further"
 *      SLOTS       for each fingerprint what it stands for (below)
 *      HOSTS       packed: size (1), name, [place (4) of a plain `||name^`]
 *      NAMES       records of names about which there is more to say
 *      RULES       32 bytes each; those of one key stand together, the last is marked
 *      EXTRAS      what few rules need: long patterns, domains, values ...
 *      WINDOWS     for each book: a filter (words of 64 bits), a hash table of windows
 *      ORIGINS     for each rule number: its text and place
 *      REGEXES     for each regular expression: its text and flags
 *      SUFFIXES    public suffixes: hash table and texts
 *      LISTS       names of the lists
 *      TEXT        all texts
 *
 * The road of a URL through it:
 *
 *      ads.example.com          names: each of "ads.example.com", "example.com" -> bucket -> slot
 *        slot, high bit clear   offset in HOSTS: `||name^` without options, block
 *        slot, high bit set     index in NAMES -> chains of rules, for each book and side
 *      /banner/ad.js?x=1        windows: at each start of a run of letters and digits the bytes
 *       ^^^^                    around it: filter -> table -> chain of rules
 *        ^^^^^^^
 *
 * A *book* holds the rules of one question, a *side* says whether a name stands for the request's
 * host (`||name/path`, `to=`) or for the host it came from (`domain=`).
 */
#ifndef DEJUNK_FILTER_IMAGE_H
#define DEJUNK_FILTER_IMAGE_H

#include "filter/database.h"

#define IMAGE_MAGIC "dejunkdb"
#define IMAGE_VERSION 1u
#define IMAGE_ORDER 0x01020304u
#define IMAGE_LIMIT (1u << 30) // bytes
#define IMAGE_ALIGN 64u

enum image_section {
    SECTION_BUCKETS, SECTION_SLOTS, SECTION_HOSTS, SECTION_NAMES, SECTION_RULES, SECTION_EXTRAS,
    SECTION_WINDOWS, SECTION_ORIGINS, SECTION_REGEXES, SECTION_SUFFIXES, SECTION_LISTS,
    SECTION_TEXT,
    SECTIONS
};

enum image_book_name {
    BOOK_BLOCK,  // what stops requests
    BOOK_AFTER,  // what is looked at when something is to be stopped: exceptions and stubs
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
    uint32_t filter_at;    // byte offset in WINDOWS of the filter, 1 << IMAGE_FILTER_BITS words
    uint32_t table_at;     // byte offset in WINDOWS of the table
    uint32_t table_bits;   // 1 << table_bits slots
    uint32_t loose;        // chain of the rules without a key; 0: none
    uint32_t flags;        // below
};
enum { // image_book.flags
    BOOK_HAS_SOURCES = 1,         // chains of names on SIDE_SOURCE
    BOOK_HAS_HOST_ENTITIES = 2,   // "name.*" has a chain on SIDE_HOST
    BOOK_HAS_SOURCE_ENTITIES = 4, // ... on SIDE_SOURCE
};

struct image_header {
    char magic[8];
    uint32_t version, order;
    uint64_t size;       // of the file
    uint64_t checksum;   // XXH3 of all behind this field
    uint64_t seed;       // of the hash of names
    uint64_t generation; // XXH3 of all sections
    uint32_t flags;
    uint32_t bucket_count;
    uint32_t suffix_bits; // 1 << suffix_bits slots at the start of SUFFIXES
    uint32_t rule_total;  // rules, plain hosts included
    struct image_book books[BOOKS];
    struct image_range sections[SECTIONS];
};
enum { IMAGE_HAS_SINGLE_LABELS = 1 }; // names without a dot have chains: look for "com" too

#define IMAGE_FILTER_BITS 11u

// ---- names ----

#define IMAGE_BUCKET_WALK 4u // buckets that a name may stand away from its own
#define IMAGE_BUCKET_SLOTS 31u // fingerprints; the 32nd is 1 when names went on to the next bucket
struct image_bucket {
    uint16_t prints[32]; // 0: free
};
#define IMAGE_SLOT_NAME 0x80000000u // index in NAMES, else offset in HOSTS

/* A record in NAMES, in words: [0] offset in HOSTS, [1] marks, then one rule index for each mark
 * that is set, lowest first. The record's index is the name's number in lists of domains. */
#define IMAGE_NAME_MARK(book, side) (1u << ((book) * SIDES + (side)))
#define IMAGE_NAME_PLAIN 0x10000u // `||name^` without options blocks; its place follows in HOSTS
#define IMAGE_NAME_MARKS (IMAGE_NAME_PLAIN | ((1u << (BOOKS * SIDES)) - 1))

#define IMAGE_HASH_FACTOR 0x9E3779B97F4A7C15u

/* One step of the hash of names: up to eight bytes of a label, from its end to its start, from the
 * last label to the first. */
static inline uint64_t image_hash_step(uint64_t hash, uint64_t bytes)
{
    hash = (hash ^ bytes) * IMAGE_HASH_FACTOR;
    return hash ^ hash >> 32;
}
/* Behind each label. */
static inline uint16_t image_print(uint64_t hash)
{
    return (uint16_t)(hash >> 48 | 1);
}
static inline uint32_t image_bucket_of(uint64_t hash, uint32_t bucket_count)
{
    return (uint32_t)((uint64_t)(uint32_t)hash * bucket_count >> 32);
}
/* "name.*" hashes as its labels behind this seed. */
static inline uint64_t image_entity_seed(uint64_t seed)
{
    return seed ^ 0x2A2E2A2E2A2E2A2Eu;
}

// ---- windows ----

/* At a start of a run: the byte in front and three bytes, or seven bytes from the start. Given
 * the eight bytes from the byte in front, little end first. */
static inline uint64_t image_window_short(uint64_t bytes)
{
    return bytes & 0xffffffffu;
}
static inline uint64_t image_window_long(uint64_t bytes)
{
    return bytes >> 8 | 1ull << 56;
}
/* Both kinds have bytes 1 to 3 in common: they choose the filter's word. */
static inline uint32_t image_filter_word(uint64_t bytes)
{
    return ((uint32_t)(bytes >> 8) & 0xffffffu) * 0x9E3779B1u >> (32 - IMAGE_FILTER_BITS);
}
static inline unsigned image_filter_short(uint64_t bytes)
{
    return (unsigned)bytes & 63;
}
static inline unsigned image_filter_long(uint64_t bytes)
{
    return (uint32_t)(bytes >> 32) * 0x85EBCA6Bu >> 26;
}
static inline uint64_t image_window_hash(uint64_t window)
{
    uint64_t hash = window * IMAGE_HASH_FACTOR;
    return hash ^ hash >> 29;
}

struct image_window {
    uint32_t check; // high half of the hash
    uint32_t rule;  // start of the chain; 0: free
};
#define IMAGE_WINDOW_PROBES 32u // no window stands farther than this from where it belongs

// ---- rules ----

struct image_rule {
    uint32_t flags;
    uint16_t types;
    uint8_t size;   // of `literal` in use
    uint8_t offset; // where the window's start stands in the pattern
    uint32_t extra; // index of a word in EXTRAS; 0: nothing there
    uint32_t number;
    char literal[16]; // the pattern's first bytes, in lower case
};

enum { // image_rule.flags
    RULE_LAST = 1u << 0,      // of its chain
    RULE_EXCEPTION = 1u << 1,
    RULE_IMPORTANT = 1u << 2,
    RULE_IS_FIRST = 1u << 3,  // first party only
    RULE_IS_THIRD = 1u << 4,
    RULE_IS_STRICT_FIRST = 1u << 5,
    RULE_IS_STRICT_THIRD = 1u << 6,
    RULE_AT_HOST = 1u << 7,   // the pattern begins at a label of the host
    RULE_AT_START = 1u << 8,  // ... at the start of the URL
    RULE_AT_NAME_END = 1u << 9, // ... where the name whose chain this is ends
    RULE_ANYWHERE = 1u << 10, // ... wherever it is found: no window says where
    RULE_AT_END = 1u << 11,   // it must end with the URL
    RULE_SEPARATOR = 1u << 12, // one separator, or the end, behind it
    RULE_GENERAL = 1u << 13,  // pattern with '*' or '^' inside: the text in EXTRAS decides
    RULE_LONG = 1u << 14,     // more than 16 bytes: the rest is in EXTRAS
    RULE_REGEX = 1u << 15,
    RULE_MATCH_CASE = 1u << 16,
    RULE_CONDITIONS = 1u << 17, // EXTRAS say more about when it applies
    RULE_CNAME = 1u << 18,
    RULE_EVERYTHING = 1u << 19, // stops every request to its host, or lifts such a rule
    RULE_REDIRECT = 1u << 20,   // blocks and names a stub
    RULE_MODIFIER_SHIFT = 24,   // 5 bits: enum rule_modifier
};
#define IMAGE_MODIFIER(flags) ((flags) >> RULE_MODIFIER_SHIFT & 31)

/* Words in EXTRAS, in this order, for each bit that is set in the first. A text is two words:
 * offset in TEXT and size. */
enum {
    EXTRA_PATTERN = 1,   // text: pattern in lower case, *, ^ as written
    EXTRA_REGEX = 2,     // index in REGEXES
    EXTRA_DOMAINS = 4,   // a set: how many, then words
    EXTRA_TO = 8,        // a set
    EXTRA_DENYALLOW = 16, // a set
    EXTRA_METHODS = 32,  // bits
    EXTRA_CLIENT = 64,   // text, as are the next three
    EXTRA_ADDRESS = 128,
    EXTRA_HEADER = 256,
    EXTRA_REQUEST_HEADER = 512,
    EXTRA_VALUE = 1024,  // text: of the modifier
    EXTRA_PAGE = 2048,   // bits of enum page_flag
    EXTRA_ALL = 4095,
};
/* A word of a set: number of a name or index of a regular expression, and these marks. Names come
 * first, in ascending order. */
#define IMAGE_SET_NOT 0x80000000u
#define IMAGE_SET_REGEX 0x40000000u
#define IMAGE_SET_NUMBER 0x3fffffffu
/* The first word of a set: how many words follow, and these. */
#define IMAGE_SET_HAS_WITH 0x80000000u     // some are not negated
#define IMAGE_SET_HAS_ENTITIES 0x40000000u // some are "name.*"
#define IMAGE_SET_HAS_REGEXES 0x20000000u
#define IMAGE_SET_COUNT 0x00ffffffu

struct image_origin {
    uint32_t text, size; // offset and bytes in TEXT
    uint32_t place;      // below
};
/* Where a rule stands: list and line in one word. */
#define IMAGE_LINE_BITS 24u
#define IMAGE_LIST_LIMIT 255u

struct image_regex {
    uint32_t text, size;
    uint32_t flags; // of regex.h
};

// ---- public suffixes ----

/* SUFFIXES begins with 1 << suffix_bits words: 0, or a fingerprint in the high 12 bits and an
 * offset into the texts behind them: size (1), kind (1), name. */
#define IMAGE_SUFFIX_OFFSET 0xfffffu
enum { SUFFIX_NORMAL = 1, SUFFIX_WILD = 2 /* *.name */, SUFFIX_EXCEPTION = 4 /* !name */ };
#define IMAGE_SUFFIX_LABELS 8u // none has more
#define IMAGE_SUFFIX_PROBES 64u

// ---- an image in memory ----

/* The sections of an image that has been checked. */
struct image_view {
    const struct image_header *header;
    const struct image_bucket *buckets;
    const uint32_t *slots;
    const char *hosts;
    const uint32_t *names;
    const struct image_rule *rules;
    const uint32_t *extras;
    const char *windows;
    const struct image_origin *origins;
    const struct image_regex *regexes;
    const uint32_t *suffixes;
    const char *suffix_texts;
    const uint32_t *lists; // offset and size in TEXT
    const char *text;
    uint32_t name_words, rule_count, extra_words, origin_count, regex_count, list_count;
    uint32_t hosts_size, text_size, suffix_texts_size, windows_size;
};
const struct image_view *database_image(const struct database *database);

/* In the rule numbers of database.h: a plain host by its offset in HOSTS. */
#define IMAGE_NUMBER_HOST 0x80000000u

#endif
