/*
 * cosmetic_index.h - the section COSMETIC of a database under construction: which cosmetic rules
 * a host has.
 *
 * Knows names by their hashes and rules by their place; their texts stand in LINES with those of
 * all other rules. The owner says what a line's hosts mean; it is ended with
 * cosmetic_index_done().
 */
#ifndef DEJUNK_FILTER_COSMETIC_INDEX_H
#define DEJUNK_FILTER_COSMETIC_INDEX_H

#include "base/bytes.h"
#include "filter/vector.h"

struct cosmetic_line {
    struct span text;
    uint32_t place, number; // the number is set by the owner before cosmetic_index_write()
    bool is_exception;
    bool is_generic; // holds wherever no name says otherwise
};

struct cosmetic_index {
    struct vector lines;   // struct cosmetic_line
    struct vector names;   // struct cosmetic_name
    struct vector regexes; // struct cosmetic_name: hash is the expression's number
};

struct cosmetic_name {
    uint64_t hash;
    uint32_t line;
    bool is_not;
};

void cosmetic_index_done(struct cosmetic_index *index);
/* A rule; the names that follow are its own. */
void cosmetic_index_begin(struct cosmetic_index *index, const struct cosmetic_line *line);
void cosmetic_index_name(struct cosmetic_index *index, struct span name, bool is_entity,
                         bool is_not);
void cosmetic_index_regex(struct cosmetic_index *index, uint32_t regex, bool is_not);
/* Words of the section. False: too many. */
bool cosmetic_index_write(struct cosmetic_index *index, struct vector *words);

/* The hash of a name in lower case. */
uint64_t cosmetic_hash(struct span name, bool is_entity);

#endif
