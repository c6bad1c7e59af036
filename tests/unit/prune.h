/* prune.h - rows of a path, a text and what is left of it, for both kinds of paths. */
#ifndef DEJUNK_TESTS_PRUNE_H
#define DEJUNK_TESTS_PRUNE_H

#include "filter/json_path.h"

struct prune_case {
    const char *name, *path, *text, *want; // want NULL: nothing is changed
};

typedef enum prune_result prune_function(struct span path, struct span text, struct buffer *out);
typedef bool prune_check(struct span path);

static inline void prune_cases_hold(const struct prune_case *cases, size_t count,
                                    prune_check *is_good, prune_function *prune)
{
    for (size_t i = 0; i < count; i++) {
        const struct prune_case *it = &cases[i];
        struct buffer out = { .limit_bytes = 4096 };
        enum prune_result result = prune(span_text(it->path), span_text(it->text), &out);

        if (!is_good(span_text(it->path)))
            fail_msg("%s: the path is refused", it->name);
        if (result != (it->want ? PRUNE_DONE : PRUNE_NOTHING) ||
            !span_equal(buffer_span(&out), span_text(it->want ? it->want : "")))
            fail_msg("%s: %d, %.*s", it->name, (int)result, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
}

static inline void prune_paths_are_refused(const char *const *paths, size_t count,
                                           prune_check *is_good)
{
    for (size_t i = 0; i < count; i++)
        if (is_good(span_text(paths[i])))
            fail_msg("%s is taken", paths[i]);
}

#endif
