/*
 * json_path.h - which values of a JSON text a path names, and the text without them.
 *
 * Two dialects. That of `jsonprune`, a JSONPath:
 *
 *      $ .name .* ..name ..*                 children, and all that is below
 *      [name, "two words", 'x', *, 0, -1]    children by name, or elements by place
 *      [1:3] [::2]                           slices of an array
 *      [?(has key)]                          children that have the key
 *      [?(key-eq key value)]                 ... whose key has this value, or
 *      [?(key-substr key value)]             ... contains it; a key may be a path: "$.a.b"
 *
 * And that of `json-prune`: names with dots between them, separated by blanks:
 *
 *      a.b.[].c  playlist.*.ads              [] every element, {} every key, * both
 *      list.[-].ad                           the elements that have what follows
 *
 * A path is parsed once for each text; it has limits, and so have the steps of a search.
 */
#ifndef DEJUNK_FILTER_JSON_PATH_H
#define DEJUNK_FILTER_JSON_PATH_H

#include "base/bytes.h"

enum {
    JSON_PATH_STEPS = 64,
    JSON_PATH_SELECTORS = 128,
    JSON_PATH_NESTING = 4,    // paths inside of paths
    JSON_PATH_WORK = 4000000, // steps for one text, of some 10 ns each
};

enum prune_result {
    PRUNE_NOTHING, // not what it is for, or nothing is named
    PRUNE_DONE,
    PRUNE_TOO_MUCH, // past a limit
};

/* Without the values that `path` names; all other bytes are as they were. `out` is empty, with its
 * limit set; it stays empty unless PRUNE_DONE. */
enum prune_result json_path_prune(struct span path, struct span text, struct buffer *out);

/* Can it be read? */
bool json_path_is_good(struct span path);

#endif
