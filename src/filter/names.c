#include "filter/names.h"

#include <assert.h>

#include "base/url.h"
#include "filter/image.h"

enum {
    SEEDS = 64,       // tried until no name stands too far from its bucket
    BUCKET_LOAD = 25, // names in a bucket, on average
};

void names_init(struct names *names, struct pieces_index *pieces)
{
    *names = (struct names){ .seed = 0x6a09e667f3bcc908u, .pieces = pieces };
}

void names_done(struct names *names)
{
    vector_done(&names->items);
    vector_done(&names->plain);
    free(names->table);
}

bool names_can_be(struct span text)
{
    if (text.size == 0 || text.size > URL_HOST_LIMIT || text.at[0] == '.' ||
        text.at[text.size - 1] == '.')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];
        if (c == '.' && text.at[i - 1] == '.')
            return false; // an empty label
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
              c == '_' || c == ':' || c == '[' || c == ']'))
            return false;
    }
    return true;
}

uint64_t names_hash(uint64_t seed, struct span text)
{
    uint64_t hash = seed;
    size_t end = text.size;

    for (;;) {
        size_t start = end;
        uint64_t bytes = 0;

        while (start > 0 && text.at[start - 1] != '.')
            start--;
        for (; end - start > 8; end -= 8) {
            memcpy(&bytes, text.at + end - 8, 8);
            hash = image_hash_step(hash, bytes);
        }
        bytes = 0;
        for (size_t i = end; i > start; i--)
            bytes = bytes << 8 | (uint8_t)text.at[i - 1];
        hash = image_hash_step(hash, bytes);
        if (start == 0)
            return hash;
        end = start - 1;
    }
}

static uint64_t seed_of(const struct names *names, bool is_entity)
{
    return is_entity ? image_entity_seed(names->seed) : names->seed;
}

static void grow_table(struct names *names)
{
    names->table_size = names->table_size ? names->table_size * 2 : 4096;
    free(names->table);
    names->table = calloc(names->table_size, sizeof *names->table);
    if (!names->table)
        abort();
    for (uint32_t i = 0; i < names->items.count; i++) {
        size_t slot = names_at(names, i)->hash & (names->table_size - 1);
        while (names->table[slot])
            slot = (slot + 1) & (names->table_size - 1);
        names->table[slot] = i + 1;
    }
}

uint32_t names_find(struct names *names, struct span text, bool is_entity, bool create)
{
    uint64_t hash = names_hash(seed_of(names, is_entity), text);
    struct name *name;
    size_t slot;

    assert(text.size > 0 && text.size <= URL_HOST_LIMIT);
    if (names->items.count * 2 >= names->table_size)
        grow_table(names);
    slot = hash & (names->table_size - 1);
    while (names->table[slot]) {
        name = names_at(names, names->table[slot] - 1);
        if (name->hash == hash && name->size == text.size && name->is_entity == is_entity &&
            memcmp(name->text, text.at, text.size) == 0)
            return names->table[slot] - 1;
        slot = (slot + 1) & (names->table_size - 1);
    }
    if (!create)
        return NAMES_NONE;
    name = VECTOR_ADD(names->items, struct name);
    name->hash = hash;
    name->text = text.at;
    name->size = (uint8_t)text.size;
    name->is_entity = is_entity;
    names->table[slot] = (uint32_t)names->items.count;
    return (uint32_t)names->items.count - 1;
}

bool names_make_plain(struct names *names, uint32_t index, uint32_t place)
{
    struct name *name = names_at(names, index);

    if (name->is_plain)
        return false;
    name->is_plain = true;
    name->place = place;
    *VECTOR_ADD(names->plain, uint32_t) = index;
    return true;
}

static void write_host(struct names *names, struct name *name, struct vector *hosts)
{
    uint8_t codes[2 + URL_HOST_LIMIT];
    size_t size = 1;

    if (name->is_entity)
        codes[size++] = PIECES_HOST_STAR;
    size += pieces_pack_host(names->pieces, span_of(name->text, name->size), codes + size);
    assert(size > 1 && size <= UINT8_MAX + 1u);
    codes[0] = (uint8_t)(size - 1);
    name->at = (uint32_t)hosts->count;
    memcpy(vector_add(hosts, 1, size), codes, size);
}

void names_write_hosts(struct names *names, struct vector *hosts, struct vector *runs)
{
    uint32_t length = 0, expected = 0;

    vector_add(hosts, 1, 1); // offset 0 is nobody's
    for (size_t i = 0; i < names->plain.count; i++) {
        struct name *name = names_at(names, VECTOR_AT(names->plain, uint32_t, i));

        if (!name->is_plain) // it was taken back
            continue;
        write_host(names, name, hosts);
        if (length == 0 || length == IMAGE_RUN_LIMIT || name->place != expected) {
            *VECTOR_ADD(*runs, struct image_run) =
                (struct image_run){ .at = name->at, .place = name->place };
            length = 0;
        }
        length++;
        expected = name->place + 1;
    }
    // so that the last run ends where the plain names end
    *VECTOR_ADD(*runs, struct image_run) =
        (struct image_run){ .at = (uint32_t)hosts->count, .place = UINT32_MAX };
    for (uint32_t i = 0; i < names->items.count; i++) {
        struct name *name = names_at(names, i);
        if (!name->is_plain && name->is_needed)
            write_host(names, name, hosts);
    }
}

static uint32_t slot_of(const struct name *name)
{
    return name->record     ? name->record | IMAGE_SLOT_RECORD
           : name->is_plain ? name->at
                            : name->at | IMAGE_SLOT_NAME;
}

static void put_slot(char *slots, size_t index, uint32_t slot, size_t slot_bytes)
{
    if (slot_bytes == 3) // the flags at the upper end, as in a word
        slot = (slot & ~IMAGE_SLOT_NUMBER) >> 8 | (slot & IMAGE_SLOT_SMALL);
    for (size_t i = 0; i < slot_bytes; i++)
        slots[index * slot_bytes + i] = (char)(slot >> 8 * i);
}

/* False when a name came too far from its own bucket. */
static bool fill_buckets(struct names *names, size_t count, size_t slot_bytes,
                         struct vector *buckets, struct vector *slots)
{
    size_t bucket_count = count / BUCKET_LOAD + 1;

    buckets->count = slots->count = 0;
    vector_add(buckets, sizeof(struct image_bucket), bucket_count);
    vector_add(slots, 1, bucket_count * IMAGE_BUCKET_SLOTS * slot_bytes);
    for (uint32_t i = 0; i < names->items.count; i++) {
        const struct name *name = names_at(names, i);
        uint32_t at = image_bucket_of(name->hash, (uint32_t)bucket_count);
        unsigned walk = 0;

        if (!name->at)
            continue;
        for (;; walk++) {
            struct image_bucket *bucket = &VECTOR_AT(*buckets, struct image_bucket, at);
            unsigned slot = 0;

            while (slot < IMAGE_BUCKET_SLOTS && bucket->prints[slot])
                slot++;
            if (slot < IMAGE_BUCKET_SLOTS) {
                bucket->prints[slot] = image_print(name->hash);
                put_slot(slots->at, at * IMAGE_BUCKET_SLOTS + slot, slot_of(name), slot_bytes);
                break;
            }
            if (walk == IMAGE_BUCKET_WALK)
                return false;
            bucket->moved |= (uint16_t)image_moved(image_print(name->hash));
            at = at + 1 == bucket_count ? 0 : at + 1;
        }
    }
    return true;
}

bool names_write_table(struct names *names, struct vector *buckets, struct vector *slots)
{
    size_t count = 0, slot_bytes = 3;

    for (uint32_t i = 0; i < names->items.count; i++) {
        const struct name *name = names_at(names, i);
        count += name->at != 0;
        if ((slot_of(name) & IMAGE_SLOT_NUMBER) > IMAGE_SLOT_SMALL)
            slot_bytes = 4;
    }
    for (unsigned try = 0; try < SEEDS; try++) {
        if (fill_buckets(names, count, slot_bytes, buckets, slots))
            return true;
        names->seed = names->seed * IMAGE_HASH_FACTOR + 1;
        for (uint32_t i = 0; i < names->items.count; i++) {
            struct name *name = names_at(names, i);
            name->hash =
                names_hash(seed_of(names, name->is_entity), span_of(name->text, name->size));
        }
    }
    return false;
}
