/*
 * hosts.h - a host name's labels, and what a database knows of them.
 *
 * Index 0 is the last label ("com"), the host as a whole has index count - 1. What costs
 * something is found out when it is first asked for, and kept in the struct, which lives for one
 * question. split and slot lookups are here, inline, because every request needs them.
 */
#ifndef DEJUNK_FILTER_HOSTS_H
#define DEJUNK_FILTER_HOSTS_H

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/inline.h"
#include "base/url.h"
#include "filter/image.h"
#include "filter/pieces.h"

#define IMAGE_SLOT_UNKNOWN 0xffffffffu // not looked up yet

struct host {
    const char *at; // folded; 8 readable bytes in front, 16 behind
    uint32_t size;
    uint32_t count;         // labels
    uint32_t suffix_labels; // of its public suffix; 0: not looked up yet
    uint32_t marks;         // for sets of domains; 0: not made yet
    bool has_entities;      // `entities` are filled in
    uint16_t starts[URL_LABELS + 1];
    uint64_t hashes[URL_LABELS + 1];
    uint32_t slots[URL_LABELS + 1];    // what the table of names says; see guess_slot()
    uint32_t entities[URL_LABELS + 1]; // numbers of "name.*", 0: not known
};

/* The hash of the labels behind, and of the one in at[start, end). */
ALWAYS_INLINE uint64_t host_hash_label(uint64_t hash, const char *at, uint32_t start, uint32_t end)
{
    uint32_t length = end - start;
    uint64_t bytes;

    memcpy(&bytes, at + end - 8, 8);
    while (length > 8) {
        hash = image_hash_step(hash, bytes);
        length -= 8;
        end -= 8;
        memcpy(&bytes, at + end - 8, 8);
    }
    // No name has an empty label: what such a one hashes to does not matter.
    return image_hash_step(hash, bytes >> (-8 * length & 63));
}

/* Cuts the host into labels and hashes each name that ends it, last label first; nothing else is
 * known of it then. `dots`: see struct url. */
ALWAYS_INLINE void host_split(struct host *host, uint64_t seed, const char *at, uint32_t size,
                              uint64_t dots)
{
    uint64_t hash = seed;
    uint32_t end = size, count = 0, start;

    host->at = at;
    host->size = size;
    host->suffix_labels = host->marks = 0;
    host->has_entities = false;
    if (__builtin_expect(size < 64, 1)) {
        uint64_t starts = dots << 1 | 1; // bit i: a label starts at i

        do {
            start = 63 - (uint32_t)__builtin_clzll(starts);
            hash = host_hash_label(hash, at, start, end);
            host->starts[count] = (uint16_t)start;
            host->slots[count] = IMAGE_SLOT_UNKNOWN;
            host->hashes[count++] = hash;
            end = start - 1;
            starts &= ((uint64_t)1 << start) - 1;
        } while (starts);
    } else {
        do {
            for (start = end; start > 0 && at[start - 1] != '.';)
                start--;
            hash = host_hash_label(hash, at, start, end);
            host->starts[count] = (uint16_t)start;
            host->slots[count] = IMAGE_SLOT_UNKNOWN;
            host->hashes[count++] = hash;
            end = start - 1;
        } while (start > 0 && count <= URL_LABELS);
    }
    host->count = count;
}

ALWAYS_INLINE struct span host_name(const struct host *host, uint32_t i)
{
    return span_of(host->at + host->starts[i], host->size - host->starts[i]);
}

#if defined(__x86_64__)
/* bucket_hits() in fewer steps. */
ALWAYS_INLINE __attribute__((target("avx2"))) uint32_t bucket_hits_avx2(
    const struct image_bucket *bucket, uint16_t print)
{
    const __m256i *at = (const __m256i *)(const void *)bucket;
    __m256i want = _mm256_set1_epi16((short)print);
    __m256i hits = _mm256_packs_epi16(_mm256_cmpeq_epi16(_mm256_load_si256(at), want),
                                      _mm256_cmpeq_epi16(_mm256_load_si256(at + 1), want));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(hits, 0xd8));
}
#endif

/* The fingerprints of a bucket that are equal to `print`, one bit each. */
ALWAYS_INLINE uint32_t bucket_hits(const struct image_bucket *bucket, uint16_t print)
{
#if defined(__SSE2__)
    const __m128i *at = (const __m128i *)(const void *)bucket;
    __m128i want = _mm_set1_epi16((short)print);
    __m128i low = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(at), want),
                                  _mm_cmpeq_epi16(_mm_load_si128(at + 1), want));
    __m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(at + 2), want),
                                   _mm_cmpeq_epi16(_mm_load_si128(at + 3), want));
    return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
#else
    uint32_t hits = 0;

    for (unsigned i = 0; i < IMAGE_BUCKET_SLOTS; i++)
        hits |= (uint32_t)(bucket->prints[i] == print) << i;
    return hits;
#endif
}

/* The offset in HOSTS that a slot of the table of names leads to. */
ALWAYS_INLINE uint32_t slot_host(const struct image_view *view, uint32_t slot)
{
    uint32_t number = image_slot_number(view, slot);

    return slot & IMAGE_SLOT_RECORD ? view->names[number] & ~IMAGE_NAME_PLAIN : number;
}

ALWAYS_INLINE bool is_slot_of(const struct image_view *view, uint32_t slot, struct span name,
                              bool is_entity)
{
    const uint8_t *record = view->hosts + slot_host(view, slot);
    size_t count = *record++;

    if (is_entity) {
        if (count == 0 || *record != PIECES_HOST_STAR)
            return false;
        record++;
        count--;
    }
    return pieces_host_is(record, count, name.at, name.at + name.size);
}

ALWAYS_INLINE const struct image_bucket *bucket_at(const struct image_view *view, uint64_t hash)
{
    return &view->buckets[image_bucket_of(hash, view->header->bucket_count)];
}

/* What the table of names says to a name: a slot, or 0. */
uint32_t find_slot(const struct image_view *view, uint64_t hash, struct span name, bool is_entity);

/* The same without a look at the name's text where only one fingerprint fits: the slot has
 * IMAGE_SLOT_GUESS then, and is to be proved before it is believed. */
#define IMAGE_SLOT_GUESS 0x20000000u
typedef uint32_t find_hits(const struct image_bucket *bucket, uint16_t print);
ALWAYS_INLINE uint32_t guess_slot(const struct image_view *view, const struct host *host,
                                  uint32_t i, find_hits *find)
{
    uint64_t hash = host->hashes[i];
    const struct image_bucket *bucket = bucket_at(view, hash);
    uint16_t print = image_print(hash);
    uint32_t hits = find(bucket, print) & ~(1u << IMAGE_BUCKET_SLOTS);

    if (__builtin_expect((bucket->moved & image_moved(print)) | (hits & (hits - 1)), 0))
        return find_slot(view, hash, host_name(host, i), false);
    if (!hits)
        return 0;
    return image_slot(view, (size_t)(bucket - view->buckets) * IMAGE_BUCKET_SLOTS +
                                (unsigned)__builtin_ctz(hits)) |
           IMAGE_SLOT_GUESS;
}

/* Puts the buckets of the host and of its last two labels on the way, before they are asked. */
ALWAYS_INLINE void host_fetch(const struct image_view *view, const struct host *host)
{
    __builtin_prefetch(bucket_at(view, host->hashes[host->count - 1]));
    __builtin_prefetch(bucket_at(view, host->hashes[host->count > 1]));
}

/* Index of the shortest name that can have rules in the book: 0 or 1. */
ALWAYS_INLINE uint32_t host_first(const struct image_book *book, const struct host *host)
{
    return host->count > 1 && !(book->singles & image_single(host->hashes[0]));
}

/* Slot `i`, proved: 0 if the guess was wrong. */
ALWAYS_INLINE uint32_t host_slot(const struct image_view *view, struct host *host, uint32_t i)
{
    uint32_t slot = host->slots[i];

    if (slot == IMAGE_SLOT_UNKNOWN)
        slot = guess_slot(view, host, i, bucket_hits);
    if (slot & IMAGE_SLOT_GUESS) {
        slot &= ~IMAGE_SLOT_GUESS;
        if (!is_slot_of(view, slot, host_name(host, i), false))
            slot = 0;
    }
    host->slots[i] = slot;
    return slot;
}

/* Is it the same name, or the same address? */
bool host_same(const struct host *a, const struct host *b);
/* Do they have the same registrable domain? Addresses, single labels and public suffixes: are
 * they the same? */
bool host_same_party(const struct image_view *view, struct host *a, struct host *b);

/* How many of its labels are its public suffix: at least 1, all of them where it is one. */
uint32_t host_suffix_labels(const struct image_view *view, struct host *host);

/* Is the host in a set of domains? The most specific name decides. `slots` must be filled in,
 * guessed or unknown. `regex_hits` is asked about regular expressions in the set. */
bool host_in_set(const struct image_view *view, uint32_t set, struct host *host,
                 bool (*regex_hits)(void *owner, uint32_t regex, struct span subject), void *owner);

/* The hash of the entity that label `i` (not 0) alone would be: "name.*". */
ALWAYS_INLINE uint64_t host_entity_hash(const struct image_view *view, const struct host *host,
                                        uint32_t i)
{
    return host_hash_label(image_entity_seed(view->header->seed), host->at, host->starts[i],
                           host->starts[i - 1] - 1u);
}
/* Its record in NAMES, if it has one with one of these marks, or NULL. */
const uint32_t *host_entity(const struct image_view *view, const struct host *host, uint32_t i,
                            uint64_t hash, uint32_t marks);

#endif
