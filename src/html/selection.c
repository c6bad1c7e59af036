#include "html/selection.h"

#include "html/references.h"
#include "html/scan.h"

#include <assert.h>
#include <stdlib.h>

struct mark { // a list each; index 0 is the end
    uint32_t next;
    uint32_t count;        // of types
    uint64_t set_position; // set << 32 | position; of types: the key
};

enum {
    NO_VALUE = SIZE_MAX,
    VALUE_PAD = 16, // bytes before a decoded value, as they are before one in its tag
    VALUE_LIMIT_BYTES = VALUE_PAD + 3 * TOKENIZER_HELD_LIMIT_BYTES
};

static const uint64_t ID_NAME = 'i' | 'd' << 8; // keys
static const uint64_t CLASS_NAME = 'c' | 'l' << 8 | 'a' << 16 | 's' << 24 | (uint64_t)'s' << 32;

void selection_init(struct selection *selection, const struct tree *tree,
                    const struct selector_set *const *sets, size_t count)
{
    assert(count <= SELECTION_SETS);
    memset(selection, 0, offsetof(struct selection, names));
    selection->tree = tree;
    selection->searched.bytes = selection->tested.bytes =
        (struct buffer){ .limit_bytes = VALUE_LIMIT_BYTES };
    selection->searched.of = selection->tested.of = NO_VALUE;
    for (size_t i = 0; i < count; i++) {
        struct selection_run *run = &selection->runs[selection->run_count];

        assert(!sets[i]->builder);
        if (sets[i]->selectors_count == 0)
            continue;
        selection->run_count++;
        run->set = sets[i];
        run->number = (uint8_t)i;
        run->active = calloc(sets[i]->slots + 1, sizeof *run->active);
        if (!run->active)
            abort(); // out of memory ends the worker; the master starts another
        selection->asks_siblings = selection->asks_siblings || sets[i]->asks_siblings;
        selection->asks_types = selection->asks_types || sets[i]->asks_types;
        for (size_t j = 0; j < PROGRAM_NAME_BITS / 64; j++)
            selection->asked[j] |= sets[i]->names[j];
    }
}

void selection_done(struct selection *selection)
{
    for (size_t i = 0; i < selection->run_count; i++)
        free(selection->runs[i].active);
    free(selection->marks);
    free(selection->new_marks);
    buffer_release(&selection->searched.bytes);
    buffer_release(&selection->tested.bytes);
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

/* On a list of an element's, which gives it back when it goes. */
static void mark_element(struct selection *selection, struct element *element, uint32_t *list,
                         uint64_t set_position)
{
    add_mark(selection, list, set_position);
    element->asks_close = true;
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

/* How much of its tag there is up to a value's end. */
static inline size_t size_up_to(const struct selection *selection, struct span value)
{
    return (size_t)(value.at + value.size - selection->token->bytes.at);
}

/* A value that is not, or may not be, as it stands in the tag. Good until another is decoded into
 * the same place. */
static struct span decoded(struct selection *selection, struct selection_value *into, size_t index)
{
    const struct span pad = { "                ", VALUE_PAD };
    bool fits = true;

    if (into->of != index) {
        into->bytes.size = 0;
        into->of = index;
        fits =
            buffer_append(&into->bytes, pad) &&
            references_decode(&into->bytes, raw_value(selection, index), REFERENCES_IN_ATTRIBUTE);
    }
    assert(fits); // a tag is within TOKENIZER_HELD_LIMIT_BYTES
    (void)fits;
    return span_from(buffer_span(&into->bytes), VALUE_PAD);
}

/* The `raw` value of an attribute as the page's scripts see it; good as long as decoded()'s. */
static inline struct span value_of(struct selection *selection, struct selection_value *into,
                                   size_t index, struct span raw)
{
    bool is_needed =
        into->of == index ||
        (size_up_to(selection, raw) >= 16 ? references_needed_inside(raw) : references_needed(raw));

    return is_needed ? decoded(selection, into, index) : raw;
}

static struct span tested_value(struct selection *selection, size_t index)
{
    bool is_here = selection->searched.of == index;
    return value_of(selection, is_here ? &selection->searched : &selection->tested, index,
                    raw_value(selection, index));
}

/* The key of an attribute's name, 0 where nothing is asked of it. `is_inside`: as in tag.h. */
static inline uint64_t asked_name(const struct selection *selection, struct span name,
                                  bool is_inside)
{
    uint64_t beginning = tag_beginning(name, is_inside);

    if (!program_bit(selection->asked, program_name_bits(name.size, beginning)))
        return 0;
    return name.size > 8 ? tag_long_key(name.at, name.size) : beginning;
}

static void read_names(struct selection *selection)
{
    const struct token *token = selection->token;

    for (size_t i = 0; i < token->attribute_count; i++)
        selection->names[i] = asked_name(selection, token_attribute_name(token, i), false);
    selection->has_names = true;
}

static bool find_attribute(struct selection *selection, uint64_t name, size_t *index)
{
    if (!selection->token)
        return false;
    if (!selection->has_names)
        read_names(selection);
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

static struct element *parent_of(const struct selection *selection)
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
        name = test->kind == TEST_ID ? ID_NAME : CLASS_NAME;
        ignores_case = selection->tree->is_quirky;
        return find_attribute(selection, name, &index) &&
               passes_value(test->kind == TEST_ID ? TEST_EQUALS : TEST_CLASS,
                            tested_value(selection, index), program_text(set, test), ignores_case);
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
        assert(selection->token); // an attribute was found in it
        selection->work += selection->token->attributes[index].value_size / 16;
        return passes_value(test->kind, tested_value(selection, index), program_text(set, test),
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

    if (!run->active[run->set->positions[position].slot])
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

static void note_mark(struct selection *selection, uint32_t set, uint32_t position)
{
    for (size_t i = 0; i < selection->new_count; i += 2)
        if (selection->new_marks[i] == set && selection->new_marks[i + 1] == position)
            return;
    if (selection->new_count + 2 > selection->new_room) {
        selection->new_room = selection->new_room ? selection->new_room * 2 : 64;
        selection->new_marks =
            realloc(selection->new_marks, selection->new_room * sizeof *selection->new_marks);
        if (!selection->new_marks)
            abort(); // out of memory ends the worker; the master starts another
    }
    selection->new_marks[selection->new_count++] = set;
    selection->new_marks[selection->new_count++] = position;
}

static void note_match(struct match *list, size_t *count, size_t room, struct match match)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i].set == match.set && list[i].id == match.id)
            return;
    if (*count < room)
        list[(*count)++] = match;
}

/* The element is known to be empty, or not to be, only when something follows its start tag. */
static void reach_undecided(struct selection *selection, struct selection_run *run, uint32_t index)
{
    const struct position *position = &run->set->positions[index];
    bool if_empty, if_full, is_void;

    selection->assumes_empty = true;
    if_empty = reaches(selection, run, index, 0);
    selection->assumes_empty = false;
    if_full = reaches(selection, run, index, 0);
    is_void =
        selection->now->flags & TAG_VOID ||
        (selection->now->ns != TREE_HTML && selection->token && selection->token->is_self_closing);
    for (uint32_t i = 0; i < position->count; i++) {
        struct match match = { run->number, run->set->ids[position->first + i] };
        if (if_empty && (if_full || is_void))
            note_match(selection->matches, &selection->match_count, SELECTION_MATCHES, match);
        else if (if_empty)
            note_match(selection->if_empty, &selection->if_empty_count, SELECTION_UNDECIDED, match);
        else if (if_full && !is_void)
            note_match(selection->if_full, &selection->if_full_count, SELECTION_UNDECIDED, match);
    }
}

/* The vote of Boyer and Moore: what has more than half of all stays. */
static void note_cost(struct selection *selection, uint32_t run, uint32_t position, uint64_t cost)
{
    if (selection->costly.run == run && selection->costly.position == position) {
        selection->costly.weight += cost;
    } else if (selection->costly.weight >= cost) {
        selection->costly.weight -= cost;
    } else {
        selection->costly.weight = cost - selection->costly.weight;
        selection->costly.run = run;
        selection->costly.position = position;
    }
}

static void reach(struct selection *selection, struct selection_run *run, uint32_t index)
{
    const struct position *position = &run->set->positions[index];
    uint64_t before = selection->work;
    bool is_reached;

    if (position->uses_empty) {
        reach_undecided(selection, run, index);
        return;
    }
    is_reached = reaches(selection, run, index, 0);
    note_cost(selection, (uint32_t)(run - selection->runs), index, selection->work - before + 1);
    if (!is_reached)
        return;
    if (position->leads)
        note_mark(selection, (uint32_t)(run - selection->runs), index);
    for (uint32_t i = 0; i < position->count; i++)
        note_match(selection->matches, &selection->match_count, SELECTION_MATCHES,
                   (struct match){ run->number, run->set->ids[position->first + i] });
}

/* False: what leads to the position is surely not there. */
static inline bool may_be_led_to(const struct selection_run *run, const struct element *parent,
                                 const struct position *position)
{
    switch ((enum combinator)position->combinator) {
    case NO_COMBINATOR:
        return true;
    case DESCENDANT:
        return run->active[run->set->positions[position->before].slot];
    case CHILD:
        return parent && parent->notes.marks;
    case NEXT_SIBLING:
        return parent && parent->previous;
    default:
        return parent && parent->earlier;
    }
}

static void try_bucket(struct selection *selection, struct selection_run *run, struct bucket bucket)
{
    const struct element *parent = parent_of(selection);

    selection->work += bucket.count;
    for (uint32_t i = bucket.first; i < bucket.first + bucket.count; i++) {
        uint32_t index = run->set->listed[i];
        if (may_be_led_to(run, parent, &run->set->positions[index]))
            reach(selection, run, index);
    }
}

static inline void try_found(struct selection *selection, struct selection_run *run, uint64_t key)
{
    struct bucket bucket = program_find(run->set, key);
    if (bucket.count)
        try_bucket(selection, run, bucket);
}

static inline void try_key(struct selection *selection, uint64_t key)
{
    for (size_t i = 0; i < selection->run_count; i++)
        try_found(selection, &selection->runs[i], key);
}

/* Sixteen bytes: a bit for each that is white space. False: they must be decoded first. */
static inline bool find_spaces(const char *at, bool is_decoded, uint64_t *spaces)
{
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(' ');
    __m128i bytes = _mm_loadu_si128((const void *)at);
    unsigned low = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, space), bytes));

    if (!is_decoded && _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('&'))))
        return false;
    *spaces = low;
    for (low &= ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, space)); low; low &= low - 1) {
        int i = __builtin_ctz(low);
        if (at[i] == '\0')
            return false;
        if (!scan_is(at[i], SCAN_SPACE))
            *spaces &= ~((uint64_t)1 << i);
    }
    return true;
#else
    *spaces = 0;
    for (int i = 0; i < 16; i++) {
        if (at[i] == '\0' || (at[i] == '&' && !is_decoded))
            return false;
        *spaces |= (uint64_t)scan_is(at[i], SCAN_SPACE) << i;
    }
    return true;
#endif
}

/* The same for one to 64 bytes; up to fifteen before them are looked at, too. */
static inline bool find_all_spaces(const char *at, size_t size, bool is_decoded, uint64_t *spaces)
{
    uint64_t found;

    *spaces = 0;
    for (size_t i = 0; i + 16 <= size; i += 16) {
        if (!find_spaces(at + i, is_decoded, &found))
            return false;
        *spaces |= found << i;
    }
    if (size % 16 == 0)
        return true;
    if (!find_spaces(at + size - 16, is_decoded, &found))
        return false;
    *spaces |= size > 16 ? found << (size - 16) : found >> (16 - size);
    return true;
}

/* Sixteen bytes up to the value's end may be read. False: it must be decoded first. */
static bool try_classes(struct selection *selection, struct span value, bool is_decoded)
{
    uint64_t spaces;
    size_t end;

    for (size_t at = 0; at < value.size; at = end) {
        size_t size = value.size - at < 64 ? value.size - at : 64;
        uint64_t words;

        end = at + size;
        if (!find_all_spaces(value.at + at, size, is_decoded, &spaces))
            return false;
        words = size < 64 ? ~spaces & (((uint64_t)1 << size) - 1) : ~spaces;
        while (words) {
            size_t first = (size_t)__builtin_ctzll(words), last;
            uint64_t carried = words + ((uint64_t)1 << first); // a run of ones, less one bit

            last = carried ? (size_t)__builtin_ctzll(carried) : 64;
            words &= carried;
            if (last == 64 && end < value.size && first > 0) { // it goes on: it comes once more
                end = at + first;
                break;
            }
            if (last == 64 && end < value.size) { // it is long
                const char *behind = value.at + value.size;
                end = (size_t)(scan_to_space(value.at + end, behind) - value.at);
                if (!is_decoded && references_needed(span_slice(value, at, end - at)))
                    return false;
                last = end - at;
            }
            try_key(selection,
                    program_key(KEY_CLASS, 0, span_slice(value, at + first, last - first), true));
        }
    }
    return true;
}

static void try_grams(struct selection *selection, struct selection_run *run,
                      const struct attribute_keys *keys, struct span value)
{
    const char *end = value.at + value.size - 3;
    size_t stride = keys->stride;

    if (value.size < 4)
        return;
    for (const char *at = value.at; at < end; at += stride) {
        uint32_t gram = program_gram(at);
        if (program_bit(keys->grams, program_gram_bits(gram)))
            try_found(selection, run, program_gram_key(keys->name, gram));
    }
}

static void try_prefixes(struct selection *selection, struct selection_run *run,
                         const struct attribute_keys *keys, struct span value)
{
    uint64_t begun = program_begin(keys->name);
    unsigned done = 0;

    for (unsigned left = keys->prefixes; left; left &= left - 1) {
        unsigned size = program_prefixes[__builtin_ctz(left)];

        if (size > value.size)
            return;
        if (size < 8) {
            uint64_t word = value.size >= 8
                                ? program_word(value.at) & (((uint64_t)1 << 8 * size) - 1)
                                : program_load(value.at, size);
            try_found(selection, run, program_prefix_key(program_extend(begun, word), size));
            continue;
        }
        if (size >= 2 * PROGRAM_MIDDLE && done < 2 * PROGRAM_MIDDLE &&
            !program_bit(keys->middles, program_middle_bits(value.at)))
            return;
        for (; done < size; done += 8)
            begun = program_extend(begun, program_word(value.at + done));
        try_found(selection, run, program_prefix_key(begun, size));
    }
}

/* `is_inside`: eight bytes up to the value's end may be read. */
static void try_value(struct selection *selection, struct selection_run *run,
                      const struct attribute_keys *keys, struct span value, bool is_inside)
{
    if (keys->has_equals)
        try_found(selection, run, program_key(KEY_EQUALS, keys->name, value, is_inside));
    if (keys->prefixes && value.size >= 2 &&
        program_bit(keys->starts, program_start_bits(value.at)))
        try_prefixes(selection, run, keys, value);
    if (keys->has_suffix && value.size >= PROGRAM_SUFFIX &&
        program_bit(keys->ends, program_start_bits(value.at + value.size - 2))) {
        struct span end = span_from(value, value.size - PROGRAM_SUFFIX);
        try_found(selection, run, program_key(KEY_SUFFIX, keys->name, end, false));
    }
    if (keys->stride)
        try_grams(selection, run, keys, value);
    if (keys->has.count)
        try_bucket(selection, run, keys->has);
}

/* What is asked of the value as a whole; `is_raw`: it is known to stand in its tag as it is. */
ALWAYS_INLINE void try_whole(struct selection *selection, size_t index, uint64_t name,
                             struct span value, bool is_raw)
{
    bool is_inside = size_up_to(selection, value) >= 8;

    for (size_t i = 0; i < selection->run_count; i++) {
        const struct selector_set *set = selection->runs[i].set;
        const struct attribute_keys *keys = name == CLASS_NAME ? set->class_keys
                                            : name == ID_NAME  ? set->id_keys
                                                               : program_attribute(set, name);
        if (!keys)
            continue;
        if (!is_raw) {
            value = value_of(selection, &selection->searched, index, value);
            is_raw = selection->searched.of != index;
        }
        try_value(selection, &selection->runs[i], keys, value, !is_raw || is_inside);
    }
}

/* The next two answer whether the value stands in its tag as it is. */
static bool try_id(struct selection *selection, size_t index, struct span raw)
{
    struct span value = value_of(selection, &selection->searched, index, raw);
    bool is_raw = selection->searched.of != index;
    uint64_t key = program_key(KEY_ID, 0, value, !is_raw || size_up_to(selection, value) >= 8);

    try_key(selection, key);
    return is_raw;
}

static bool try_class(struct selection *selection, size_t index, struct span raw)
{
    bool is_raw = size_up_to(selection, raw) >= 16 && try_classes(selection, raw, false);

    if (!is_raw)
        (void)try_classes(selection, decoded(selection, &selection->searched, index), true);
    return is_raw;
}

static void try_attributes(struct selection *selection, const struct token *token)
{
    const struct attribute *attribute = token->attributes;
    struct span tag = token->bytes;

    for (size_t i = 0, count = token->attribute_count; i < count; i++, attribute++) {
        struct span name = span_slice(tag, attribute->name_at, attribute->name_size), value;
        uint64_t key = asked_name(selection, name, tag.size - attribute->name_at >= 8);
        bool is_raw = false;

        if (key == 0)
            continue;
        value = span_slice(tag, attribute->value_at, attribute->value_size);
        if (key == CLASS_NAME)
            is_raw = try_class(selection, i, value);
        else if (key == ID_NAME)
            is_raw = try_id(selection, i, value);
        try_whole(selection, i, key, value, is_raw);
    }
}

/* ---- elements come and go ---- */

/* An open element more, or less, has reached the position. */
static void count_marked(struct selection *selection, uint64_t set_position, uint32_t more)
{
    struct selection_run *run = &selection->runs[set_position >> 32];
    const struct position *position = &run->set->positions[(uint32_t)set_position];

    if (position->leads & 1 << DESCENDANT)
        run->active[position->slot] += more;
}

static void keep_marks(struct selection *selection, struct element *element)
{
    for (size_t i = 0; i < selection->new_count; i += 2) {
        uint32_t set = selection->new_marks[i], position = selection->new_marks[i + 1];
        count_marked(selection, (uint64_t)set << 32 | position, 1);
        mark_element(selection, element, &element->notes.marks, (uint64_t)set << 32 | position);
    }
    selection->new_count = 0;
}

/* Its parent keeps how many of each type it has. */
static void count_element(struct selection *selection, struct element *parent, uint64_t type)
{
    struct mark *mark = find_mark(selection, parent->types, type);

    if (!mark) {
        mark_element(selection, parent, &parent->types, type);
        mark = &selection->marks[parent->types];
    }
    mark->count++;
}

/* Its parent keeps what its younger siblings may ask for. */
static void replace_elder(struct selection *selection, struct element *parent, uint32_t marks)
{
    free_marks(selection, &parent->previous);
    for (uint32_t i = marks; i; i = selection->marks[i].next) {
        uint64_t set_position = selection->marks[i].set_position;
        const struct selector_set *set = selection->runs[set_position >> 32].set;
        uint8_t leads = set->positions[(uint32_t)set_position].leads;
        if (leads & 1 << NEXT_SIBLING)
            mark_element(selection, parent, &parent->previous, set_position);
        if (leads & 1 << LATER_SIBLING && !find_mark(selection, parent->earlier, set_position))
            mark_element(selection, parent, &parent->earlier, set_position);
    }
}

static inline void tell_siblings(struct selection *selection, const struct element *element,
                                 struct element *parent)
{
    if (!parent)
        return;
    if (selection->asks_types)
        count_element(selection, parent, element->key);
    if (selection->asks_siblings && (parent->previous | element->notes.marks))
        replace_elder(selection, parent, element->notes.marks);
}

void selection_open(struct selection *selection, struct element *element, const struct token *token)
{
    struct element *parent;
    bool has_context;

    selection->match_count = selection->if_empty_count = selection->if_full_count = 0;
    if (selection->run_count == 0)
        return;
    selection->token = token;
    selection->now = element;
    selection->searched.of = selection->tested.of = NO_VALUE;
    selection->has_names = false;
    parent = parent_of(selection);
    has_context = parent && (parent->notes.marks || parent->previous || parent->earlier);
    if (token)
        try_attributes(selection, token);
    for (size_t i = 0; i < selection->run_count; i++) {
        struct selection_run *run = &selection->runs[i];
        if (run->set->types[element->tag].count)
            try_bucket(selection, run, run->set->types[element->tag]);
        if (element->tag == TAG_OTHER && run->set->has_other_types)
            try_found(selection, run, program_key(KEY_TYPE, element->key, SPAN_NONE, false));
        if (run->set->any.count && (has_context || !run->set->any_follows))
            try_bucket(selection, run, run->set->any);
    }
    if (selection->new_count)
        keep_marks(selection, element);
    tell_siblings(selection, element, parent);
}

void selection_copy(struct selection *selection, struct element *element, uint32_t marks)
{
    selection->match_count = selection->if_empty_count = selection->if_full_count = 0;
    for (; marks; marks = selection->marks[marks].next) {
        uint64_t set_position = selection->marks[marks].set_position;
        count_marked(selection, set_position, 1);
        mark_element(selection, element, &element->notes.marks, set_position);
    }
    selection->now = element;
    tell_siblings(selection, element, parent_of(selection));
}

void selection_close(struct selection *selection, struct element *element)
{
    if (!(element->notes.marks | element->previous | element->earlier | element->types))
        return;
    for (uint32_t i = element->notes.marks; i; i = selection->marks[i].next)
        count_marked(selection, selection->marks[i].set_position, (uint32_t)-1);
    free_marks(selection, &element->notes.marks);
    free_marks(selection, &element->previous);
    free_marks(selection, &element->earlier);
    free_marks(selection, &element->types);
}

/* Is it the position itself, or one that it leads to? */
static bool is_behind(const struct selector_set *set, uint32_t position, uint32_t wanted)
{
    while (position != wanted && set->positions[position].combinator != NO_COMBINATOR)
        position = set->positions[position].before;
    return position == wanted;
}

bool selection_costly(const struct selection *selection, struct match *out)
{
    const struct selection_run *run = &selection->runs[selection->costly.run];

    for (uint32_t i = 0; selection->costly.weight && i < run->set->positions_count; i++) {
        const struct position *position = &run->set->positions[i];

        if (position->count == 0 || !is_behind(run->set, i, selection->costly.position))
            continue;
        *out = (struct match){ run->number, run->set->ids[position->first] };
        return true;
    }
    return false;
}
