#include "filter/compile.h"

#include <assert.h>
#include <idn2.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/url.h"
#include "filter/image.h"
#include "filter/regex.h"
#include "filter/request.h"
#include "filter/window.h"

enum {
    POPULAR_HOST = 8,     // rules of one host and book from which on windows are tried first
    SOURCE_LIMIT = 1024,  // names of one rule that it may be entered under
    SEEDS = 64,           // tried until the table of names has no long walks
    PATTERN_LIMIT = 16384, // bytes of a pattern
};

/* ---- vectors ---- */

struct vector {
    char *at;
    size_t count, capacity;
};

static void *vector_add(struct vector *vector, size_t item_size, size_t items)
{
    void *added;

    if (vector->count + items > vector->capacity) {
        size_t capacity = vector->capacity ? vector->capacity * 2 : 256;
        while (capacity < vector->count + items)
            capacity *= 2;
        vector->at = realloc(vector->at, capacity * item_size);
        if (!vector->at)
            abort();
        vector->capacity = capacity;
    }
    added = vector->at + vector->count * item_size;
    memset(added, 0, items * item_size);
    vector->count += items;
    return added;
}

#define ADD(vector, type) ((type *)vector_add(&(vector), sizeof(type), 1))
#define ITEM(vector, type, index) (((type *)(void *)(vector).at)[index])

/* ---- what is collected ---- */

struct name {
    uint64_t hash;     // with the seed in force
    const char *text;  // lower case; of "name.*" without ".*"
    uint32_t place;    // of the plain rule
    uint32_t record;   // index in NAMES, later
    uint32_t slot;     // what the table of names says, later
    uint8_t size;
    bool is_entity, is_plain, is_needed; // needed: as a record
};

struct item { // of a set of domains
    uint32_t number;
    bool is_not, is_regex;
};

struct set {
    uint32_t first, count; // in compiler.items
    bool is_there, has_with, has_entities, has_regexes, is_for_keys;
};

struct draft { // a rule that is not a plain host
    struct span text, pattern; // the pattern in lower case; a regular expression as written
    struct span client, address, header, request_header, value;
    struct set domains, to, denyallow;
    XXH128_hash_t identity;
    uint32_t place, number, extra, regex;
    uint32_t page_flags;
    uint16_t types, methods;
    uint8_t party, anchor, modifier;
    bool is_exception, is_important, is_regex, is_match_case, is_cname, is_right_anchored, is_host,
        is_everything, is_dead;
};

struct entry { // a draft under one of its keys
    uint64_t key;   // a name's index, or a window
    uint32_t draft;
    uint8_t kind;   // enum entry_kind
    uint8_t book, side;
    uint8_t offset;
    bool is_placed; // the window says where the pattern begins
};
enum entry_kind { ENTRY_NAME, ENTRY_WINDOW, ENTRY_LOOSE };

struct compiler {
    struct vector lists;   // struct span: names
    struct vector names;   // struct name
    uint32_t *name_table;  // open addressing, index + 1
    size_t name_table_size;
    struct vector drafts, entries, items, regexes;
    struct vector badfilters;      // XXH128_hash_t
    struct vector bad_plain_hosts; // struct span
    struct arena arena;
    struct span suffixes;
    uint64_t seed;
    uint32_t repeated, negated;
    struct window_weights weights;
    struct vector host_rules; // uint32_t for each name and book: rules that would stand there
    // sections under construction
    struct vector hosts, name_words, rules, extras, windows, text, suffix_bytes;
    struct vector buckets, slots, origins;
    uint32_t suffix_bits, image_flags;
    struct image_book books[BOOKS];
    char *image;
};

struct compiler *compiler_new(void)
{
    struct compiler *compiler = calloc(1, sizeof *compiler);

    if (!compiler)
        abort();
    arena_init(&compiler->arena, SIZE_MAX / 2);
    window_weights_init(&compiler->weights);
    compiler->seed = 0x6a09e667f3bcc908u;
    return compiler;
}

void compiler_free(struct compiler **compiler)
{
    struct compiler *it = *compiler;

    if (!it)
        return;
    struct vector *vectors[] = {
        &it->lists, &it->names, &it->drafts, &it->entries, &it->items, &it->regexes,
        &it->badfilters, &it->bad_plain_hosts, &it->host_rules, &it->hosts, &it->name_words,
        &it->rules, &it->extras, &it->windows, &it->text, &it->suffix_bytes, &it->buckets,
        &it->slots, &it->origins,
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        free(vectors[i]->at);
    free(it->name_table);
    free(it->image);
    arena_done(&it->arena);
    free(it);
    *compiler = NULL;
}

static char *keep(struct compiler *compiler, size_t size)
{
    char *at = arena_alloc(&compiler->arena, size + 1);

    if (!at)
        abort();
    at[size] = 0;
    return at;
}

static struct span keep_lower(struct compiler *compiler, struct span text)
{
    char *at;
    size_t i = 0;

    while (i < text.size && !(text.at[i] >= 'A' && text.at[i] <= 'Z'))
        i++;
    if (i == text.size)
        return text;
    at = keep(compiler, text.size);
    for (i = 0; i < text.size; i++)
        at[i] = ascii_lower(text.at[i]);
    return span_of(at, text.size);
}

void compiler_add_suffixes(struct compiler *compiler, struct span text)
{
    compiler->suffixes = text;
}

bool compiler_begin_list(struct compiler *compiler, struct span name)
{
    if (compiler->lists.count == IMAGE_LIST_LIMIT)
        return false;
    *ADD(compiler->lists, struct span) = arena_copy(&compiler->arena, name);
    return true;
}

/* ---- names ---- */

/* As the matcher does it over the labels of a host: see match.c. */
static uint64_t hash_name(uint64_t seed, const char *text, size_t size)
{
    uint64_t hash = seed;
    size_t end = size;

    for (;;) {
        size_t start = end;
        while (start > 0 && text[start - 1] != '.')
            start--;
        while (end - start > 8) {
            uint64_t bytes;
            memcpy(&bytes, text + end - 8, 8);
            hash = image_hash_step(hash, bytes);
            end -= 8;
        }
        {
            uint64_t bytes = 0;
            for (size_t i = end; i > start; i--)
                bytes = bytes << 8 | (uint8_t)text[i - 1];
            hash = image_hash_step(hash, bytes);
        }
        if (start == 0)
            return hash;
        end = start - 1;
    }
}

static uint64_t name_seed(const struct compiler *compiler, bool is_entity)
{
    return is_entity ? image_entity_seed(compiler->seed) : compiler->seed;
}

static void fill_name_table(struct compiler *compiler)
{
    memset(compiler->name_table, 0, compiler->name_table_size * sizeof *compiler->name_table);
    for (uint32_t i = 0; i < compiler->names.count; i++) {
        const struct name *name = &ITEM(compiler->names, struct name, i);
        size_t slot = name->hash & (compiler->name_table_size - 1);
        while (compiler->name_table[slot])
            slot = (slot + 1) & (compiler->name_table_size - 1);
        compiler->name_table[slot] = i + 1;
    }
}

/* The index of a name in lower case, which is entered if `create`; UINT32_MAX: not there. The
 * text is kept as it is. */
static uint32_t find_name(struct compiler *compiler, struct span text, bool is_entity, bool create)
{
    uint64_t hash = hash_name(name_seed(compiler, is_entity), text.at, text.size);
    struct name *name;
    size_t slot;

    assert(text.size > 0 && text.size <= URL_HOST_LIMIT);
    if (compiler->names.count * 2 >= compiler->name_table_size) {
        compiler->name_table_size = compiler->name_table_size ? compiler->name_table_size * 2 : 4096;
        free(compiler->name_table);
        compiler->name_table = calloc(compiler->name_table_size, sizeof *compiler->name_table);
        if (!compiler->name_table)
            abort();
        fill_name_table(compiler);
    }
    slot = hash & (compiler->name_table_size - 1);
    while (compiler->name_table[slot]) {
        name = &ITEM(compiler->names, struct name, compiler->name_table[slot] - 1);
        if (name->hash == hash && name->size == text.size && name->is_entity == is_entity &&
            memcmp(name->text, text.at, text.size) == 0)
            return compiler->name_table[slot] - 1;
        slot = (slot + 1) & (compiler->name_table_size - 1);
    }
    if (!create)
        return UINT32_MAX;
    name = ADD(compiler->names, struct name);
    name->hash = hash;
    name->text = text.at;
    name->size = (uint8_t)text.size;
    name->is_entity = is_entity;
    compiler->name_table[slot] = (uint32_t)compiler->names.count;
    return (uint32_t)compiler->names.count - 1;
}

/* A host name in lower case and in ASCII; .at is NULL when it is none. */
static struct span clean_host(struct compiler *compiler, struct span text)
{
    bool is_ascii = true;
    char *ascii = NULL, *mapped = NULL;
    char room[URL_HOST_LIMIT + 1];

    while (text.size && text.at[text.size - 1] == '.')
        text.size--;
    if (text.size == 0 || text.size > URL_HOST_LIMIT)
        return SPAN_NONE;
    for (size_t i = 0; i < text.size; i++) {
        is_ascii = is_ascii && (uint8_t)text.at[i] < 128;
        if (memchr("*^/|?#@ ", text.at[i], 8))
            return SPAN_NONE;
    }
    if (is_ascii)
        return keep_lower(compiler, text);
    memcpy(room, text.at, text.size);
    room[text.size] = 0;
    if (idn2_to_ascii_8z(room, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) == IDN2_OK && ascii &&
        strlen(ascii) <= URL_HOST_LIMIT) {
        struct span kept = arena_copy(&compiler->arena, span_text(ascii));
        idn2_free(ascii);
        return keep_lower(compiler, kept);
    }
    idn2_free(ascii);
    mapped = keep(compiler, URL_HOST_LIMIT);
    text.size = url_host_to_ascii(keep_lower(compiler, text), mapped, URL_HOST_LIMIT);
    return text.size ? span_of(mapped, text.size) : SPAN_NONE;
}

/* ---- adding rules ---- */

static enum rule_reason add_plain(struct compiler *compiler, struct span host, uint32_t place)
{
    struct span clean = clean_host(compiler, host);
    struct name *name;
    uint32_t index;

    if (!clean.at)
        return REASON_HOST;
    index = find_name(compiler, clean, false, true);
    name = &ITEM(compiler->names, struct name, index);
    if (name->is_plain) {
        compiler->repeated++;
        return REASON_NONE;
    }
    name->is_plain = true;
    name->place = place;
    return REASON_NONE;
}

static bool is_plain(const struct rule *rule)
{
    return rule->is_host && !rule->is_exception && !rule->has_types && rule->types == TYPES_ALL &&
           rule->modifier == MODIFIER_NONE && !rule->is_important && rule->party == 0 &&
           rule->methods == 0 && !rule->domains.at && !rule->to.at && !rule->denyallow.at &&
           !rule->client.at && !rule->address.at && !rule->header.at && !rule->request_header.at &&
           !rule->is_cname && rule->page_flags == 0;
}

/* Reads a list of domains. False when nothing in it can ever hold. */
static bool add_set(struct compiler *compiler, struct set *set, struct span list)
{
    struct span written;
    bool is_not, lost = false;

    if (!list.at)
        return true;
    *set = (struct set){ .first = (uint32_t)compiler->items.count, .is_there = true,
                         .is_for_keys = true };
    while (rule_next_name(&list, &written, &is_not)) {
        struct item item = { .is_not = is_not };
        struct span text, host = written;
        unsigned flags;
        bool is_entity = false;

        if (regex_split(written, &text, &flags)) {
            if (!regex_check(text, flags | REGEX_NOCASE)) {
                lost = true;
                continue;
            }
            struct image_regex *regex = ADD(compiler->regexes, struct image_regex);
            regex->text = (uint32_t)compiler->text.count;
            regex->size = (uint32_t)text.size;
            regex->flags = flags | REGEX_NOCASE;
            memcpy(vector_add(&compiler->text, 1, text.size), text.at, text.size);
            item.number = (uint32_t)compiler->regexes.count - 1;
            item.is_regex = true;
            set->has_regexes = true;
            set->is_for_keys = set->is_for_keys && is_not;
        } else {
            if (span_starts(host, SPAN("*.")))
                host = span_from(host, 2);
            if (span_ends(host, SPAN(".*"))) {
                is_entity = true;
                host.size -= 2;
            }
            host = clean_host(compiler, host);
            if (!host.at) {
                lost = true;
                continue;
            }
            item.number = find_name(compiler, host, is_entity, true);
            ITEM(compiler->names, struct name, item.number).is_needed = true;
            set->has_entities = set->has_entities || is_entity;
            if (!is_not && !is_entity && span_find_byte(host, '.') == host.size)
                set->is_for_keys = false; // "com"
        }
        set->has_with = set->has_with || !is_not;
        *ADD(compiler->items, struct item) = item;
        set->count++;
    }
    return set->count > 0 && (set->has_with || !lost) && set->count <= IMAGE_SET_COUNT;
}

/* Of a list whose order says nothing: the sum of its items' hashes. */
static uint64_t list_identity(struct span list)
{
    uint64_t sum = list.at ? 1 : 0;
    struct span name;
    bool is_not;

    while (rule_next_name(&list, &name, &is_not))
        sum += XXH3_64bits_withSeed(name.at, name.size, is_not ? 77 : 7) | 1;
    return sum;
}

/* Two lines with the same identity say the same, whatever the order of their options. */
static XXH128_hash_t identity_of(const struct rule *rule)
{
    struct {
        XXH128_hash_t pattern, value;
        uint64_t lists[3], texts[4];
        uint32_t types, party, methods, page_flags, flags, modifier;
    } all;

    memset(&all, 0, sizeof all);
    all.pattern = XXH3_128bits(rule->pattern.at, rule->pattern.size);
    all.value = XXH3_128bits(rule->value.at, rule->value.size);
    all.lists[0] = list_identity(rule->domains);
    all.lists[1] = list_identity(rule->to);
    all.lists[2] = list_identity(rule->denyallow);
    all.texts[0] = XXH3_64bits(rule->client.at, rule->client.size);
    all.texts[1] = XXH3_64bits(rule->address.at, rule->address.size);
    all.texts[2] = XXH3_64bits(rule->header.at, rule->header.size);
    all.texts[3] = XXH3_64bits(rule->request_header.at, rule->request_header.size);
    all.types = rule->types;
    all.party = rule->party;
    all.methods = rule->methods;
    all.page_flags = rule->page_flags;
    all.modifier = rule->modifier;
    all.flags = (uint32_t)(rule->is_exception | rule->is_important << 1 | rule->is_regex << 2 |
                           rule->is_match_case << 3 | rule->is_cname << 4 | rule->is_host << 5 |
                           rule->is_right_anchored << 6 | (unsigned)rule->anchor << 8);
    return XXH3_128bits(&all, sizeof all);
}

/* A pattern with a host in it that is not ASCII: the host as its A-labels. */
static struct span clean_pattern(struct compiler *compiler, const struct rule *rule)
{
    struct span pattern = rule->pattern, host;
    size_t end = 0;
    bool is_ascii = true;
    char *at;

    for (size_t i = 0; i < pattern.size; i++)
        is_ascii = is_ascii && (uint8_t)pattern.at[i] < 128;
    if (is_ascii || rule->anchor != ANCHOR_HOST)
        return keep_lower(compiler, pattern);
    while (end < pattern.size && !memchr("/^?:*", pattern.at[end], 5))
        end++;
    host = clean_host(compiler, span_slice(pattern, 0, end));
    if (!host.at)
        return keep_lower(compiler, pattern);
    at = keep(compiler, host.size + pattern.size - end);
    memcpy(at, host.at, host.size);
    memcpy(at + host.size, pattern.at + end, pattern.size - end);
    return keep_lower(compiler, span_of(at, host.size + pattern.size - end));
}

static enum rule_reason add_draft(struct compiler *compiler, const struct rule *rule,
                                  uint32_t place)
{
    struct draft draft = {
        .text = rule->text, .client = rule->client, .address = rule->address,
        .header = rule->header, .request_header = rule->request_header, .value = rule->value,
        .place = place, .page_flags = rule->page_flags, .types = rule->types,
        .methods = rule->methods, .party = rule->party, .anchor = (uint8_t)rule->anchor,
        .modifier = (uint8_t)rule->modifier, .is_exception = rule->is_exception,
        .is_important = rule->is_important, .is_regex = rule->is_regex,
        .is_match_case = rule->is_match_case, .is_cname = rule->is_cname,
        .is_right_anchored = rule->is_right_anchored, .is_host = rule->is_host,
    };

    if (rule->pattern.size > PATTERN_LIMIT || rule->text.size > UINT16_MAX)
        return REASON_TOO_LONG;
    if (rule->is_regex) {
        unsigned flags = rule->is_match_case ? 0 : REGEX_NOCASE;
        struct image_regex *regex;

        if (!regex_check(rule->pattern, flags))
            return REASON_REGEX;
        draft.pattern = rule->pattern;
        draft.regex = (uint32_t)compiler->regexes.count;
        regex = ADD(compiler->regexes, struct image_regex);
        regex->text = (uint32_t)compiler->text.count;
        regex->size = (uint32_t)rule->pattern.size;
        regex->flags = flags;
        memcpy(vector_add(&compiler->text, 1, rule->pattern.size), rule->pattern.at,
               rule->pattern.size);
    } else {
        draft.pattern = clean_pattern(compiler, rule);
        if (rule->is_host && draft.pattern.size > URL_HOST_LIMIT)
            return REASON_HOST;
    }
    if (!add_set(compiler, &draft.domains, rule->domains) ||
        !add_set(compiler, &draft.to, rule->to) ||
        !add_set(compiler, &draft.denyallow, rule->denyallow))
        return REASON_VALUE;
    draft.is_everything = rule->is_host && rule->types == TYPES_ALL && !rule->has_types &&
                          rule->modifier == MODIFIER_NONE && rule->party == 0 &&
                          rule->methods == 0 && !rule->domains.at && !rule->to.at &&
                          !rule->denyallow.at && !rule->client.at && !rule->address.at &&
                          !rule->header.at && !rule->request_header.at && !rule->is_cname;
    draft.identity = identity_of(rule);
    *ADD(compiler->drafts, struct draft) = draft;
    return REASON_NONE;
}

enum rule_reason compiler_add(struct compiler *compiler, const struct rule *rule, uint32_t line)
{
    uint32_t place;

    assert(compiler->lists.count > 0 && line <= LIST_LINE_LIMIT);
    place = (uint32_t)(compiler->lists.count - 1) << IMAGE_LINE_BITS | line;
    if (rule->kind == RULE_HOSTS) {
        struct span names = rule->pattern, name;
        enum rule_reason reason = REASON_NONE;

        while (reason == REASON_NONE && rule_next_host(&names, &name))
            reason = add_plain(compiler, name, place);
        return reason;
    }
    if (rule->kind != RULE_NETWORK)
        return REASON_NONE;
    if (rule->is_badfilter) {
        compiler->negated++;
        if (is_plain(rule))
            *ADD(compiler->bad_plain_hosts, struct span) = rule->pattern;
        else
            *ADD(compiler->badfilters, XXH128_hash_t) = identity_of(rule);
        return REASON_NONE;
    }
    if (is_plain(rule))
        return add_plain(compiler, rule->pattern, place);
    return add_draft(compiler, rule, place);
}

/* ---- badfilter and repetitions ---- */

static int compare_identities(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(XXH128_hash_t));
}

static void drop_negated(struct compiler *compiler)
{
    size_t size = 1024, count = compiler->drafts.count;
    uint32_t *table;

    for (size_t i = 0; i < compiler->bad_plain_hosts.count; i++) {
        struct span host = clean_host(compiler, ITEM(compiler->bad_plain_hosts, struct span, i));
        uint32_t found = host.at ? find_name(compiler, host, false, false) : UINT32_MAX;
        if (found != UINT32_MAX) {
            compiler->negated += ITEM(compiler->names, struct name, found).is_plain;
            ITEM(compiler->names, struct name, found).is_plain = false;
        }
    }
    if (compiler->badfilters.count)
        qsort(compiler->badfilters.at, compiler->badfilters.count, sizeof(XXH128_hash_t),
              compare_identities);
    while (size < count * 2)
        size *= 2;
    table = calloc(size, sizeof *table);
    if (!table)
        abort();
    for (uint32_t i = 0; i < count; i++) {
        struct draft *draft = &ITEM(compiler->drafts, struct draft, i);
        size_t slot = draft->identity.low64 & (size - 1);

        if (compiler->badfilters.count &&
            bsearch(&draft->identity, compiler->badfilters.at, compiler->badfilters.count,
                    sizeof(XXH128_hash_t), compare_identities)) {
            draft->is_dead = true;
            compiler->negated++;
            continue;
        }
        while (table[slot] && !XXH128_isEqual(ITEM(compiler->drafts, struct draft, table[slot] - 1)
                                                  .identity, draft->identity))
            slot = (slot + 1) & (size - 1);
        if (table[slot]) {
            draft->is_dead = true;
            compiler->repeated++;
        } else {
            table[slot] = i + 1;
        }
    }
    free(table);
}

/* ---- where each rule is to be found ---- */

static unsigned books_of(const struct draft *draft, uint8_t *books)
{
    unsigned count = 0;

    if (draft->is_cname || draft->page_flags)
        books[count++] = BOOK_PAGE;
    if (draft->is_cname || draft->modifier == MODIFIER_PAGE)
        return count;
    if (draft->modifier < MODIFIER_NONE)
        books[count++] = BOOK_MODIFY;
    else if (draft->header.at || draft->address.at)
        books[count++] = BOOK_LATE;
    else if (draft->is_exception || draft->modifier == MODIFIER_REDIRECT_RULE)
        books[count++] = BOOK_AFTER;
    else
        books[count++] = BOOK_BLOCK;
    if (books[count - 1] == BOOK_BLOCK && draft->modifier == MODIFIER_REDIRECT)
        books[count++] = BOOK_AFTER;
    return count;
}

/* How many bytes at the start of a `||` pattern are a whole host name; 0: not sure to be whole. */
static size_t whole_host(const struct draft *draft)
{
    struct span pattern = draft->pattern;
    size_t end = 0;

    if (draft->anchor != ANCHOR_HOST || draft->is_regex)
        return 0;
    if (draft->is_host)
        return pattern.size;
    if (pattern.size && pattern.at[0] == '[') {
        end = span_find_byte(pattern, ']');
        end += end < pattern.size;
    } else {
        while (end < pattern.size && !memchr("/^?:*#@", pattern.at[end], 7))
            end++;
    }
    if (end == 0 || end > URL_HOST_LIMIT || pattern.at[end - 1] == '.' || pattern.at[0] == '.')
        return 0;
    if (end == pattern.size)
        return draft->is_right_anchored ? end : 0;
    return pattern.at[end] == '*' || pattern.at[end] == '@' ? 0 : end;
}

static void add_entry(struct compiler *compiler, uint32_t draft, uint8_t book, uint8_t kind,
                      uint8_t side, uint64_t key)
{
    struct entry *entry = ADD(compiler->entries, struct entry);

    entry->draft = draft;
    entry->book = book;
    entry->kind = kind;
    entry->side = side;
    entry->key = key;
}

static size_t choices_of(struct compiler *compiler, const struct draft *draft,
                         struct window_choice *choices)
{
    char room[PATTERN_LIMIT + 2];
    struct span pattern = draft->pattern;
    enum window_front front = draft->anchor == ANCHOR_HOST    ? FRONT_LABEL
                              : draft->anchor == ANCHOR_START ? FRONT_START
                                                              : FRONT_UNKNOWN;

    if (draft->is_regex) {
        size_t count;
        pattern = span_of(room, window_pattern_of_regex(draft->pattern, room));
        count = window_list(&compiler->weights, choices, pattern, FRONT_UNKNOWN);
        for (size_t i = 0; i < count; i++)
            choices[i].is_placed = false;
        return count;
    }
    if (draft->is_host) { // its '^' was cut off
        memcpy(room, pattern.at, pattern.size);
        room[pattern.size] = '^';
        pattern = span_of(room, pattern.size + 1);
    }
    if (pattern.size == 0 && draft->modifier == MODIFIER_REMOVEPARAM && draft->value.size > 2 &&
        draft->value.at[0] != '/' && draft->value.at[0] != '~' &&
        span_find_byte(draft->value, '*') == draft->value.size && draft->value.size < 256) {
        size_t count;
        for (size_t i = 0; i < draft->value.size; i++)
            room[i] = ascii_lower(draft->value.at[i]);
        pattern = span_of(room, draft->value.size);
        count = window_list(&compiler->weights, choices, pattern, FRONT_PARAMETER);
        for (size_t i = 0; i < count; i++)
            choices[i].is_placed = false;
        return count;
    }
    return window_list(&compiler->weights, choices, pattern, front);
}

/* Under the names of a set. */
static bool add_by_names(struct compiler *compiler, uint32_t index, uint8_t book, uint8_t side,
                         const struct set *set)
{
    if (!set->is_there || !set->has_with || !set->is_for_keys || set->count > SOURCE_LIMIT)
        return false;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct item *item = &ITEM(compiler->items, struct item, set->first + i);
        if (!item->is_not)
            add_entry(compiler, index, book, ENTRY_NAME, side, item->number);
    }
    return true;
}

enum { POOR_WEIGHT = 60 }; // a window that is met more often than in one of 16 URLs

static void place(struct compiler *compiler, uint32_t index, uint8_t book)
{
    struct draft *draft = &ITEM(compiler->drafts, struct draft, index);
    struct window_choice choices[WINDOW_CHOICES], *best = NULL;
    size_t host = whole_host(draft), count;

    if (host) {
        uint32_t name = find_name(compiler, span_slice(draft->pattern, 0, host), false, true);
        if (host == draft->pattern.size ||
            ITEM(compiler->host_rules, uint32_t, name * BOOKS + book) <= POPULAR_HOST) {
            add_entry(compiler, index, book, ENTRY_NAME, SIDE_HOST, name);
            return;
        }
    }
    count = choices_of(compiler, draft, choices);
    for (size_t i = 0; i < count; i++) {
        uint32_t weight = choices[i].weight + (choices[i].is_placed ? 0 : 4);
        if (!best || weight < best->weight + (best->is_placed ? 0 : 4))
            best = &choices[i];
    }
    if (!best || best->weight > POOR_WEIGHT) {
        if (host) {
            add_entry(compiler, index, book, ENTRY_NAME, SIDE_HOST,
                      find_name(compiler, span_slice(draft->pattern, 0, host), false, true));
            return;
        }
        if (add_by_names(compiler, index, book, SIDE_HOST, &draft->to) ||
            add_by_names(compiler, index, book, SIDE_SOURCE, &draft->domains))
            return;
    }
    if (!best) {
        add_entry(compiler, index, book, ENTRY_LOOSE, 0, 0);
        return;
    }
    for (unsigned i = 0; i < best->count; i++) {
        add_entry(compiler, index, book, ENTRY_WINDOW, 0, best->windows[i]);
        ITEM(compiler->entries, struct entry, compiler->entries.count - 1).offset = best->offset;
        ITEM(compiler->entries, struct entry, compiler->entries.count - 1).is_placed =
            best->is_placed;
    }
}

static void place_all(struct compiler *compiler)
{
    uint8_t books[BOOKS];

    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < compiler->drafts.count; i++) {
            const struct draft *draft = &ITEM(compiler->drafts, struct draft, i);
            unsigned count;

            if (draft->is_dead)
                continue;
            count = books_of(draft, books);
            for (unsigned k = 0; k < count; k++) {
                size_t host = whole_host(draft);
                uint32_t name;

                if (pass == 1) {
                    place(compiler, i, books[k]);
                    continue;
                }
                if (!host)
                    continue;
                name = find_name(compiler, span_slice(draft->pattern, 0, host), false, true);
                while (compiler->host_rules.count < compiler->names.count * BOOKS)
                    vector_add(&compiler->host_rules, sizeof(uint32_t), BOOKS);
                ITEM(compiler->host_rules, uint32_t, name * BOOKS + books[k])++;
            }
        }
        while (compiler->host_rules.count < compiler->names.count * BOOKS)
            vector_add(&compiler->host_rules, sizeof(uint32_t), BOOKS);
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->book != y->book)
        return x->book < y->book ? -1 : 1;
    if (x->side != y->side)
        return x->side < y->side ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->draft < y->draft ? -1 : x->draft > y->draft;
}

static bool same_chain(const struct entry *a, const struct entry *b)
{
    return a->kind == b->kind && a->book == b->book && a->side == b->side && a->key == b->key;
}

/* ---- writing sections ---- */

static uint32_t add_text(struct compiler *compiler, struct span text)
{
    uint32_t at = (uint32_t)compiler->text.count;

    if (text.size)
        memcpy(vector_add(&compiler->text, 1, text.size), text.at, text.size);
    return at;
}

static void add_word(struct compiler *compiler, uint32_t word)
{
    *ADD(compiler->extras, uint32_t) = word;
}

/* A text in EXTRAS: a part of the rule's own text where it is one, else a new one. */
static void add_text_words(struct compiler *compiler, const struct draft *draft, struct span text)
{
    const struct image_origin *origin = &ITEM(compiler->origins, struct image_origin, draft->number);

    if (text.at >= draft->text.at && text.at + text.size <= draft->text.at + draft->text.size)
        add_word(compiler, origin->text + (uint32_t)(text.at - draft->text.at));
    else
        add_word(compiler, add_text(compiler, text));
    add_word(compiler, (uint32_t)text.size);
}

static int compare_words(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a & ~IMAGE_SET_NOT, y = *(const uint32_t *)b & ~IMAGE_SET_NOT;
    return x < y ? -1 : x > y;
}

static void add_set_words(struct compiler *compiler, const struct set *set)
{
    size_t at = compiler->extras.count, kept = 0;
    uint32_t *words;

    vector_add(&compiler->extras, sizeof(uint32_t), set->count + 1);
    words = &ITEM(compiler->extras, uint32_t, at + 1);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct item *item = &ITEM(compiler->items, struct item, set->first + i);
        uint32_t number = item->is_regex
                              ? item->number | IMAGE_SET_REGEX
                              : ITEM(compiler->names, struct name, item->number).record;
        words[i] = number | (item->is_not ? IMAGE_SET_NOT : 0);
    }
    qsort(words, set->count, sizeof *words, compare_words);
    for (uint32_t i = 0; i < set->count; i++) // the same name twice: once
        if (kept == 0 || (words[kept - 1] | IMAGE_SET_NOT) != (words[i] | IMAGE_SET_NOT))
            words[kept++] = words[i];
    compiler->extras.count = at + 1 + kept;
    ITEM(compiler->extras, uint32_t, at) =
        (uint32_t)kept | (set->has_with ? IMAGE_SET_HAS_WITH : 0) |
        (set->has_entities ? IMAGE_SET_HAS_ENTITIES : 0) |
        (set->has_regexes ? IMAGE_SET_HAS_REGEXES : 0);
}

/* The part of a pattern that an entry has to compare: all of it, or what follows the host. */
struct shape {
    struct span body;  // literal, or with '*' and '^' inside
    bool is_general, has_separator;
    size_t literal; // bytes at the start of body without '*' and '^'
};

static struct shape shape_of(const struct draft *draft, bool is_behind_host)
{
    struct shape shape = { .body = draft->pattern };

    if (is_behind_host)
        shape.body = span_from(shape.body, whole_host(draft));
    else if (draft->is_host)
        shape.has_separator = true;
    if (draft->is_regex)
        return (struct shape){ .body = SPAN_NONE };
    if (is_behind_host && shape.body.size == 1 && shape.body.at[0] == '^' &&
        !draft->is_right_anchored)
        shape.body.size = 0; // behind a host there is always a separator or the end
    if (shape.body.size && shape.body.at[shape.body.size - 1] == '^' && !shape.has_separator &&
        !draft->is_right_anchored) {
        shape.body.size--;
        shape.has_separator = true;
    }
    while (shape.literal < shape.body.size && shape.body.at[shape.literal] != '*' &&
           shape.body.at[shape.literal] != '^')
        shape.literal++;
    shape.is_general = shape.literal < shape.body.size;
    if (shape.is_general && shape.has_separator && !draft->is_host) { // put it back
        shape.body.size++;
        shape.has_separator = false;
    }
    return shape;
}

/* What the rule needs beyond its record; the index of its first word, 0 for nothing. */
static uint32_t add_extra(struct compiler *compiler, const struct draft *draft, struct span body,
                          bool with_pattern)
{
    uint32_t parts = (with_pattern ? EXTRA_PATTERN : 0u) | (draft->is_regex ? EXTRA_REGEX : 0u) |
                     (draft->domains.is_there ? EXTRA_DOMAINS : 0u) |
                     (draft->to.is_there ? EXTRA_TO : 0u) |
                     (draft->denyallow.is_there ? EXTRA_DENYALLOW : 0u) |
                     (draft->methods ? EXTRA_METHODS : 0u) | (draft->client.at ? EXTRA_CLIENT : 0u) |
                     (draft->address.at ? EXTRA_ADDRESS : 0u) |
                     (draft->header.at ? EXTRA_HEADER : 0u) |
                     (draft->request_header.at ? EXTRA_REQUEST_HEADER : 0u) |
                     (draft->value.size ? EXTRA_VALUE : 0u) | (draft->page_flags ? EXTRA_PAGE : 0u);
    uint32_t at = (uint32_t)compiler->extras.count;

    if (parts == 0)
        return 0;
    add_word(compiler, parts);
    if (parts & EXTRA_PATTERN)
        add_text_words(compiler, draft, body);
    if (parts & EXTRA_REGEX)
        add_word(compiler, draft->regex);
    if (parts & EXTRA_DOMAINS)
        add_set_words(compiler, &draft->domains);
    if (parts & EXTRA_TO)
        add_set_words(compiler, &draft->to);
    if (parts & EXTRA_DENYALLOW)
        add_set_words(compiler, &draft->denyallow);
    if (parts & EXTRA_METHODS)
        add_word(compiler, draft->methods);
    if (parts & EXTRA_CLIENT)
        add_text_words(compiler, draft, draft->client);
    if (parts & EXTRA_ADDRESS)
        add_text_words(compiler, draft, draft->address);
    if (parts & EXTRA_HEADER)
        add_text_words(compiler, draft, draft->header);
    if (parts & EXTRA_REQUEST_HEADER)
        add_text_words(compiler, draft, draft->request_header);
    if (parts & EXTRA_VALUE)
        add_text_words(compiler, draft, draft->value);
    if (parts & EXTRA_PAGE)
        add_word(compiler, draft->page_flags);
    return at;
}

static uint32_t flags_of(const struct draft *draft)
{
    uint32_t flags = (uint32_t)draft->modifier << RULE_MODIFIER_SHIFT;

    flags |= draft->is_exception ? RULE_EXCEPTION : 0;
    flags |= draft->is_important ? RULE_IMPORTANT : 0;
    flags |= draft->party & RULE_FIRST ? RULE_IS_FIRST : 0;
    flags |= draft->party & RULE_THIRD ? RULE_IS_THIRD : 0;
    flags |= draft->party & RULE_STRICT_FIRST ? RULE_IS_STRICT_FIRST : 0;
    flags |= draft->party & RULE_STRICT_THIRD ? RULE_IS_STRICT_THIRD : 0;
    flags |= draft->is_regex ? RULE_REGEX : 0;
    flags |= draft->is_match_case ? RULE_MATCH_CASE : 0;
    flags |= draft->is_cname ? RULE_CNAME : 0;
    flags |= draft->is_everything ? RULE_EVERYTHING : 0;
    flags |= draft->modifier == MODIFIER_REDIRECT ? RULE_REDIRECT : 0;
    if (draft->domains.is_there || draft->to.is_there || draft->denyallow.is_there ||
        draft->methods || draft->client.at || draft->address.at || draft->header.at ||
        draft->request_header.at)
        flags |= RULE_CONDITIONS;
    return flags;
}

static void add_rule(struct compiler *compiler, const struct entry *entry, bool is_last)
{
    struct draft *draft = &ITEM(compiler->drafts, struct draft, entry->draft);
    bool is_behind_host = entry->kind == ENTRY_NAME && entry->side == SIDE_HOST &&
                          whole_host(draft) > 0;
    struct shape shape = shape_of(draft, is_behind_host);
    struct image_rule rule = { .flags = flags_of(draft), .types = draft->types,
                               .number = draft->number };
    bool with_pattern = shape.is_general || shape.literal > sizeof rule.literal ||
                        draft->is_match_case;
    size_t size = shape.literal < sizeof rule.literal ? shape.literal : sizeof rule.literal;

    if (is_last)
        rule.flags |= RULE_LAST;
    if (is_behind_host) {
        rule.flags |= RULE_AT_NAME_END;
    } else {
        if (draft->anchor == ANCHOR_HOST)
            rule.flags |= RULE_AT_HOST;
        if (draft->anchor == ANCHOR_START)
            rule.flags |= RULE_AT_START;
        if (entry->kind != ENTRY_WINDOW || !entry->is_placed)
            rule.flags |= RULE_ANYWHERE;
    }
    if (draft->is_right_anchored)
        rule.flags |= RULE_AT_END;
    if (shape.has_separator)
        rule.flags |= RULE_SEPARATOR;
    if (shape.is_general)
        rule.flags |= RULE_GENERAL;
    if (shape.literal > sizeof rule.literal)
        rule.flags |= RULE_LONG;
    rule.size = (uint8_t)size;
    rule.offset = entry->offset;
    if (size)
        memcpy(rule.literal, shape.body.at, size);
    if (draft->is_match_case && !draft->is_regex) { // as written, to be compared with the URL
        struct span written = draft->text, body = shape.body;
        size_t at = span_find(keep_lower(compiler, written), draft->pattern);
        if (at < written.size)
            body = span_slice(written, at + (size_t)(body.at - draft->pattern.at), body.size);
        rule.extra = add_extra(compiler, draft, body, with_pattern);
    } else if (draft->extra && !with_pattern) {
        rule.extra = draft->extra;
    } else {
        rule.extra = add_extra(compiler, draft, shape.body, with_pattern && !draft->is_regex);
        if (!with_pattern || draft->is_regex)
            draft->extra = rule.extra;
    }
    *ADD(compiler->rules, struct image_rule) = rule;
}

/* Numbers, texts and places of all rules; 0 stays free. */
static void add_origins(struct compiler *compiler)
{
    ADD(compiler->origins, struct image_origin);
    for (size_t i = 0; i < compiler->drafts.count; i++) {
        struct draft *draft = &ITEM(compiler->drafts, struct draft, i);
        struct image_origin *origin;

        if (draft->is_dead)
            continue;
        draft->number = (uint32_t)compiler->origins.count;
        origin = ADD(compiler->origins, struct image_origin);
        origin->text = add_text(compiler, draft->text);
        origin->size = (uint32_t)draft->text.size;
        origin->place = draft->place;
    }
}

/* ---- names ---- */

/* Decides which names get a record, and where: all numbers in sets depend on it. */
static void number_names(struct compiler *compiler)
{
    uint32_t next = 1;
    size_t i = 0;
    uint32_t *marks = calloc(compiler->names.count + 1, sizeof *marks);

    if (!marks)
        abort();
    while (i < compiler->entries.count) {
        const struct entry *entry = &ITEM(compiler->entries, struct entry, i);
        if (entry->kind == ENTRY_NAME)
            marks[entry->key] |= IMAGE_NAME_MARK(entry->book, entry->side);
        i++;
    }
    for (i = 0; i < compiler->names.count; i++) {
        struct name *name = &ITEM(compiler->names, struct name, i);
        if (marks[i])
            name->is_needed = true;
        if (name->is_entity)
            for (unsigned book = 0; book < BOOKS; book++) {
                if (marks[i] & IMAGE_NAME_MARK(book, SIDE_HOST))
                    compiler->books[book].flags |= BOOK_HAS_HOST_ENTITIES;
                if (marks[i] & IMAGE_NAME_MARK(book, SIDE_SOURCE))
                    compiler->books[book].flags |= BOOK_HAS_SOURCE_ENTITIES;
            }
        else if (!memchr(name->text, '.', name->size) && (marks[i] || name->is_plain))
            compiler->image_flags |= IMAGE_HAS_SINGLE_LABELS;
        if (!name->is_needed)
            continue;
        name->record = next;
        next += 2 + (uint32_t)__builtin_popcount(marks[i]);
        for (unsigned book = 0; book < BOOKS; book++)
            if (marks[i] & IMAGE_NAME_MARK(book, SIDE_SOURCE))
                compiler->books[book].flags |= BOOK_HAS_SOURCES;
    }
    vector_add(&compiler->name_words, sizeof(uint32_t), next);
    for (i = 0; i < compiler->names.count; i++) {
        const struct name *name = &ITEM(compiler->names, struct name, i);
        if (name->record)
            ITEM(compiler->name_words, uint32_t, name->record + 1) = marks[i];
    }
    free(marks);
}

/* Puts the start of a chain into its name's record. */
static void set_chain(struct compiler *compiler, const struct entry *entry, uint32_t rule)
{
    uint32_t record = ITEM(compiler->names, struct name, entry->key).record;
    uint32_t marks = ITEM(compiler->name_words, uint32_t, record + 1);
    uint32_t mark = IMAGE_NAME_MARK(entry->book, entry->side);

    assert(marks & mark);
    ITEM(compiler->name_words, uint32_t,
         record + 2 + (uint32_t)__builtin_popcount(marks & (mark - 1))) = rule;
}

static void write_hosts(struct compiler *compiler)
{
    for (size_t i = 0; i < compiler->names.count; i++) {
        struct name *name = &ITEM(compiler->names, struct name, i);
        char *at;

        if (!name->is_plain && !name->record)
            continue;
        name->slot = (uint32_t)compiler->hosts.count;
        at = vector_add(&compiler->hosts, 1, 1u + name->size + (name->is_plain ? 4 : 0));
        *at = (char)name->size;
        memcpy(at + 1, name->text, name->size);
        if (name->is_plain)
            memcpy(at + 1 + name->size, &name->place, 4);
        if (!name->record)
            continue;
        ITEM(compiler->name_words, uint32_t, name->record) = name->slot;
        if (name->is_plain)
            ITEM(compiler->name_words, uint32_t, name->record + 1) |= IMAGE_NAME_PLAIN;
        name->slot = name->record | IMAGE_SLOT_NAME;
    }
}

/* Distributes the names over the buckets. False when one came too far from its own. */
static bool write_buckets(struct compiler *compiler, size_t count)
{
    size_t buckets = count / 23 + 1;

    compiler->buckets.count = compiler->slots.count = 0;
    vector_add(&compiler->buckets, sizeof(struct image_bucket), buckets);
    vector_add(&compiler->slots, sizeof(uint32_t), buckets * IMAGE_BUCKET_SLOTS);
    for (size_t i = 0; i < compiler->names.count; i++) {
        struct name *name = &ITEM(compiler->names, struct name, i);
        uint32_t at = image_bucket_of(name->hash, (uint32_t)buckets);
        unsigned walk = 0;

        if (!name->is_plain && !name->record)
            continue;
        for (;; walk++) {
            struct image_bucket *bucket = &ITEM(compiler->buckets, struct image_bucket, at);
            unsigned slot = 0;

            while (slot < IMAGE_BUCKET_SLOTS && bucket->prints[slot])
                slot++;
            if (slot < IMAGE_BUCKET_SLOTS) {
                bucket->prints[slot] = image_print(name->hash);
                ITEM(compiler->slots, uint32_t, at * IMAGE_BUCKET_SLOTS + slot) = name->slot;
                break;
            }
            if (walk == IMAGE_BUCKET_WALK)
                return false;
            bucket->prints[IMAGE_BUCKET_SLOTS] = 1;
            at = at + 1 == buckets ? 0 : at + 1;
        }
    }
    return true;
}

static bool write_names(struct compiler *compiler)
{
    size_t count = 0;

    write_hosts(compiler);
    for (size_t i = 0; i < compiler->names.count; i++)
        count += ITEM(compiler->names, struct name, i).slot != 0 ||
                 ITEM(compiler->names, struct name, i).is_plain;
    for (unsigned try = 0; try < SEEDS; try++) {
        if (write_buckets(compiler, count))
            return true;
        compiler->seed = compiler->seed * IMAGE_HASH_FACTOR + 1;
        for (size_t i = 0; i < compiler->names.count; i++) {
            struct name *name = &ITEM(compiler->names, struct name, i);
            name->hash = hash_name(name_seed(compiler, name->is_entity), name->text, name->size);
        }
    }
    return false;
}

/* ---- windows ---- */

struct window_key {
    uint64_t window;
    uint32_t rule;
};

static bool write_windows_of_book(struct compiler *compiler, struct image_book *book,
                                  const struct window_key *keys, size_t count)
{
    unsigned bits = 4;
    size_t filter_size = sizeof(uint64_t) << IMAGE_FILTER_BITS;

    while (((size_t)1 << bits) < count * 2)
        bits++;
    for (; bits < 28; bits++) {
        size_t table_size = sizeof(struct image_window) << bits, at = compiler->windows.count;
        uint64_t *filter;
        struct image_window *table;
        size_t mask = ((size_t)1 << bits) - 1, i;

        vector_add(&compiler->windows, 1, filter_size + table_size);
        filter = (uint64_t *)(void *)(compiler->windows.at + at);
        table = (struct image_window *)(void *)(compiler->windows.at + at + filter_size);
        for (i = 0; i < count; i++) {
            uint64_t window = keys[i].window, hash = image_window_hash(window);
            bool is_long = window >> 56;
            uint64_t bytes = is_long ? window << 8 : window;
            size_t slot = hash & mask, probes = 0;

            filter[image_filter_word(bytes)] |=
                1ull << (is_long ? image_filter_long(bytes) : image_filter_short(bytes));
            while (table[slot].rule && probes < IMAGE_WINDOW_PROBES) {
                slot = (slot + 1) & mask;
                probes++;
            }
            if (probes == IMAGE_WINDOW_PROBES)
                break;
            table[slot].check = (uint32_t)(hash >> 32);
            table[slot].rule = keys[i].rule;
        }
        if (i == count) {
            book->filter_at = (uint32_t)at;
            book->table_at = (uint32_t)(at + filter_size);
            book->table_bits = bits;
            return true;
        }
        compiler->windows.count = at;
    }
    return false;
}

/* ---- public suffixes ---- */

static void add_suffix(struct compiler *compiler, uint32_t *table, size_t mask, struct span name,
                       uint8_t kind)
{
    uint64_t hash = hash_name(compiler->seed, name.at, name.size);
    size_t slot = hash & mask, at;
    char *bytes;

    while (table[slot]) {
        const char *old = compiler->suffix_bytes.at + (table[slot] & IMAGE_SUFFIX_OFFSET);
        if ((uint8_t)old[0] == name.size && memcmp(old + 2, name.at, name.size) == 0) {
            compiler->suffix_bytes.at[(table[slot] & IMAGE_SUFFIX_OFFSET) + 1] |= (char)kind;
            return;
        }
        slot = (slot + 1) & mask;
    }
    at = compiler->suffix_bytes.count;
    if (at + name.size + 2 > IMAGE_SUFFIX_OFFSET)
        return;
    bytes = vector_add(&compiler->suffix_bytes, 1, name.size + 2);
    bytes[0] = (char)name.size;
    bytes[1] = (char)kind;
    memcpy(bytes + 2, name.at, name.size);
    table[slot] = (uint32_t)at | (uint32_t)(hash >> 52) << 20;
}

/* Names with one label are left out: a host's last label is a suffix anyway. */
static void write_suffixes(struct compiler *compiler, struct vector *out)
{
    struct span rest = compiler->suffixes;
    size_t lines = 0;
    uint32_t *table;

    for (size_t i = 0; i < rest.size; i++)
        lines += rest.at[i] == '\n';
    compiler->suffix_bits = 6;
    while (((size_t)1 << compiler->suffix_bits) < lines)
        compiler->suffix_bits++;
    table = calloc((size_t)1 << compiler->suffix_bits, sizeof *table);
    if (!table)
        abort();
    vector_add(&compiler->suffix_bytes, 1, 1); // offset 0 is nobody's
    while (rest.size) {
        size_t end = span_find_byte(rest, '\n');
        struct span line = span_trim(span_slice(rest, 0, end));
        uint8_t kind = SUFFIX_NORMAL;

        rest = span_from(rest, end + (end < rest.size));
        line.size = span_find_byte(line, ' ');
        if (line.size == 0 || span_starts(line, SPAN("//")))
            continue;
        if (line.at[0] == '!') {
            kind = SUFFIX_EXCEPTION;
            line = span_from(line, 1);
        } else if (span_starts(line, SPAN("*."))) {
            kind = SUFFIX_WILD;
            line = span_from(line, 2);
        }
        line = clean_host(compiler, line);
        if (!line.at || (kind == SUFFIX_NORMAL && span_find_byte(line, '.') == line.size))
            continue;
        add_suffix(compiler, table, ((size_t)1 << compiler->suffix_bits) - 1, line, kind);
    }
    out->count = 0;
    memcpy(vector_add(out, 1, sizeof *table << compiler->suffix_bits), table,
           sizeof *table << compiler->suffix_bits);
    memcpy(vector_add(out, 1, compiler->suffix_bytes.count), compiler->suffix_bytes.at,
           compiler->suffix_bytes.count);
    free(table);
}

/* ---- all together ---- */

static bool write_rules(struct compiler *compiler, struct compile_counts *counts)
{
    struct vector keys = { 0 };
    struct entry *entries;
    size_t i = 0;
    bool is_good = true;

    ADD(compiler->rules, struct image_rule)->flags = RULE_LAST; // 0 is none
    add_word(compiler, 0);
    entries = (struct entry *)(void *)compiler->entries.at;
    for (unsigned book = 0; book < BOOKS; book++)
        compiler->books[book].loose = 0;
    while (i < compiler->entries.count) {
        size_t end = i + 1;
        uint32_t first = (uint32_t)compiler->rules.count;

        while (end < compiler->entries.count && same_chain(&entries[i], &entries[end]))
            end++;
        for (size_t k = i; k < end; k++)
            add_rule(compiler, &entries[k], k + 1 == end);
        switch ((enum entry_kind)entries[i].kind) {
        case ENTRY_NAME:
            set_chain(compiler, &entries[i], first);
            *(entries[i].side == SIDE_HOST ? &counts->by_host : &counts->by_source) +=
                (uint32_t)(end - i);
            break;
        case ENTRY_WINDOW:
            *ADD(keys, struct window_key) =
                (struct window_key){ .window = entries[i].key, .rule = first };
            counts->by_window += (uint32_t)(end - i);
            break;
        case ENTRY_LOOSE:
            compiler->books[entries[i].book].loose = first;
            counts->loose += (uint32_t)(end - i);
            break;
        }
        // windows of one book stand together: write them when the book ends
        if (entries[i].kind == ENTRY_WINDOW &&
            (end == compiler->entries.count || entries[end].kind != ENTRY_WINDOW ||
             entries[end].book != entries[i].book)) {
            is_good = is_good && write_windows_of_book(compiler, &compiler->books[entries[i].book],
                                                       (struct window_key *)(void *)keys.at,
                                                       keys.count);
            keys.count = 0;
        }
        i = end;
    }
    for (unsigned book = 0; book < BOOKS && is_good; book++)
        if (compiler->books[book].table_bits == 0)
            is_good = write_windows_of_book(compiler, &compiler->books[book], NULL, 0);
    free(keys.at);
    return is_good;
}

static void add_section(struct image_header *header, char *image, size_t *size,
                        enum image_section section, const struct vector *from, size_t item_size)
{
    size_t bytes = from->count * item_size;

    header->sections[section].at = (uint32_t)*size;
    header->sections[section].size = (uint32_t)bytes;
    if (image && bytes)
        memcpy(image + *size, from->at, bytes);
    *size += bytes;
    *size = (*size + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;
}

static size_t add_sections(struct compiler *compiler, struct image_header *header, char *image,
                           const struct vector *suffixes, const struct vector *lists)
{
    size_t size = (sizeof *header + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;

    add_section(header, image, &size, SECTION_BUCKETS, &compiler->buckets,
                sizeof(struct image_bucket));
    add_section(header, image, &size, SECTION_SLOTS, &compiler->slots, 4);
    add_section(header, image, &size, SECTION_HOSTS, &compiler->hosts, 1);
    add_section(header, image, &size, SECTION_NAMES, &compiler->name_words, 4);
    add_section(header, image, &size, SECTION_RULES, &compiler->rules, sizeof(struct image_rule));
    add_section(header, image, &size, SECTION_EXTRAS, &compiler->extras, 4);
    add_section(header, image, &size, SECTION_WINDOWS, &compiler->windows, 1);
    add_section(header, image, &size, SECTION_ORIGINS, &compiler->origins,
                sizeof(struct image_origin));
    add_section(header, image, &size, SECTION_REGEXES, &compiler->regexes,
                sizeof(struct image_regex));
    add_section(header, image, &size, SECTION_SUFFIXES, suffixes, 1);
    add_section(header, image, &size, SECTION_LISTS, lists, 4);
    add_section(header, image, &size, SECTION_TEXT, &compiler->text, 1);
    return size;
}

static void count_rules(const struct compiler *compiler, struct compile_counts *counts)
{
    for (size_t i = 0; i < compiler->names.count; i++)
        counts->plain_hosts += ITEM(compiler->names, struct name, i).is_plain;
    counts->rules = (uint32_t)compiler->origins.count - 1;
    counts->repeated = compiler->repeated;
    counts->negated = compiler->negated;
}

enum error_kind compiler_finish(struct compiler *compiler, struct span *image,
                                struct compile_counts *counts, struct error *error)
{
    struct image_header header = { .magic = IMAGE_MAGIC, .version = IMAGE_VERSION,
                                   .order = IMAGE_ORDER };
    struct vector suffixes = { 0 }, lists = { 0 };
    enum error_kind kind = ERROR_NONE;
    size_t size;

    assert(!compiler->image);
    *counts = (struct compile_counts){ 0 };
    drop_negated(compiler);
    place_all(compiler);
    if (compiler->entries.count)
        qsort(compiler->entries.at, compiler->entries.count, sizeof(struct entry), compare_entries);
    *ADD(compiler->hosts, char) = 0; // offset 0 is nobody's
    number_names(compiler);
    add_origins(compiler);
    if (!write_rules(compiler, counts) || !write_names(compiler)) {
        kind = error_set(error, ERROR_LIMIT, "the rules do not fit into a database");
        goto done;
    }
    write_suffixes(compiler, &suffixes);
    for (size_t i = 0; i < compiler->lists.count; i++) {
        struct span name = ITEM(compiler->lists, struct span, i);
        uint32_t *words = vector_add(&lists, 4, 2);
        words[0] = add_text(compiler, name);
        words[1] = (uint32_t)name.size;
    }
    count_rules(compiler, counts);
    memcpy(header.books, compiler->books, sizeof header.books);
    header.seed = compiler->seed;
    header.flags = compiler->image_flags;
    header.bucket_count = (uint32_t)compiler->buckets.count;
    header.suffix_bits = compiler->suffix_bits;
    header.rule_total = counts->plain_hosts + counts->rules;
    size = add_sections(compiler, &header, NULL, &suffixes, &lists);
    if (size > IMAGE_LIMIT || compiler->rules.count > UINT32_MAX / 2) {
        kind = error_set(error, ERROR_LIMIT, "the database would have %zu bytes", size);
        goto done;
    }
    compiler->image = aligned_alloc(IMAGE_ALIGN, size);
    if (!compiler->image)
        abort();
    memset(compiler->image, 0, size);
    add_sections(compiler, &header, compiler->image, &suffixes, &lists);
    header.size = size;
    header.generation = XXH3_64bits(compiler->image + sizeof header, size - sizeof header);
    memcpy(compiler->image, &header, sizeof header);
    header.checksum = XXH3_64bits(compiler->image + offsetof(struct image_header, seed),
                                  size - offsetof(struct image_header, seed));
    memcpy(compiler->image, &header, sizeof header);
    *image = span_of(compiler->image, size);
done:
    free(suffixes.at);
    free(lists.at);
    return kind;
}
