/*
 * json_tree.h - where things stand in a JSON text: its values, in order, with their places.
 *
 * Nothing is decoded or copied; the text must outlive the tree. Some lines of JSON one below the
 * other, and JSON in the call of a function (JSONP), are read as well. Knows nothing of paths. Its
 * parser does not call itself: depth and number of values have limits.
 */
#ifndef DEJUNK_FILTER_JSON_TREE_H
#define DEJUNK_FILTER_JSON_TREE_H

#include "base/bytes.h"
#include "filter/vector.h"

#define JSON_DEPTH 512u
#define JSON_VALUES 500000u

enum json_kind {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_WORD /* true false null */
};

struct json_value {
    uint32_t start, end;    // of the value, in bytes
    uint32_t key, key_size; // between the quotes, as written; key 0: it has none
    uint32_t parent;        // UINT32_MAX: it has none
    uint32_t after;         // index behind all that is in it
    uint8_t kind;
};

struct json_tree {
    struct span text;
    struct vector values; // struct json_value, each in front of what is in it
};

enum json_result { JSON_READ, JSON_NONE /* it is no JSON */, JSON_TOO_MUCH };

/* `tree` is filled in completely; it is ended with json_tree_done(), whatever comes back. */
enum json_result json_tree_read(struct json_tree *tree, struct span text);
void json_tree_done(struct json_tree *tree);

static inline const struct json_value *json_at(const struct json_tree *tree, uint32_t index)
{
    return &VECTOR_AT(tree->values, struct json_value, index);
}

/* Where a value begins with its key, if it has one. */
static inline uint32_t json_start(const struct json_value *value)
{
    return value->key ? value->key - 1 : value->start;
}

/* Is what stands between quotes, decoded, these bytes? With `anywhere`: are they in it? */
bool json_string_is(struct span written, struct span text, bool anywhere);

#endif
