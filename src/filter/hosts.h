/*
 * hosts.h - a host name's labels, and what a database knows of them.
 *
 * Index 0 is the last label ("com"), the host as a whole has index count - 1. What costs
 * something is found out when it is first asked for, and kept in the struct, which lives for one
 * question. split and slot lookups are here, inline, because every request needs them.
 */
#ifndef DEJUNK_FILTER_HOSTS_H
#define DEJUNK_FILTER_HOSTS_H

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/url.h"
#include "filter/image.h"
#include "filter/pieces.h"

struct host {
    const char *at; // folded; 8 readable bytes in front, 16 behind
    uint32_t size;
    uint32_t count;         // labels
    uint32_t suffix_labels; // of its public suffix; 0: not looked up yet
    bool has_entities;      // `entities` are filled in
    uint16_t starts[URL_LABELS + 1];
    uint64_t hashes[URL_LABELS + 1];
    uint32_t slots[URL_LABELS + 1];    // what the table of names says; filled in by the owner
    uint32_t entities[URL_LABELS + 1]; // numbers of "name.*", 0: not known
};

/* Cuts the host into labels and hashes each name that ends it, last label first. `dots`: see
 * struct url. */
static inline void host_split(struct host *host, uint64_t seed, const char *at, uint32_t size,
                              uint64_t dots)
{
    uint64_t hash = seed, bytes;
    uint32_t end = size, count = 0;

    host->at = at;
    host->size = size;
    host->suffix_labels = 0;
    host->has_entities = false;
    for (;;) {
        uint32_t start, length;

        if (size <= 64) {
            start = dots ? 64 - (uint32_t)__builtin_clzll(dots) : 0;
        } else {
            for (start = end; start > 0 && at[start - 1] != '.';)
                start--;
        }
        host->starts[count] = (uint16_t)start;
        length = end - start;
        memcpy(&bytes, at + end - 8, 8);
        while (length > 8) {
            hash = image_hash_step(hash, bytes);
            length -= 8;
            end -= 8;
            memcpy(&bytes, at + end - 8, 8);
        }
        bytes = length ? bytes >> (64 - 8 * length) : 0;
        hash = image_hash_step(hash, bytes);
        host->hashes[count++] = hash;
        if (start == 0 || count > URL_LABELS)
            break;
        end = start - 1;
        dots &= ~((uint64_t)1 << (end & 63));
    }
    host->count = count;
}

static inline struct span host_name(const struct host *host, uint32_t i)
{
    return span_of(host->at + host->starts[i], host->size - host->starts[i]);
}

/* The fingerprints of a bucket that are equal to `print`, one bit each. */
static inline uint32_t bucket_hits(const struct image_bucket *bucket, uint16_t print)
{
#if defined(__SSE2__)
    const __m128i *at = (const __m128i *)(const void *)bucket->prints;
    __m128i want = _mm_set1_epi16((short)print);
    __m128i low = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(at), want),
                                  _mm_cmpeq_epi16(_mm_load_si128(at + 1), want));
    __m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(at + 2), want),
                                   _mm_cmpeq_epi16(_mm_load_si128(at + 3), want));
    return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
#else
    uint32_t hits = 0;

    for (unsigned i = 0; i < 32; i++)
        hits |= (uint32_t)(bucket->prints[i] == print) << i;
    return hits;
#endif
}

/* The offset in HOSTS that a slot of the table of names leads to. */
static inline uint32_t slot_host(const struct image_view *view, uint32_t slot)
{
    return slot & IMAGE_SLOT_RECORD ? view->names[slot & ~IMAGE_SLOT_RECORD] & ~IMAGE_NAME_PLAIN
                                    : slot & IMAGE_SLOT_NUMBER;
}

static inline bool is_slot_of(const struct image_view *view, uint32_t slot, struct span name,
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

static inline const struct image_bucket *bucket_at(const struct image_view *view, uint64_t hash)
{
    return &view->buckets[image_bucket_of(hash, view->header->bucket_count)];
}

/* What the table of names says to a name: a slot, or 0. */
static inline uint32_t find_slot(const struct image_view *view, uint64_t hash, struct span name,
                                 bool is_entity)
{
    const struct image_bucket *bucket = bucket_at(view, hash);
    uint16_t print = image_print(hash);

    for (unsigned walk = 0; walk <= IMAGE_BUCKET_WALK; walk++) {
        uint32_t hits = bucket_hits(bucket, print) & ~(1u << IMAGE_BUCKET_SLOTS);

        for (; hits; hits &= hits - 1) {
            uint32_t slot = view->slots[(size_t)(bucket - view->buckets) * IMAGE_BUCKET_SLOTS +
                                        (unsigned)__builtin_ctz(hits)];
            if (is_slot_of(view, slot, name, is_entity))
                return slot;
        }
        if (__builtin_expect(!bucket->prints[IMAGE_BUCKET_SLOTS], 1))
            return 0;
        bucket = bucket + 1 == view->buckets + view->header->bucket_count ? view->buckets
                                                                          : bucket + 1;
    }
    return 0;
}

/* Is it the same name, or the same address? */
bool host_same(const struct host *a, const struct host *b);
/* Do they have the same registrable domain? Addresses, single labels and public suffixes: are
 * they the same? */
bool host_same_party(const struct image_view *view, struct host *a, struct host *b);

/* Is the host in a set of domains? The most specific name decides. `slots` must be filled in from
 * index 1 on. `regex_hits` is asked about regular expressions in the set. */
bool host_in_set(const struct image_view *view, uint32_t set, struct host *host,
                 bool (*regex_hits)(void *owner, uint32_t regex, struct span subject), void *owner);

/* The slot of the entity that label `i` alone would be ("name.*"), or 0. */
uint32_t host_entity_slot(const struct image_view *view, const struct host *host, uint32_t i);

#endif
