#include "html/program.h"

#include <assert.h>
#include <stdlib.h>

const uint8_t program_prefixes[PROGRAM_PREFIXES] = { 2, 3, 4, 6, 8, 16, 24, 32, 40 };

enum { NONE = UINT32_MAX };

struct same { // finds what is there already: open addressing, index + 1
    uint32_t *places;
    size_t room, count;
};

struct id {
    uint32_t id, next;
};

struct builder {
    size_t tests_room, compounds_room, positions_room, alternatives_room, ids_room, heads_room;
    struct buffer text;
    struct id *ids;
    uint32_t *heads; // of each position: its first id
    struct same compounds, positions;
};

static void *grown(void *array, size_t *room, size_t needed, size_t size)
{
    if (needed <= *room)
        return array;
    *room = *room ? *room * 2 : 64;
    if (*room < needed)
        *room = needed;
    array = realloc(array, *room * size);
    if (!array)
        abort(); // out of memory ends the worker; the master starts another
    return array;
}

static void *zeroed(size_t count, size_t size)
{
    void *array = calloc(count, size);
    if (!array)
        abort(); // as above
    return array;
}

static void free_builder(struct selector_set *set)
{
    struct builder *builder = set->builder;

    if (!builder)
        return;
    buffer_release(&builder->text);
    free(builder->ids);
    free(builder->heads);
    free(builder->compounds.places);
    free(builder->positions.places);
    free(builder);
    set->builder = NULL;
}

void program_free(struct selector_set **set)
{
    struct selector_set *gone = *set;

    *set = NULL;
    if (!gone)
        return;
    free_builder(gone);
    free(gone->tests);
    free(gone->compounds);
    free(gone->positions);
    free(gone->alternatives);
    free(gone->ids);
    free(gone->text);
    free(gone->listed);
    free(gone->filter);
    free(gone->keys);
    free(gone->buckets);
    free(gone->attributes);
    free(gone);
}

/* ---- what selectors are made of, each kept once ---- */

uint32_t program_keep(struct selector_set *set, struct span text)
{
    uint32_t at = (uint32_t)set->builder->text.size;
    if (!buffer_append(&set->builder->text, text))
        abort(); // SELECTOR_POSITIONS keeps it far below
    return at;
}

struct span program_text(const struct selector_set *set, const struct test *test)
{
    return span_of((set->builder ? set->builder->text.at : set->text) + test->at, test->size);
}

static void set_bit(uint64_t *bits, unsigned bit)
{
    bits[bit / 64] |= (uint64_t)1 << (bit % 64);
}

void program_add_name(struct selector_set *set, struct span name)
{
    set_bit(set->names, program_name_bits(name.size, tag_beginning(name, false)));
}

struct selector_set *program_new(void)
{
    struct selector_set *set = zeroed(1, sizeof *set);

    set->builder = zeroed(1, sizeof *set->builder);
    set->builder->text.limit_bytes = UINT32_MAX / 2;
    program_keep(set, SPAN(" ")); // so that there is a text to point into
    program_add_name(set, SPAN("id"));
    program_add_name(set, SPAN("class"));
    program_add_name(set, SPAN("href"));
    return set;
}

void program_add_test(struct selector_set *set, const struct test *test)
{
    set->tests =
        grown(set->tests, &set->builder->tests_room, set->tests_count + 1, sizeof *set->tests);
    set->tests[set->tests_count++] = *test;
}

static bool same_tests(const struct selector_set *set, const struct test *a, const struct test *b)
{
    if (a->kind != b->kind || a->ignores_case != b->ignores_case || a->number != b->number)
        return false;
    return span_equal(program_text(set, a), program_text(set, b));
}

static uint64_t mix(uint64_t hash, uint64_t number)
{
    hash = (hash ^ number) * 0x9fb21c651e98df25;
    return hash ^ hash >> 32;
}

static uint64_t mix_text(uint64_t hash, struct span text)
{
    for (size_t i = 0; i < text.size; i += 8)
        hash = mix(hash, program_load(text.at + i, text.size - i < 8 ? text.size - i : 8));
    return hash;
}

static uint64_t hash_compound(const struct selector_set *set, const struct compound *compound)
{
    uint64_t hash = compound->count;

    for (uint32_t i = 0; i < compound->count; i++) {
        const struct test *test = &set->tests[compound->first + i];
        hash = mix(hash, test->kind);
        hash = mix(hash, test->number);
        hash = mix_text(hash, program_text(set, test));
    }
    return hash;
}

static bool is_same_compound(const struct selector_set *set, const void *key, uint32_t index)
{
    const struct compound *one = key, *other = &set->compounds[index];

    if (one->count != other->count)
        return false;
    for (uint32_t i = 0; i < one->count; i++)
        if (!same_tests(set, &set->tests[one->first + i], &set->tests[other->first + i]))
            return false;
    return true;
}

static uint64_t hash_position(const struct selector_set *set, const struct position *position)
{
    (void)set;
    return mix(mix(mix(1, position->compound), position->before), position->combinator);
}

static bool is_same_position(const struct selector_set *set, const void *key, uint32_t index)
{
    const struct position *one = key, *other = &set->positions[index];
    return one->compound == other->compound && one->before == other->before &&
           one->combinator == other->combinator;
}

/* The place of an equal one, or the empty one where it belongs. */
static uint32_t *find_same(const struct selector_set *set, struct same *same, uint64_t hash,
                           bool (*is_same)(const struct selector_set *, const void *, uint32_t),
                           const void *key)
{
    size_t i = hash & (same->room - 1);

    while (same->places[i] && !is_same(set, key, same->places[i] - 1))
        i = (i + 1) & (same->room - 1);
    return &same->places[i];
}

static uint64_t hash_at(const struct selector_set *set, const struct same *same, uint32_t index)
{
    return same == &set->builder->compounds ? hash_compound(set, &set->compounds[index])
                                            : hash_position(set, &set->positions[index]);
}

static void make_room(const struct selector_set *set, struct same *same)
{
    struct same bigger = { .room = same->room ? same->room * 2 : 256, .count = same->count };

    if (same->count * 2 < same->room)
        return;
    bigger.places = zeroed(bigger.room, sizeof *bigger.places);
    for (size_t i = 0; i < same->room; i++) {
        size_t to;
        if (!same->places[i])
            continue;
        to = hash_at(set, same, same->places[i] - 1) & (bigger.room - 1);
        while (bigger.places[to])
            to = (to + 1) & (bigger.room - 1);
        bigger.places[to] = same->places[i];
    }
    free(same->places);
    *same = bigger;
}

uint32_t program_add_compound(struct selector_set *set, size_t first)
{
    struct builder *builder = set->builder;
    struct compound compound = { (uint32_t)first, (uint32_t)(set->tests_count - first) };
    uint32_t *place;

    make_room(set, &builder->compounds);
    place = find_same(set, &builder->compounds, hash_compound(set, &compound), is_same_compound,
                      &compound);
    if (*place) {
        set->tests_count = first;
        return *place - 1;
    }
    set->compounds = grown(set->compounds, &builder->compounds_room, set->compounds_count + 1,
                           sizeof *set->compounds);
    set->compounds[set->compounds_count++] = compound;
    builder->compounds.count++;
    return (*place = (uint32_t)set->compounds_count) - 1;
}

static bool uses_empty(const struct selector_set *set, uint32_t compound)
{
    const struct compound *tests = &set->compounds[compound];

    for (uint32_t i = tests->first; i < tests->first + tests->count; i++) {
        const struct test *test = &set->tests[i];
        if (test->kind == TEST_EMPTY)
            return true;
        if (test->kind == TEST_ANY || test->kind == TEST_NONE)
            for (uint32_t j = 0; j < test->count; j++)
                if (set->positions[set->alternatives[test->first + j]].uses_empty)
                    return true;
    }
    return false;
}

uint32_t program_add_position(struct selector_set *set, uint32_t compound, uint32_t before,
                              enum combinator combinator)
{
    struct builder *builder = set->builder;
    struct position position = {
        .compound = compound,
        .before = before,
        .combinator = (uint8_t)combinator,
        .uses_empty = uses_empty(set, compound),
    };
    uint32_t *place;

    make_room(set, &builder->positions);
    place = find_same(set, &builder->positions, hash_position(set, &position), is_same_position,
                      &position);
    if (*place)
        return *place - 1;
    set->positions = grown(set->positions, &builder->positions_room, set->positions_count + 1,
                           sizeof *set->positions);
    builder->heads = grown(builder->heads, &builder->heads_room, set->positions_count + 1,
                           sizeof *builder->heads);
    builder->heads[set->positions_count] = NONE;
    set->positions[set->positions_count++] = position;
    builder->positions.count++;
    return (*place = (uint32_t)set->positions_count) - 1;
}

uint32_t program_add_alternatives(struct selector_set *set, const uint32_t *positions, size_t count)
{
    size_t first = set->alternatives_count;

    // The same list may have been the last one: selectors often differ at their ends only.
    if (first >= count &&
        memcmp(set->alternatives + first - count, positions, count * sizeof *positions) == 0)
        return (uint32_t)(first - count);
    set->alternatives = grown(set->alternatives, &set->builder->alternatives_room, first + count,
                              sizeof *set->alternatives);
    memcpy(set->alternatives + first, positions, count * sizeof *positions);
    set->alternatives_count += count;
    return (uint32_t)first;
}

static void list_position(struct selector_set *set, uint32_t index);

/* Tells the positions that lead to this one that they do. Goes as deep as :not() may nest. */
static void list_before(struct selector_set *set, uint32_t index)
{
    const struct position *position = &set->positions[index];
    const struct compound *compound = &set->compounds[position->compound];

    if (position->before != NO_POSITION) {
        set->positions[position->before].leads |= (uint8_t)(1 << position->combinator);
        list_position(set, position->before);
    }
    for (uint32_t i = compound->first; i < compound->first + compound->count; i++) {
        const struct test *test = &set->tests[i];
        if (test->kind == TEST_ANY || test->kind == TEST_NONE)
            for (uint32_t j = 0; j < test->count; j++)
                list_before(set, set->alternatives[test->first + j]);
    }
}

static void list_position(struct selector_set *set, uint32_t index)
{
    while (index != NO_POSITION && !set->positions[index].is_listed) {
        const struct position *position = &set->positions[index];
        const struct compound *compound = &set->compounds[position->compound];

        set->positions[index].is_listed = true;
        if (position->before != NO_POSITION)
            set->positions[position->before].leads |= (uint8_t)(1 << position->combinator);
        for (uint32_t i = compound->first; i < compound->first + compound->count; i++) {
            const struct test *test = &set->tests[i];
            if (test->kind == TEST_ANY || test->kind == TEST_NONE)
                for (uint32_t j = 0; j < test->count; j++)
                    list_before(set, set->alternatives[test->first + j]);
        }
        index = position->before;
    }
}

void program_add_id(struct selector_set *set, uint32_t position, uint32_t id)
{
    struct builder *builder = set->builder;

    for (uint32_t i = builder->heads[position]; i != NONE; i = builder->ids[i].next)
        if (builder->ids[i].id == id)
            return;
    builder->ids =
        grown(builder->ids, &builder->ids_room, set->ids_count + 1, sizeof *builder->ids);
    builder->ids[set->ids_count] = (struct id){ id, builder->heads[position] };
    builder->heads[position] = (uint32_t)set->ids_count++;
    list_position(set, position);
}

/* ---- the index ---- */

enum place { IN_TABLE, IN_ATTRIBUTE, IN_TYPES, IN_ANY };

struct entry {
    uint64_t key; // IN_ATTRIBUTE: of the name; IN_TYPES: the tag
    uint32_t position, test;
    uint8_t place;
};

struct entries {
    struct entry *at;
    size_t count, room;
    bool only_measures; // first round: at which strides values are to be looked at
};

enum { WORST = 10, GRAM_BYTES = 4, MOST_FILTER_WORDS = 4096 }; // 32 kB: it stays in the cache

/* How good a key a test makes; lower is rarer. */
static int worth(const struct selector_set *set, const struct test *test, int nesting);

/* The best test of a compound to look it up by; *best is WORST where there is none. */
static uint32_t choose(const struct selector_set *set, uint32_t compound, int nesting, int *best)
{
    const struct compound *tests = &set->compounds[compound];
    uint32_t chosen = tests->first;

    *best = WORST;
    for (uint32_t i = tests->first; i < tests->first + tests->count; i++) {
        int value = worth(set, &set->tests[i], nesting);
        if (value < *best) {
            *best = value;
            chosen = i;
        }
    }
    return chosen;
}

static int worth(const struct selector_set *set, const struct test *test, int nesting)
{
    int worst = 0, value;

    switch ((enum test_kind)test->kind) {
    case TEST_NEVER:
        return 0;
    case TEST_ID:
        return 1;
    case TEST_CLASS:
        return 2;
    case TEST_EQUALS:
    case TEST_WORD:
        return test->number == tag_key(SPAN("class")) || test->kind == TEST_EQUALS ? 2 : 6;
    case TEST_PREFIX:
        return test->size >= 4 ? 3 : 6;
    case TEST_SUFFIX:
        return test->size >= PROGRAM_SUFFIX ? 4 : 7;
    case TEST_SUBSTRING:
        return test->size >= 8 ? 4 : test->size >= GRAM_BYTES ? 5 : 7;
    case TEST_HAS:
    case TEST_LANGUAGE:
        return 6;
    case TEST_ANY:
        for (uint32_t i = 0; i < test->count && nesting < SELECTOR_NESTING; i++) {
            uint32_t position = set->alternatives[test->first + i];
            (void)choose(set, set->positions[position].compound, nesting + 1, &value);
            if (value > worst)
                worst = value;
        }
        return worst + (worst < WORST);
    case TEST_TYPE:
    case TEST_LINK:
        return 8;
    default:
        return WORST;
    }
}

static void add_entry(struct entries *entries, enum place place, uint64_t key, uint32_t position,
                      uint32_t test)
{
    if (entries->only_measures)
        return;
    entries->at = grown(entries->at, &entries->room, entries->count + 1, sizeof *entries->at);
    entries->at[entries->count++] = (struct entry){ key, position, test, (uint8_t)place };
}

static unsigned prefix_of(size_t size)
{
    unsigned i = PROGRAM_PREFIXES - 1;
    while (i > 0 && program_prefixes[i] > size)
        i--;
    return i;
}

static uint64_t prefix_key(uint64_t name, struct span text)
{
    uint64_t begun = program_begin(name);
    unsigned size = program_prefixes[prefix_of(text.size)];

    for (unsigned i = 0; i < size; i += 8)
        begun = program_extend(begun, program_load(text.at + i, size - i < 8 ? size - i : 8));
    return program_prefix_key(begun, size);
}

static void add_type(struct entries *entries, uint64_t key, uint32_t position, uint32_t test)
{
    enum tag tag = tag_find(key);

    if (tag == TAG_OTHER)
        add_entry(entries, IN_TABLE, program_key(KEY_TYPE, key, SPAN_NONE, false), position, test);
    else
        add_entry(entries, IN_TYPES, tag, position, test);
}

static struct attribute_keys *attribute_for(struct selector_set *set, uint64_t name)
{
    size_t i = program_attribute_place(set, name);

    while (set->attributes[i].name && set->attributes[i].name != name)
        i = (i + 1) & set->attributes_mask;
    set->attributes[i].name = name;
    return &set->attributes[i];
}

/* How common four bytes of a literal are in URLs and the like. */
static int commonness(struct span gram)
{
    static const char *const common[] = {
        "http", "ttp:", "ttps", "tps:", "tp:/", "ps:/", "s://", "://w", "www.", ".com", "com/",
        ".net", ".org", ".php", "html", ".htm", "imag", "mage", "ages", "/ima", ".js?", "posi",
        "disp", "widt", "heig", "idth", "eigh", "lock", "bloc", "none", "solu", "abso", "left",
    };
    int value = 0;

    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (span_equal_nocase(gram, span_of(common[i], 4)))
            value += 8;
    for (size_t i = 0; i < 4; i++)
        value += gram.at[i] == ' ' || gram.at[i] == 'e' || gram.at[i] == '/' || gram.at[i] == '-';
    return value;
}

/* A literal is found by its grams at as many offsets in a row as the stride at which values are
 * looked at: one of them is met. The rarest run of the literal is taken. */
static void add_grams(struct selector_set *set, struct entries *entries, uint32_t position,
                      uint32_t test)
{
    struct span text = program_text(set, &set->tests[test]);
    struct attribute_keys *keys = attribute_for(set, set->tests[test].number);
    size_t stride = text.size - GRAM_BYTES + 1, best = 0;
    int least = INT32_MAX;

    if (entries->only_measures) {
        if (stride > PROGRAM_STRIDE)
            stride = PROGRAM_STRIDE;
        if (keys->stride == 0 || keys->stride > stride)
            keys->stride = (uint8_t)stride;
        return;
    }
    stride = keys->stride;

    for (size_t i = 0; i + stride + GRAM_BYTES - 1 <= text.size; i++) {
        int value = 0;
        for (size_t j = 0; j < stride; j++)
            value += commonness(span_slice(text, i + j, GRAM_BYTES));
        if (value < least) {
            least = value;
            best = i;
        }
    }
    for (size_t j = 0; j < stride; j++) {
        uint32_t gram = program_gram(text.at + best + j);
        set_bit(keys->grams, program_gram_bits(gram));
        add_entry(entries, IN_TABLE, program_gram_key(keys->name, gram), position, test);
    }
}

/* The key that a test of a text is found by in the table; 0 where there is none, and only the
 * attribute's name is looked up. */
static uint64_t table_key(const struct selector_set *set, const struct test *test)
{
    struct span text = program_text(set, test);

    switch ((enum test_kind)test->kind) {
    case TEST_ID:
        return program_key(KEY_ID, 0, text, false);
    case TEST_CLASS:
        return program_key(KEY_CLASS, 0, text, false);
    case TEST_WORD:
        return test->number == tag_key(SPAN("class")) ? program_key(KEY_CLASS, 0, text, false) : 0;
    case TEST_EQUALS:
        return program_key(KEY_EQUALS, test->number, text, false);
    case TEST_PREFIX:
        return text.size >= program_prefixes[0] ? prefix_key(test->number, text) : 0;
    case TEST_SUFFIX:
        if (text.size < PROGRAM_SUFFIX)
            return 0;
        text = span_from(text, text.size - PROGRAM_SUFFIX);
        return program_key(KEY_SUFFIX, test->number, text, false);
    default:
        return 0;
    }
}

/* Puts `position` under the keys of `compound`, its own or one of its alternatives'. */
static void add_entries(struct selector_set *set, struct entries *entries, uint32_t compound,
                        uint32_t position, int nesting)
{
    int best;
    uint32_t chosen = choose(set, compound, nesting, &best);
    const struct test *test;
    uint64_t key;

    if (best == WORST) {
        add_entry(entries, IN_ANY, 0, position, chosen);
        return;
    }
    test = &set->tests[chosen];
    switch ((enum test_kind)test->kind) {
    case TEST_NEVER:
        return;
    case TEST_TYPE:
        add_type(entries, test->number, position, chosen);
        return;
    case TEST_LINK:
        add_type(entries, tag_key_of(TAG_A), position, chosen);
        add_type(entries, tag_key_of(TAG_AREA), position, chosen);
        return;
    case TEST_ANY:
        for (uint32_t i = 0; i < test->count; i++) {
            uint32_t alternative = set->alternatives[test->first + i];
            add_entries(set, entries, set->positions[alternative].compound, position, nesting + 1);
        }
        return;
    case TEST_SUBSTRING:
        if (test->size < GRAM_BYTES)
            break;
        add_grams(set, entries, position, chosen);
        return;
    default:
        break;
    }
    key = table_key(set, test);
    if (key)
        add_entry(entries, IN_TABLE, key, position, chosen);
    else
        add_entry(entries, IN_ATTRIBUTE, test->number, position, chosen);
}

static int compare_entries(const void *one, const void *other)
{
    const struct entry *a = one, *b = other;

    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->position < b->position ? -1 : a->position > b->position;
}

static size_t power_of_two(size_t least)
{
    size_t power = 16;
    while (power < least)
        power *= 2;
    return power;
}

static void add_key(struct selector_set *set, uint64_t key, struct bucket bucket)
{
    size_t i = key >> 32 & set->keys_mask;

    set->filter[key >> 20 & set->filter_mask] |= program_filter_bits(key);
    while (set->keys[i])
        i = (i + 1) & set->keys_mask;
    set->keys[i] = key;
    set->buckets[i] = bucket;
}

static void note_prefix(struct attribute_keys *keys, struct span text)
{
    unsigned prefix = prefix_of(text.size);

    keys->prefixes |= (uint16_t)(1 << prefix);
    set_bit(keys->starts, program_start_bits(text.at));
    if (program_prefixes[prefix] >= 2 * PROGRAM_MIDDLE)
        set_bit(keys->middles, program_middle_bits(text.at));
}

static void note_suffix(struct attribute_keys *keys, struct span text)
{
    keys->has_suffix = true;
    set_bit(keys->ends, program_start_bits(text.at + text.size - 2));
}

/* A test that is in the table is looked up only where its attribute says so. */
static void note_attribute(struct selector_set *set, const struct test *test)
{
    if (test->kind == TEST_EQUALS)
        attribute_for(set, test->number)->has_equals = true;
    else if (test->kind == TEST_PREFIX)
        note_prefix(attribute_for(set, test->number), program_text(set, test));
    else if (test->kind == TEST_SUFFIX)
        note_suffix(attribute_for(set, test->number), program_text(set, test));
    else if (test->kind == TEST_TYPE)
        set->has_other_types = true;
}

static void place_bucket(struct selector_set *set, const struct entry *entries, size_t count,
                         struct bucket bucket)
{
    switch ((enum place)entries->place) {
    case IN_TABLE:
        add_key(set, entries->key, bucket);
        for (size_t i = 0; i < count; i++)
            note_attribute(set, &set->tests[entries[i].test]);
        break;
    case IN_ATTRIBUTE:
        attribute_for(set, entries->key)->has = bucket;
        break;
    case IN_TYPES:
        set->types[entries->key] = bucket;
        break;
    case IN_ANY:
        set->any = bucket;
        break;
    }
}

static void make_index(struct selector_set *set, struct entries *entries)
{
    size_t keys, words;

    if (entries->count)
        qsort(entries->at, entries->count, sizeof *entries->at, compare_entries);
    keys = power_of_two(entries->count * 2 + 1);
    words = power_of_two(entries->count / 4 + 1);
    if (words > MOST_FILTER_WORDS)
        words = MOST_FILTER_WORDS;
    set->keys_mask = keys - 1;
    set->filter_mask = words - 1;
    set->keys = zeroed(keys, sizeof *set->keys);
    set->buckets = zeroed(keys, sizeof *set->buckets);
    set->filter = zeroed(words, sizeof *set->filter);
    set->listed = zeroed(entries->count + 1, sizeof *set->listed);
}

static int compare_names(const void *one, const void *other)
{
    const uint64_t *a = one, *b = other;
    return *a < *b ? -1 : *a > *b;
}

/* A table for as many attributes as the tests name. */
static void make_attributes(struct selector_set *set)
{
    uint64_t *names = zeroed(set->tests_count + 1, sizeof *names);
    size_t count = 0, different = 0;

    for (size_t i = 0; i < set->tests_count; i++)
        if (set->tests[i].kind >= TEST_HAS && set->tests[i].kind <= TEST_SUBSTRING)
            names[count++] = set->tests[i].number;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++)
        different += i == 0 || names[i] != names[i - 1];
    free(names);
    set->attributes_mask = power_of_two(different * 2 + 1) - 1;
    set->attributes = zeroed(set->attributes_mask + 1, sizeof *set->attributes);
}

static void note_needs(struct selector_set *set)
{
    for (size_t i = 0; i < set->positions_count; i++) {
        struct position *position = &set->positions[i];
        if (position->leads & (1 << NEXT_SIBLING | 1 << LATER_SIBLING))
            set->asks_siblings = true;
        if (position->leads & 1 << DESCENDANT)
            position->slot = set->slots++;
    }
    for (size_t i = 0; i < set->tests_count; i++)
        if (set->tests[i].kind == TEST_NTH_OF_TYPE)
            set->asks_types = true;
    set->any_follows = true;
    for (uint32_t i = 0; i < set->any.count; i++) {
        enum combinator combinator = set->positions[set->listed[set->any.first + i]].combinator;
        if (combinator == NO_COMBINATOR || combinator == DESCENDANT)
            set->any_follows = false;
    }
    set->id_keys = program_attribute(set, tag_key(SPAN("id")));
    set->class_keys = program_attribute(set, tag_key(SPAN("class")));
}

static void place_ids(struct selector_set *set)
{
    struct builder *builder = set->builder;
    uint32_t count = 0;

    set->ids = zeroed(set->ids_count + 1, sizeof *set->ids);
    for (size_t i = 0; i < set->positions_count; i++) {
        struct position *position = &set->positions[i];
        position->first = count;
        for (uint32_t id = builder->heads[i]; id != NONE; id = builder->ids[id].next)
            set->ids[count++] = builder->ids[id].id;
        position->count = count - position->first;
    }
}

void program_finish(struct selector_set *set)
{
    struct entries entries = { .only_measures = true };

    assert(set->builder);
    make_attributes(set);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < set->positions_count; i++)
            if (set->positions[i].is_listed)
                add_entries(set, &entries, set->positions[i].compound, (uint32_t)i, 0);
        entries.only_measures = false;
    }
    make_index(set, &entries);
    for (size_t i = 0, next; i < entries.count; i = next) {
        struct bucket bucket = { (uint32_t)set->listed_count, 0 };

        for (next = i; next < entries.count && entries.at[next].place == entries.at[i].place &&
                       entries.at[next].key == entries.at[i].key;
             next++)
            set->listed[set->listed_count++] = entries.at[next].position;
        bucket.count = (uint32_t)(next - i);
        place_bucket(set, &entries.at[i], next - i, bucket);
    }
    free(entries.at);
    place_ids(set);
    set->text_size = set->builder->text.size;
    set->text = zeroed(set->text_size + 1, 1);
    if (set->text_size)
        memcpy(set->text, set->builder->text.at, set->text_size);
    note_needs(set);
    free_builder(set);
}
