#include "html/selection.h"

#include "html/program.h"
#include "html/references.h"
#include "html/scan.h"

#include <assert.h>
#include <stdlib.h>

struct mark { // a list each; index 0 is the end
    uint32_t next;
    uint32_t count;        // of types
    uint64_t set_position; // set << 32 | position; of types: the key
};

enum { NO_VALUE = SIZE_MAX, VALUE_LIMIT_BYTES = 3 * TOKENIZER_HELD_LIMIT_BYTES };

void selection_init(struct selection *selection, const struct tree *tree,
                    const struct selector_set *const *sets, size_t count)
{
    assert(count <= SELECTION_SETS);
    memset(selection, 0, offsetof(struct selection, names));
    selection->tree = tree;
    selection->run_count = count;
    selection->value = (struct buffer){ .limit_bytes = VALUE_LIMIT_BYTES };
    selection->value_of = NO_VALUE;
    for (size_t i = 0; i < count; i++) {
        struct selection_run *run = &selection->runs[i];
        assert(!sets[i]->builder);
        run->set = sets[i];
        run->active = calloc(sets[i]->positions_count + 1, sizeof *run->active);
        run->reached = calloc(sets[i]->positions_count + 1, sizeof *run->reached);
        if (!run->active || !run->reached)
            abort(); // out of memory ends the worker; the master starts another
        selection->asks_siblings = selection->asks_siblings || sets[i]->asks_siblings;
        selection->asks_types = selection->asks_types || sets[i]->asks_types;
    }
}

void selection_done(struct selection *selection)
{
    for (size_t i = 0; i < selection->run_count; i++) {
        free(selection->runs[i].active);
        free(selection->runs[i].reached);
    }
    free(selection->marks);
    free(selection->new_marks);
    buffer_release(&selection->value);
    selection->run_count = 0;
    selection->marks = NULL;
    selection->new_marks = NULL;
}

/* ---- lists of marks ---- */

static uint32_t new_mark(struct selection *selection)
{
    uint32_t index = selection->free_mark;

    if (index == 0) {
        uint32_t room = selection->marks_room ? selection->marks_room * 2 : 64;
        struct mark *marks = realloc(selection->marks, room * sizeof *marks);
        if (!marks)
            abort(); // out of memory ends the worker; the master starts another
        for (uint32_t i = selection->marks_room ? selection->marks_room : 1; i < room; i++)
            marks[i].next = i + 1 < room ? i + 1 : 0;
        index = selection->marks_room ? selection->marks_room : 1;
        selection->marks = marks;
        selection->marks_room = room;
    }
    selection->free_mark = selection->marks[index].next;
    return index;
}

static void add_mark(struct selection *selection, uint32_t *list, uint64_t set_position)
{
    uint32_t index = new_mark(selection);
    selection->marks[index] = (struct mark){ .next = *list, .set_position = set_position };
    *list = index;
}

static void free_marks(struct selection *selection, uint32_t *list)
{
    while (*list) {
        uint32_t next = selection->marks[*list].next;
        selection->marks[*list].next = selection->free_mark;
        selection->free_mark = *list;
        *list = next;
    }
}

static struct mark *find_mark(struct selection *selection, uint32_t list, uint64_t set_position)
{
    for (; list; list = selection->marks[list].next) {
        selection->work++;
        if (selection->marks[list].set_position == set_position)
            return &selection->marks[list];
    }
    return NULL;
}

uint32_t selection_remember(struct selection *selection, uint32_t marks)
{
    uint32_t copy = 0;
    for (; marks; marks = selection->marks[marks].next)
        add_mark(selection, &copy, selection->marks[marks].set_position);
    return copy;
}

void selection_forget(struct selection *selection, uint32_t *marks)
{
    free_marks(selection, marks);
}

/* ---- what an element is asked ---- */

static struct span raw_value(const struct selection *selection, size_t index)
{
    return token_attribute_value(selection->token, index);
}

static bool needs_decoding(struct span raw)
{
    const char *end = raw.at + raw.size;

    return scan_to_byte(raw.at, end, '&') < end || scan_to_either(raw.at, end, '\r', '\0') < end;
}

/* The value of an attribute as the page's scripts see it. Good until the next call. */
static struct span value_of(struct selection *selection, size_t index)
{
    struct span raw = raw_value(selection, index);

    if (selection->value_of == index)
        return buffer_span(&selection->value);
    if (!needs_decoding(raw))
        return raw;
    selection->value.size = 0;
    selection->value_of = index;
    if (!references_decode(&selection->value, raw, REFERENCES_IN_ATTRIBUTE))
        assert(!"a tag is within TOKENIZER_HELD_LIMIT_BYTES");
    return buffer_span(&selection->value);
}

static bool find_attribute(const struct selection *selection, uint64_t name, size_t *index)
{
    if (!selection->token)
        return false;
    for (size_t i = 0; i < selection->token->attribute_count; i++)
        if (selection->names[i] == name) {
            *index = i;
            return true;
        }
    return false;
}

static bool same_text(struct span value, struct span text, bool ignores_case)
{
    return ignores_case ? span_equal_nocase(value, text) : span_equal(value, text);
}

static bool has_word(struct span value, struct span text, bool ignores_case)
{
    while (value.size) {
        size_t size = 0;
        while (size < value.size && !scan_is(value.at[size], SCAN_SPACE))
            size++;
        if (size == text.size && same_text(span_slice(value, 0, size), text, ignores_case))
            return true;
        value = span_from(value, size + (size < value.size));
    }
    return false;
}

static bool has_substring(struct span value, struct span text, bool ignores_case)
{
    if (!ignores_case)
        return span_find(value, text) < value.size;
    for (size_t i = 0; i + text.size <= value.size; i++)
        if (span_equal_nocase(span_slice(value, i, text.size), text))
            return true;
    return false;
}

static bool passes_value(enum test_kind kind, struct span value, struct span text,
                         bool ignores_case)
{
    switch (kind) {
    case TEST_EQUALS:
        return same_text(value, text, ignores_case);
    case TEST_WORD:
    case TEST_CLASS:
        return has_word(value, text, ignores_case);
    case TEST_LANGUAGE:
        if (value.size > text.size && value.at[text.size] == '-')
            value.size = text.size;
        return same_text(value, text, ignores_case);
    case TEST_PREFIX:
        return value.size >= text.size &&
               same_text(span_slice(value, 0, text.size), text, ignores_case);
    case TEST_SUFFIX:
        return value.size >= text.size &&
               same_text(span_from(value, value.size - text.size), text, ignores_case);
    case TEST_SUBSTRING:
        return has_substring(value, text, ignores_case);
    default:
        return true; // TEST_HAS
    }
}

static const struct element *parent_of(const struct selection *selection)
{
    int32_t parent = selection->now->parent;
    return parent < 0 ? NULL : &selection->tree->stack[parent];
}

/* How many elders of the same type the element has. */
static uint32_t count_type(struct selection *selection, uint64_t key)
{
    const struct element *parent = parent_of(selection);
    struct mark *mark = parent ? find_mark(selection, parent->types, key) : NULL;
    return mark ? mark->count : 0;
}

static bool is_nth(const struct test *test, uint32_t elders)
{
    int64_t from_offset = (int64_t)elders + 1 - test->offset;

    if (test->step == 0)
        return from_offset == 0;
    return from_offset % test->step == 0 && from_offset / test->step >= 0;
}

static bool reaches(struct selection *selection, const struct selection_run *run, uint32_t index,
                    int nesting);

static bool passes(struct selection *selection, const struct selection_run *run,
                   const struct test *test, int nesting)
{
    const struct selector_set *set = run->set;
    const struct element *element = selection->now;
    const struct element *parent;
    bool ignores_case = test->ignores_case;
    uint64_t name = test->number;
    size_t index;

    selection->work++;
    switch ((enum test_kind)test->kind) {
    case TEST_TYPE:
        return element->key == test->number;
    case TEST_ID:
    case TEST_CLASS:
        name = tag_key(test->kind == TEST_ID ? SPAN("id") : SPAN("class"));
        ignores_case = selection->tree->is_quirky;
        return find_attribute(selection, name, &index) &&
               passes_value(test->kind == TEST_ID ? TEST_EQUALS : TEST_CLASS,
                            value_of(selection, index), program_text(set, test), ignores_case);
    case TEST_HAS:
    case TEST_EQUALS:
    case TEST_WORD:
    case TEST_LANGUAGE:
    case TEST_PREFIX:
    case TEST_SUFFIX:
    case TEST_SUBSTRING:
        if (!find_attribute(selection, name, &index))
            return false;
        if (test->kind == TEST_HAS)
            return true;
        selection->work += selection->token->attributes[index].value_size / 16;
        return passes_value(test->kind, value_of(selection, index), program_text(set, test),
                            ignores_case);
    case TEST_NTH_CHILD:
        parent = parent_of(selection);
        return is_nth(test, parent ? parent->children : 0);
    case TEST_NTH_OF_TYPE:
        return is_nth(test, count_type(selection, element->key));
    case TEST_ROOT:
        return element->parent < 0;
    case TEST_EMPTY:
        return selection->assumes_empty;
    case TEST_LINK:
        return (element->tag == TAG_A || element->tag == TAG_AREA) &&
               find_attribute(selection, tag_key(SPAN("href")), &index);
    case TEST_ANY:
    case TEST_NONE:
        for (uint32_t i = 0; i < test->count; i++)
            if (reaches(selection, run, set->alternatives[test->first + i], nesting + 1))
                return test->kind == TEST_ANY;
        return test->kind == TEST_NONE;
    case TEST_NEVER:
        return false;
    }
    return false;
}

static bool has_ancestor(struct selection *selection, const struct selection_run *run,
                         uint32_t position)
{
    uint64_t set_position = (uint64_t)(run - selection->runs) << 32 | position;

    if (!run->active[position])
        return false;
    if (selection->tree->fostered == 0)
        return true;
    for (int32_t i = selection->now->parent; i >= 0; i = selection->tree->stack[i].parent) {
        selection->work++;
        if (find_mark(selection, selection->tree->stack[i].notes.marks, set_position))
            return true;
    }
    return false;
}

/* Is what the combinator joins it to there? */
static bool is_led_to(struct selection *selection, const struct selection_run *run,
                      const struct position *position)
{
    uint64_t before = (uint64_t)(run - selection->runs) << 32 | position->before;
    const struct element *parent;

    if (position->combinator == NO_COMBINATOR)
        return true;
    if (position->combinator == DESCENDANT)
        return has_ancestor(selection, run, position->before);
    parent = parent_of(selection);
    if (!parent)
        return false;
    switch ((enum combinator)position->combinator) {
    case CHILD:
        return find_mark(selection, parent->notes.marks, before);
    case NEXT_SIBLING:
        return find_mark(selection, parent->previous, before);
    default:
        return find_mark(selection, parent->earlier, before);
    }
}

/* Nests as deep as SELECTOR_NESTING. */
static bool reaches(struct selection *selection, const struct selection_run *run, uint32_t index,
                    int nesting)
{
    const struct position *position = &run->set->positions[index];
    const struct compound *compound = &run->set->compounds[position->compound];

    assert(nesting <= SELECTOR_NESTING);
    if (!is_led_to(selection, run, position))
        return false;
    for (uint32_t i = 0; i < compound->count; i++)
        if (!passes(selection, run, &run->set->tests[compound->first + i], nesting))
            return false;
    return true;
}

static void note_mark(struct selection *selection, size_t set, uint32_t position)
{
    if (selection->new_count + 2 > selection->new_room) {
        selection->new_room = selection->new_room ? selection->new_room * 2 : 64;
        selection->new_marks =
            realloc(selection->new_marks, selection->new_room * sizeof *selection->new_marks);
        if (!selection->new_marks)
            abort(); // out of memory ends the worker; the master starts another
    }
    selection->new_marks[selection->new_count++] = (uint32_t)set;
    selection->new_marks[selection->new_count++] = position;
}

static void try_bucket(struct selection *selection, struct selection_run *run, struct bucket bucket)
{
    const struct selector_set *set = run->set;

    for (uint32_t i = bucket.first; i < bucket.first + bucket.count; i++) {
        uint32_t index = set->listed[i];
        const struct position *position = &set->positions[index];

        selection->work++;
        if (run->reached[index] == selection->element || !reaches(selection, run, index, 0))
            continue;
        run->reached[index] = selection->element;
        if (position->leads)
            note_mark(selection, (size_t)(run - selection->runs), index);
        for (uint32_t j = 0; j < position->count; j++)
            if (selection->match_count < SELECTION_MATCHES)
                selection->matches[selection->match_count++] =
                    (struct match){ (uint8_t)(run - selection->runs),
                                    set->ids[position->first + j] };
    }
}

static void try_key(struct selection *selection, struct selection_run *run, uint64_t key)
{
    struct bucket bucket = program_find(run->set, key);
    if (bucket.count)
        try_bucket(selection, run, bucket);
}

static void try_classes(struct selection *selection, struct selection_run *run, struct span value)
{
    const char *at = value.at, *end = value.at + value.size;

    while ((at = scan_spaces(at, end)) < end) {
        const char *start = at;
        while (at < end && !scan_is(*at, SCAN_SPACE))
            at++;
        try_key(selection, run, program_key(KEY_CLASS, 0, span_of(start, (size_t)(at - start))));
    }
}

static bool has_gram(const struct attribute_keys *keys, struct span value)
{
    for (size_t i = 0; i + 4 <= value.size; i += keys->stride) {
        unsigned gram = program_gram(value.at + i);
        if (keys->grams[gram / 64] >> (gram % 64) & 1)
            return true;
    }
    return false;
}

static void try_attribute(struct selection *selection, struct selection_run *run,
                          const struct attribute_keys *keys, struct span value)
{
    if (keys->has_equals)
        try_key(selection, run, program_key(KEY_EQUALS, keys->name, value));
    for (unsigned i = 0; keys->prefixes >> i; i++)
        if (keys->prefixes >> i & 1 && value.size >= program_prefixes[i])
            try_key(selection, run,
                    program_key(KEY_PREFIX, keys->name, span_slice(value, 0, program_prefixes[i])));
    if (keys->substrings.count && has_gram(keys, value))
        try_bucket(selection, run, keys->substrings);
    if (keys->has.count)
        try_bucket(selection, run, keys->has);
}

static void try_attributes(struct selection *selection, struct selection_run *run)
{
    const uint64_t id = 'i' | 'd' << 8;
    const uint64_t class = 'c' | 'l' << 8 | 'a' << 16 | 's' << 24 | (uint64_t)'s' << 32;

    for (size_t i = 0; i < selection->token->attribute_count; i++) {
        uint64_t name = selection->names[i];
        const struct attribute_keys *keys;

        if (name == class) {
            try_classes(selection, run, value_of(selection, i));
            keys = run->set->class_keys;
        } else if (name == id) {
            try_key(selection, run, program_key(KEY_ID, 0, value_of(selection, i)));
            keys = run->set->id_keys;
        } else {
            keys = program_attribute(run->set, name);
        }
        if (keys)
            try_attribute(selection, run, keys, value_of(selection, i));
    }
}

/* ---- elements come and go ---- */

static void keep_marks(struct selection *selection, struct element *element)
{
    for (size_t i = 0; i < selection->new_count; i += 2) {
        uint32_t set = selection->new_marks[i], position = selection->new_marks[i + 1];
        selection->runs[set].active[position]++;
        add_mark(selection, &element->notes.marks, (uint64_t)set << 32 | position);
    }
    selection->new_count = 0;
}

/* Its younger siblings will ask for it. */
static void tell_siblings(struct selection *selection, const struct element *element)
{
    struct element *parent;

    if (element->parent < 0)
        return;
    parent = &selection->tree->stack[element->parent];
    if (selection->asks_types) {
        struct mark *mark = find_mark(selection, parent->types, element->key);
        if (!mark) {
            add_mark(selection, &parent->types, element->key);
            mark = &selection->marks[parent->types];
        }
        mark->count++;
    }
    if (!selection->asks_siblings)
        return;
    free_marks(selection, &parent->previous);
    for (uint32_t i = element->notes.marks; i; i = selection->marks[i].next) {
        uint64_t set_position = selection->marks[i].set_position;
        const struct selector_set *set = selection->runs[set_position >> 32].set;
        uint8_t leads = set->positions[(uint32_t)set_position].leads;
        if (leads & 1 << NEXT_SIBLING)
            add_mark(selection, &parent->previous, set_position);
        if (leads & 1 << LATER_SIBLING && !find_mark(selection, parent->earlier, set_position))
            add_mark(selection, &parent->earlier, set_position);
    }
}

void selection_open(struct selection *selection, struct element *element, const struct token *token)
{
    selection->match_count = 0;
    if (selection->run_count == 0 || selection->tree->templates > 0)
        return; // what is in a template is not in the page
    selection->token = token;
    selection->now = element;
    selection->value_of = NO_VALUE;
    selection->element++;
    if (token)
        for (size_t i = 0; i < token->attribute_count; i++)
            selection->names[i] = tag_key(token_attribute_name(token, i));
    for (size_t i = 0; i < selection->run_count; i++) {
        struct selection_run *run = &selection->runs[i];
        if (token)
            try_attributes(selection, run);
        if (element->tag != TAG_OTHER)
            try_bucket(selection, run, run->set->types[element->tag]);
        else if (run->set->has_other_types)
            try_key(selection, run, program_key(KEY_TYPE, element->key, SPAN_NONE));
        try_bucket(selection, run, run->set->any);
    }
    keep_marks(selection, element);
    if (selection->asks_siblings || selection->asks_types)
        tell_siblings(selection, element);
}

void selection_copy(struct selection *selection, struct element *element, uint32_t marks)
{
    selection->match_count = 0;
    for (; marks; marks = selection->marks[marks].next) {
        uint64_t set_position = selection->marks[marks].set_position;
        selection->runs[set_position >> 32].active[(uint32_t)set_position]++;
        add_mark(selection, &element->notes.marks, set_position);
    }
    if (selection->asks_siblings || selection->asks_types)
        tell_siblings(selection, element);
}

void selection_close(struct selection *selection, struct element *element)
{
    for (uint32_t i = element->notes.marks; i; i = selection->marks[i].next) {
        uint64_t set_position = selection->marks[i].set_position;
        selection->runs[set_position >> 32].active[(uint32_t)set_position]--;
    }
    free_marks(selection, &element->notes.marks);
    free_marks(selection, &element->previous);
    free_marks(selection, &element->earlier);
    free_marks(selection, &element->types);
}
