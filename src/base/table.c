#include "base/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIRST_SLOTS = 16 };

void random_bytes(void *to, size_t size)
{
    char *at = to;

    while (size) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort(); // no secrets, no service
        }
        at += got;
        size -= (size_t)got;
    }
}

void table_init(struct table *table)
{
    *table = (struct table){ .slot_count = 0 };
    random_bytes(&table->secret, sizeof table->secret);
}

void table_done(struct table *table)
{
    free(table->slots);
    table->slots = NULL;
    table->slot_count = table->count = 0;
}

uint64_t table_hash(const struct table *table, struct span key)
{
    return XXH3_64bits_withSeed(key.at, key.size, table->secret);
}

struct table_node *table_find(const struct table *table, uint64_t hash,
                              bool (*is_same)(const struct table_node *node, const void *key),
                              const void *key)
{
    if (table->slot_count == 0)
        return NULL;
    for (struct table_node *node = table->slots[hash & (table->slot_count - 1)]; node;
         node = node->next)
        if (node->hash == hash && is_same(node, key))
            return node;
    return NULL;
}

static void grow(struct table *table)
{
    size_t wanted = table->slot_count ? table->slot_count * 2 : FIRST_SLOTS;
    struct table_node **slots = calloc(wanted, sizeof *slots);

    if (!slots)
        abort(); // out of memory ends the worker; the master starts another
    for (size_t i = 0; i < table->slot_count; i++) {
        struct table_node *node = table->slots[i];
        while (node) {
            struct table_node *next = node->next;
            node->next = slots[node->hash & (wanted - 1)];
            slots[node->hash & (wanted - 1)] = node;
            node = next;
        }
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = wanted;
}

void table_add(struct table *table, struct table_node *node, uint64_t hash)
{
    if (table->count >= table->slot_count)
        grow(table);
    node->hash = hash;
    node->next = table->slots[hash & (table->slot_count - 1)];
    table->slots[hash & (table->slot_count - 1)] = node;
    table->count++;
}

void table_remove(struct table *table, struct table_node *node)
{
    struct table_node **link = &table->slots[node->hash & (table->slot_count - 1)];

    while (*link != node) {
        assert(*link);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    table->count--;
}

void table_visit(struct table *table, void (*visit)(struct table_node *node, void *owner),
                 void *owner)
{
    for (size_t i = 0; i < table->slot_count; i++) {
        struct table_node *node = table->slots[i];
        while (node) {
            struct table_node *next = node->next;
            visit(node, owner);
            node = next;
        }
    }
}
