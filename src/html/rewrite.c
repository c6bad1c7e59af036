#include "html/rewrite.h"

#include "html/scan.h"

#include <assert.h>
#include <stdlib.h>

enum { TAIL_BYTES = 40, WAITING_ATTRIBUTES = 64, WAITING_BYTES = 64 << 10 };

struct kept_tag { // of an element that is not in the output but may have to be, later
    uint32_t references;
    uint32_t size;
    char bytes[];
};

enum operation_kind { OPEN, CLOSE, COPY, INSERT };

/* What the token at hand does besides what it says. The browser does it too when it gets the
 * token; where it does not get it, these are written out. */
struct operation {
    uint8_t kind; // OPEN, CLOSE: of `tag`
    uint8_t tag;
    struct kept_tag *kept; // COPY: a tag to put back
    struct span text;      // INSERT: at the head's start
};

enum { OPERATIONS = 64 };

enum since {
    HAS_GAP = 1,        // something was left out just now
    FOLLOWS_PRE = 2,    // the last thing in the output is <pre>
    OWES_FORMATTING = 4 // formatting elements are open that the browser has not opened yet
};

struct edit {        // of the tag at hand
    size_t from, to; // the bytes it replaces
    size_t at, size; // in edit_text
};

struct rewrite {
    const struct rewrite_events *events;
    void *owner;
    bool wanted[TAGS_COUNT];
    char *hollow;
    size_t hollow_size, inspect_bytes;
    bool looks_for_escape;

    struct tokenizer tokenizer;
    struct tree tree;
    struct selection selection;
    bool has_selectors, is_raw, told;
    uint64_t bytes_in, bytes_removed, removed_elements;

    const char *from, *upto; // the piece of the input that is to be copied
    char tail[TAIL_BYTES];   // the last bytes of the output
    size_t tail_size;
    uint8_t since;    // enum since: what the next token must know
    bool has_removed; // ever

    struct operation operations[OPERATIONS];
    size_t operation_count;
    bool must_operate; // even if the token is kept

    const struct token *token; // the start tag at hand
    bool was_opened, is_out, is_implied_out, opened_copies, head_was_seen, must_wait;
    enum rewrite_action action;
    struct span at_head;
    struct edit edits[REWRITE_EDITS];
    size_t edit_count;
    struct buffer edit_text;
    bool has_edits, edits_failed, is_asking;
    size_t kept_bytes;

    bool is_waiting; // an element's start tag waits for what follows: is the element empty?
    struct waiting {
        struct token token;
        struct attribute attributes[WAITING_ATTRIBUTES];
        struct buffer bytes;   // the tag, and comments behind it
        struct buffer instead; // what goes out where it is removed
        size_t tag_size;
        struct match if_empty[SELECTION_UNDECIDED], if_full[SELECTION_UNDECIDED];
        size_t if_empty_count, if_full_count;
    } waiting;

    bool is_inspecting;
    struct buffer inspected; // the tag, then the text
    size_t inspected_tag;
};

/* ---- output ---- */

static void remember_tail(struct rewrite *rewrite, struct span bytes)
{
    size_t keep;

    if (bytes.size >= TAIL_BYTES) {
        memcpy(rewrite->tail, bytes.at + bytes.size - TAIL_BYTES, TAIL_BYTES);
        rewrite->tail_size = TAIL_BYTES;
        return;
    }
    keep = TAIL_BYTES - bytes.size;
    if (keep > rewrite->tail_size)
        keep = rewrite->tail_size;
    memmove(rewrite->tail, rewrite->tail + rewrite->tail_size - keep, keep);
    memcpy(rewrite->tail + keep, bytes.at, bytes.size);
    rewrite->tail_size = keep + bytes.size;
}

static void output(struct rewrite *rewrite, struct span bytes)
{
    if (bytes.size == 0)
        return;
    if (rewrite->is_inspecting) {
        if (!buffer_append(&rewrite->inspected, bytes))
            abort(); // it has room for a tag and more than is ever put in
        return;
    }
    remember_tail(rewrite, bytes);
    rewrite->events->on_output(rewrite->owner, bytes);
}

static void flush(struct rewrite *rewrite)
{
    struct span piece = span_of(rewrite->from, (size_t)(rewrite->upto - rewrite->from));

    rewrite->from = rewrite->upto;
    output(rewrite, piece);
}

/* Text of ours. */
static void write_text(struct rewrite *rewrite, struct span text)
{
    if (text.size == 0)
        return;
    flush(rewrite);
    output(rewrite, text);
    rewrite->since &= OWES_FORMATTING;
}

/* Goes on behind bytes that are a token's last, or in the window. */
static void go_on_behind(struct rewrite *rewrite, struct span bytes)
{
    bool is_held = bytes.at != rewrite->upto;
    rewrite->from = rewrite->upto = is_held ? rewrite->tokenizer.at : bytes.at + bytes.size;
}

/* A token that the tokenizer held, and will forget, goes out by itself. Those bytes of it that
 * are the window's have been taken from there. */
static __attribute__((noinline)) void copy_held(struct rewrite *rewrite, struct span bytes)
{
    flush(rewrite);
    output(rewrite, bytes);
    go_on_behind(rewrite, bytes);
}

/* Bytes of the input, as they are. */
static inline void copy(struct rewrite *rewrite, struct span bytes)
{
    if (__builtin_expect(bytes.at == rewrite->upto, 1))
        rewrite->upto += bytes.size;
    else
        copy_held(rewrite, bytes);
}

static void leave_out(struct rewrite *rewrite, struct span bytes)
{
    flush(rewrite);
    rewrite->bytes_removed += bytes.size;
    go_on_behind(rewrite, bytes);
    rewrite->since |= HAS_GAP;
}

static bool is_alphanumeric(char c)
{
    return scan_is(c, SCAN_LETTER) || (c >= '0' && c <= '9');
}

/* Would the text, now that it follows what was before a gap, be read as something else? */
static bool would_join(struct span tail, char next)
{
    size_t i = tail.size;

    if (tail.size == 0)
        return false;
    if (tail.at[i - 1] == '<')
        return scan_is(next, SCAN_LETTER) || next == '/' || next == '!' || next == '?';
    if (!is_alphanumeric(next) && next != ';' && next != '#')
        return false;
    while (i > 0 && (is_alphanumeric(tail.at[i - 1]) || tail.at[i - 1] == '#'))
        i--;
    return i > 0 && tail.at[i - 1] == '&';
}

/* Text that comes where something was left out. */
static void mend_gap(struct rewrite *rewrite, enum tokenizer_state state, char next)
{
    flush(rewrite);
    if (rewrite->since & FOLLOWS_PRE && (next == '\n' || next == '\r'))
        write_text(rewrite, SPAN("\n")); // the first one is not shown
    else if (state == TOKENIZER_DATA &&
             would_join(span_of(rewrite->tail, rewrite->tail_size), next))
        write_text(rewrite, SPAN("<!---->"));
}

static void write_tag(struct rewrite *rewrite, enum tag tag, bool is_end)
{
    const struct tag_row *row = tag_row(tag);

    if (tag == TAG_OTHER)
        return;
    write_text(rewrite, is_end ? SPAN("</") : SPAN("<"));
    write_text(rewrite, span_of(row->name, row->size));
    write_text(rewrite, SPAN(">"));
}

/* ---- tags that may have to come back ---- */

static struct kept_tag *keep_tag(struct rewrite *rewrite, const struct token *token)
{
    struct kept_tag *kept;
    size_t size = token->bytes.size;

    if (size > REWRITE_KEPT_TAG_BYTES || size > REWRITE_KEPT_TAGS_BYTES - rewrite->kept_bytes)
        return NULL;
    kept = malloc(sizeof *kept + size);
    if (!kept)
        abort(); // out of memory ends the worker; the master starts another
    kept->references = 1;
    kept->size = (uint32_t)size;
    memcpy(kept->bytes, token->bytes.at, size);
    rewrite->kept_bytes += size;
    return kept;
}

static struct kept_tag *share_tag(struct kept_tag *kept)
{
    if (kept)
        kept->references++;
    return kept;
}

/* The element has it from now on. */
static void note_tag(struct element *element, struct kept_tag *kept)
{
    element->notes.tag = kept;
    element->asks_close = element->asks_close || kept;
}

static void release_tag(struct rewrite *rewrite, struct kept_tag **kept)
{
    struct kept_tag *gone = *kept;

    *kept = NULL;
    if (!gone || --gone->references > 0)
        return;
    rewrite->kept_bytes -= gone->size;
    free(gone);
}

/* ---- operations ---- */

static void add_operation(struct rewrite *rewrite, enum operation_kind kind, enum tag tag)
{
    if (rewrite->operation_count == OPERATIONS)
        return; // a browser would need as many elements implied by one tag
    rewrite->operations[rewrite->operation_count++] =
        (struct operation){ .kind = (uint8_t)kind, .tag = (uint8_t)tag };
}

/* A tag that was left out comes back, whatever becomes of the token at hand. */
static void put_back(struct rewrite *rewrite, struct kept_tag *kept)
{
    if (rewrite->operation_count == OPERATIONS)
        return;
    rewrite->operations[rewrite->operation_count++] =
        (struct operation){ .kind = COPY, .kept = share_tag(kept) };
    rewrite->must_operate = true;
}

/* A body or head that is opened says by itself that html and head were before. */
static bool is_implied_later(const struct rewrite *rewrite, size_t index)
{
    enum tag tag = rewrite->operations[index].tag;

    if (tag != TAG_HTML && tag != TAG_HEAD)
        return false;
    for (size_t i = index + 1; i < rewrite->operation_count; i++)
        if (rewrite->operations[i].kind == OPEN &&
            (rewrite->operations[i].tag == TAG_BODY || rewrite->operations[i].tag == TAG_HEAD))
            return true;
    return false;
}

/* Before the token at hand is copied or left out. */
static void operate(struct rewrite *rewrite, bool is_out)
{
    bool all = !is_out || rewrite->must_operate;

    for (size_t i = 0; i < rewrite->operation_count; i++) {
        struct operation *operation = &rewrite->operations[i];

        switch ((enum operation_kind)operation->kind) {
        case OPEN:
        case CLOSE:
            if (all && !is_implied_later(rewrite, i))
                write_tag(rewrite, operation->tag, operation->kind == CLOSE);
            break;
        case COPY:
            write_text(rewrite, span_of(operation->kept->bytes, operation->kept->size));
            release_tag(rewrite, &operation->kept);
            break;
        case INSERT:
            write_text(rewrite, operation->text);
            break;
        }
    }
    rewrite->operation_count = 0;
    rewrite->must_operate = false;
}

/* ---- elements ---- */

static enum rewrite_action parent_content(const struct rewrite *rewrite,
                                          const struct element *element)
{
    if (element->parent < 0)
        return REWRITE_KEEP;
    return (enum rewrite_action)rewrite->tree.stack[element->parent].notes.content;
}

static bool is_raw_text(const struct element *element)
{
    if (element->ns != TREE_HTML)
        return false;
    switch (element->tag) {
    case TAG_SCRIPT:
    case TAG_STYLE:
    case TAG_TITLE:
    case TAG_TEXTAREA:
    case TAG_XMP:
    case TAG_IFRAME:
    case TAG_NOEMBED:
    case TAG_NOFRAMES:
    case TAG_NOSCRIPT:
        return true;
    default:
        return false;
    }
}

static enum rewrite_action ask(struct rewrite *rewrite, const struct element *element,
                               bool is_in_hollow)
{
    struct rewrite_element offered = {
        .tag = rewrite->token,
        .name = element->tag,
        .is_foreign = element->ns != TREE_HTML,
        .is_raw_text = rewrite->token && is_raw_text(element),
        .is_in_hollow = is_in_hollow,
        .matches = rewrite->selection.matches,
        .match_count = rewrite->selection.match_count,
    };
    enum rewrite_action action;

    rewrite->is_asking = true;
    action = rewrite->events->on_element(rewrite->owner, &offered);
    rewrite->is_asking = false;
    if (element->ns == TREE_HTML &&
        (element->tag == TAG_HTML || element->tag == TAG_HEAD || element->tag == TAG_BODY))
        return REWRITE_KEEP;
    if (action == REWRITE_INSPECT && !offered.is_raw_text)
        return REWRITE_KEEP;
    if (action == REWRITE_HOLLOW && !rewrite->token)
        return REWRITE_KEEP;
    return action;
}

/* What becomes of an element whose parent is in the output, where there may be something to do. */
static __attribute__((noinline)) void decide(struct rewrite *rewrite, struct element *element,
                                             bool is_in_hollow)
{
    enum rewrite_action action = REWRITE_KEEP;

    if (rewrite->selection.match_count || (rewrite->token && rewrite->wanted[element->tag]))
        action = ask(rewrite, element, is_in_hollow);
    else if (rewrite->selection.if_empty_count | rewrite->selection.if_full_count)
        rewrite->must_wait = rewrite->token && !is_in_hollow && !is_raw_text(element) &&
                             rewrite->token->attribute_count <= WAITING_ATTRIBUTES;
    element->notes.action = (uint8_t)action;
    element->notes.content = REWRITE_KEEP;
    element->notes.is_out = action != REWRITE_REMOVE;
    if (action == REWRITE_REMOVE || action == REWRITE_HOLLOW) {
        element->notes.content = (uint8_t)action;
        rewrite->removed_elements++;
        rewrite->has_removed = true;
    }
}

/* An element in a removed one comes out of it when it is formatting, which is opened again behind
 * it; or when formatting around or in it ends, and takes along the block that is in both (HTML
 * section 13.2.6.4.7, "adoption agency"). Where the removed one is a block itself, it is that. */
static bool may_come_out(struct rewrite *rewrite, const struct element *element)
{
    const struct element *stack = rewrite->tree.stack, *removed = element;

    if (element->flags & TAG_FORMATTING)
        return true;
    if (rewrite->tree.formatting_count == 0 || element->flags & TAG_VOID || is_raw_text(element))
        return false;
    while (removed->parent >= 0 && stack[removed->parent].notes.content != REWRITE_KEEP) {
        removed = &stack[removed->parent];
        rewrite->tree.work++;
    }
    return !(removed->flags & TAG_SPECIAL);
}

/* An element in a removed or hollow one. */
static __attribute__((noinline)) void inherit(struct rewrite *rewrite, struct element *element,
                                              enum rewrite_action content)
{
    if (content == REWRITE_HOLLOW && element->ns == TREE_HTML && rewrite->token &&
        (element->tag == TAG_SCRIPT || element->tag == TAG_STYLE)) {
        decide(rewrite, element, true);
        return;
    }
    element->notes.action = REWRITE_KEEP;
    element->notes.content = (uint8_t)content;
    element->notes.is_out = false;
    if (rewrite->selection.match_count && may_come_out(rewrite, element))
        element->notes.action = (uint8_t)ask(rewrite, element, false);
    if (rewrite->token)
        note_tag(element, keep_tag(rewrite, rewrite->token));
}

static __attribute__((noinline)) void open_copy(struct rewrite *rewrite, struct element *element,
                                                struct element_notes *from)
{
    enum rewrite_action content = parent_content(rewrite, element);

    if (rewrite->has_selectors)
        selection_copy(&rewrite->selection, element, from->marks);
    element->notes.action = from->action;
    note_tag(element, share_tag(from->tag));
    if (content != REWRITE_KEEP) {
        element->notes.content = (uint8_t)content;
        return;
    }
    if (from->action == REWRITE_REMOVE) {
        element->notes.content = REWRITE_REMOVE;
        return;
    }
    element->notes.content = from->action == REWRITE_HOLLOW ? REWRITE_HOLLOW : REWRITE_KEEP;
    if (!from->is_out && from->tag) {
        put_back(rewrite, from->tag);
        from->is_out = true;
    } else if (from->is_out) {
        rewrite->opened_copies = true;
    }
    element->notes.is_out = from->is_out;
}

static void begin_head(struct rewrite *rewrite, enum tree_origin origin)
{
    struct span text;

    if (rewrite->head_was_seen)
        return;
    rewrite->head_was_seen = true;
    text = rewrite->events->on_head ? rewrite->events->on_head(rewrite->owner) : SPAN_NONE;
    if (text.size == 0)
        return;
    if (origin == TREE_FROM_TAG)
        rewrite->at_head = text;
    else if (rewrite->operation_count < OPERATIONS)
        rewrite->operations[rewrite->operation_count++] =
            (struct operation){ .kind = INSERT, .text = text };
}

static void stop_waiting(struct rewrite *rewrite, bool is_empty);

static void on_open(void *owner, struct element *element, enum tree_origin origin,
                    const struct formatting *from)
{
    struct rewrite *rewrite = owner;
    const struct token *token = rewrite->token;
    enum rewrite_action content;

    if (rewrite->is_waiting && element->parent >= 0 &&
        rewrite->tree.stack[element->parent].notes.waits)
        stop_waiting(rewrite, false);
    if (origin == TREE_COPY) {
        open_copy(rewrite, element,
                  &rewrite->tree.formatting[from - rewrite->tree.formatting].notes);
        return;
    }
    if (origin == TREE_IMPLIED)
        rewrite->token = NULL;
    if (rewrite->has_selectors)
        selection_open(&rewrite->selection, element, rewrite->token);
    content = parent_content(rewrite, element);
    if (content != REWRITE_KEEP)
        inherit(rewrite, element, content);
    else if (rewrite->wanted[element->tag] | rewrite->selection.match_count |
             rewrite->selection.if_empty_count | rewrite->selection.if_full_count)
        decide(rewrite, element, false);
    else
        element->notes.is_out = true; // action and content are REWRITE_KEEP when it comes
    rewrite->token = token;
    if (origin == TREE_FROM_TAG) {
        rewrite->was_opened = true;
        rewrite->is_out = element->notes.is_out;
        rewrite->action = element->notes.action;
    } else {
        rewrite->is_implied_out = element->notes.is_out;
        if (element->notes.is_out)
            add_operation(rewrite, OPEN, element->tag);
    }
    if (element->tag == TAG_HEAD && element->ns == TREE_HTML)
        begin_head(rewrite, origin);
}

static void on_close(void *owner, struct element *element)
{
    struct rewrite *rewrite = owner;

    if (rewrite->is_waiting && element->notes.waits)
        stop_waiting(rewrite, element->children == 0);
    if (rewrite->has_selectors)
        selection_close(&rewrite->selection, element);
    if (element->notes.tag)
        release_tag(rewrite, &element->notes.tag);
}

static void on_implied_end(void *owner, enum tag tag, const struct element_notes *notes)
{
    struct rewrite *rewrite = owner;
    if (notes->is_out)
        add_operation(rewrite, CLOSE, tag);
}

/* Elements that came out of a removed one come back. */
static void on_moved(void *owner)
{
    struct rewrite *rewrite = owner;

    if (rewrite->is_waiting && !rewrite->tree.stack[rewrite->tree.depth - 1].notes.waits)
        stop_waiting(rewrite, false); // a copy has come into it
    for (int32_t i = 0; i < rewrite->tree.depth && rewrite->has_removed; i++) {
        struct element *element = &rewrite->tree.stack[i];
        enum rewrite_action content = parent_content(rewrite, element);

        if (element->notes.is_out || element->notes.action != REWRITE_KEEP)
            continue;
        element->notes.content = (uint8_t)content;
        if (content != REWRITE_KEEP || !element->notes.tag)
            continue;
        put_back(rewrite, element->notes.tag);
        element->notes.is_out = true;
        if (element->formatting >= 0)
            rewrite->tree.formatting[element->formatting].notes.is_out = true;
    }
}

static void on_format(void *owner, struct formatting *formatting, const struct element *element)
{
    struct rewrite *rewrite = owner;

    formatting->notes = element->notes;
    formatting->notes.tag = share_tag(element->notes.tag);
    formatting->notes.marks = selection_remember(&rewrite->selection, element->notes.marks);
}

static void on_forget(void *owner, struct formatting *formatting)
{
    struct rewrite *rewrite = owner;

    selection_forget(&rewrite->selection, &formatting->notes.marks);
    release_tag(rewrite, &formatting->notes.tag);
}

static const struct tree_events tree_events = {
    .on_open = on_open,
    .on_close = on_close,
    .on_implied_end = on_implied_end,
    .on_moved = on_moved,
    .on_format = on_format,
    .on_forget = on_forget,
};

/* ---- changes to a tag ---- */

static bool add_edit(struct rewrite *rewrite, size_t from, size_t to, struct span text)
{
    struct edit edit = { from, to, rewrite->edit_text.size, text.size };
    size_t i = rewrite->edit_count;

    assert(rewrite->is_asking && rewrite->token);
    rewrite->has_edits = true;
    if (i == REWRITE_EDITS || !buffer_append(&rewrite->edit_text, text)) {
        rewrite->edits_failed = true;
        return false;
    }
    while (i > 0 && rewrite->edits[i - 1].from > from) {
        rewrite->edits[i] = rewrite->edits[i - 1];
        i--;
    }
    if (i > 0 && rewrite->edits[i - 1].to > from) {
        rewrite->edits_failed = true; // the same attribute twice
        return false;
    }
    rewrite->edits[i] = edit;
    rewrite->edit_count++;
    return true;
}

/* Where an attribute ends, its closing quote included. */
static size_t attribute_end(const struct token *token, const struct attribute *attribute)
{
    size_t end = attribute->value_at + attribute->value_size;
    char opening;

    if (!attribute->value_at)
        return attribute->name_at + attribute->name_size;
    opening = token->bytes.at[attribute->value_at - 1];
    return end + (opening == '"' || opening == '\'');
}

bool rewrite_set_attribute(struct rewrite *rewrite, size_t index, struct span value)
{
    const struct attribute *attribute = &rewrite->token->attributes[index];
    struct buffer text = { .limit_bytes = REWRITE_EDIT_BYTES };
    bool fits;

    assert(index < rewrite->token->attribute_count);
    fits = buffer_append(&text, SPAN("=\"")) && buffer_append(&text, value) &&
           buffer_append(&text, SPAN("\"")) &&
           add_edit(rewrite, attribute->name_at + attribute->name_size,
                    attribute_end(rewrite->token, attribute), buffer_span(&text));
    if (!fits)
        rewrite->edits_failed = true;
    buffer_release(&text);
    return fits;
}

bool rewrite_remove_attribute(struct rewrite *rewrite, size_t index)
{
    const struct token *token = rewrite->token;
    struct span name = token_attribute_name(token, index);

    for (size_t i = index; i < token->attribute_count; i++) // a double one would take its place
        if (span_equal_nocase(token_attribute_name(token, i), name) &&
            !add_edit(rewrite, token->attributes[i].name_at,
                      attribute_end(token, &token->attributes[i]), SPAN_NONE))
            return false;
    return true;
}

static size_t name_end(const struct token *token)
{
    return (size_t)(token->name.at - token->bytes.at) + token->name.size;
}

bool rewrite_add_attributes(struct rewrite *rewrite, struct span text)
{
    return add_edit(rewrite, name_end(rewrite->token), name_end(rewrite->token), text);
}

static void forget_edits(struct rewrite *rewrite)
{
    rewrite->edit_count = 0;
    rewrite->edit_text.size = 0;
    rewrite->has_edits = false;
    rewrite->edits_failed = false;
}

/* A start tag, changed as its owner wished. */
static void output_changed_tag(struct rewrite *rewrite, const struct token *token)
{
    size_t done = 0, end = name_end(token);

    if (rewrite->action == REWRITE_HOLLOW) {
        output(rewrite, span_slice(token->bytes, 0, end));
        output(rewrite, span_of(rewrite->hollow, rewrite->hollow_size));
        done = end;
    }
    for (size_t i = 0; i < rewrite->edit_count && !rewrite->edits_failed; i++) {
        const struct edit *edit = &rewrite->edits[i];
        output(rewrite, span_slice(token->bytes, done, edit->from - done));
        if (edit->size) // where all is only left out there is no text
            output(rewrite, span_of(rewrite->edit_text.at + edit->at, edit->size));
        done = edit->to;
    }
    output(rewrite, span_from(token->bytes, done));
}

/* ---- waiting ---- */

/* What the tag at hand implies, should it be left out. */
static void note_instead(struct rewrite *rewrite, struct buffer *to)
{
    for (size_t i = 0; i < rewrite->operation_count && !rewrite->must_operate; i++) {
        const struct operation *operation = &rewrite->operations[i];
        if ((operation->kind == OPEN || operation->kind == CLOSE) && !is_implied_later(rewrite, i))
            (void)buffer_printf(to, "<%s%s>", operation->kind == CLOSE ? "/" : "",
                                tag_row(operation->tag)->name);
    }
}

static void begin_waiting(struct rewrite *rewrite, const struct token *token)
{
    struct waiting *waiting = &rewrite->waiting;
    const struct selection *selection = &rewrite->selection;
    struct element *element = &rewrite->tree.stack[rewrite->tree.depth - 1];

    flush(rewrite);
    waiting->instead.size = 0;
    note_instead(rewrite, &waiting->instead);
    operate(rewrite, true);
    waiting->bytes.size = 0;
    if (!buffer_append(&waiting->bytes, token->bytes))
        abort(); // it has room for a tag
    waiting->tag_size = token->bytes.size;
    waiting->token = *token;
    waiting->token.name = span_from(token->bytes, (size_t)(token->name.at - token->bytes.at));
    waiting->token.name.size = token->name.size;
    memcpy(waiting->attributes, token->attributes,
           token->attribute_count * sizeof *token->attributes);
    memcpy(waiting->if_empty, selection->if_empty, sizeof waiting->if_empty);
    memcpy(waiting->if_full, selection->if_full, sizeof waiting->if_full);
    waiting->if_empty_count = selection->if_empty_count;
    waiting->if_full_count = selection->if_full_count;
    element->notes.waits = element->asks_close = true;
    rewrite->is_waiting = true;
    go_on_behind(rewrite, token->bytes);
}

/* A comment, or a tag that the browser ignores, does not decide: it waits too, if that is not too
 * much. */
static bool waits_too(struct rewrite *rewrite, struct span bytes)
{
    if (rewrite->waiting.bytes.size - rewrite->waiting.tag_size + bytes.size > WAITING_BYTES) {
        stop_waiting(rewrite, false);
        return false;
    }
    if (!buffer_append(&rewrite->waiting.bytes, bytes))
        abort(); // it has room for a tag and as many bytes as may wait
    go_on_behind(rewrite, bytes);
    return true;
}

/* A tag that has opened and closed nothing since an element waits. */
static bool ignored_tag_waits(struct rewrite *rewrite, const struct token *token, bool is_out)
{
    if (is_out && rewrite->tree.aim == TREE_NOTHING)
        return waits_too(rewrite, token->bytes);
    stop_waiting(rewrite, false); // it is about another element
    return false;
}

static void write_waiting(struct rewrite *rewrite, const struct element *element)
{
    struct waiting *waiting = &rewrite->waiting;
    struct span comments = span_from(buffer_span(&waiting->bytes), waiting->tag_size);

    if (element->notes.is_out) {
        rewrite->since = element->tag == TAG_PRE || element->tag == TAG_LISTING ? FOLLOWS_PRE : 0;
        if (rewrite->action == REWRITE_HOLLOW || (rewrite->edit_count && !rewrite->edits_failed))
            output_changed_tag(rewrite, &waiting->token);
        else
            output(rewrite, waiting->token.bytes);
    } else {
        write_text(rewrite, buffer_span(&waiting->instead));
        rewrite->bytes_removed += waiting->tag_size;
        rewrite->since |= HAS_GAP;
    }
    if (element->notes.content == REWRITE_KEEP) {
        output(rewrite, comments);
    } else {
        rewrite->bytes_removed += comments.size;
        rewrite->since |= HAS_GAP;
    }
}

/* The innermost one, as what comes into it ends the waiting, but elements may change places. */
static int32_t find_waiting(const struct rewrite *rewrite)
{
    int32_t index = rewrite->tree.depth - 1;

    while (index >= 0 && !rewrite->tree.stack[index].notes.waits)
        index--;
    assert(index >= 0);
    return index;
}

/* Now it is known. The element is open still. */
static void stop_waiting(struct rewrite *rewrite, bool is_empty)
{
    struct waiting *waiting = &rewrite->waiting;
    int32_t index = find_waiting(rewrite);
    struct element *element = &rewrite->tree.stack[index];
    struct selection *selection = &rewrite->selection;
    const struct token *token = rewrite->token;
    enum rewrite_action action = rewrite->action;
    bool was_opened = rewrite->was_opened;

    rewrite->is_waiting = element->notes.waits = false;
    selection->match_count = is_empty ? waiting->if_empty_count : waiting->if_full_count;
    memcpy(selection->matches, is_empty ? waiting->if_empty : waiting->if_full,
           sizeof waiting->if_empty);
    selection->if_empty_count = selection->if_full_count = 0;
    waiting->token.name.at = waiting->bytes.at + (waiting->token.name.at - waiting->token.bytes.at);
    waiting->token.bytes = span_of(waiting->bytes.at, waiting->tag_size);
    waiting->token.attributes = waiting->attributes;
    rewrite->token = &waiting->token;
    decide(rewrite, element, false);
    if (element->notes.action == REWRITE_INSPECT)
        element->notes.action = REWRITE_KEEP;
    rewrite->action = element->notes.action;
    if (element->formatting >= 0) {
        struct element_notes *notes = &rewrite->tree.formatting[element->formatting].notes;
        notes->action = element->notes.action;
        notes->content = element->notes.content;
        notes->is_out = element->notes.is_out;
    }
    flush(rewrite);
    write_waiting(rewrite, element);
    if (rewrite->tree.aim == TREE_ELEMENT && rewrite->tree.aimed_index == index)
        rewrite->tree.aimed_at.is_out = element->notes.is_out;
    if (rewrite->has_edits)
        forget_edits(rewrite);
    rewrite->token = token;
    rewrite->action = action;
    rewrite->was_opened = was_opened;
}

/* ---- giving up ---- */

static void end_inspection(struct rewrite *rewrite, bool is_whole);

static void let_pass(struct rewrite *rewrite)
{
    rewrite->told = true;
    if (rewrite->is_inspecting)
        end_inspection(rewrite, false);
    if (rewrite->is_waiting)
        stop_waiting(rewrite, false);
    tokenizer_give_up(&rewrite->tokenizer);
}

static void give_up(struct rewrite *rewrite, enum rewrite_reason reason)
{
    if (rewrite->told)
        return;
    let_pass(rewrite);
    if (rewrite->events->on_gave_up)
        rewrite->events->on_gave_up(rewrite->owner, reason);
}

static void check_work(struct rewrite *rewrite)
{
    uint64_t work = rewrite->tree.work + rewrite->selection.work;

    if (work > REWRITE_WORK && work - REWRITE_WORK > rewrite->bytes_in * REWRITE_WORK_PER_BYTE)
        give_up(rewrite, REWRITE_WORK_SPENT);
    else if (rewrite->tree.is_full)
        give_up(rewrite, REWRITE_DEEP);
}

/* ---- tokens ---- */

static bool goes_out(const struct rewrite *rewrite, int32_t parent)
{
    return parent < 0 || rewrite->tree.stack[parent].notes.content == REWRITE_KEEP;
}

/* Inserting text that nobody sees makes the browser open the formatting elements that are open
 * here since the tag of a removed element; most tokens do that by themselves. */
static void pay_formatting(struct rewrite *rewrite, const struct token *token)
{
    rewrite->since &= (uint8_t)~OWES_FORMATTING;
    if (token->kind == TOKEN_START_TAG) {
        switch ((enum tag_start)tag_row(token->tag)->start) {
        case TAG_START_ORDINARY:
        case TAG_START_BUTTON:
        case TAG_START_ANCHOR:
        case TAG_START_FORMAT:
        case TAG_START_NO_BREAK:
        case TAG_START_OBJECT_LIKE:
        case TAG_START_VOID_INLINE:
        case TAG_START_INPUT:
        case TAG_START_IMAGE_ALIAS:
        case TAG_START_SELECT:
        case TAG_START_OPTION_LIKE:
        case TAG_START_MATH:
        case TAG_START_SVG:
            return;
        default:
            break;
        }
    }
    write_text(rewrite, SPAN(" "));
}

static void end_inspection(struct rewrite *rewrite, bool is_whole)
{
    struct element *element = &rewrite->tree.stack[rewrite->tree.depth - 1];
    enum rewrite_action action = REWRITE_KEEP;
    struct span tag, text;

    flush(rewrite);
    tag = span_slice(buffer_span(&rewrite->inspected), 0, rewrite->inspected_tag);
    text = span_from(buffer_span(&rewrite->inspected), rewrite->inspected_tag);
    rewrite->is_inspecting = false;
    element->notes.action = REWRITE_KEEP;
    if (rewrite->events->on_text)
        action = rewrite->events->on_text(rewrite->owner, &text, is_whole);
    if (action == REWRITE_REMOVE) {
        element->notes.action = element->notes.content = REWRITE_REMOVE;
        element->notes.is_out = false;
        rewrite->removed_elements++;
        rewrite->has_removed = true;
        rewrite->since |= HAS_GAP;
        rewrite->bytes_removed += rewrite->inspected.size;
    } else {
        output(rewrite, tag);
        output(rewrite, text);
    }
    rewrite->inspected.size = 0;
}

static void write_start_tag(struct rewrite *rewrite, const struct token *token)
{
    bool inspects = rewrite->was_opened && rewrite->action == REWRITE_INSPECT;

    if (inspects) {
        flush(rewrite);
        rewrite->is_inspecting = true;
        rewrite->inspected.size = 0;
    }
    if ((rewrite->was_opened && rewrite->action == REWRITE_HOLLOW) ||
        (rewrite->edit_count && !rewrite->edits_failed)) {
        flush(rewrite);
        output_changed_tag(rewrite, token);
        go_on_behind(rewrite, token->bytes);
    } else {
        copy(rewrite, token->bytes);
    }
    if (inspects) {
        flush(rewrite);
        rewrite->inspected_tag = rewrite->inspected.size;
    }
}

/* A start tag about which there is something to do, or to be left out. */
static __attribute__((noinline)) void change_start_tag(struct rewrite *rewrite,
                                                       const struct token *token, bool is_out)
{
    if (rewrite->since & OWES_FORMATTING)
        pay_formatting(rewrite, token);
    if (rewrite->operation_count && !(is_out && rewrite->must_wait))
        operate(rewrite, is_out);
    if (is_out && rewrite->must_wait) {
        begin_waiting(rewrite, token);
    } else if (is_out) {
        write_start_tag(rewrite, token);
        rewrite->since = token->tag == TAG_PRE || token->tag == TAG_LISTING ? FOLLOWS_PRE : 0;
    } else {
        leave_out(rewrite, token->bytes);
        if (rewrite->opened_copies)
            rewrite->since |= OWES_FORMATTING;
    }
    write_text(rewrite, rewrite->at_head);
    rewrite->at_head = SPAN_NONE;
    if (rewrite->has_edits)
        forget_edits(rewrite);
}

/* Is a start tag in the output that no element came of? */
static bool is_out_unopened(const struct rewrite *rewrite, const struct token *token, bool was_out)
{
    if (rewrite->tree.aim == TREE_ELEMENT)
        return rewrite->tree.aimed_at.is_out;
    // A form or frameset may have been ignored because of one that was removed.
    return was_out &&
           !(rewrite->has_removed && (token->tag == TAG_FORM || token->tag == TAG_FRAMESET));
}

static void take_start_tag(struct rewrite *rewrite, const struct token *token)
{
    bool was_out = goes_out(rewrite, rewrite->tree.depth - 1), is_out;

    rewrite->token = token;
    rewrite->was_opened = false;
    rewrite->opened_copies = false;
    rewrite->must_wait = false;
    rewrite->action = REWRITE_KEEP;
    tree_start_tag(&rewrite->tree, token);
    is_out = rewrite->was_opened ? rewrite->is_out : is_out_unopened(rewrite, token, was_out);
    if (__builtin_expect(rewrite->is_waiting, 0) && !rewrite->was_opened &&
        ignored_tag_waits(rewrite, token, is_out)) {
        rewrite->token = NULL;
        return;
    }
    if (__builtin_expect(is_out && !rewrite->operation_count && !rewrite->since &&
                             !rewrite->has_edits && !rewrite->at_head.size &&
                             rewrite->action == REWRITE_KEEP && !rewrite->must_wait &&
                             token->tag != TAG_PRE && token->tag != TAG_LISTING,
                         1))
        copy(rewrite, token->bytes);
    else
        change_start_tag(rewrite, token, is_out);
    if (rewrite->tree.text_state != TOKENIZER_DATA)
        tokenizer_set_state(&rewrite->tokenizer, rewrite->tree.text_state, token->name);
    rewrite->tokenizer.cdata_is_allowed = tree_is_foreign(&rewrite->tree);
    rewrite->token = NULL;
}

static void take_end_tag(struct rewrite *rewrite, const struct token *token)
{
    bool is_out = goes_out(rewrite, rewrite->tree.depth - 1);

    if (rewrite->is_inspecting)
        end_inspection(rewrite, true);
    tree_end_tag(&rewrite->tree, token);
    if (rewrite->tree.aim == TREE_ELEMENT)
        is_out = rewrite->tree.aimed_at.is_out;
    else if (rewrite->tree.aim == TREE_NEW_ELEMENT)
        is_out = rewrite->is_implied_out;
    if (rewrite->is_waiting && ignored_tag_waits(rewrite, token, is_out))
        return;
    if (rewrite->since & OWES_FORMATTING)
        pay_formatting(rewrite, token);
    // What else it does comes before it, but elements come back behind it.
    if (rewrite->operation_count && !rewrite->must_operate)
        operate(rewrite, is_out);
    if (is_out) {
        copy(rewrite, token->bytes);
        rewrite->since = 0;
    } else {
        leave_out(rewrite, token->bytes);
    }
    if (rewrite->operation_count)
        operate(rewrite, is_out);
    rewrite->tokenizer.cdata_is_allowed = tree_is_foreign(&rewrite->tree);
}

/* A piece of text about which there is something to do, or to be left out. */
static __attribute__((noinline)) void change_piece(struct rewrite *rewrite,
                                                   const struct token *token, struct span piece,
                                                   int32_t parent)
{
    bool is_out = goes_out(rewrite, parent);

    if (rewrite->operation_count)
        operate(rewrite, is_out);
    if (rewrite->is_inspecting && is_out &&
        piece.size > rewrite->inspect_bytes - (rewrite->inspected.size - rewrite->inspected_tag)) {
        end_inspection(rewrite, false);
        is_out = goes_out(rewrite, parent);
    }
    if (!is_out) {
        leave_out(rewrite, piece);
        return;
    }
    if (rewrite->since & HAS_GAP && piece.size)
        mend_gap(rewrite, token->state, piece.at[0]);
    rewrite->since = 0;
    copy(rewrite, piece);
    if (rewrite->is_inspecting)
        flush(rewrite);
}

/* A piece of text that all goes into the same element. */
static inline void take_piece(struct rewrite *rewrite, const struct token *token, struct span piece,
                              int32_t parent)
{
    if (__builtin_expect(goes_out(rewrite, parent) && !rewrite->operation_count &&
                             !rewrite->is_inspecting && !(rewrite->since & HAS_GAP),
                         1)) {
        rewrite->since = 0;
        copy(rewrite, piece);
    } else {
        change_piece(rewrite, token, piece, parent);
    }
}

static void take_text(struct rewrite *rewrite, const struct token *token)
{
    struct span left = token->bytes;

    if (rewrite->is_waiting)
        stop_waiting(rewrite, false);
    if (tree_text_is_plain(&rewrite->tree)) {
        take_piece(rewrite, token, left, rewrite->tree.depth - 1);
        return;
    }
    while (left.size) {
        struct span piece = left;
        int32_t parent = tree_text(&rewrite->tree, &piece);
        take_piece(rewrite, token, piece, parent);
        left = span_from(left, piece.size);
    }
}

static void take(struct rewrite *rewrite, const struct token *token)
{
    int32_t parent = -1;

    switch (token->kind) {
    case TOKEN_TEXT:
        take_text(rewrite, token);
        return;
    case TOKEN_START_TAG:
        take_start_tag(rewrite, token);
        check_work(rewrite);
        return;
    case TOKEN_END_TAG:
        take_end_tag(rewrite, token);
        check_work(rewrite);
        return;
    case TOKEN_COMMENT:
        parent = tree_comment_parent(&rewrite->tree);
        break;
    case TOKEN_DOCTYPE:
        tree_doctype(&rewrite->tree, token->bytes);
        parent = rewrite->tree.depth - 1;
        break;
    case TOKEN_MARK:
    case TOKEN_PARTIAL:
        parent = rewrite->tree.depth - 1;
        break;
    case TOKEN_RAW:
        give_up(rewrite, REWRITE_LONG_TAG);
        break;
    }
    if (rewrite->is_waiting && token->kind == TOKEN_COMMENT && waits_too(rewrite, token->bytes))
        return;
    if (rewrite->is_waiting)
        stop_waiting(rewrite, false);
    if (goes_out(rewrite, parent)) {
        copy(rewrite, token->bytes);
        if (token->bytes.size)
            rewrite->since &= OWES_FORMATTING;
    } else {
        leave_out(rewrite, token->bytes);
    }
}

/* ---- what others call ---- */

struct rewrite *rewrite_new(const struct rewrite_options *options,
                            const struct rewrite_events *events, void *owner)
{
    struct rewrite *rewrite = malloc(sizeof *rewrite);

    if (!rewrite)
        abort(); // out of memory ends the worker; the master starts another
    memset(rewrite, 0, offsetof(struct rewrite, tokenizer));
    memset((char *)rewrite + offsetof(struct rewrite, has_selectors), 0,
           sizeof *rewrite - offsetof(struct rewrite, has_selectors));
    rewrite->events = events;
    rewrite->owner = owner;
    if (options->wanted)
        memcpy(rewrite->wanted, options->wanted, sizeof rewrite->wanted);
    rewrite->hollow_size = options->hollow.size;
    rewrite->hollow = malloc(options->hollow.size + 1);
    if (!rewrite->hollow)
        abort();
    if (options->hollow.size)
        memcpy(rewrite->hollow, options->hollow.at, options->hollow.size);
    rewrite->inspect_bytes = options->inspect_bytes;
    rewrite->looks_for_escape = !options->charset_is_known;
    rewrite->has_selectors = options->set_count > 0;
    rewrite->is_raw = options->set_count == 0 && !options->wanted && !events->on_head;
    rewrite->edit_text.limit_bytes = REWRITE_EDIT_BYTES;
    rewrite->waiting.bytes.limit_bytes = TOKENIZER_HELD_LIMIT_BYTES + WAITING_BYTES;
    rewrite->waiting.instead.limit_bytes = REWRITE_EDIT_BYTES;
    rewrite->inspected.limit_bytes =
        options->inspect_bytes + TOKENIZER_HELD_LIMIT_BYTES + 4 * REWRITE_EDIT_BYTES;
    tokenizer_init(&rewrite->tokenizer);
    tree_init(&rewrite->tree, &tree_events, rewrite);
    selection_init(&rewrite->selection, &rewrite->tree, options->sets, options->set_count);
    return rewrite;
}

void rewrite_free(struct rewrite **rewrite)
{
    struct rewrite *gone = *rewrite;

    *rewrite = NULL;
    if (!gone)
        return;
    for (size_t i = 0; i < gone->operation_count; i++)
        release_tag(gone, &gone->operations[i].kept);
    tree_done(&gone->tree);
    selection_done(&gone->selection);
    tokenizer_done(&gone->tokenizer);
    buffer_release(&gone->edit_text);
    buffer_release(&gone->inspected);
    buffer_release(&gone->waiting.bytes);
    buffer_release(&gone->waiting.instead);
    free(gone->hollow);
    free(gone);
}

static void run(struct rewrite *rewrite)
{
    struct token token;

    while (tokenizer_next(&rewrite->tokenizer, &token))
        take(rewrite, &token);
    flush(rewrite);
}

static void feed(struct rewrite *rewrite, struct span bytes)
{
    if (bytes.size == 0)
        return;
    rewrite->from = rewrite->upto = bytes.at;
    rewrite->bytes_in += bytes.size;
    tokenizer_feed(&rewrite->tokenizer, bytes);
    run(rewrite);
}

void rewrite_feed(struct rewrite *rewrite, struct span bytes)
{
    size_t escape;

    if (rewrite->is_raw) {
        rewrite->bytes_in += bytes.size;
        output(rewrite, bytes);
        return;
    }
    if (rewrite->looks_for_escape && !rewrite->told) {
        escape = span_find_byte(bytes, 0x1b);
        if (escape < bytes.size) {
            feed(rewrite, span_slice(bytes, 0, escape));
            give_up(rewrite, REWRITE_ESCAPE);
            bytes = span_from(bytes, escape);
        }
    }
    feed(rewrite, bytes);
}

void rewrite_finish(struct rewrite *rewrite)
{
    rewrite->from = rewrite->upto = NULL;
    if (rewrite->is_raw)
        return;
    tokenizer_finish(&rewrite->tokenizer);
    run(rewrite);
    if (rewrite->is_inspecting)
        end_inspection(rewrite, true);
    if (rewrite->is_waiting)
        stop_waiting(rewrite, true);
}

void rewrite_stop(struct rewrite *rewrite)
{
    if (rewrite->told || rewrite->is_raw)
        return;
    rewrite->from = rewrite->upto = NULL;
    let_pass(rewrite);
    run(rewrite);
}

bool rewrite_gave_up(const struct rewrite *rewrite)
{
    return rewrite->told;
}

bool rewrite_costly(const struct rewrite *rewrite, struct match *out)
{
    return selection_costly(&rewrite->selection, out);
}

size_t rewrite_held(const struct rewrite *rewrite)
{
    return tokenizer_held(&rewrite->tokenizer) + rewrite->inspected.size + rewrite->kept_bytes +
           (size_t)rewrite->tree.depth * sizeof(struct element) +
           (rewrite->is_waiting ? rewrite->waiting.bytes.size : 0);
}

uint64_t rewrite_removed_bytes(const struct rewrite *rewrite)
{
    return rewrite->bytes_removed;
}

uint64_t rewrite_removed_elements(const struct rewrite *rewrite)
{
    return rewrite->removed_elements;
}
