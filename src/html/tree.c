#include "html/tree.h"

#include "html/doctype.h"
#include "html/scan.h"

#include <assert.h>
#include <stdlib.h>

enum mode {
    INITIAL,
    BEFORE_HTML,
    BEFORE_HEAD,
    IN_HEAD,
    AFTER_HEAD,
    IN_BODY,
    IN_TEXT,
    IN_TABLE,
    IN_CAPTION,
    IN_COLUMN_GROUP,
    IN_TABLE_BODY,
    IN_ROW,
    IN_CELL,
    IN_SELECT,
    IN_SELECT_IN_TABLE,
    IN_TEMPLATE,
    AFTER_BODY,
    IN_FRAMESET,
    AFTER_FRAMESET,
    AFTER_AFTER_BODY,
    AFTER_AFTER_FRAMESET
};

enum point { NO_POINT, MATHML_TEXT_POINT, ANNOTATION_POINT, HTML_POINT };

enum scope { DEFAULT_SCOPE, LIST_SCOPE, BUTTON_SCOPE, TABLE_SCOPE, SELECT_SCOPE };

/* A mode's answer: is the token done, or must the mode, which has changed, see it too? */
enum verdict { DONE, AGAIN };

void tree_init(struct tree *tree, const struct tree_events *events, void *owner)
{
    *tree = (struct tree){ .events = events, .owner = owner, .is_frameset_ok = true, .form = -1 };
}

/* ---- the stack ---- */

static struct element *top(const struct tree *tree)
{
    return &tree->stack[tree->depth - 1];
}

static bool top_is(const struct tree *tree, enum tag tag)
{
    return tree->depth > 0 && top(tree)->tag == tag && top(tree)->ns == TREE_HTML;
}

static void pop_one(struct tree *tree)
{
    struct element *element = top(tree);

    if (element->asks_close)
        tree->events->on_close(tree->owner, element);
    if (element->formatting >= 0)
        tree->formatting[element->formatting].at = -1;
    if (element->tag == TAG_P && element->ns == TREE_HTML)
        tree->open_p--;
    if (element->parent != tree->depth - 2)
        tree->fostered--;
    if (tree->form == tree->depth - 1)
        tree->form = -1; // the form pointer stays, but what it points to is closed
    tree->depth--;
}

static void pop(struct tree *tree)
{
    pop_one(tree);
    while (tree->depth > 0 && top(tree)->is_ghost)
        pop_one(tree);
}

/* Ends the element at `index` and all above it. */
static void pop_to(struct tree *tree, int32_t index)
{
    assert(index >= 0);
    // The end tag of a formatting element would end it for good.
    if (tree->is_start && !(tree->stack[index].flags & TAG_FORMATTING))
        tree->events->on_implied_end(tree->owner, tree->stack[index].tag,
                                     &tree->stack[index].notes);
    while (tree->depth > index)
        pop(tree);
}

static void make_ghost(struct tree *tree, int32_t index)
{
    struct element *element = &tree->stack[index];

    if (index == tree->depth - 1) {
        pop(tree);
        return;
    }
    if (element->formatting >= 0)
        tree->formatting[element->formatting].at = -1;
    if (element->tag == TAG_P && element->ns == TREE_HTML)
        tree->open_p--;
    element->is_ghost = true;
    element->formatting = -1;
    element->tag = TAG_OTHER;
    element->key = 0;
    element->flags = 0;
    element->point = NO_POINT;
    element->ns = TREE_HTML;
}

static bool is_table_part(const struct element *element)
{
    return element->ns == TREE_HTML &&
           (element->tag == TAG_TABLE || element->tag == TAG_TBODY || element->tag == TAG_TFOOT ||
            element->tag == TAG_THEAD || element->tag == TAG_TR);
}

/* Where something that has no place in a table goes (HTML section 13.2.6.1). */
static int32_t foster_parent(struct tree *tree)
{
    for (int32_t i = tree->depth - 1; i > 0; i--) {
        const struct element *element = &tree->stack[i];
        tree->work++;
        if (element->ns != TREE_HTML)
            continue;
        if (element->tag == TAG_TEMPLATE)
            return i;
        if (element->tag == TAG_TABLE)
            return element->parent;
    }
    return 0;
}

static inline int32_t insertion_parent(struct tree *tree)
{
    if (tree->foster && is_table_part(top(tree)))
        return foster_parent(tree);
    return tree->depth - 1;
}

static uint8_t foreign_flags(enum tag tag, enum tree_namespace ns)
{
    if (ns == TREE_MATHML && (tag == TAG_MI || tag == TAG_MO || tag == TAG_MN || tag == TAG_MS ||
                              tag == TAG_MTEXT || tag == TAG_ANNOTATION_XML))
        return TAG_SPECIAL | TAG_SCOPE;
    if (ns == TREE_SVG && (tag == TAG_FOREIGNOBJECT || tag == TAG_DESC || tag == TAG_TITLE))
        return TAG_SPECIAL | TAG_SCOPE;
    return 0;
}

static enum point foreign_point(const struct tree *tree, enum tag tag, enum tree_namespace ns)
{
    size_t index;

    if (!foreign_flags(tag, ns))
        return NO_POINT;
    if (ns == TREE_SVG)
        return HTML_POINT;
    if (tag != TAG_ANNOTATION_XML)
        return MATHML_TEXT_POINT;
    if (token_find_attribute(tree->token, SPAN("encoding"), &index)) {
        struct span value = token_attribute_value(tree->token, index);
        if (span_equal_nocase(value, SPAN("text/html")) ||
            span_equal_nocase(value, SPAN("application/xhtml+xml")))
            return HTML_POINT;
    }
    return ANNOTATION_POINT;
}

static void grow_stack(struct tree *tree)
{
    size_t room = tree->room > 0 ? (size_t)tree->room * 2 : 64;

    tree->room = (int32_t)room;
    tree->stack = realloc(tree->stack, room * sizeof *tree->stack);
    if (!tree->stack)
        abort(); // out of memory ends the worker; the master starts another
}

static void push(struct tree *tree, enum tag tag, uint64_t key, enum tree_namespace ns,
                 enum tree_origin origin, const struct formatting *from)
{
    int32_t parent = tree->depth ? insertion_parent(tree) : -1;
    struct element *element;

    if (tree->depth >= TREE_DEPTH_LIMIT) {
        tree->is_full = true;
        pop(tree); // what follows is wrong, but in bounds
        if (parent >= tree->depth)
            parent = tree->depth - 1;
    }
    if (tree->depth == tree->room)
        grow_stack(tree);
    element = &tree->stack[tree->depth];
    *element = (struct element){
        .key = key,
        .tag = (uint8_t)tag,
        .ns = (uint8_t)ns,
        .parent = parent,
        .formatting = -1,
    };
    if (ns == TREE_HTML) {
        element->flags = tag_row(tag)->flags;
        tree->open_p += tag == TAG_P;
    } else {
        element->flags = foreign_flags(tag, ns);
        element->point = (uint8_t)foreign_point(tree, tag, ns);
    }
    if (parent != tree->depth - 1)
        tree->fostered++;
    tree->depth++;
    tree->work++;
    tree->events->on_open(tree->owner, element, origin, from);
    if (parent >= 0)
        tree->stack[parent].children++;
}

static void insert(struct tree *tree)
{
    push(tree, tree->token->tag, tree->token->key, TREE_HTML, TREE_FROM_TAG, NULL);
}

static void insert_void(struct tree *tree)
{
    insert(tree);
    pop_one(tree);
}

static void insert_implied(struct tree *tree, enum tag tag)
{
    push(tree, tag, tag_key_of(tag), TREE_HTML, TREE_IMPLIED, NULL);
}

static void insert_text(struct tree *tree, enum tokenizer_state state)
{
    insert(tree);
    tree->text_state = state;
    tree->original_mode = tree->mode;
    tree->mode = IN_TEXT;
}

/* ---- scopes ---- */

static bool ends_scope(const struct element *element, enum scope scope)
{
    switch (scope) {
    case TABLE_SCOPE:
        return element->ns == TREE_HTML && (element->tag == TAG_HTML || element->tag == TAG_TABLE ||
                                            element->tag == TAG_TEMPLATE);
    case SELECT_SCOPE:
        return !element->is_ghost && (element->ns != TREE_HTML ||
                                      (element->tag != TAG_OPTGROUP && element->tag != TAG_OPTION));
    case LIST_SCOPE:
        if (element->ns == TREE_HTML && (element->tag == TAG_OL || element->tag == TAG_UL))
            return true;
        break;
    case BUTTON_SCOPE:
        if (element->ns == TREE_HTML && element->tag == TAG_BUTTON)
            return true;
        break;
    case DEFAULT_SCOPE:
        break;
    }
    return element->flags & TAG_SCOPE;
}

/* The index of the HTML element, or -1 when none is in scope. */
static int32_t in_scope(struct tree *tree, enum tag tag, enum scope scope)
{
    for (int32_t i = tree->depth - 1; i >= 0; i--) {
        const struct element *element = &tree->stack[i];
        tree->work++;
        if (element->tag == tag && element->ns == TREE_HTML)
            return i;
        if (ends_scope(element, scope))
            return -1;
    }
    return -1;
}

static int32_t p_in_scope(struct tree *tree)
{
    return tree->open_p ? in_scope(tree, TAG_P, BUTTON_SCOPE) : -1;
}

static void imply_ends(struct tree *tree, enum tag except)
{
    while (tree->depth > 0 && top(tree)->flags & TAG_IMPLIED_END && top(tree)->tag != except)
        pop_to(tree, tree->depth - 1);
}

static bool is_html(const struct element *element, enum tag tag)
{
    return element->tag == tag && element->ns == TREE_HTML;
}

static void close_p(struct tree *tree)
{
    int32_t p = p_in_scope(tree);
    if (p >= 0)
        pop_to(tree, p); // the implied ends before it are those of elements in it
}

static void aim_at(struct tree *tree, int32_t index)
{
    tree->aim = TREE_ELEMENT;
    tree->aimed_at = tree->stack[index].notes;
    tree->aimed_index = index;
}

/* ---- active formatting elements (HTML section 13.2.4.3) ---- */

static void forget(struct tree *tree, int32_t index)
{
    struct formatting *list = tree->formatting;

    if (list[index].tag != TAG_OTHER)
        tree->events->on_forget(tree->owner, &list[index]);
    if (list[index].at >= 0)
        tree->stack[list[index].at].formatting = -1;
    memmove(&list[index], &list[index + 1],
            (size_t)(tree->formatting_count - index - 1) * sizeof *list);
    tree->formatting_count--;
    for (int32_t i = index; i < tree->formatting_count; i++)
        if (list[i].at >= 0)
            tree->stack[list[i].at].formatting = i;
}

/* Makes room at `index`; false: too many. */
static bool list_at(struct tree *tree, int32_t index)
{
    struct formatting *list = tree->formatting;

    if (tree->formatting_count == TREE_FORMATTING_LIMIT) {
        tree->is_full = true;
        return false;
    }
    if (tree->formatting_count == tree->formatting_room) {
        tree->formatting_room = tree->formatting_room ? tree->formatting_room * 2 : 16;
        list = realloc(list, (size_t)tree->formatting_room * sizeof *list);
        if (!list)
            abort(); // out of memory ends the worker; the master starts another
        tree->formatting = list;
    }
    memmove(&list[index + 1], &list[index],
            (size_t)(tree->formatting_count - index) * sizeof *list);
    tree->formatting_count++;
    for (int32_t i = index + 1; i < tree->formatting_count; i++)
        if (list[i].at >= 0)
            tree->stack[list[i].at].formatting = i;
    return true;
}

static void add_marker(struct tree *tree)
{
    if (list_at(tree, tree->formatting_count))
        tree->formatting[tree->formatting_count - 1] = (struct formatting){ .at = -1 };
}

static void clear_to_marker(struct tree *tree)
{
    while (tree->formatting_count > 0) {
        bool was_marker = tree->formatting[tree->formatting_count - 1].tag == TAG_OTHER;
        forget(tree, tree->formatting_count - 1);
        if (was_marker)
            break;
    }
}

/* Attributes as a set: their order does not matter. An <a> is never there twice. */
static uint64_t hash_attributes(const struct token *token)
{
    uint64_t sum = 0;

    if (token->tag == TAG_A)
        return 0;
    for (size_t i = 0; i < token->attribute_count; i++) {
        struct span name = token_attribute_name(token, i), value = token_attribute_value(token, i);
        uint64_t hash = tag_key(name);
        for (size_t j = 0; j < value.size; j++)
            hash = (hash ^ (unsigned char)value.at[j]) * 0x100000001b3;
        sum += hash * (hash | 1);
    }
    return sum;
}

/* The newest element joins the list; at most three of a kind do ("Noah's Ark"). */
static void add_formatting(struct tree *tree)
{
    struct element *element = top(tree);
    uint64_t hash = hash_attributes(tree->token);
    int32_t same = 0, oldest = -1;

    for (int32_t i = tree->formatting_count - 1; i >= 0; i--) {
        const struct formatting *other = &tree->formatting[i];
        if (other->tag == TAG_OTHER)
            break;
        tree->work++;
        if (other->tag == element->tag && other->hash == hash) {
            same++;
            oldest = i;
        }
    }
    if (same >= 3)
        forget(tree, oldest);
    if (!list_at(tree, tree->formatting_count))
        return;
    element->formatting = tree->formatting_count - 1;
    tree->formatting[element->formatting] = (struct formatting){
        .tag = element->tag,
        .at = tree->depth - 1,
        .hash = hash,
    };
    tree->events->on_format(tree->owner, &tree->formatting[element->formatting], element);
}

static bool needs_reconstruction(const struct tree *tree)
{
    const struct formatting *last;

    if (tree->formatting_count == 0)
        return false;
    last = &tree->formatting[tree->formatting_count - 1];
    return last->tag != TAG_OTHER && last->at < 0;
}

static void reconstruct(struct tree *tree)
{
    int32_t i = tree->formatting_count - 1;

    if (!needs_reconstruction(tree))
        return;
    while (i > 0 && tree->formatting[i - 1].tag != TAG_OTHER && tree->formatting[i - 1].at < 0)
        i--;
    for (; i < tree->formatting_count; i++) {
        enum tag tag = tree->formatting[i].tag;
        push(tree, tag, tag_key_of(tag), TREE_HTML, TREE_COPY, &tree->formatting[i]);
        top(tree)->formatting = i;
        tree->formatting[i].at = tree->depth - 1;
        if (tree->is_full)
            return;
    }
}

/* The last one of this tag behind the last marker, or -1. */
static int32_t find_formatting(struct tree *tree, enum tag tag)
{
    for (int32_t i = tree->formatting_count - 1; i >= 0; i--) {
        tree->work++;
        if (tree->formatting[i].tag == TAG_OTHER)
            return -1;
        if (tree->formatting[i].tag == tag)
            return i;
    }
    return -1;
}

/* ---- the adoption agency (HTML section 13.2.6.4.7) ---- */

static void fix_after_move(struct tree *tree)
{
    tree->fostered = 0;
    for (int32_t i = 0; i < tree->depth; i++) {
        struct element *element = &tree->stack[i];
        if (element->formatting >= 0)
            tree->formatting[element->formatting].at = i;
        if (element->parent != i - 1)
            tree->fostered++;
    }
    tree->work += (uint64_t)tree->depth;
}

/* Takes the element at `index` out of the stack, as if it had been closed there. */
static void take_out(struct tree *tree, int32_t index)
{
    struct element *element = &tree->stack[index];

    if (element->asks_close)
        tree->events->on_close(tree->owner, element);
    if (element->formatting >= 0)
        tree->formatting[element->formatting].at = -1;
    if (is_html(element, TAG_P))
        tree->open_p--;
    memmove(element, element + 1, (size_t)(tree->depth - index - 1) * sizeof *element);
    tree->depth--;
    if (tree->form == index)
        tree->form = -1;
    else if (tree->form > index)
        tree->form--;
    for (int32_t i = index; i < tree->depth; i++) {
        if (tree->stack[i].parent >= index)
            tree->stack[i].parent--;
        if (tree->stack[i].formatting >= 0)
            tree->formatting[tree->stack[i].formatting].at = i;
    }
}

/* The element at `from` moves up to `to`, those between one step down. */
static void move_up(struct tree *tree, int32_t from, int32_t to)
{
    struct element element = tree->stack[from];

    memmove(&tree->stack[from], &tree->stack[from + 1], (size_t)(to - from) * sizeof *tree->stack);
    tree->stack[to] = element;
    if (tree->form > from && tree->form <= to)
        tree->form--;
    for (int32_t i = from; i <= to; i++)
        tree->stack[i].parent = i - 1;
    for (int32_t i = to + 1; i < tree->depth; i++)
        if (tree->stack[i].parent > from && tree->stack[i].parent <= to)
            tree->stack[i].parent--;
}

static void any_other_end(struct tree *tree)
{
    for (int32_t i = tree->depth - 1; i >= 0; i--) {
        const struct element *element = &tree->stack[i];
        tree->work++;
        if (element->key == tree->token->key && element->ns == TREE_HTML && !element->is_ghost) {
            aim_at(tree, i);
            pop_to(tree, i);
            return;
        }
        if (element->flags & TAG_SPECIAL)
            return;
    }
}

static int32_t furthest_block(struct tree *tree, int32_t formatting)
{
    for (int32_t i = formatting + 1; i < tree->depth; i++) {
        tree->work++;
        if (tree->stack[i].flags & TAG_SPECIAL)
            return i;
    }
    return -1;
}

/* The formatting element at `at` on the stack has the block at `block` inside: the block and the
 * formatting elements between change places with it. Copies take over the originals' entries. */
static void adopt(struct tree *tree, int32_t at, int32_t block)
{
    int32_t index = tree->stack[at].formatting, last_moved = -1, counter = 0;
    struct formatting entry;

    for (int32_t node = block - 1; node > at; node--) {
        int32_t listed = tree->stack[node].formatting;
        tree->work++;
        if (tree->stack[node].is_ghost)
            continue;
        counter++;
        if (counter > 3 && listed >= 0) {
            forget(tree, listed);
            listed = -1;
        }
        if (listed < 0) {
            take_out(tree, node);
            block--;
        } else if (last_moved < 0) {
            last_moved = node;
        }
    }
    // The formatting element's entry goes behind that of the last one moved.
    index = tree->stack[at].formatting;
    if (last_moved >= 0) {
        int32_t behind = tree->stack[block - 1].formatting;
        if (behind > index) {
            entry = tree->formatting[index];
            memmove(&tree->formatting[index], &tree->formatting[index + 1],
                    (size_t)(behind - index) * sizeof entry);
            tree->formatting[behind] = entry;
            for (int32_t i = 0; i < tree->formatting_count; i++)
                if (tree->formatting[i].at >= 0)
                    tree->stack[tree->formatting[i].at].formatting = i;
        }
    }
    move_up(tree, at, block);
    tree->stack[block - 1].children = 1;
    fix_after_move(tree);
}

static bool is_in_scope(struct tree *tree, int32_t index)
{
    for (int32_t i = tree->depth - 1; i > index; i--) {
        tree->work++;
        if (ends_scope(&tree->stack[i], DEFAULT_SCOPE))
            return false;
    }
    return true;
}

/* Answers whether elements have changed places. */
static bool run_adoption(struct tree *tree, enum tag tag)
{
    bool has_moved = false;

    for (int i = 0; i < 8; i++) {
        int32_t index = find_formatting(tree, tag), at, block;

        if (index < 0) {
            if (i == 0)
                any_other_end(tree);
            return has_moved;
        }
        at = tree->formatting[index].at;
        if (i == 0) { // the entry outlives its elements
            tree->aim = TREE_ELEMENT;
            tree->aimed_at = tree->formatting[index].notes;
            tree->aimed_index = at;
        }
        if (at < 0) {
            forget(tree, index);
            return has_moved;
        }
        if (!is_in_scope(tree, at)) {
            if (i == 0)
                tree->aim = TREE_NOTHING;
            return has_moved;
        }
        block = furthest_block(tree, at);
        if (block < 0) {
            pop_to(tree, at);
            forget(tree, index);
            return has_moved;
        }
        adopt(tree, at, block);
        has_moved = true;
    }
    return has_moved;
}

/* What an end tag of a formatting element does. */
static void adoption_agency(struct tree *tree, enum tag tag)
{
    bool was_start = tree->is_start, has_moved;

    if (top_is(tree, tag) && top(tree)->formatting < 0) {
        aim_at(tree, tree->depth - 1);
        pop_to(tree, tree->depth - 1);
        return;
    }
    // Nearly always it is the newest of all. The aim is as in run_adoption().
    if (!was_start && top_is(tree, tag) && top(tree)->formatting == tree->formatting_count - 1) {
        tree->aim = TREE_ELEMENT;
        tree->aimed_at = tree->formatting[tree->formatting_count - 1].notes;
        tree->aimed_index = tree->depth - 1;
        pop(tree);
        forget(tree, tree->formatting_count - 1);
        return;
    }
    tree->is_start = false; // one end tag does all of it
    tree->aim = TREE_NOTHING;
    has_moved = run_adoption(tree, tag);
    tree->is_start = was_start;
    if (was_start && tree->aim == TREE_ELEMENT)
        tree->events->on_implied_end(tree->owner, tag, &tree->aimed_at);
    if (has_moved)
        tree->events->on_moved(tree->owner);
}

/* ---- modes ---- */

static void reset_mode(struct tree *tree)
{
    for (int32_t i = tree->depth - 1; i >= 0; i--) {
        const struct element *element = &tree->stack[i];
        bool is_last = i == 0;

        if (element->ns != TREE_HTML)
            continue;
        switch (element->tag) {
        case TAG_SELECT:
            tree->mode = IN_SELECT;
            for (int32_t j = i - 1; j > 0 && !is_html(&tree->stack[j], TAG_TEMPLATE); j--)
                if (is_html(&tree->stack[j], TAG_TABLE)) {
                    tree->mode = IN_SELECT_IN_TABLE;
                    break;
                }
            return;
        case TAG_TD:
        case TAG_TH:
            if (is_last)
                break;
            tree->mode = IN_CELL;
            return;
        case TAG_TR:
            tree->mode = IN_ROW;
            return;
        case TAG_TBODY:
        case TAG_THEAD:
        case TAG_TFOOT:
            tree->mode = IN_TABLE_BODY;
            return;
        case TAG_CAPTION:
            tree->mode = IN_CAPTION;
            return;
        case TAG_COLGROUP:
            tree->mode = IN_COLUMN_GROUP;
            return;
        case TAG_TABLE:
            tree->mode = IN_TABLE;
            return;
        case TAG_TEMPLATE:
            tree->mode = tree->template_modes[tree->templates - 1];
            return;
        case TAG_HEAD:
            tree->mode = IN_HEAD;
            return;
        case TAG_BODY:
            tree->mode = IN_BODY;
            return;
        case TAG_FRAMESET:
            tree->mode = IN_FRAMESET;
            return;
        case TAG_HTML:
            tree->mode = tree->head_was_seen ? AFTER_HEAD : BEFORE_HEAD;
            return;
        default:
            break;
        }
    }
    tree->mode = IN_BODY;
}

static void start_template(struct tree *tree)
{
    if (tree->templates == tree->template_modes_room) {
        tree->template_modes_room = tree->template_modes_room ? tree->template_modes_room * 2 : 16;
        tree->template_modes = realloc(tree->template_modes, (size_t)tree->template_modes_room);
        if (!tree->template_modes)
            abort(); // out of memory ends the worker; the master starts another
    }
    insert(tree);
    tree->template_modes[tree->templates++] = IN_TEMPLATE;
    add_marker(tree);
    tree->is_frameset_ok = false;
    tree->mode = IN_TEMPLATE;
}

static void end_template(struct tree *tree)
{
    int32_t index = tree->depth - 1;

    if (tree->templates == 0)
        return;
    while (index >= 0 && !is_html(&tree->stack[index], TAG_TEMPLATE))
        index--;
    if (index < 0)
        return;
    aim_at(tree, index);
    pop_to(tree, index);
    clear_to_marker(tree);
    tree->templates--;
    reset_mode(tree);
}

static enum verdict start_in_body(struct tree *tree);
static enum verdict end_in_body(struct tree *tree);

static enum verdict start_in_head(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_HTML:
        return start_in_body(tree);
    case TAG_BASE:
    case TAG_BASEFONT:
    case TAG_BGSOUND:
    case TAG_LINK:
    case TAG_META:
        insert_void(tree);
        return DONE;
    case TAG_TITLE:
        insert_text(tree, TOKENIZER_RCDATA);
        return DONE;
    case TAG_NOSCRIPT:
    case TAG_NOFRAMES:
    case TAG_STYLE:
        insert_text(tree, TOKENIZER_RAWTEXT);
        return DONE;
    case TAG_SCRIPT:
        insert_text(tree, TOKENIZER_SCRIPT);
        return DONE;
    case TAG_TEMPLATE:
        start_template(tree);
        return DONE;
    case TAG_HEAD:
        return DONE;
    default: // not reached: who calls has looked
        return DONE;
    }
}

static void leave_head(struct tree *tree)
{
    tree->head_children = top(tree)->children;
    tree->head_notes = top(tree)->notes;
    tree->head_notes.marks = 0;
    tree->head_notes.tag = NULL;
    tree->head_notes.waits = false;
    pop_to(tree, tree->depth - 1);
    tree->mode = AFTER_HEAD;
}

/* Something that belongs into the head comes after it: the head is opened once more. */
static void insert_after_head(struct tree *tree)
{
    int32_t head = tree->depth;

    if (tree->depth == tree->room)
        grow_stack(tree);
    tree->stack[head] = (struct element){
        .key = tag_key_of(TAG_HEAD),
        .tag = TAG_HEAD,
        .flags = tag_row(TAG_HEAD)->flags,
        .parent = head - 1,
        .formatting = -1,
        .children = tree->head_children++,
        .notes = tree->head_notes,
    };
    tree->depth++;
    start_in_head(tree);
    make_ghost(tree, head);
}

static enum verdict start_before_body(struct tree *tree)
{
    enum tag tag = tree->token->tag;

    switch ((enum mode)tree->mode) {
    case INITIAL:
        tree->is_quirky = true;
        tree->mode = BEFORE_HTML;
        return AGAIN;
    case BEFORE_HTML:
        tree->mode = BEFORE_HEAD;
        if (tag == TAG_HTML) {
            insert(tree);
            return DONE;
        }
        insert_implied(tree, TAG_HTML);
        return AGAIN;
    case BEFORE_HEAD:
        if (tag == TAG_HTML)
            return start_in_body(tree);
        tree->mode = IN_HEAD;
        tree->head_was_seen = true;
        if (tag == TAG_HEAD) {
            insert(tree);
            return DONE;
        }
        insert_implied(tree, TAG_HEAD);
        return AGAIN;
    case IN_HEAD:
        if (tag_row(tag)->start != TAG_START_HEAD_CONTENT && tag != TAG_NOSCRIPT &&
            tag != TAG_HTML && tag != TAG_HEAD) {
            leave_head(tree);
            return AGAIN;
        }
        return start_in_head(tree);
    default:
        break;
    }
    // AFTER_HEAD
    if (tag == TAG_HTML)
        return start_in_body(tree);
    if (tag == TAG_HEAD)
        return DONE;
    if (tag == TAG_BODY) {
        insert(tree);
        tree->is_frameset_ok = false;
        tree->mode = IN_BODY;
        return DONE;
    }
    if (tag == TAG_FRAMESET) {
        insert(tree);
        tree->mode = IN_FRAMESET;
        return DONE;
    }
    if (tag_row(tag)->start == TAG_START_HEAD_CONTENT) {
        insert_after_head(tree);
        return DONE;
    }
    insert_implied(tree, TAG_BODY);
    tree->mode = IN_BODY;
    return AGAIN;
}

/* A list item ends the one before it, unless a list or the like lies between. */
static void start_item(struct tree *tree)
{
    enum tag tag = tree->token->tag;

    tree->is_frameset_ok = false;
    for (int32_t i = tree->depth - 1; i >= 0; i--) {
        const struct element *element = &tree->stack[i];
        bool is_same = tag == TAG_LI ? element->tag == TAG_LI
                                     : element->tag == TAG_DD || element->tag == TAG_DT;
        tree->work++;
        if (is_same && element->ns == TREE_HTML) {
            pop_to(tree, i);
            break;
        }
        if (element->flags & TAG_SPECIAL &&
            !(element->ns == TREE_HTML &&
              (element->tag == TAG_ADDRESS || element->tag == TAG_DIV || element->tag == TAG_P)))
            break;
    }
    close_p(tree);
    insert(tree);
}

static bool is_heading(const struct element *element)
{
    return element->ns == TREE_HTML && element->tag >= TAG_H1 && element->tag <= TAG_H6;
}

static void start_formatting(struct tree *tree)
{
    enum tag tag = tree->token->tag;

    if (tag == TAG_A) {
        int32_t index = find_formatting(tree, TAG_A);
        if (index >= 0) {
            adoption_agency(tree, TAG_A);
            index = find_formatting(tree, TAG_A);
            if (index >= 0) { // it was out of scope
                int32_t at = tree->formatting[index].at;
                forget(tree, index);
                if (at >= 0)
                    make_ghost(tree, at);
            }
        }
    }
    reconstruct(tree);
    if (tag == TAG_NOBR && in_scope(tree, TAG_NOBR, DEFAULT_SCOPE) >= 0) {
        adoption_agency(tree, TAG_NOBR);
        reconstruct(tree);
    }
    insert(tree);
    add_formatting(tree);
}

static bool is_hidden_input(const struct token *token)
{
    size_t index;
    return token_find_attribute(token, SPAN("type"), &index) &&
           span_equal_nocase(token_attribute_value(token, index), SPAN("hidden"));
}

static void start_foreign(struct tree *tree, enum tree_namespace ns)
{
    push(tree, tree->token->tag, tree->token->key, ns, TREE_FROM_TAG, NULL);
    if (tree->token->is_self_closing)
        pop_one(tree);
}

static enum verdict start_frameset(struct tree *tree)
{
    if (tree->depth < 2 || !is_html(&tree->stack[1], TAG_BODY) || !tree->is_frameset_ok)
        return DONE;
    tree->is_start = false; // the browser takes the body away by itself
    pop_to(tree, 1);
    insert(tree);
    tree->mode = IN_FRAMESET;
    return DONE;
}

static void start_select(struct tree *tree)
{
    reconstruct(tree);
    insert(tree);
    tree->is_frameset_ok = false;
    switch ((enum mode)tree->mode) {
    case IN_TABLE:
    case IN_CAPTION:
    case IN_TABLE_BODY:
    case IN_ROW:
    case IN_CELL:
        tree->mode = IN_SELECT_IN_TABLE;
        break;
    default:
        tree->mode = IN_SELECT;
        break;
    }
}

static void start_ruby(struct tree *tree, enum tag except)
{
    if (in_scope(tree, TAG_RUBY, DEFAULT_SCOPE) >= 0)
        imply_ends(tree, except);
    insert(tree);
}

static void start_button(struct tree *tree)
{
    int32_t button = in_scope(tree, TAG_BUTTON, DEFAULT_SCOPE);

    if (button >= 0)
        pop_to(tree, button);
    reconstruct(tree);
    insert(tree);
    tree->is_frameset_ok = false;
}

static void start_form(struct tree *tree)
{
    if (tree->has_form && tree->templates == 0)
        return;
    close_p(tree);
    insert(tree);
    if (tree->templates == 0) {
        tree->has_form = true;
        tree->form = tree->depth - 1;
    }
}

/* Elements without content. */
static void start_void(struct tree *tree, enum tag_start start)
{
    switch (start) {
    case TAG_START_VOID_INLINE:
        reconstruct(tree);
        insert_void(tree);
        tree->is_frameset_ok = false;
        break;
    case TAG_START_INPUT:
        reconstruct(tree);
        insert_void(tree);
        if (!is_hidden_input(tree->token))
            tree->is_frameset_ok = false;
        break;
    case TAG_START_VOID_META:
        insert_void(tree);
        break;
    case TAG_START_RULE:
        close_p(tree);
        insert_void(tree);
        tree->is_frameset_ok = false;
        break;
    case TAG_START_IMAGE_ALIAS: // the parser makes it an img
        reconstruct(tree);
        push(tree, TAG_IMG, tag_key_of(TAG_IMG), TREE_HTML, TREE_FROM_TAG, NULL);
        pop_one(tree);
        tree->is_frameset_ok = false;
        break;
    default:
        break;
    }
}

/* Elements with text only, as it stands. */
static void start_text(struct tree *tree, enum tag_start start)
{
    switch (start) {
    case TAG_START_PLAIN:
        close_p(tree);
        insert(tree);
        tree->text_state = TOKENIZER_PLAINTEXT;
        break;
    case TAG_START_TEXTAREA:
        tree->is_frameset_ok = false;
        insert_text(tree, TOKENIZER_RCDATA);
        break;
    case TAG_START_XMP:
        close_p(tree);
        reconstruct(tree);
        tree->is_frameset_ok = false;
        insert_text(tree, TOKENIZER_RAWTEXT);
        break;
    case TAG_START_IFRAME:
        tree->is_frameset_ok = false;
        insert_text(tree, TOKENIZER_RAWTEXT);
        break;
    case TAG_START_RAW:
        insert_text(tree, TOKENIZER_RAWTEXT);
        break;
    default:
        break;
    }
}

static enum verdict start_in_body(struct tree *tree)
{
    enum tag_start start = (enum tag_start)tag_row(tree->token->tag)->start;

    switch (start) {
    case TAG_START_HTML:
        if (tree->templates == 0)
            aim_at(tree, 0);
        break;
    case TAG_START_BODY:
        if (tree->depth > 1 && is_html(&tree->stack[1], TAG_BODY) && tree->templates == 0) {
            tree->is_frameset_ok = false;
            aim_at(tree, 1);
        }
        break;
    case TAG_START_FRAMESET:
        return start_frameset(tree);
    case TAG_START_HEAD_CONTENT:
        return start_in_head(tree);
    case TAG_START_ORDINARY:
        reconstruct(tree);
        insert(tree);
        break;
    case TAG_START_BLOCK:
        close_p(tree);
        insert(tree);
        break;
    case TAG_START_HEADING:
        close_p(tree);
        if (is_heading(top(tree)))
            pop_to(tree, tree->depth - 1);
        insert(tree);
        break;
    case TAG_START_PRE:
        close_p(tree);
        insert(tree);
        tree->is_frameset_ok = false;
        break;
    case TAG_START_FORM:
        start_form(tree);
        break;
    case TAG_START_LIST_ITEM:
    case TAG_START_DEFINITION:
        start_item(tree);
        break;
    case TAG_START_BUTTON:
        start_button(tree);
        break;
    case TAG_START_ANCHOR:
    case TAG_START_FORMAT:
    case TAG_START_NO_BREAK:
        start_formatting(tree);
        break;
    case TAG_START_OBJECT_LIKE:
        reconstruct(tree);
        insert(tree);
        add_marker(tree);
        tree->is_frameset_ok = false;
        break;
    case TAG_START_TABLE:
        if (!tree->is_quirky)
            close_p(tree);
        insert(tree);
        tree->is_frameset_ok = false;
        tree->mode = IN_TABLE;
        break;
    case TAG_START_VOID_INLINE:
    case TAG_START_INPUT:
    case TAG_START_VOID_META:
    case TAG_START_RULE:
    case TAG_START_IMAGE_ALIAS:
        start_void(tree, start);
        break;
    case TAG_START_PLAIN:
    case TAG_START_TEXTAREA:
    case TAG_START_XMP:
    case TAG_START_IFRAME:
    case TAG_START_RAW:
        start_text(tree, start);
        break;
    case TAG_START_SELECT:
        start_select(tree);
        break;
    case TAG_START_OPTION_LIKE:
        if (top_is(tree, TAG_OPTION))
            pop_to(tree, tree->depth - 1);
        reconstruct(tree);
        insert(tree);
        break;
    case TAG_START_RUBY_BASE:
        start_ruby(tree, TAG_OTHER);
        break;
    case TAG_START_RUBY_TEXT:
        start_ruby(tree, TAG_RTC);
        break;
    case TAG_START_MATH:
        reconstruct(tree);
        start_foreign(tree, TREE_MATHML);
        break;
    case TAG_START_SVG:
        reconstruct(tree);
        start_foreign(tree, TREE_SVG);
        break;
    case TAG_START_MISPLACED:
        break;
    }
    return DONE;
}

/* An end tag that needs its element in scope, and ends what is still open in it. */
static bool end_scoped(struct tree *tree, enum scope scope)
{
    int32_t index = in_scope(tree, tree->token->tag, scope);

    if (index < 0)
        return false;
    aim_at(tree, index);
    pop_to(tree, index);
    return true;
}

static void end_form(struct tree *tree)
{
    int32_t form = tree->form;

    if (tree->templates > 0) {
        end_scoped(tree, DEFAULT_SCOPE);
        return;
    }
    tree->has_form = false;
    tree->form = -1;
    if (form < 0 || !is_in_scope(tree, form))
        return;
    aim_at(tree, form);
    while (top(tree)->flags & TAG_IMPLIED_END && tree->depth - 1 > form)
        pop(tree);
    make_ghost(tree, form);
}

static void end_p(struct tree *tree)
{
    int32_t p = p_in_scope(tree);

    if (p < 0) {
        tree->aim = TREE_NEW_ELEMENT;
        insert_implied(tree, TAG_P);
        p = tree->depth - 1;
    } else {
        aim_at(tree, p);
    }
    pop_to(tree, p);
}

static void end_heading(struct tree *tree)
{
    for (int32_t i = tree->depth - 1; i >= 0; i--) {
        tree->work++;
        if (is_heading(&tree->stack[i])) {
            aim_at(tree, i);
            pop_to(tree, i);
            return;
        }
        if (ends_scope(&tree->stack[i], DEFAULT_SCOPE))
            return;
    }
}

/* Every element but one that would end the search is ended by </body> and </html> only in name:
 * the stack stays, the mode changes. */
static bool end_body(struct tree *tree, int32_t aimed)
{
    if (in_scope(tree, TAG_BODY, DEFAULT_SCOPE) < 0)
        return false;
    aim_at(tree, aimed);
    tree->mode = AFTER_BODY;
    return true;
}

/* An end tag just of the element opened last, of a kind where that is all there is to it: nearly
 * every end tag. */
static inline bool end_last(struct tree *tree, const struct tag_row *row)
{
    const uint64_t kinds = (uint64_t)1 << TAG_START_ORDINARY | (uint64_t)1 << TAG_START_BLOCK |
                           (uint64_t)1 << TAG_START_HEADING | (uint64_t)1 << TAG_START_LIST_ITEM |
                           (uint64_t)1 << TAG_START_DEFINITION;

    if (!(kinds >> row->start & 1) || tree->depth == 0 || top(tree)->key != tree->token->key ||
        top(tree)->ns != TREE_HTML)
        return false;
    aim_at(tree, tree->depth - 1);
    pop(tree);
    return true;
}

static enum verdict end_in_body(struct tree *tree)
{
    const struct tag_row *row = tag_row(tree->token->tag);

    if (end_last(tree, row))
        return DONE;
    switch (tree->token->tag) {
    case TAG_TEMPLATE:
        end_template(tree);
        return DONE;
    case TAG_BODY:
        end_body(tree, 1);
        return DONE;
    case TAG_HTML:
        return end_body(tree, 0) ? AGAIN : DONE;
    case TAG_FORM:
        end_form(tree);
        return DONE;
    case TAG_P:
        end_p(tree);
        return DONE;
    case TAG_LI:
        end_scoped(tree, LIST_SCOPE);
        return DONE;
    case TAG_DD:
    case TAG_DT:
    case TAG_BUTTON:
    case TAG_PRE:
    case TAG_LISTING:
        end_scoped(tree, DEFAULT_SCOPE);
        return DONE;
    case TAG_BR:
        tree->aim = TREE_NEW_ELEMENT;
        reconstruct(tree);
        insert_implied(tree, TAG_BR);
        pop_one(tree);
        tree->is_frameset_ok = false;
        return DONE;
    default:
        break;
    }
    if (row->flags & TAG_FORMATTING)
        adoption_agency(tree, tree->token->tag);
    else if (row->start == TAG_START_BLOCK)
        end_scoped(tree, DEFAULT_SCOPE);
    else if (row->start == TAG_START_HEADING)
        end_heading(tree);
    else if (row->start == TAG_START_OBJECT_LIKE) {
        if (end_scoped(tree, DEFAULT_SCOPE))
            clear_to_marker(tree);
    } else {
        any_other_end(tree);
    }
    return DONE;
}

/* ---- tables ---- */

/* Ends what has no place there, down to an element of one of these (0: html, template only). */
static void clear_to(struct tree *tree, enum mode mode)
{
    for (;;) {
        const struct element *element = top(tree);
        enum tag tag = element->ns == TREE_HTML && !element->is_ghost ? element->tag : TAG_OTHER;
        bool stop = tag == TAG_HTML || tag == TAG_TEMPLATE;

        if (mode == IN_TABLE)
            stop = stop || tag == TAG_TABLE;
        else if (mode == IN_TABLE_BODY)
            stop = stop || tag == TAG_TBODY || tag == TAG_TFOOT || tag == TAG_THEAD;
        else
            stop = stop || tag == TAG_TR;
        if (stop)
            return;
        pop_to(tree, tree->depth - 1);
    }
}

static enum verdict foster(struct tree *tree, bool is_end)
{
    tree->foster = true;
    if (is_end)
        end_in_body(tree);
    else
        start_in_body(tree);
    tree->foster = false;
    return DONE;
}

static enum verdict start_in_table(struct tree *tree)
{
    int32_t table;

    switch (tree->token->tag) {
    case TAG_CAPTION:
        clear_to(tree, IN_TABLE);
        add_marker(tree);
        insert(tree);
        tree->mode = IN_CAPTION;
        return DONE;
    case TAG_COLGROUP:
        clear_to(tree, IN_TABLE);
        insert(tree);
        tree->mode = IN_COLUMN_GROUP;
        return DONE;
    case TAG_COL:
        clear_to(tree, IN_TABLE);
        insert_implied(tree, TAG_COLGROUP);
        tree->mode = IN_COLUMN_GROUP;
        return AGAIN;
    case TAG_TBODY:
    case TAG_TFOOT:
    case TAG_THEAD:
        clear_to(tree, IN_TABLE);
        insert(tree);
        tree->mode = IN_TABLE_BODY;
        return DONE;
    case TAG_TD:
    case TAG_TH:
    case TAG_TR:
        clear_to(tree, IN_TABLE);
        insert_implied(tree, TAG_TBODY);
        tree->mode = IN_TABLE_BODY;
        return AGAIN;
    case TAG_TABLE:
        table = in_scope(tree, TAG_TABLE, TABLE_SCOPE);
        if (table < 0)
            return DONE;
        pop_to(tree, table);
        reset_mode(tree);
        return AGAIN;
    case TAG_STYLE:
    case TAG_SCRIPT:
    case TAG_TEMPLATE:
        return start_in_head(tree);
    case TAG_INPUT:
        if (!is_hidden_input(tree->token))
            return foster(tree, false);
        insert_void(tree);
        return DONE;
    case TAG_FORM:
        if (tree->has_form || tree->templates > 0)
            return DONE;
        insert(tree);
        tree->has_form = true;
        pop_one(tree);
        tree->form = -1;
        return DONE;
    default:
        return foster(tree, false);
    }
}

static enum verdict end_in_table(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_TABLE:
        if (end_scoped(tree, TABLE_SCOPE))
            reset_mode(tree);
        return DONE;
    case TAG_BODY:
    case TAG_CAPTION:
    case TAG_COL:
    case TAG_COLGROUP:
    case TAG_HTML:
    case TAG_TBODY:
    case TAG_TD:
    case TAG_TFOOT:
    case TAG_TH:
    case TAG_THEAD:
    case TAG_TR:
        return DONE;
    case TAG_TEMPLATE:
        end_template(tree);
        return DONE;
    default:
        return foster(tree, true);
    }
}

static bool is_table_tag(enum tag tag) // those that end a caption or a cell
{
    switch (tag) {
    case TAG_CAPTION:
    case TAG_COL:
    case TAG_COLGROUP:
    case TAG_TBODY:
    case TAG_TD:
    case TAG_TFOOT:
    case TAG_TH:
    case TAG_THEAD:
    case TAG_TR:
        return true;
    default:
        return false;
    }
}

static bool end_caption(struct tree *tree)
{
    int32_t caption = in_scope(tree, TAG_CAPTION, TABLE_SCOPE);

    if (caption < 0)
        return false;
    pop_to(tree, caption);
    clear_to_marker(tree);
    tree->mode = IN_TABLE;
    return true;
}

static enum verdict start_in_caption(struct tree *tree)
{
    if (!is_table_tag(tree->token->tag))
        return start_in_body(tree);
    return end_caption(tree) ? AGAIN : DONE;
}

static enum verdict end_in_caption(struct tree *tree)
{
    enum tag tag = tree->token->tag;
    int32_t caption;

    if (tag == TAG_CAPTION) {
        caption = in_scope(tree, TAG_CAPTION, TABLE_SCOPE);
        if (caption >= 0)
            aim_at(tree, caption);
        end_caption(tree);
        return DONE;
    }
    if (tag == TAG_TABLE)
        return end_caption(tree) ? AGAIN : DONE;
    if (tag == TAG_BODY || tag == TAG_HTML || is_table_tag(tag))
        return DONE;
    return end_in_body(tree);
}

static bool end_column_group(struct tree *tree)
{
    if (!top_is(tree, TAG_COLGROUP))
        return false;
    pop_to(tree, tree->depth - 1);
    tree->mode = IN_TABLE;
    return true;
}

static enum verdict start_in_column_group(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_HTML:
        return start_in_body(tree);
    case TAG_COL:
        insert_void(tree);
        return DONE;
    case TAG_TEMPLATE:
        return start_in_head(tree);
    default:
        return end_column_group(tree) ? AGAIN : DONE;
    }
}

static enum verdict end_in_column_group(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_COLGROUP:
        if (top_is(tree, TAG_COLGROUP))
            aim_at(tree, tree->depth - 1);
        end_column_group(tree);
        return DONE;
    case TAG_COL:
        return DONE;
    case TAG_TEMPLATE:
        end_template(tree);
        return DONE;
    default:
        return end_column_group(tree) ? AGAIN : DONE;
    }
}

/* The tbody, thead or tfoot that is open here, or -1. */
static int32_t table_body(struct tree *tree)
{
    static const enum tag tags[] = { TAG_TBODY, TAG_THEAD, TAG_TFOOT };

    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        int32_t index = in_scope(tree, tags[i], TABLE_SCOPE);
        if (index >= 0)
            return index;
    }
    return -1;
}

static bool end_table_body(struct tree *tree)
{
    if (table_body(tree) < 0)
        return false;
    clear_to(tree, IN_TABLE_BODY);
    pop_to(tree, tree->depth - 1);
    tree->mode = IN_TABLE;
    return true;
}

static enum verdict start_in_table_body(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_TR:
        clear_to(tree, IN_TABLE_BODY);
        insert(tree);
        tree->mode = IN_ROW;
        return DONE;
    case TAG_TD:
    case TAG_TH:
        clear_to(tree, IN_TABLE_BODY);
        insert_implied(tree, TAG_TR);
        tree->mode = IN_ROW;
        return AGAIN;
    case TAG_CAPTION:
    case TAG_COL:
    case TAG_COLGROUP:
    case TAG_TBODY:
    case TAG_TFOOT:
    case TAG_THEAD:
        return end_table_body(tree) ? AGAIN : DONE;
    default:
        return start_in_table(tree);
    }
}

static enum verdict end_in_table_body(struct tree *tree)
{
    int32_t index;

    switch (tree->token->tag) {
    case TAG_TBODY:
    case TAG_TFOOT:
    case TAG_THEAD:
        index = in_scope(tree, tree->token->tag, TABLE_SCOPE);
        if (index < 0)
            return DONE;
        aim_at(tree, index);
        clear_to(tree, IN_TABLE_BODY);
        pop_to(tree, tree->depth - 1);
        tree->mode = IN_TABLE;
        return DONE;
    case TAG_TABLE:
        return end_table_body(tree) ? AGAIN : DONE;
    case TAG_BODY:
    case TAG_CAPTION:
    case TAG_COL:
    case TAG_COLGROUP:
    case TAG_HTML:
    case TAG_TD:
    case TAG_TH:
    case TAG_TR:
        return DONE;
    default:
        return end_in_table(tree);
    }
}

static bool end_row(struct tree *tree)
{
    if (in_scope(tree, TAG_TR, TABLE_SCOPE) < 0)
        return false;
    clear_to(tree, IN_ROW);
    pop_to(tree, tree->depth - 1);
    tree->mode = IN_TABLE_BODY;
    return true;
}

static enum verdict start_in_row(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_TD:
    case TAG_TH:
        clear_to(tree, IN_ROW);
        insert(tree);
        tree->mode = IN_CELL;
        add_marker(tree);
        return DONE;
    case TAG_CAPTION:
    case TAG_COL:
    case TAG_COLGROUP:
    case TAG_TBODY:
    case TAG_TFOOT:
    case TAG_THEAD:
    case TAG_TR:
        return end_row(tree) ? AGAIN : DONE;
    default:
        return start_in_table(tree);
    }
}

static enum verdict end_in_row(struct tree *tree)
{
    int32_t row;

    switch (tree->token->tag) {
    case TAG_TR:
        row = in_scope(tree, TAG_TR, TABLE_SCOPE);
        if (row >= 0)
            aim_at(tree, row);
        end_row(tree);
        return DONE;
    case TAG_TABLE:
        return end_row(tree) ? AGAIN : DONE;
    case TAG_TBODY:
    case TAG_TFOOT:
    case TAG_THEAD:
        if (in_scope(tree, tree->token->tag, TABLE_SCOPE) < 0)
            return DONE;
        return end_row(tree) ? AGAIN : DONE;
    case TAG_BODY:
    case TAG_CAPTION:
    case TAG_COL:
    case TAG_COLGROUP:
    case TAG_HTML:
    case TAG_TD:
    case TAG_TH:
        return DONE;
    default:
        return end_in_table(tree);
    }
}

static bool end_cell(struct tree *tree)
{
    int32_t cell = in_scope(tree, TAG_TD, TABLE_SCOPE);

    if (cell < 0)
        cell = in_scope(tree, TAG_TH, TABLE_SCOPE);
    if (cell < 0)
        return false;
    pop_to(tree, cell);
    clear_to_marker(tree);
    tree->mode = IN_ROW;
    return true;
}

static enum verdict start_in_cell(struct tree *tree)
{
    if (!is_table_tag(tree->token->tag))
        return start_in_body(tree);
    return end_cell(tree) ? AGAIN : DONE;
}

static enum verdict end_in_cell(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_TD:
    case TAG_TH:
        if (end_scoped(tree, TABLE_SCOPE)) {
            clear_to_marker(tree);
            tree->mode = IN_ROW;
        }
        return DONE;
    case TAG_BODY:
    case TAG_CAPTION:
    case TAG_COL:
    case TAG_COLGROUP:
    case TAG_HTML:
        return DONE;
    case TAG_TABLE:
    case TAG_TBODY:
    case TAG_TFOOT:
    case TAG_THEAD:
    case TAG_TR:
        if (in_scope(tree, tree->token->tag, TABLE_SCOPE) < 0)
            return DONE;
        return end_cell(tree) ? AGAIN : DONE;
    default:
        return end_in_body(tree);
    }
}

/* ---- select, template, frames, the end ---- */

static bool end_select(struct tree *tree, enum scope scope)
{
    int32_t select = in_scope(tree, TAG_SELECT, scope);

    if (select < 0)
        return false;
    pop_to(tree, select);
    reset_mode(tree);
    return true;
}

static enum verdict start_in_select(struct tree *tree)
{
    enum tag tag = tree->token->tag;

    switch (tag) {
    case TAG_HTML:
        return start_in_body(tree);
    case TAG_OPTION:
    case TAG_OPTGROUP:
    case TAG_HR:
        if (top_is(tree, TAG_OPTION))
            pop_to(tree, tree->depth - 1);
        if (tag != TAG_OPTION && top_is(tree, TAG_OPTGROUP))
            pop_to(tree, tree->depth - 1);
        if (tag == TAG_HR)
            insert_void(tree);
        else
            insert(tree);
        return DONE;
    case TAG_SELECT: // as its end tag
        if (in_scope(tree, TAG_SELECT, SELECT_SCOPE) >= 0) {
            aim_at(tree, in_scope(tree, TAG_SELECT, SELECT_SCOPE));
            tree->is_start = false;
            end_select(tree, SELECT_SCOPE);
        }
        return DONE;
    case TAG_INPUT:
    case TAG_KEYGEN:
    case TAG_TEXTAREA:
        return end_select(tree, SELECT_SCOPE) ? AGAIN : DONE;
    case TAG_SCRIPT:
    case TAG_TEMPLATE:
        return start_in_head(tree);
    default:
        break;
    }
    if (tree->mode == IN_SELECT_IN_TABLE &&
        (tag == TAG_CAPTION || tag == TAG_TABLE || tag == TAG_TBODY || tag == TAG_TFOOT ||
         tag == TAG_THEAD || tag == TAG_TR || tag == TAG_TD || tag == TAG_TH))
        return end_select(tree, TABLE_SCOPE) ? AGAIN : DONE;
    return DONE;
}

static enum verdict end_in_select(struct tree *tree)
{
    enum tag tag = tree->token->tag;
    int32_t index;

    switch (tag) {
    case TAG_OPTGROUP:
        if (top_is(tree, TAG_OPTION) && tree->depth > 1 &&
            is_html(&tree->stack[tree->depth - 2], TAG_OPTGROUP))
            pop(tree);
        if (top_is(tree, TAG_OPTGROUP)) {
            aim_at(tree, tree->depth - 1);
            pop(tree);
        }
        return DONE;
    case TAG_OPTION:
        if (top_is(tree, TAG_OPTION)) {
            aim_at(tree, tree->depth - 1);
            pop(tree);
        }
        return DONE;
    case TAG_SELECT:
        index = in_scope(tree, TAG_SELECT, SELECT_SCOPE);
        if (index >= 0)
            aim_at(tree, index);
        end_select(tree, SELECT_SCOPE);
        return DONE;
    case TAG_TEMPLATE:
        end_template(tree);
        return DONE;
    default:
        break;
    }
    if (tree->mode == IN_SELECT_IN_TABLE &&
        (tag == TAG_CAPTION || tag == TAG_TABLE || tag == TAG_TBODY || tag == TAG_TFOOT ||
         tag == TAG_THEAD || tag == TAG_TR || tag == TAG_TD || tag == TAG_TH) &&
        in_scope(tree, tag, TABLE_SCOPE) >= 0)
        return end_select(tree, TABLE_SCOPE) ? AGAIN : DONE;
    return DONE;
}

static enum verdict start_in_template(struct tree *tree)
{
    enum mode mode = IN_BODY;

    switch (tree->token->tag) {
    case TAG_CAPTION:
    case TAG_COLGROUP:
    case TAG_TBODY:
    case TAG_TFOOT:
    case TAG_THEAD:
        mode = IN_TABLE;
        break;
    case TAG_COL:
        mode = IN_COLUMN_GROUP;
        break;
    case TAG_TR:
        mode = IN_TABLE_BODY;
        break;
    case TAG_TD:
    case TAG_TH:
        mode = IN_ROW;
        break;
    default:
        if (tag_row(tree->token->tag)->start == TAG_START_HEAD_CONTENT)
            return start_in_head(tree);
        break;
    }
    tree->template_modes[tree->templates - 1] = (uint8_t)mode;
    tree->mode = (uint8_t)(mode);
    return AGAIN;
}

static enum verdict start_in_frameset(struct tree *tree)
{
    switch (tree->token->tag) {
    case TAG_HTML:
        return start_in_body(tree);
    case TAG_FRAMESET:
        if (tree->mode == IN_FRAMESET)
            insert(tree);
        return DONE;
    case TAG_FRAME:
        if (tree->mode == IN_FRAMESET)
            insert_void(tree);
        return DONE;
    case TAG_NOFRAMES:
        return start_in_head(tree);
    default:
        return DONE;
    }
}

static enum verdict end_in_frameset(struct tree *tree)
{
    if (tree->mode == IN_FRAMESET && tree->token->tag == TAG_FRAMESET && tree->depth > 1) {
        aim_at(tree, tree->depth - 1);
        pop(tree);
        if (!top_is(tree, TAG_FRAMESET))
            tree->mode = AFTER_FRAMESET;
    } else if (tree->mode == AFTER_FRAMESET && tree->token->tag == TAG_HTML) {
        tree->mode = AFTER_AFTER_FRAMESET;
    }
    return DONE;
}

static enum verdict start_in_mode(struct tree *tree)
{
    switch ((enum mode)tree->mode) {
    case INITIAL:
    case BEFORE_HTML:
    case BEFORE_HEAD:
    case IN_HEAD:
    case AFTER_HEAD:
        return start_before_body(tree);
    case IN_BODY:
        return start_in_body(tree);
    case IN_TEXT: // not reached: the tokenizer gives no start tag
        return DONE;
    case IN_TABLE:
        return start_in_table(tree);
    case IN_CAPTION:
        return start_in_caption(tree);
    case IN_COLUMN_GROUP:
        return start_in_column_group(tree);
    case IN_TABLE_BODY:
        return start_in_table_body(tree);
    case IN_ROW:
        return start_in_row(tree);
    case IN_CELL:
        return start_in_cell(tree);
    case IN_SELECT:
    case IN_SELECT_IN_TABLE:
        return start_in_select(tree);
    case IN_TEMPLATE:
        return start_in_template(tree);
    case AFTER_BODY:
    case AFTER_AFTER_BODY:
        if (tree->token->tag == TAG_HTML)
            return start_in_body(tree);
        tree->mode = IN_BODY;
        return AGAIN;
    case IN_FRAMESET:
    case AFTER_FRAMESET:
    case AFTER_AFTER_FRAMESET:
        return start_in_frameset(tree);
    }
    return DONE;
}

static enum verdict end_before_body(struct tree *tree)
{
    enum tag tag = tree->token->tag;
    bool is_known = tag == TAG_BODY || tag == TAG_HTML || tag == TAG_BR;

    switch ((enum mode)tree->mode) {
    case INITIAL:
        tree->is_quirky = true;
        tree->mode = BEFORE_HTML;
        return AGAIN;
    case BEFORE_HTML:
        if (!is_known && tag != TAG_HEAD)
            return DONE;
        insert_implied(tree, TAG_HTML);
        tree->mode = BEFORE_HEAD;
        return AGAIN;
    case BEFORE_HEAD:
        if (!is_known && tag != TAG_HEAD)
            return DONE;
        insert_implied(tree, TAG_HEAD);
        tree->head_was_seen = true;
        tree->mode = IN_HEAD;
        return AGAIN;
    case IN_HEAD:
        if (tag == TAG_TEMPLATE) {
            end_template(tree);
        } else if (tag == TAG_HEAD) {
            aim_at(tree, tree->depth - 1);
            leave_head(tree);
        } else if (is_known) {
            leave_head(tree);
            return AGAIN;
        }
        return DONE;
    default: // AFTER_HEAD
        if (tag == TAG_TEMPLATE)
            end_template(tree);
        if (!is_known)
            return DONE;
        insert_implied(tree, TAG_BODY);
        tree->mode = IN_BODY;
        return AGAIN;
    }
}

static enum verdict end_in_mode(struct tree *tree)
{
    switch ((enum mode)tree->mode) {
    case INITIAL:
    case BEFORE_HTML:
    case BEFORE_HEAD:
    case IN_HEAD:
    case AFTER_HEAD:
        return end_before_body(tree);
    case IN_BODY:
        return end_in_body(tree);
    case IN_TEXT:
        aim_at(tree, tree->depth - 1);
        tree->mode = tree->original_mode;
        pop(tree);
        return DONE;
    case IN_TABLE:
        return end_in_table(tree);
    case IN_CAPTION:
        return end_in_caption(tree);
    case IN_COLUMN_GROUP:
        return end_in_column_group(tree);
    case IN_TABLE_BODY:
        return end_in_table_body(tree);
    case IN_ROW:
        return end_in_row(tree);
    case IN_CELL:
        return end_in_cell(tree);
    case IN_SELECT:
    case IN_SELECT_IN_TABLE:
        return end_in_select(tree);
    case IN_TEMPLATE:
        if (tree->token->tag == TAG_TEMPLATE)
            end_template(tree);
        return DONE;
    case AFTER_BODY:
        if (tree->token->tag == TAG_HTML) {
            aim_at(tree, 0);
            tree->mode = AFTER_AFTER_BODY;
            return DONE;
        }
        tree->mode = IN_BODY;
        return AGAIN;
    case AFTER_AFTER_BODY:
        tree->mode = IN_BODY;
        return AGAIN;
    case IN_FRAMESET:
    case AFTER_FRAMESET:
    case AFTER_AFTER_FRAMESET:
        return end_in_frameset(tree);
    }
    return DONE;
}

/* ---- foreign content (HTML section 13.2.6.5) ---- */

static bool breaks_out(const struct token *token)
{
    size_t index;

    switch (token->tag) {
    case TAG_B:
    case TAG_BIG:
    case TAG_BLOCKQUOTE:
    case TAG_BODY:
    case TAG_BR:
    case TAG_CENTER:
    case TAG_CODE:
    case TAG_DD:
    case TAG_DIV:
    case TAG_DL:
    case TAG_DT:
    case TAG_EM:
    case TAG_EMBED:
    case TAG_H1:
    case TAG_H2:
    case TAG_H3:
    case TAG_H4:
    case TAG_H5:
    case TAG_H6:
    case TAG_HEAD:
    case TAG_HR:
    case TAG_I:
    case TAG_IMG:
    case TAG_LI:
    case TAG_LISTING:
    case TAG_MENU:
    case TAG_META:
    case TAG_NOBR:
    case TAG_OL:
    case TAG_P:
    case TAG_PRE:
    case TAG_RUBY:
    case TAG_S:
    case TAG_SMALL:
    case TAG_SPAN:
    case TAG_STRONG:
    case TAG_STRIKE:
    case TAG_SUB:
    case TAG_SUP:
    case TAG_TABLE:
    case TAG_TT:
    case TAG_U:
    case TAG_UL:
    case TAG_VAR:
        return true;
    case TAG_FONT:
        return token_find_attribute(token, SPAN("color"), &index) ||
               token_find_attribute(token, SPAN("face"), &index) ||
               token_find_attribute(token, SPAN("size"), &index);
    default:
        return false;
    }
}

static void break_out(struct tree *tree)
{
    int32_t index = tree->depth;

    while (index > 1 && tree->stack[index - 1].ns != TREE_HTML &&
           tree->stack[index - 1].point != MATHML_TEXT_POINT &&
           tree->stack[index - 1].point != HTML_POINT)
        index--;
    if (index < tree->depth)
        pop_to(tree, index);
}

static bool start_is_foreign(const struct tree *tree)
{
    const struct element *element;
    enum tag tag = tree->token->tag;

    if (!tree_is_foreign(tree))
        return false;
    element = top(tree);
    switch ((enum point)element->point) {
    case MATHML_TEXT_POINT:
        return tag == TAG_MGLYPH || tag == TAG_MALIGNMARK;
    case ANNOTATION_POINT:
        return tag != TAG_SVG;
    case HTML_POINT:
        return false;
    case NO_POINT:
        break;
    }
    return true;
}

/* False: the token is for the mode. */
static bool end_in_foreign(struct tree *tree)
{
    const struct token *token = tree->token;

    if (token->tag == TAG_BR || token->tag == TAG_P) {
        tree->is_start = true; // it ends the foreign elements only in passing
        break_out(tree);
        tree->is_start = false;
        return false;
    }
    for (int32_t i = tree->depth - 1; i > 0; i--) {
        tree->work++;
        if (tree->stack[i].is_ghost)
            continue;
        if (tree->stack[i].ns == TREE_HTML)
            return false;
        if (tree->stack[i].key == token->key) {
            aim_at(tree, i);
            pop_to(tree, i);
            return true;
        }
    }
    return true;
}

/* ---- what others call ---- */

static void begin(struct tree *tree, const struct token *token, bool is_start)
{
    tree->token = token;
    tree->is_start = is_start;
    tree->aim = TREE_NOTHING;
    tree->text_state = TOKENIZER_DATA;
    tree->has_table_text = false;
}

void tree_start_tag(struct tree *tree, const struct token *token)
{
    begin(tree, token, true);
    if (start_is_foreign(tree)) {
        if (!breaks_out(token)) {
            start_foreign(tree, top(tree)->ns);
            return;
        }
        break_out(tree);
    }
    while (start_in_mode(tree) == AGAIN) {
    }
}

void tree_end_tag(struct tree *tree, const struct token *token)
{
    begin(tree, token, false);
    if (tree_is_foreign(tree) && end_in_foreign(tree))
        return;
    while (end_in_mode(tree) == AGAIN) {
    }
}

void tree_doctype(struct tree *tree, struct span token)
{
    struct doctype doctype;

    if (tree->mode != INITIAL)
        return;
    doctype_read(token, &doctype);
    tree->is_quirky = doctype_is_quirky(&doctype);
    tree->mode = BEFORE_HTML;
}

bool tree_text_is_plain(const struct tree *tree)
{
    return (tree->mode == IN_TEXT || tree->mode == IN_BODY || tree->mode == IN_CELL ||
            tree->mode == IN_CAPTION) &&
           !tree->is_frameset_ok && !needs_reconstruction(tree);
}

enum text_kind { TEXT_NOTHING, TEXT_WHITE, TEXT_OTHER };

/* Cuts off what is of one kind: NULs, which are nothing; white space where it is special, or where
 * NULs or nothing follow; or all that follows. */
static enum text_kind cut_text(struct span *text, bool white_is_special)
{
    size_t nothing = 0, white = 0;

    while (nothing < text->size && text->at[nothing] == '\0')
        nothing++;
    if (nothing) {
        text->size = nothing;
        return TEXT_NOTHING;
    }
    while (white < text->size && scan_is(text->at[white], SCAN_SPACE))
        white++;
    if (white && (white_is_special || white == text->size || text->at[white] == '\0')) {
        text->size = white;
        return TEXT_WHITE;
    }
    return TEXT_OTHER;
}

static int32_t text_in_body(struct tree *tree, enum text_kind kind)
{
    if (kind == TEXT_NOTHING)
        return insertion_parent(tree);
    reconstruct(tree);
    if (kind == TEXT_OTHER)
        tree->is_frameset_ok = false;
    return insertion_parent(tree);
}

/* Text that comes before the body brings one, unless it is white. So do NULs, though ignored. */
static int32_t text_before_body(struct tree *tree, enum text_kind kind)
{
    if (kind == TEXT_WHITE)
        return tree->mode == IN_HEAD || tree->mode == AFTER_HEAD ? tree->depth - 1 : -1;
    switch ((enum mode)tree->mode) {
    case INITIAL:
        tree->is_quirky = true;
        // fall through
    case BEFORE_HTML:
        insert_implied(tree, TAG_HTML);
        // fall through
    case BEFORE_HEAD:
        insert_implied(tree, TAG_HEAD);
        tree->head_was_seen = true;
        // fall through
    case IN_HEAD:
        leave_head(tree);
        // fall through
    default:
        break;
    }
    insert_implied(tree, TAG_BODY);
    tree->mode = IN_BODY;
    return text_in_body(tree, kind);
}

/* White space is the table's, until something else comes in the same text. */
static int32_t text_in_table(struct tree *tree, enum text_kind kind)
{
    int32_t parent;

    if (is_table_part(top(tree)) && kind != TEXT_OTHER && !tree->has_table_text)
        return tree->depth - 1;
    tree->has_table_text = tree->has_table_text || kind == TEXT_OTHER;
    tree->foster = true;
    parent = text_in_body(tree, kind);
    tree->foster = false;
    return parent;
}

static bool white_is_special(const struct tree *tree)
{
    switch ((enum mode)tree->mode) {
    case IN_BODY:
    case IN_CELL:
    case IN_CAPTION:
    case IN_TEMPLATE:
    case IN_TEXT:
    case IN_SELECT:
    case IN_SELECT_IN_TABLE:
        return false;
    case IN_TABLE:
    case IN_TABLE_BODY:
    case IN_ROW:
        return !tree->has_table_text;
    default:
        return true;
    }
}

int32_t tree_text(struct tree *tree, struct span *text)
{
    bool had_table_text = tree->has_table_text;
    enum text_kind kind;

    begin(tree, NULL, true);
    tree->has_table_text = had_table_text;
    kind = cut_text(text, white_is_special(tree));
    if (tree_is_foreign(tree) && top(tree)->point != MATHML_TEXT_POINT &&
        top(tree)->point != HTML_POINT) {
        if (kind == TEXT_OTHER)
            tree->is_frameset_ok = false;
        return tree->depth - 1;
    }
    switch ((enum mode)tree->mode) {
    case INITIAL:
    case BEFORE_HTML:
    case BEFORE_HEAD:
    case IN_HEAD:
    case AFTER_HEAD:
        return text_before_body(tree, kind);
    case IN_TEXT:
    case IN_SELECT:
    case IN_SELECT_IN_TABLE:
    case IN_FRAMESET:
    case AFTER_FRAMESET:
    case AFTER_AFTER_FRAMESET:
        return tree->depth - 1;
    case IN_TABLE:
    case IN_TABLE_BODY:
    case IN_ROW:
        return text_in_table(tree, kind);
    case IN_COLUMN_GROUP:
        if (kind == TEXT_WHITE || !end_column_group(tree))
            return tree->depth - 1;
        return text_in_table(tree, kind);
    case AFTER_BODY:
    case AFTER_AFTER_BODY:
        if (kind != TEXT_WHITE)
            tree->mode = IN_BODY;
        break;
    default:
        break;
    }
    return text_in_body(tree, kind);
}

int32_t tree_comment_parent(const struct tree *tree)
{
    switch ((enum mode)tree->mode) {
    case INITIAL:
    case BEFORE_HTML:
    case AFTER_AFTER_BODY:
    case AFTER_AFTER_FRAMESET:
        return -1;
    case AFTER_BODY:
        return 0;
    default:
        return tree->depth - 1;
    }
}

void tree_done(struct tree *tree)
{
    while (tree->depth > 0)
        pop_one(tree);
    while (tree->formatting_count > 0)
        forget(tree, tree->formatting_count - 1);
    free(tree->stack);
    free(tree->formatting);
    free(tree->template_modes);
    *tree = (struct tree){ .events = tree->events, .owner = tree->owner };
}
