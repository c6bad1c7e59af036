#include "filter/hosts.h"

uint32_t find_slot(const struct image_view *view, uint64_t hash, struct span name, bool is_entity)
{
    const struct image_bucket *bucket = bucket_at(view, hash);
    uint16_t print = image_print(hash);

    for (unsigned walk = 0; walk <= IMAGE_BUCKET_WALK; walk++) {
        uint32_t hits = bucket_hits(bucket, print) & ~(1u << IMAGE_BUCKET_SLOTS);

        for (; hits; hits &= hits - 1) {
            uint32_t slot = image_slot(view, (size_t)(bucket - view->buckets) * IMAGE_BUCKET_SLOTS +
                                                 (unsigned)__builtin_ctz(hits)) &
                            ~IMAGE_SLOT_GUESS;
            if (is_slot_of(view, slot, name, is_entity))
                return slot;
        }
        if (!(bucket->moved & image_moved(print)))
            return 0;
        bucket =
            bucket + 1 == view->buckets + view->header->bucket_count ? view->buckets : bucket + 1;
    }
    return 0;
}

/* The kind of public suffix that the name at label `i` is, or 0. */
static unsigned suffix_kind(const struct image_view *view, const struct host *host, uint32_t i)
{
    uint64_t hash = host->hashes[i];
    size_t mask = ((size_t)1 << view->header->suffix_bits) - 1, slot = hash & mask;
    struct span name = host_name(host, i);

    for (unsigned walk = 0; view->suffixes[slot] && walk < IMAGE_SUFFIX_WALK; walk++) {
        uint32_t word = view->suffixes[slot];
        const uint8_t *text = view->suffix_texts + (word & IMAGE_SUFFIX_OFFSET);

        if (word >> 20 == hash >> 52 &&
            pieces_host_is(text + 2, text[0], name.at, name.at + name.size))
            return text[1];
        slot = (slot + 1) & mask;
    }
    return 0;
}

/* How many labels of the host are its public suffix; at least 1. */
static uint32_t suffix_labels(const struct image_view *view, struct host *host)
{
    uint32_t labels = 1;
    uint32_t i = host->count < IMAGE_SUFFIX_LABELS ? host->count : IMAGE_SUFFIX_LABELS;

    if (host->suffix_labels)
        return host->suffix_labels;
    while (i-- > 0) {
        unsigned kind = suffix_kind(view, host, i);
        if (kind & SUFFIX_EXCEPTION) {
            labels = i ? i : 1;
            break;
        }
        if (kind & SUFFIX_WILD && i + 2 > labels && i + 1 < host->count)
            labels = i + 2;
        if (kind & SUFFIX_NORMAL && i + 1 > labels)
            labels = i + 1;
    }
    host->suffix_labels = labels;
    return labels;
}

uint32_t host_suffix_labels(const struct image_view *view, struct host *host)
{
    return suffix_labels(view, host);
}

static bool is_address(const struct host *host)
{
    char last = host->at[host->size - 1];

    return (last == ']' || (last >= '0' && last <= '9')) &&
           url_host_is_address(span_of(host->at, host->size));
}

bool host_same(const struct host *a, const struct host *b)
{
    return a->size == b->size && memcmp(a->at, b->at, a->size) == 0;
}

/* Do the names from label `i` on differ? */
static bool differ_from(const struct host *a, const struct host *b, uint32_t i)
{
    uint32_t size = a->size - a->starts[i];

    return a->hashes[i] != b->hashes[i] || b->size - b->starts[i] != size ||
           memcmp(a->at + a->starts[i], b->at + b->starts[i], size) != 0;
}

bool host_same_party(const struct image_view *view, struct host *a, struct host *b)
{
    uint32_t labels;

    if (a->count < 2 || b->count < 2)
        return host_same(a, b);
    if (differ_from(a, b, 1)) // no registrable domain has less than two labels
        return false;
    if (is_address(a) || is_address(b))
        return host_same(a, b);
    labels = suffix_labels(view, a);
    if (labels >= a->count || labels >= b->count)
        return host_same(a, b);
    // A suffix may lie below the other's domain: "x.amazonaws.com", "y.s3.amazonaws.com".
    return !differ_from(a, b, labels) && suffix_labels(view, b) == labels;
}

const uint32_t *host_entity(const struct image_view *view, const struct host *host, uint32_t i,
                            uint64_t hash, uint32_t marks)
{
    uint32_t start = host->starts[i], end = host->starts[i - 1] - 1u;
    uint32_t slot = find_slot(view, hash, span_of(host->at + start, end - start), true);
    const uint32_t *record = &view->names[image_slot_number(view, slot)];

    return slot & IMAGE_SLOT_RECORD && record[1] & marks ? record : NULL;
}

/* The numbers of "name.*" for the labels in front of the public suffix. */
static void find_entities(const struct image_view *view, struct host *host)
{
    uint32_t labels, size;
    uint64_t hash = image_entity_seed(view->header->seed);

    if (host->has_entities)
        return;
    host->has_entities = true;
    memset(host->entities, 0, host->count * sizeof host->entities[0]);
    labels = suffix_labels(view, host);
    if (labels >= host->count || is_address(host))
        return;
    size = host->starts[labels - 1] - 1u; // in front of the suffix
    for (uint32_t i = labels; i < host->count; i++) {
        uint32_t slot;

        hash = host_hash_label(hash, host->at, host->starts[i], host->starts[i - 1] - 1u);
        slot = find_slot(view, hash, span_of(host->at + host->starts[i], size - host->starts[i]),
                         true);
        host->entities[i] = slot ? slot_host(view, slot) : 0;
    }
}

/* The word of a set that has this number, or NULL. Names come first, in ascending order. */
static const uint32_t *find_word(const uint32_t *words, uint32_t count, uint32_t number)
{
    uint32_t low = 0, high = count;

    while (high - low > 4) {
        uint32_t middle = low + (high - low) / 2;
        if ((words[middle] & ~IMAGE_SET_NOT) > number)
            high = middle;
        else
            low = middle;
    }
    for (; low < high; low++)
        if ((words[low] & ~IMAGE_SET_NOT) == number)
            return &words[low];
    return NULL;
}

/* The marks of all names that the host ends with, but for the last label alone. */
static uint32_t marks_of(struct host *host)
{
    if (!host->marks) {
        uint32_t first = host->count > 1;

        for (uint32_t i = first; i < host->count; i++)
            host->marks |= image_set_mark(host->at + host->starts[i], host->size - host->starts[i]);
    }
    return host->marks;
}

bool host_in_set(const struct image_view *view, uint32_t set, struct host *host,
                 bool (*regex_hits)(void *owner, uint32_t regex, struct span subject), void *owner)
{
    uint32_t head = view->sets[set], count = head & IMAGE_SET_COUNT;
    uint32_t first = host->count > 1 && !(head & IMAGE_SET_HAS_SINGLES);
    const uint32_t *words = &view->sets[set + IMAGE_SET_WORDS], *found = NULL;

    if (!(view->sets[set + 1] & marks_of(host)))
        return !(head & IMAGE_SET_HAS_WITH);
    if (head & IMAGE_SET_HAS_ENTITIES)
        find_entities(view, host);
    for (uint32_t i = host->count; i > first && !found; i--) {
        uint32_t slot = host->slots[i - 1];

        if (slot == IMAGE_SLOT_UNKNOWN)
            slot = host->slots[i - 1] = guess_slot(view, host, i - 1, bucket_hits);
        if (slot) {
            found = find_word(words, count, slot_host(view, slot & ~IMAGE_SLOT_GUESS));
            if (found && slot & IMAGE_SLOT_GUESS && !host_slot(view, host, i - 1))
                found = NULL; // proved only when it matters
        }
        if (!found && head & IMAGE_SET_HAS_ENTITIES && host->entities[i - 1])
            found = find_word(words, count, host->entities[i - 1]);
    }
    if (head & IMAGE_SET_HAS_REGEXES)
        for (uint32_t i = 0; i < count; i++) {
            if (!(words[i] & IMAGE_SET_REGEX) || (found && !(words[i] & IMAGE_SET_NOT)))
                continue;
            if (regex_hits(owner, words[i] & IMAGE_SET_NUMBER, span_of(host->at, host->size)))
                found = &words[i];
        }
    if (found)
        return !(*found & IMAGE_SET_NOT);
    return !(head & IMAGE_SET_HAS_WITH);
}
