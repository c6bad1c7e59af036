/*
 * selection.h - which selectors an element matches, as the page streams.
 *
 * Runs one or more sets of selectors over the elements that a tree opens and closes. Each
 * element leaves marks: the positions of selectors that it reached and that elements inside or
 * after it may build upon. Everything an element is asked is known when its start tag is.
 */
#ifndef DEJUNK_HTML_SELECTION_H
#define DEJUNK_HTML_SELECTION_H

#include "html/program.h"
#include "html/tree.h"

enum { SELECTION_SETS = 4, SELECTION_MATCHES = 256, SELECTION_UNDECIDED = 32 };

struct match {
    uint8_t set;
    uint32_t id;
};

struct mark; // selection.c

struct selection_run { // selection.c
    const struct selector_set *set;
    uint8_t number;   // of the set, as its owner counts
    uint32_t *active; // how many open elements have reached a position, by its slot
};

struct selection_value { // selection.c only: of an attribute, decoded
    struct buffer bytes; // behind a pad
    size_t of;           // which attribute's
};

struct selection {
    const struct tree *tree;                 // borrowed
    struct match matches[SELECTION_MATCHES]; // of the element opened last; read only
    size_t match_count;
    struct match if_empty[SELECTION_UNDECIDED]; // if it turns out to be empty,
    struct match if_full[SELECTION_UNDECIDED];  // or not to be
    size_t if_empty_count, if_full_count;
    uint64_t work; // conditions looked at so far; read only

    struct { // where most of the work was done, if more than half of it was at one place
        uint32_t run, position;
        uint64_t weight;
    } costly; // selection.c only, from here

    struct selection_run runs[SELECTION_SETS];
    size_t run_count;
    struct mark *marks;
    uint32_t marks_room, free_mark;
    bool asks_siblings, asks_types;
    uint32_t *new_marks;
    size_t new_count, new_room;
    const struct token *token;
    const struct element *now;
    bool assumes_empty;
    uint64_t asked[PROGRAM_NAME_BITS / 64]; // bits of attributes' names
    bool has_names;                         // the next is filled in
    uint64_t names[TOKENIZER_ATTRIBUTES];   // keys of those of the element; 0: not asked for
    // The value whose keys are looked up stays as it is while what they find is tested.
    struct selection_value searched, tested;
};

/* The sets are finished, and outlive the selection. */
void selection_init(struct selection *selection, const struct tree *tree,
                    const struct selector_set *const *sets, size_t count);
void selection_done(struct selection *selection);

/* The tree's newest element is here; `token` is its start tag, or NULL where none says so. Fills
 * in the matches; those that ask whether it is :empty are told apart. */
void selection_open(struct selection *selection, struct element *element,
                    const struct token *token);
/* It is a copy of one that has left these marks. */
void selection_copy(struct selection *selection, struct element *element, uint32_t marks);
void selection_close(struct selection *selection, struct element *element);

/* A selector that took most of the work, as far as is known. False: none is. */
bool selection_costly(const struct selection *selection, struct match *out);

/* Marks of an element for a list that outlives it; ended by selection_forget(). */
uint32_t selection_remember(struct selection *selection, uint32_t marks);
void selection_forget(struct selection *selection, uint32_t *marks);

#endif
