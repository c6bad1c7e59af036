/*
 * tree.h - which elements are open: HTML's tree construction, without the tree.
 *
 * Follows tokens through the insertion modes of HTML section 13.2.6, so that elements begin and
 * end exactly where a browser's parser has them: implied tags, misnested formatting, foster
 * parents, foreign content, with scripts enabled. It keeps the stack of open elements and the
 * list of active formatting elements, and tells its owner of every element that comes and goes;
 * what is not open any more is forgotten. Text is only told to be there.
 *
 * An element that leaves the stack while younger ones inside it stay (a form, mostly) becomes a
 * ghost: no algorithm sees it, but it is still their ancestor; it goes when they do.
 *
 * Knows nothing of selectors or of rewriting, but lends each element some room for both.
 */
#ifndef DEJUNK_HTML_TREE_H
#define DEJUNK_HTML_TREE_H

#include "html/tokenizer.h"

enum { TREE_DEPTH_LIMIT = 4096, TREE_FORMATTING_LIMIT = 1024 };

enum tree_namespace { TREE_HTML, TREE_SVG, TREE_MATHML };

enum tree_origin {
    TREE_FROM_TAG, // the start tag at hand
    TREE_IMPLIED,  // no tag says so: tbody, head, a p for "</p>"
    TREE_COPY      // of a formatting element that was closed too early
};

struct element_notes { // what others remember of an element; zero when it comes
    uint32_t marks;    // selection.c: positions that it matched
    uint8_t action;    // rewrite.c, all from here
    uint8_t content;
    bool is_out;
    bool waits; // for what comes into it
    struct kept_tag *tag;
};

struct element {
    _Alignas(16) uint64_t key; // so that all is 64 bytes: elements are found by a shift
    uint8_t tag;               // enum tag; TAG_OTHER for ghosts
    uint8_t ns;                // enum tree_namespace
    uint8_t flags;
    uint8_t point; // an integration point of foreign content (tree.c)
    bool is_ghost;
    bool asks_close;    // somebody keeps something of it, and must be told when it goes
    int32_t parent;     // index of the element that holds it, which need not be the one below
    int32_t formatting; // index in the list, or -1
    uint32_t children;  // elements in it so far
    uint32_t previous;  // selection.c: marks of the child before the next one,
    uint32_t earlier;   // and of all its children
    uint32_t types;     // and how many of each type
    struct element_notes notes;
};

struct formatting { // an active formatting element
    uint8_t tag;    // TAG_OTHER: a marker
    int32_t at;     // its index on the stack, or -1
    uint64_t hash;  // of its attributes
    struct element_notes notes;
};

struct tree_events {
    /* An element has come; it is the newest on the stack. `from` is whose copy it is, or NULL. */
    void (*on_open)(void *owner, struct element *element, enum tree_origin origin,
                    const struct formatting *from);
    /* It goes; nothing of it may be kept. Only told of those that ask for it. */
    void (*on_close)(void *owner, struct element *element);
    /* The start tag or text at hand is about to end it (and all inside). */
    void (*on_implied_end)(void *owner, enum tag tag, const struct element_notes *notes);
    /* Elements have changed places, and parents, because formatting was ended inside a block. */
    void (*on_moved)(void *owner);
    /* The element has become an active formatting element, which keeps notes of its own... */
    void (*on_format)(void *owner, struct formatting *formatting, const struct element *element);
    /* ...until here. */
    void (*on_forget)(void *owner, struct formatting *formatting);
};

enum tree_aim { // what an end tag, or a second <html> or <body>, acted upon
    TREE_NOTHING,
    TREE_ELEMENT,
    TREE_NEW_ELEMENT // "</p>" and "</br>" can make one
};

struct tree {
    const struct tree_events *events;
    void *owner;

    struct element *stack;
    int32_t depth;
    bool is_quirky;   // read only, from here to the blank line
    bool is_full;     // a limit was reached: nothing after this is right
    int32_t fostered; // open elements whose parent is not the one below
    int32_t templates;
    enum tree_aim aim;
    struct element_notes aimed_at;   // as they were before
    int32_t aimed_index;             // where on the stack it was, or -1
    enum tokenizer_state text_state; // how to read on after a start tag
    uint64_t work;                   // steps taken along the stack

    const struct token *token; // tree.c only, from here
    uint8_t mode, original_mode;
    bool is_frameset_ok, foster, head_was_seen, has_form, is_start;
    bool has_table_text; // the text at hand goes in front of the table
    int32_t form;
    int32_t open_p;
    uint32_t head_children;
    struct element_notes head_notes; // while it is closed
    struct formatting *formatting;
    int32_t formatting_count, formatting_room, room;
    uint8_t *template_modes;
    int32_t template_modes_room;
};

void tree_init(struct tree *tree, const struct tree_events *events, void *owner);
/* Ends every element first. */
void tree_done(struct tree *tree);

void tree_start_tag(struct tree *tree, const struct token *token);
void tree_end_tag(struct tree *tree, const struct token *token);
void tree_doctype(struct tree *tree, struct span token);
/* Text is here. Cuts *text to as much as goes into one element (all of it, or white space or NULs
 * that are treated in their own way), and returns that one's index, or -1 for none. However a text
 * is cut, the same bytes go into the same elements. */
int32_t tree_text(struct tree *tree, struct span *text);
/* The element that a comment goes into, or -1: the document. */
int32_t tree_comment_parent(const struct tree *tree);

/* Is the newest element foreign, so that "<![CDATA[" means something? */
static inline bool tree_is_foreign(const struct tree *tree)
{
    return tree->depth > 0 && tree->stack[tree->depth - 1].ns != TREE_HTML;
}

/* Text goes into the newest element and changes nothing: what is true nearly always. */
bool tree_text_is_plain(const struct tree *tree);

#endif
