#include "proxy/page_rules.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#include "filter/regex.h"
#include "filter/vector.h"

#define HIDDEN SPAN("{display:none!important}\n")

struct body { // a generic rule by what it says
    uint64_t hash;
    uint32_t id; // in generics, or in page_only with PAGE_ONLY
};
enum { PAGE_ONLY = 1u << 31 };

struct late { // a generic rule by a name that its elements have
    uint32_t name;
    rule_number number;
    uint32_t id; // as in struct body; of those that are not in the set UINT32_MAX
};

struct expression { // compiled at its first use
    rule_number number;
    uint8_t test;
    struct regex_cache *cache;
};

struct page_rules {
    unsigned references;
    struct database *database;
    bool is_ready; // the generic ones
    bool hides;    // some of `generics` are of PAGE_HIDE
    struct selector_set *generic;
    struct vector generics;    // struct page_rule
    struct vector page_only;   // struct page_rule: generic ones that CSS in the page must decide
    struct vector bodies;      // struct body, by hash
    struct vector off;         // uint64_t: bodies of generic exceptions, ascending
    struct vector late;        // struct late, by name; 0: no class or id
    struct vector expressions; // struct expression
    struct page_sheet *sheets[PAGE_SHEETS];
    uint64_t clock;
    struct cosmetic_found found[COSMETIC_FOUND_LIMIT];
    struct rule_view view;
    struct cosmetic_parts parts;
};

struct page_rules *page_rules_new(struct database *database)
{
    struct page_rules *rules = calloc(1, sizeof *rules);

    if (!rules)
        abort(); // out of memory ends the worker; the master starts another
    rules->references = 1;
    rules->database = database_ref(database);
    return rules;
}

static void free_rules(struct page_rules *rules)
{
    for (size_t i = 0; i < rules->expressions.count; i++)
        regex_cache_free(&VECTOR_AT(rules->expressions, struct expression, i).cache);
    selector_set_free(&rules->generic);
    vector_done(&rules->generics);
    vector_done(&rules->page_only);
    vector_done(&rules->bodies);
    vector_done(&rules->off);
    vector_done(&rules->late);
    vector_done(&rules->expressions);
    database_unref(&rules->database);
    free(rules);
}

static void release(struct page_rules *rules)
{
    if (--rules->references == 0)
        free_rules(rules);
}

void page_rules_unref(struct page_rules **rules)
{
    struct page_rules *gone = *rules;

    *rules = NULL;
    if (!gone)
        return;
    gone->references++; // the sheets let go of it too
    for (size_t i = 0; i < PAGE_SHEETS; i++)
        if (gone->sheets[i])
            page_sheet_unref(&gone->sheets[i]);
    gone->references--;
    release(gone);
}

struct database *page_rules_database(const struct page_rules *rules)
{
    return rules->database;
}

void page_sheet_unref(struct page_sheet **sheet)
{
    struct page_sheet *gone = *sheet;

    *sheet = NULL;
    if (!gone || --gone->references > 0)
        return;
    selector_set_free(&gone->set);
    free(gone->rules);
    free(gone->excluded);
    free(gone->host);
    buffer_release(&gone->style);
    release(gone->owner);
    free(gone);
}

/* ---- texts ---- */

/* Takes a rule's text apart; the parts point into rules->view. */
static bool read_rule(struct page_rules *rules, rule_number number, struct rule *rule)
{
    if (!database_rule(rules->database, number, &rules->view) || rules->view.is_cut)
        return false;
    rule_parse(rule, rules->view.text);
    return rule->kind == RULE_COSMETIC && cosmetic_parse(&rules->parts, rule);
}

static uint64_t body_hash(const struct rule *rule)
{
    // "##.ad" and "#?#.ad" say the same, "##^.ad" has its own mark
    return XXH3_64bits_withSeed(rule->body.at, rule->body.size, rule->cosmetic == COSMETIC_STYLE);
}

/* One character of UTF-8, or a byte that is none. */
static uint32_t next_character(struct span *text)
{
    unsigned char first = (unsigned char)text->at[0];
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    uint32_t character = first;

    if (size > text->size)
        size = 1;
    for (size_t i = 1; i < size; i++)
        if ((text->at[i] & 0xc0) != 0x80)
            size = 1;
    if (size > 1) {
        character = first & (0x7fu >> size);
        for (size_t i = 1; i < size; i++)
            character = character << 6 | ((unsigned char)text->at[i] & 0x3f);
    }
    *text = span_from(*text, size);
    return character;
}

bool page_write_selector(struct buffer *to, struct span selector)
{
    bool fits = true;

    while (selector.size && fits) {
        const char *at = selector.at;
        uint32_t character = next_character(&selector);

        if (character == '<' || character >= 0x7f || character < 0x20)
            fits = buffer_printf(to, "\\%x ", character);
        else
            fits = buffer_append(to, span_of(at, 1));
    }
    return fits;
}

/* A whole rule, or nothing of it. */
static bool write_style(struct buffer *to, struct span selector, struct span style)
{
    size_t before = to->size;
    bool fits = page_write_selector(to, selector);

    if (style.at)
        fits = fits && buffer_append(to, SPAN("{")) && page_write_selector(to, style) &&
               buffer_append(to, SPAN("}\n"));
    else
        fits = fits && buffer_append(to, HIDDEN);
    if (!fits)
        to->size = before;
    return fits;
}

/* ---- one rule ---- */

/* Where a rule goes. False: nothing is made of it here. */
static bool add_rule(struct page_rules *rules, rule_number number, struct selector_set *set,
                     struct vector *into, struct buffer *style, enum selector_kind *kind)
{
    const struct cosmetic_parts *parts = &rules->parts;
    struct page_rule made = { .number = number, .action = PAGE_HIDE };
    bool is_streamed = parts->effect != COSMETIC_STYLES;
    size_t before;

    if (parts->effect == COSMETIC_REMOVES)
        made.action = parts->test_count || parts->least_bytes || parts->most_bytes != SIZE_MAX
                          ? PAGE_INSPECT
                          : PAGE_REMOVE;
    if (is_streamed) {
        before = selector_set_count(set);
        *kind = selector_set_add(set, parts->selector, (uint32_t)into->count, NULL);
        is_streamed = selector_set_count(set) > before;
    } else {
        *kind = selector_classify(parts->selector);
    }
    if (*kind == SELECTOR_INVALID || *kind == SELECTOR_PROCEDURAL)
        return false;
    if (style && parts->effect != COSMETIC_REMOVES)
        made.is_in_style = write_style(style, parts->selector,
                                       parts->effect == COSMETIC_STYLES ? parts->style : SPAN_NONE);
    if (is_streamed)
        *VECTOR_ADD(*into, struct page_rule) = made;
    return is_streamed || made.is_in_style || !style;
}

/* ---- generic rules ---- */

/* The class or id that the selected element has for certain, as ".name" or "#name"; else one that
 * an element before it has; else an empty span. */
static struct span leading_name(struct span selector)
{
    struct span best = SPAN_NONE;
    size_t depth = 0;
    bool is_new = true; // a compound has begun
    char quote = 0;

    for (size_t i = 0; i < selector.size; i++) {
        char c = selector.at[i];
        size_t end = i + 1;

        if (quote) {
            quote = c == quote ? 0 : quote;
        } else if (c == '\\') {
            i++;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '[' || c == '(') {
            depth++;
        } else if ((c == ']' || c == ')') && depth) {
            depth--;
        } else if (depth == 0 && (c == ' ' || c == '>' || c == '+' || c == '~')) {
            is_new = true;
        } else if (depth == 0 && (c == '.' || c == '#')) {
            while (end < selector.size && !memchr(" .#:[>+~,()\\", selector.at[end], 12))
                end++;
            if (end < selector.size && selector.at[end] == '\\')
                continue; // not worth unescaping
            if (is_new)
                best = span_slice(selector, i, end - i);
            is_new = false;
            i = end - 1;
        }
    }
    return best;
}

static struct span next_alternative(struct span *selector)
{
    size_t depth = 0, end = 0;
    char quote = 0;
    struct span first;

    for (; end < selector->size; end++) {
        char c = selector->at[end];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '\\')
            end++;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '[' || c == '(')
            depth++;
        else if ((c == ']' || c == ')') && depth)
            depth--;
        else if (c == ',' && depth == 0)
            break;
    }
    if (end > selector->size)
        end = selector->size;
    first = span_trim(span_slice(*selector, 0, end));
    *selector = span_from(*selector, end + (end < selector->size));
    return first;
}

uint32_t page_rules_late_name(struct span name)
{
    uint32_t hash = 0x811c9dc5;

    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ (unsigned char)name.at[i]) * 16777619u;
    return hash ? hash : 1;
}

static void add_late(struct page_rules *rules, rule_number number, uint32_t id)
{
    struct span left = rules->parts.selector;

    while (left.size) {
        struct span name = leading_name(next_alternative(&left));
        *VECTOR_ADD(rules->late, struct late) = (struct late){
            .name = name.size ? page_rules_late_name(name) : 0, .number = number, .id = id
        };
    }
}

static int compare_late(const void *a, const void *b)
{
    const struct late *one = a, *other = b;

    if (one->name != other->name)
        return one->name < other->name ? -1 : 1;
    return one->number < other->number ? -1 : one->number > other->number;
}

static int compare_bodies(const void *a, const void *b)
{
    const struct body *one = a, *other = b;

    if (one->hash != other->hash)
        return one->hash < other->hash ? -1 : 1;
    return one->id < other->id ? -1 : one->id > other->id;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return one < other ? -1 : one > other;
}

static bool is_off(const struct page_rules *rules, uint64_t hash)
{
    return rules->off.count &&
           bsearch(&hash, rules->off.at, rules->off.count, sizeof hash, compare_hashes);
}

static void sort(struct vector *vector, size_t size, int (*compare)(const void *, const void *))
{
    if (vector->count)
        qsort(vector->at, vector->count, size, compare);
}

static void add_generic(struct page_rules *rules, rule_number number)
{
    enum selector_kind kind;
    struct rule rule;
    uint64_t hash;
    uint32_t id = (uint32_t)rules->generics.count;
    size_t before = rules->generics.count;

    if (!read_rule(rules, number, &rule))
        return;
    hash = body_hash(&rule);
    if (is_off(rules, hash) ||
        !add_rule(rules, number, rules->generic, &rules->generics, NULL, &kind))
        return;
    rules->hides =
        rules->hides || (rules->generics.count > before && rules->parts.effect == COSMETIC_HIDES);
    if (rules->generics.count == before || kind == SELECTOR_FOR_PAGE) {
        if (rules->parts.effect == COSMETIC_REMOVES)
            return;
        if (rules->generics.count > before)
            *VECTOR_ADD(rules->bodies, struct body) = (struct body){ hash, id };
        id = (uint32_t)rules->page_only.count | PAGE_ONLY;
        *VECTOR_ADD(rules->page_only, struct page_rule) = (struct page_rule){ .number = number };
    } else if (rules->parts.effect == COSMETIC_HIDES) {
        add_late(rules, number, id);
    }
    *VECTOR_ADD(rules->bodies, struct body) = (struct body){ hash, id };
}

static void make_ready(struct page_rules *rules)
{
    struct cosmetic_walk offs = { 0 }, ons = { 0 };
    struct cosmetic_found found;
    struct rule rule;

    if (rules->is_ready)
        return;
    rules->is_ready = true;
    rules->generic = selector_set_new();
    while (cosmetic_next_generic(rules->database, &offs, &found))
        if (found.is_exception && read_rule(rules, found.rule, &rule))
            *VECTOR_ADD(rules->off, uint64_t) = body_hash(&rule);
    sort(&rules->off, sizeof(uint64_t), compare_hashes);
    while (cosmetic_next_generic(rules->database, &ons, &found))
        if (!found.is_exception)
            add_generic(rules, found.rule);
    selector_set_finish(rules->generic);
    sort(&rules->bodies, sizeof(struct body), compare_bodies);
    sort(&rules->late, sizeof(struct late), compare_late);
}

const struct selector_set *page_rules_generics(struct page_rules *rules)
{
    make_ready(rules);
    return rules->generic;
}

const struct page_rule *page_rules_generic(const struct page_rules *rules, uint32_t id)
{
    assert(id < rules->generics.count);
    return &VECTOR_AT(rules->generics, struct page_rule, id);
}

/* ---- the rules of a host ---- */

struct making { // of a sheet
    struct page_rules *rules;
    struct page_sheet *sheet;
    size_t found_count;
    struct vector off;      // uint64_t: bodies of exceptions, ascending
    struct vector excluded; // uint32_t
    struct vector made;     // struct page_rule
};

/* The generic rules of a body do not hold here. */
static void exclude(struct making *making, uint64_t hash)
{
    const struct page_rules *rules = making->rules;
    size_t low = 0, high = rules->bodies.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (VECTOR_AT(rules->bodies, struct body, middle).hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rules->bodies.count && VECTOR_AT(rules->bodies, struct body, low).hash == hash;
         low++)
        *VECTOR_ADD(making->excluded, uint32_t) = VECTOR_AT(rules->bodies, struct body, low).id;
}

/* Only the one generic rule of that number. */
static void exclude_number(struct making *making, rule_number number)
{
    const struct page_rules *rules = making->rules;

    for (uint32_t i = 0; i < rules->generics.count; i++)
        if (VECTOR_AT(rules->generics, struct page_rule, i).number == number)
            *VECTOR_ADD(making->excluded, uint32_t) = i;
    for (uint32_t i = 0; i < rules->page_only.count; i++)
        if (VECTOR_AT(rules->page_only, struct page_rule, i).number == number)
            *VECTOR_ADD(making->excluded, uint32_t) = i | PAGE_ONLY;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return one < other ? -1 : one > other;
}

static void take_exceptions(struct making *making)
{
    struct page_rules *rules = making->rules;
    struct rule rule;

    for (size_t i = 0; i < making->found_count; i++) {
        const struct cosmetic_found *found = &rules->found[i];
        uint64_t hash;

        if (found->is_not && !found->is_exception && making->sheet->has_generics)
            exclude_number(making, found->rule);
        if (found->is_not || !found->is_exception || !read_rule(rules, found->rule, &rule))
            continue;
        hash = body_hash(&rule);
        *VECTOR_ADD(making->off, uint64_t) = hash;
        if (making->sheet->has_generics)
            exclude(making, hash);
    }
    sort(&making->off, sizeof(uint64_t), compare_hashes);
    sort(&making->excluded, sizeof(uint32_t), compare_ids);
}

/* Those of the host itself. Element hiding may be off while HTML filters are not. */
static void take_rules(struct making *making)
{
    struct page_rules *rules = making->rules;
    struct page_sheet *sheet = making->sheet;
    bool hides = !(sheet->flags & (PAGE_ELEMHIDE | PAGE_SPECIFICHIDE));
    enum selector_kind kind;
    struct rule rule;

    for (size_t i = 0; i < making->found_count; i++) {
        const struct cosmetic_found *found = &rules->found[i];
        uint64_t hash;

        if (found->is_not || found->is_exception || !read_rule(rules, found->rule, &rule) ||
            (!hides && !rules->parts.is_html))
            continue;
        hash = body_hash(&rule);
        if (is_off(rules, hash) ||
            (making->off.count &&
             bsearch(&hash, making->off.at, making->off.count, sizeof hash, compare_hashes)))
            continue;
        if (!add_rule(rules, found->rule, sheet->set, &making->made, &sheet->style, &kind))
            sheet->not_done++;
    }
}

/* Generic selectors that CSS in the page must decide. */
static void write_page_only(struct making *making)
{
    struct page_rules *rules = making->rules;
    struct rule rule;

    for (uint32_t i = 0; i < rules->page_only.count; i++) {
        if (page_sheet_excludes(making->sheet, i | PAGE_ONLY) ||
            !read_rule(rules, VECTOR_AT(rules->page_only, struct page_rule, i).number, &rule))
            continue;
        write_style(&making->sheet->style, rules->parts.selector,
                    rules->parts.effect == COSMETIC_STYLES ? rules->parts.style : SPAN_NONE);
    }
}

static struct page_sheet *make_sheet(struct page_rules *rules, struct span host, unsigned flags)
{
    struct page_sheet *sheet = calloc(1, sizeof *sheet);
    struct making making = { .rules = rules, .sheet = sheet };

    if (!sheet)
        abort();
    sheet->references = 1;
    sheet->owner = rules;
    rules->references++;
    sheet->flags = flags;
    sheet->style.limit_bytes = PAGE_STYLE_BYTES;
    sheet->host = malloc(host.size + 1);
    if (!sheet->host)
        abort();
    memcpy(sheet->host, host.at, host.size);
    sheet->host[host.size] = 0;
    make_ready(rules);
    sheet->has_generics = !(flags & (PAGE_ELEMHIDE | PAGE_GENERICHIDE)) &&
                          rules->generics.count + rules->page_only.count > 0;
    sheet->has_late = sheet->has_generics && rules->late.count > 0;
    sheet->hides_alone = sheet->has_generics && rules->hides;
    making.found_count = cosmetic_select(rules->database, host, rules->found, COSMETIC_FOUND_LIMIT);
    take_exceptions(&making);
    sheet->excluded = making.excluded.at;
    sheet->excluded_count = making.excluded.count;
    sheet->set = selector_set_new();
    take_rules(&making);
    if (sheet->has_generics)
        write_page_only(&making);
    sheet->rules = making.made.at;
    sheet->rule_count = making.made.count;
    for (size_t i = 0; i < sheet->rule_count; i++)
        if (sheet->rules[i].action == PAGE_HIDE)
            *(sheet->rules[i].is_in_style ? &sheet->hides_in_style : &sheet->hides_alone) = true;
    if (sheet->rule_count)
        selector_set_finish(sheet->set);
    else
        selector_set_free(&sheet->set);
    vector_done(&making.off);
    return sheet;
}

static bool is_for(const struct page_sheet *sheet, struct span host, unsigned flags)
{
    return sheet && sheet->flags == flags && span_equal(span_text(sheet->host), host);
}

struct page_sheet *page_rules_sheet(struct page_rules *rules, struct span host, unsigned flags)
{
    size_t oldest = 0;

    flags &= PAGE_ELEMHIDE | PAGE_GENERICHIDE | PAGE_SPECIFICHIDE;
    for (size_t i = 0; i < PAGE_SHEETS; i++) {
        if (is_for(rules->sheets[i], host, flags)) {
            oldest = i;
            break;
        }
        if (!rules->sheets[i] ||
            (rules->sheets[oldest] && rules->sheets[i]->used < rules->sheets[oldest]->used))
            oldest = i;
    }
    if (!is_for(rules->sheets[oldest], host, flags)) {
        page_sheet_unref(&rules->sheets[oldest]);
        rules->sheets[oldest] = make_sheet(rules, host, flags);
    }
    rules->sheets[oldest]->used = ++rules->clock;
    if (!rules->sheets[oldest]->set && !rules->sheets[oldest]->has_generics &&
        !rules->sheets[oldest]->style.size)
        return NULL;
    rules->sheets[oldest]->references++;
    return rules->sheets[oldest];
}

bool page_sheet_excludes(const struct page_sheet *sheet, uint32_t generic_id)
{
    return sheet->excluded_count && bsearch(&generic_id, sheet->excluded, sheet->excluded_count,
                                            sizeof generic_id, compare_ids);
}

bool page_rules_selector(struct page_rules *rules, rule_number number, struct buffer *to)
{
    struct rule rule;

    return read_rule(rules, number, &rule) && page_write_selector(to, rules->parts.selector);
}

/* ---- texts of elements ---- */

static struct regex_cache *expression_of(struct page_rules *rules, rule_number number, size_t test)
{
    struct expression *expression;

    for (size_t i = 0; i < rules->expressions.count; i++) {
        expression = &VECTOR_AT(rules->expressions, struct expression, i);
        if (expression->number == number && expression->test == test)
            return expression->cache;
    }
    expression = VECTOR_ADD(rules->expressions, struct expression);
    *expression = (struct expression){ number, (uint8_t)test, regex_cache_new(1) };
    return expression->cache;
}

bool page_rules_test(struct page_rules *rules, rule_number number, struct span text, bool is_whole)
{
    const struct cosmetic_parts *parts = &rules->parts;
    struct rule rule;

    if (!read_rule(rules, number, &rule) || text.size < parts->least_bytes ||
        text.size > parts->most_bytes || (!is_whole && parts->most_bytes != SIZE_MAX))
        return false;
    for (size_t i = 0; i < parts->test_count; i++) {
        const struct cosmetic_test *test = &parts->tests[i];
        bool passes = false;

        switch (test->kind) {
        case COSMETIC_HAS_TEXT:
            passes = span_find(text, test->text) < text.size;
            break;
        case COSMETIC_HAS_REGEX:
            passes = regex_find(expression_of(rules, number, i), 0, test->text,
                                test->flags | REGEX_WATCHED, text);
            break;
        case COSMETIC_IS_LIKE:
            passes = is_whole && span_matches_wildcard(text, test->text);
            break;
        }
        if (!passes)
            return false;
    }
    return true;
}

/* ---- elements that come later ---- */

static bool write_late(struct page_rules *rules, const struct page_sheet *sheet, uint32_t name,
                       struct buffer *to)
{
    size_t low = 0, high = rules->late.count;
    rule_number last = 0;
    struct rule rule;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (VECTOR_AT(rules->late, struct late, middle).name < name)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rules->late.count; low++) {
        const struct late *late = &VECTOR_AT(rules->late, struct late, low);
        if (late->name != name)
            break;
        if (late->number == last || page_sheet_excludes(sheet, late->id) ||
            !read_rule(rules, late->number, &rule))
            continue;
        last = late->number;
        if (!write_style(to, rules->parts.selector, SPAN_NONE))
            return false;
    }
    return true;
}

static bool read_base36(struct span text, uint32_t *number)
{
    uint64_t value = 0;

    if (text.size == 0 || text.size > 7)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];
        if (c >= '0' && c <= '9')
            value = value * 36 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'z')
            value = value * 36 + (uint64_t)(c - 'a') + 10;
        else
            return false;
    }
    *number = (uint32_t)value;
    return value <= UINT32_MAX;
}

bool page_rules_late(struct page_rules *rules, const struct page_sheet *sheet, struct span names,
                     bool wants_all, struct buffer *to)
{
    size_t count = 0;
    uint32_t name;

    if (!sheet->has_generics)
        return true;
    if (wants_all && !write_late(rules, sheet, 0, to))
        return false;
    while (names.size && count++ < PAGE_LATE_NAMES) {
        size_t end = span_find_byte(names, '.');
        if (!read_base36(span_slice(names, 0, end), &name) || name == 0)
            return false;
        if (!write_late(rules, sheet, name, to))
            return false;
        names = span_from(names, end + (end < names.size));
    }
    return true;
}
