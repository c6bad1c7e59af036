#include "filter/json_path.h"

#include <stdlib.h>

#include "filter/json_tree.h"

/* ---- paths ---- */

enum selector_kind {
    SELECT_NAME, // `text`
    SELECT_ANY,
    SELECT_ELEMENTS, // of an array
    SELECT_MEMBERS,  // of an object
    SELECT_PLACE,    // `from`
    SELECT_SLICE,    // `from` to `to` by `by`
    SELECT_HAVING,   // `first`, `count`: steps that lead somewhere from it
    SELECT_EQUAL,    // ... to a value that is `text`
    SELECT_SUBSTRING,
};

struct selector {
    enum selector_kind kind;
    struct span text;
    int32_t from, to, by;
    bool has_from, has_to;
    bool only_elements; // SELECT_HAVING: of "[-]"
    bool only_members;
    uint16_t first, count; // in path.steps
};

struct step {
    bool is_deep;          // "..": from all that is below, and itself
    uint16_t first, count; // in path.selectors
};

struct path {
    struct step steps[JSON_PATH_STEPS];
    struct selector selectors[JSON_PATH_SELECTORS];
    size_t step_count, selector_count;
    size_t first, own; // the steps that are not of paths inside
};

struct parser {
    struct path *path;
    struct span rest;
};

static struct selector *add_selector(struct path *path)
{
    struct selector *selector;

    if (path->selector_count == JSON_PATH_SELECTORS)
        return NULL;
    selector = &path->selectors[path->selector_count++];
    *selector = (struct selector){ .by = 1 };
    return selector;
}

static void skip_blanks(struct parser *parser)
{
    while (parser->rest.size && memchr(" \t", parser->rest.at[0], 2))
        parser->rest = span_from(parser->rest, 1);
}

static bool take_byte(struct parser *parser, char c)
{
    skip_blanks(parser);
    if (!parser->rest.size || parser->rest.at[0] != c)
        return false;
    parser->rest = span_from(parser->rest, 1);
    return true;
}

/* A text in quotes, or a bare word up to one of `ends`. */
static bool take_word(struct parser *parser, const char *ends, struct span *word)
{
    size_t size = 0;

    skip_blanks(parser);
    if (parser->rest.size && (parser->rest.at[0] == '"' || parser->rest.at[0] == '\'')) {
        char quote = parser->rest.at[0];
        struct span inside = span_from(parser->rest, 1);

        size = span_find_byte(inside, quote);
        if (size == inside.size)
            return false;
        *word = span_slice(inside, 0, size);
        parser->rest = span_from(inside, size + 1);
        return true;
    }
    while (size < parser->rest.size && !strchr(ends, parser->rest.at[size]))
        size++;
    *word = span_slice(parser->rest, 0, size);
    parser->rest = span_from(parser->rest, size);
    return size > 0;
}

static bool take_number(struct parser *parser, int32_t *number, bool *is_there)
{
    bool is_negative = take_byte(parser, '-');
    int32_t value = 0;
    size_t digits = 0;

    skip_blanks(parser);
    while (digits < parser->rest.size && parser->rest.at[digits] >= '0' &&
           parser->rest.at[digits] <= '9') {
        if (digits == 8)
            return false;
        value = value * 10 + (parser->rest.at[digits++] - '0');
    }
    parser->rest = span_from(parser->rest, digits);
    *is_there = digits > 0;
    *number = is_negative ? -value : value;
    return digits > 0 || !is_negative;
}

static bool take_steps(struct parser *parser, unsigned nesting, size_t *first);

/* Steps of a path inside of another; they stand behind one another in path.steps. */
static bool take_inner(struct parser *parser, struct selector *selector, struct span text,
                       unsigned nesting)
{
    struct parser inner = { .path = parser->path, .rest = text };
    size_t first = parser->path->step_count;

    if (nesting + 1 == JSON_PATH_NESTING)
        return false;
    if (text.size && text.at[0] == '$') {
        inner.rest = span_from(text, 1);
        if (!take_steps(&inner, nesting + 1, &first) || inner.rest.size)
            return false;
    } else {
        struct selector *name;
        if (parser->path->step_count == JSON_PATH_STEPS || !(name = add_selector(parser->path)))
            return false;
        name->kind = SELECT_NAME;
        name->text = text;
        parser->path->steps[parser->path->step_count++] =
            (struct step){ .first = (uint16_t)(parser->path->selector_count - 1), .count = 1 };
    }
    selector->first = (uint16_t)first;
    selector->count = (uint16_t)(parser->path->step_count - first);
    return selector->count > 0;
}

/* "?(has key)", behind the '?' */
static bool take_filter(struct parser *parser, struct selector *selector, unsigned nesting)
{
    struct span operation, key, value = SPAN_NONE;
    struct selector made = *selector;

    if (!take_byte(parser, '(') || !take_word(parser, " \t)", &operation) ||
        !take_word(parser, " \t)", &key))
        return false;
    if (span_equal(operation, SPAN("has")))
        made.kind = SELECT_HAVING;
    else if (span_equal(operation, SPAN("key-eq")))
        made.kind = SELECT_EQUAL;
    else if (span_equal(operation, SPAN("key-substr")))
        made.kind = SELECT_SUBSTRING;
    else
        return false;
    if (made.kind != SELECT_HAVING && !take_word(parser, ")", &value))
        return false;
    made.text = span_trim(value);
    if (!take_byte(parser, ')') || !take_inner(parser, &made, key, nesting))
        return false;
    *selector = made;
    return true;
}

/* "3", "-1", "1:4", "::2" */
static bool take_places(struct parser *parser, struct selector *selector)
{
    bool has_by;

    selector->kind = SELECT_PLACE;
    if (!take_number(parser, &selector->from, &selector->has_from))
        return false;
    if (!take_byte(parser, ':'))
        return selector->has_from;
    selector->kind = SELECT_SLICE;
    if (!take_number(parser, &selector->to, &selector->has_to))
        return false;
    if (take_byte(parser, ':') && !take_number(parser, &selector->by, &has_by))
        return false;
    if (selector->by == 0)
        selector->by = 1;
    return selector->by > 0;
}

static bool is_place(struct span rest)
{
    size_t i = 0;

    while (i < rest.size && memchr("-:0123456789 \t", rest.at[i], 14))
        i++;
    return i > 0 && i < rest.size && (rest.at[i] == ',' || rest.at[i] == ']');
}

/* What stands in brackets, behind the first. */
static bool take_brackets(struct parser *parser, struct step *step, unsigned nesting)
{
    size_t places[JSON_PATH_SELECTORS], count = 0;
    struct path *path = parser->path;

    do {
        struct selector *selector = add_selector(path);
        if (!selector)
            return false;
        places[count++] = (size_t)(selector - path->selectors);
        skip_blanks(parser);
        if (take_byte(parser, '*')) {
            selector->kind = SELECT_ANY;
        } else if (take_byte(parser, '?')) {
            if (!take_filter(parser, selector, nesting))
                return false;
        } else if (is_place(parser->rest)) {
            if (!take_places(parser, selector))
                return false;
        } else {
            selector->kind = SELECT_NAME;
            if (!take_word(parser, ",]", &selector->text))
                return false;
            selector->text = span_trim(selector->text);
        }
    } while (take_byte(parser, ','));
    if (!take_byte(parser, ']'))
        return false;
    // Inner paths put their own selectors between: these shall stand together.
    step->first = (uint16_t)path->selector_count;
    step->count = (uint16_t)count;
    for (size_t i = 0; i < count; i++) {
        struct selector *copy = add_selector(path);
        if (!copy)
            return false;
        *copy = path->selectors[places[i]];
    }
    return true;
}

/* All steps up to the end, one behind the other from *first on. */
static bool take_steps(struct parser *parser, unsigned nesting, size_t *first)
{
    struct path *path = parser->path;
    struct step made[JSON_PATH_STEPS];
    size_t count = 0;

    for (skip_blanks(parser); parser->rest.size; skip_blanks(parser)) {
        struct step step = { .is_deep = false };
        struct selector *selector;

        if (count == JSON_PATH_STEPS)
            return false;
        if (take_byte(parser, '.'))
            step.is_deep = take_byte(parser, '.');
        else if (parser->rest.at[0] != '[')
            return false;
        if (take_byte(parser, '[')) {
            if (!take_brackets(parser, &step, nesting))
                return false;
        } else {
            selector = add_selector(path);
            if (!selector)
                return false;
            step.first = (uint16_t)(path->selector_count - 1);
            step.count = 1;
            selector->kind = SELECT_NAME;
            if (take_byte(parser, '*'))
                selector->kind = SELECT_ANY;
            else if (!take_word(parser, ".[ \t", &selector->text))
                return false;
        }
        made[count++] = step;
    }
    if (path->step_count + count > JSON_PATH_STEPS)
        return false;
    memcpy(path->steps + path->step_count, made, count * sizeof *made);
    *first = path->step_count;
    path->step_count += count;
    return count > 0;
}

/* "a.b.[].c" */
static bool take_dotted(struct path *path, struct span text)
{
    while (text.size) {
        size_t size = span_find_byte(text, '.');
        struct span word = span_slice(text, 0, size);
        struct selector *selector = add_selector(path);

        if (!selector || path->step_count == JSON_PATH_STEPS || word.size == 0)
            return false;
        text = span_from(text, size + (size < text.size));
        path->steps[path->step_count++] =
            (struct step){ .first = (uint16_t)(path->selector_count - 1), .count = 1 };
        selector->kind = SELECT_NAME;
        selector->text = word;
        if (span_equal(word, SPAN("*")))
            selector->kind = SELECT_ANY;
        else if (span_equal(word, SPAN("[]")))
            selector->kind = SELECT_ELEMENTS;
        else if (span_equal(word, SPAN("{}")))
            selector->kind = SELECT_MEMBERS;
        else if (span_equal(word, SPAN("[-]")) || span_equal(word, SPAN("{-}")))
            selector->kind = SELECT_HAVING;
        if (selector->kind != SELECT_HAVING)
            continue;
        // All that follows is what the child must have; it is no part of this path's own steps.
        selector->only_elements = word.at[0] == '[';
        selector->only_members = word.at[0] == '{';
        selector->first = (uint16_t)path->step_count;
        if (text.size == 0) {
            selector->kind = selector->only_elements ? SELECT_ELEMENTS : SELECT_MEMBERS;
            return true;
        }
        if (span_find(text, SPAN("-}")) < text.size || span_find(text, SPAN("[-]")) < text.size)
            return false;
        if (!take_dotted(path, text)) // once: there is no second "[-]"
            return false;
        selector->count = (uint16_t)(path->step_count - selector->first);
        return true;
    }
    return path->step_count > 0;
}

/* Reads `text`, a path without blanks around it, or with one path of the dotted kind. */
static bool read_path(struct path *path, struct span text)
{
    path->step_count = path->selector_count = path->first = path->own = 0;
    if (text.size && text.at[0] == '$') {
        struct parser parser = { .path = path, .rest = span_from(text, 1) };
        if (!take_steps(&parser, 0, &path->first))
            return false;
        path->own = path->step_count - path->first;
        return true;
    }
    if (!take_dotted(path, text))
        return false;
    for (path->own = 0; path->own < path->step_count; path->own++) {
        const struct selector *selector = &path->selectors[path->steps[path->own].first];
        if (selector->kind == SELECT_HAVING) { // what follows is inside of it
            path->own++;
            break;
        }
    }
    return true;
}

/* ---- searching ---- */

enum { BYTES_A_STEP = 8 }; // of the work: that are read, or looked through

struct found { // indices of values, in order
    uint32_t *at;
    size_t count;
};

struct search {
    const struct json_tree *tree;
    const struct path *path;
    uint32_t *marks; // for each value: the round in which it was found last
    uint32_t round;
    size_t work; // left
    bool is_over;
};

static bool works(struct search *search, size_t amount)
{
    if (search->work < amount)
        search->is_over = true;
    else
        search->work -= amount;
    return !search->is_over;
}

static bool leads_somewhere(struct search *search, const struct selector *selector, uint32_t from);

/* How many elements an array has. */
static int64_t element_count(struct search *search, uint32_t array)
{
    int64_t count = 0;

    for (uint32_t i = array + 1; i < json_at(search->tree, array)->after && works(search, 1);
         i = json_at(search->tree, i)->after)
        count++;
    return count;
}

static bool in_slice(const struct selector *selector, int64_t place, int64_t count)
{
    int64_t from = selector->has_from ? selector->from : 0;
    int64_t to = selector->has_to ? selector->to : count;

    if (from < 0)
        from = from + count < 0 ? 0 : from + count;
    if (to < 0)
        to += count;
    return place >= from && place < to && (place - from) % selector->by == 0;
}

/* Is the child, the parent's `place`th of `count`, selected? */
static bool selects(struct search *search, const struct selector *selector, uint32_t child,
                    bool in_array, int64_t place, int64_t count)
{
    const struct json_value *value = json_at(search->tree, child);

    switch (selector->kind) {
    case SELECT_NAME:
        return !in_array &&
               json_string_is(span_slice(search->tree->text, value->key, value->key_size),
                              selector->text, false);
    case SELECT_ANY:
        return true;
    case SELECT_ELEMENTS:
        return in_array;
    case SELECT_MEMBERS:
        return !in_array;
    case SELECT_PLACE:
        return in_array && place == (selector->from < 0 ? selector->from + count : selector->from);
    case SELECT_SLICE:
        return in_array && in_slice(selector, place, count);
    case SELECT_HAVING:
        if ((selector->only_elements && !in_array) || (selector->only_members && in_array))
            return false;
        return leads_somewhere(search, selector, child);
    case SELECT_EQUAL:
    case SELECT_SUBSTRING:
        return leads_somewhere(search, selector, child);
    }
    return false;
}

/* The children of `parent` that a step names, behind those in `out`. */
static void step_into(struct search *search, const struct step *step, uint32_t parent,
                      struct found *out)
{
    const struct json_tree *tree = search->tree;
    const struct json_value *value = json_at(tree, parent);
    bool in_array = value->kind == JSON_ARRAY, counts = false;
    int64_t place = 0, count = 0;

    if (value->kind != JSON_ARRAY && value->kind != JSON_OBJECT)
        return;
    for (size_t i = 0; i < step->count; i++)
        counts = counts || search->path->selectors[step->first + i].kind == SELECT_PLACE ||
                 search->path->selectors[step->first + i].kind == SELECT_SLICE;
    if (in_array && counts)
        count = element_count(search, parent);
    for (uint32_t child = parent + 1; child < value->after && works(search, 1);
         child = json_at(tree, child)->after, place++) {
        bool is_selected = false;

        for (size_t i = 0; i < step->count && !is_selected && works(search, 1); i++)
            is_selected = selects(search, &search->path->selectors[step->first + i], child,
                                  in_array, place, count);
        if (is_selected && search->marks[child] != search->round) {
            search->marks[child] = search->round;
            out->at[out->count++] = child;
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* One step from all in `from`, which are in order; `out` has room for all values. */
static void take_step(struct search *search, const struct step *step, const struct found *from,
                      struct found *out)
{
    uint32_t covered = 0;
    bool in_order = true;

    out->count = 0;
    search->round++;
    for (size_t i = 0; i < from->count && !search->is_over; i++) {
        if (!step->is_deep) {
            step_into(search, step, from->at[i], out);
            continue;
        }
        for (uint32_t k = from->at[i] > covered ? from->at[i] : covered;
             k < json_at(search->tree, from->at[i])->after && works(search, 1); k++) {
            step_into(search, step, k, out);
            covered = k + 1;
        }
    }
    for (size_t i = 1; i < out->count; i++)
        in_order = in_order && out->at[i - 1] < out->at[i];
    if (!in_order)
        qsort(out->at, out->count, sizeof *out->at, compare);
}

static bool has_value(struct search *search, uint32_t index, const struct selector *selector)
{
    const struct json_tree *tree = search->tree;
    const struct json_value *value = json_at(tree, index);
    struct span text = span_slice(tree->text, value->start, value->end - value->start);
    bool anywhere = selector->kind == SELECT_SUBSTRING;

    if (anywhere && !works(search, text.size / BYTES_A_STEP))
        return false;
    if (value->kind == JSON_STRING)
        return json_string_is(span_slice(text, 1, text.size - 2), selector->text, anywhere);
    if (value->kind == JSON_OBJECT || value->kind == JSON_ARRAY)
        return false;
    return anywhere ? span_find(text, selector->text) < text.size
                    : span_equal(text, selector->text);
}

static bool walk(struct search *search, const struct selector *selector, size_t done,
                 uint32_t from);

/* Does the inner path go on through a child of `parent`? */
static bool walk_children(struct search *search, const struct selector *selector, size_t done,
                          uint32_t parent)
{
    const struct step *step = &search->path->steps[selector->first + done];
    const struct json_value *value = json_at(search->tree, parent);
    bool in_array = value->kind == JSON_ARRAY;
    int64_t place = 0, count = in_array ? element_count(search, parent) : 0;

    if (value->kind != JSON_ARRAY && value->kind != JSON_OBJECT)
        return false;
    for (uint32_t child = parent + 1; child < value->after && works(search, 1);
         child = json_at(search->tree, child)->after, place++)
        for (size_t i = 0; i < step->count && works(search, 1); i++)
            if (selects(search, &search->path->selectors[step->first + i], child, in_array, place,
                        count) &&
                walk(search, selector, done + 1, child))
                return true;
    return false;
}

/* An inner path from one value, without lists. It calls itself for each of the path's steps, which
 * are few. */
static bool walk(struct search *search, const struct selector *selector, size_t done, uint32_t from)
{
    if (done == selector->count)
        return selector->kind == SELECT_HAVING || has_value(search, from, selector);
    if (walk_children(search, selector, done, from))
        return true;
    if (!search->path->steps[selector->first + done].is_deep)
        return false;
    for (uint32_t below = from + 1; below < json_at(search->tree, from)->after && works(search, 1);
         below++)
        if (walk_children(search, selector, done, below))
            return true;
    return false;
}

static bool leads_somewhere(struct search *search, const struct selector *selector, uint32_t from)
{
    return walk(search, selector, 0, from);
}

/* ---- removing ---- */

/* Copies the text without the values that are marked with `round`. A comma goes with each. */
static bool copy_rest(const struct search *search, struct buffer *out)
{
    const struct json_tree *tree = search->tree;
    size_t copied = 0, count = tree->values.count;
    uint32_t *last_kept; // for each open container: the end of its last child that stays, or 0
    bool fits = true;

    last_kept = calloc(count, sizeof *last_kept);
    if (!last_kept)
        abort(); // out of memory
    for (uint32_t i = 0; i < count && fits;) {
        const struct json_value *value = json_at(tree, i);
        size_t from, to;

        if (search->marks[i] != search->round) {
            if (value->parent != UINT32_MAX)
                last_kept[value->parent] = value->end;
            i++;
            continue;
        }
        from = json_start(value);
        to = value->end;
        if (value->parent != UINT32_MAX) {
            uint32_t next = value->after;
            if (last_kept[value->parent]) {
                // From the end of the child in front of it, be that gone or not.
                from = last_kept[value->parent] > copied ? last_kept[value->parent] : copied;
            } else if (next < json_at(tree, value->parent)->after) {
                to = json_start(json_at(tree, next));
            }
        }
        fits = buffer_append(out, span_slice(tree->text, copied, from - copied));
        copied = to;
        i = value->after;
    }
    fits = fits && buffer_append(out, span_from(tree->text, copied));
    free(last_kept);
    return fits;
}

static enum prune_result prune(struct search *search, struct buffer *out)
{
    size_t count = search->tree->values.count, at = 0;
    struct found lists[2];
    enum prune_result result = PRUNE_NOTHING;

    if (count == 0)
        return PRUNE_NOTHING;
    for (size_t i = 0; i < 2; i++) {
        lists[i].at = malloc(count * sizeof *lists[i].at);
        lists[i].count = 0;
        if (!lists[i].at)
            abort(); // out of memory
    }
    for (uint32_t i = 0; i < count; i = json_at(search->tree, i)->after)
        lists[0].at[lists[0].count++] = i;
    for (size_t i = 0; i < search->path->own && !search->is_over; i++) {
        take_step(search, &search->path->steps[search->path->first + i], &lists[at],
                  &lists[1 - at]);
        at = 1 - at;
    }
    if (search->is_over)
        result = PRUNE_TOO_MUCH;
    else if (lists[at].count)
        result = copy_rest(search, out) ? PRUNE_DONE : PRUNE_TOO_MUCH;
    free(lists[0].at);
    free(lists[1].at);
    return result;
}

/* One path on one text; *work: what may be done for it. */
static enum prune_result prune_once(const struct path *path, struct span text, struct buffer *out,
                                    size_t *work)
{
    struct json_tree tree;
    struct search search = { .tree = &tree, .path = path, .work = *work };
    enum json_result read;
    enum prune_result result;

    if (!works(&search, text.size / BYTES_A_STEP))
        return PRUNE_TOO_MUCH;
    read = json_tree_read(&tree, text);
    result = read == JSON_TOO_MUCH ? PRUNE_TOO_MUCH : PRUNE_NOTHING;

    if (read == JSON_READ) {
        search.marks = calloc(tree.values.count, sizeof *search.marks);
        if (!search.marks)
            abort(); // out of memory
        result = prune(&search, out);
        free(search.marks);
    }
    *work = search.work;
    json_tree_done(&tree);
    if (result != PRUNE_DONE)
        buffer_release(out);
    return result;
}

/* The next path of a value: of the dotted kind there may be many. */
static bool next_path(struct span *rest, struct span *text)
{
    size_t size = 0;

    if (!rest->at)
        return false;
    while (rest->size && memchr(" \t", rest->at[0], 2))
        *rest = span_from(*rest, 1);
    if (rest->size && rest->at[0] == '$') {
        *text = *rest;
        *rest = span_from(*rest, rest->size);
        return true;
    }
    while (size < rest->size && rest->at[size] != ' ' && rest->at[size] != '\t')
        size++;
    *text = span_slice(*rest, 0, size);
    *rest = span_from(*rest, size);
    return size > 0;
}

enum prune_result json_path_prune(struct span value, struct span text, struct buffer *out)
{
    enum prune_result result = PRUNE_NOTHING;
    struct span rest = value, one;
    struct path *path = malloc(sizeof *path);
    size_t work = JSON_PATH_WORK;

    if (!path)
        abort(); // out of memory
    while (result != PRUNE_TOO_MUCH && next_path(&rest, &one)) {
        struct buffer next = { .limit_bytes = out->limit_bytes };
        enum prune_result now = PRUNE_NOTHING;

        if (read_path(path, one))
            now = prune_once(path, result == PRUNE_DONE ? buffer_span(out) : text, &next, &work);
        if (now == PRUNE_NOTHING)
            continue;
        buffer_release(out);
        *out = next;
        result = now;
    }
    free(path);
    return result;
}

bool json_path_is_good(struct span value)
{
    struct path *path = malloc(sizeof *path);
    struct span one;
    bool is_good = true, is_any = false;

    if (!path)
        abort(); // out of memory
    while (is_good && next_path(&value, &one)) {
        is_any = true;
        is_good = read_path(path, one);
    }
    free(path);
    return is_good && is_any;
}
