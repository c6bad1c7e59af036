/*
 * table.h - a hash table of nodes that live inside their owners.
 *
 * Keys are the owner's business: it brings a hash (table_hash() is keyed with a secret of the
 * table, so that peers cannot choose colliding names) and a function that compares. The table
 * owns only its slots; it grows by doubling. Not for threads.
 */
#ifndef DEJUNK_BASE_TABLE_H
#define DEJUNK_BASE_TABLE_H

#include "base/bytes.h"

struct table_node {
    struct table_node *next; // table.c only, as is the next
    uint64_t hash;
};

struct table {
    struct table_node **slots; // table.c only, all of these
    size_t slot_count, count;
    uint64_t secret;
};

void table_init(struct table *table);
/* Gives the slots back; the nodes are their owners'. */
void table_done(struct table *table);

uint64_t table_hash(const struct table *table, struct span key);
/* The first node with this hash for which is_same(node, key) holds, or NULL. */
struct table_node *table_find(const struct table *table, uint64_t hash,
                              bool (*is_same)(const struct table_node *node, const void *key),
                              const void *key);
void table_add(struct table *table, struct table_node *node, uint64_t hash);
/* The node must be in the table. */
void table_remove(struct table *table, struct table_node *node);
/* Calls visit for every node; visit may remove the node it is given, nothing else. */
void table_visit(struct table *table, void (*visit)(struct table_node *node, void *owner),
                 void *owner);

/* Random bytes from the kernel; never fails (aborts where there are none). */
void random_bytes(void *to, size_t size);

#endif
