/*
 * body_edit.h - whatever changes a body: decoded bytes in, changed bytes out, as they come.
 *
 * The seam between the chain of a body (decode, edit, encode) and its editors (the page's, text's).
 * An editor never keeps bytes back for long, says how much it holds, and can be told at any time to
 * let the rest pass. Knows nothing of connections, codings or framing.
 */
#ifndef DEJUNK_PROXY_BODY_EDIT_H
#define DEJUNK_PROXY_BODY_EDIT_H

#include "base/bytes.h"
#include "filter/database.h"

struct body_edit_events {
    /* Only from within feed, finish and stop; the bytes are good until it returns. */
    void (*on_output)(void *owner, struct span bytes);
    /* From here on it copies. `why` is constant text ("a tag over 1 MB"); rule 0: none is known to
     * be the cause. At most once. */
    void (*on_gave_up)(void *owner, const char *why, rule_number rule);
};

struct body_edit_counts {
    uint64_t removed_bytes, removed_elements;
};

struct body_editor {
    /* At most BODY_EDIT_STEP_BYTES, cut anywhere. */
    void (*feed)(void *editor, struct span bytes);
    /* The body has ended: out with what is held. False: there is more to do, and it wants to be
     * called again, after others had their turn. */
    bool (*finish)(void *editor);
    /* Out with what is held, as it came; the rest is only copied. *costly is the rule that cost
     * most so far, 0 where that is not known. No on_gave_up() follows. */
    void (*stop)(void *editor, rule_number *costly);
    /* Memory that grew with the input: bytes held back, open elements. */
    size_t (*held)(const void *editor);
    void (*counts)(const void *editor, struct body_edit_counts *out);
    void (*free)(void *editor);
};

enum { BODY_EDIT_STEP_BYTES = 16 * 1024 };

struct body_edit {
    const struct body_editor *ops; // NULL: none
    void *editor;
};

/* Harmless where there is none. */
static inline void body_edit_done(struct body_edit *edit)
{
    if (edit->ops)
        edit->ops->free(edit->editor);
    edit->ops = NULL;
    edit->editor = NULL;
}

#endif
