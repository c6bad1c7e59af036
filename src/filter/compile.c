#include "filter/compile.h"

#include <assert.h>
#include <stddef.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/url.h"
#include "filter/cosmetic.h"
#include "filter/cosmetic_index.h"
#include "filter/image.h"
#include "filter/known.h"
#include "filter/lines.h"
#include "filter/names.h"
#include "filter/regex.h"
#include "filter/values.h"
#include "filter/window.h"
#include "filter/window_table.h"

enum {
    POPULAR_HOST = 8,      // rules of one host and book from which on windows are tried first
    SOURCE_LIMIT = 1024,   // names of one rule that it may be entered under
    PATTERN_LIMIT = 16384, // bytes of a pattern
    LITERAL = 16,          // bytes of a pattern in its record
    BADFILTERS = 64,       // that take domains from one rule
};

/* ---- what is collected ---- */

struct item {        // of a set of domains
    uint32_t number; // of a name or a regular expression
    bool is_not, is_regex;
};

struct set {
    uint32_t first, count; // in compiler.items
    uint32_t words;        // index in SETS, when written
    bool is_there, has_with, has_entities, has_regexes, has_singles, is_for_keys;
};

struct draft {                 // a rule that is not a plain host
    struct span text, pattern; // the pattern in lower case; a regular expression as written
    struct span written;       // the pattern as written
    struct span client, address, header, request_header, value;
    struct set domains, to, denyallow;
    XXH128_hash_t identity;
    XXH128_hash_t rest; // its identity but for `domains`, when it has such
    uint32_t place, number, regex, once;
    uint32_t page_flags;
    uint16_t types, methods;
    uint8_t party, anchor, modifier;
    bool is_exception, is_important, is_regex, is_match_case, is_cname, is_right_anchored, is_host,
        is_everything, is_dead;
};

struct bad_domains { // of a badfilter: its own rule, and others but for these domains
    XXH128_hash_t rest;
    struct set set;
};

enum entry_kind { ENTRY_NAME, ENTRY_WINDOW, ENTRY_LOOSE };
struct entry {    // a draft under one of its keys
    uint64_t key; // a name's index, a window, or a type
    uint32_t draft;
    uint8_t kind, book, side;
    bool is_long, is_placed;
    uint16_t run; // of the window: where it stands in the pattern
};

struct chained { // a rule in its chain
    struct image_rule rule;
    uint32_t number;
};
_Static_assert(sizeof(struct chained) == sizeof(struct image_rule) + 4, "no bytes between");

struct compiler {
    struct arena arena;
    struct pieces_index pieces;
    struct window_weights weights;
    struct names names;
    struct cosmetic_index cosmetics;
    struct span suffixes;
    uint32_t repeated, negated;
    struct vector lists; // uint32_t: names, offsets in TEXTS
    struct vector drafts, entries, items;
    struct vector badfilters;      // XXH128_hash_t
    struct vector bad_domains;     // struct bad_domains
    struct vector bad_plain_hosts; // struct span
    struct vector host_rules;      // uint32_t for each name and book: rules that could stand there
    // sections under construction
    struct vector buckets, slots, hosts, name_words, rules, numbers, extras, sets, windows, regexes,
        suffix_words, texts, lines, host_runs, line_runs, cosmetic_words;
    struct vector chained; // struct chained: what becomes RULES and NUMBERS
    struct known known_texts, known_sets, known_extras, known_chains;
    uint32_t suffix_bits, once_count, page_lines_at;
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
    pieces_index_init(&compiler->pieces);
    names_init(&compiler->names, &compiler->pieces);
    vector_add(&compiler->texts, 1, 2); // offset 0: an empty text
    return compiler;
}

void compiler_free(struct compiler **compiler)
{
    struct compiler *it = *compiler;

    if (!it)
        return;
    struct vector *vectors[] = {
        &it->lists,      &it->drafts,      &it->entries,         &it->items,
        &it->badfilters, &it->bad_domains, &it->bad_plain_hosts, &it->host_rules,
        &it->buckets,    &it->slots,       &it->hosts,           &it->name_words,
        &it->rules,      &it->numbers,     &it->extras,          &it->sets,
        &it->windows,    &it->regexes,     &it->suffix_words,    &it->texts,
        &it->lines,      &it->host_runs,   &it->line_runs,       &it->cosmetic_words,
        &it->chained,
    };
    struct known *known[] = { &it->known_texts, &it->known_sets, &it->known_extras,
                              &it->known_chains };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        vector_done(vectors[i]);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        known_done(known[i]);
    names_done(&it->names);
    cosmetic_index_done(&it->cosmetics);
    free(it->image);
    arena_done(&it->arena);
    free(it);
    *compiler = NULL;
}

/* ---- small tools ---- */

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

/* Offset in TEXTS of a text, entered if it is new. */
static uint32_t add_text(struct compiler *compiler, struct span text)
{
    size_t start = compiler->texts.count;
    uint16_t size = (uint16_t)text.size;
    char *added;

    assert(text.size <= UINT16_MAX);
    if (text.size == 0)
        return 0;
    added = vector_add(&compiler->texts, 1, sizeof size + size);
    memcpy(added, &size, sizeof size);
    memcpy(added + sizeof size, text.at, size);
    return known_settle(&compiler->known_texts, &compiler->texts, 1, start);
}

/* Index in a section of words of these words, entered if they are new. */
static uint32_t add_words(struct vector *section, struct known *known, const uint32_t *words,
                          size_t count)
{
    size_t start = section->count;

    memcpy(vector_add(section, sizeof *words, count), words, count * sizeof *words);
    return known_settle(known, section, sizeof *words, start);
}

static uint32_t add_regex(struct compiler *compiler, struct span text, unsigned flags)
{
    struct image_regex *regex = VECTOR_ADD(compiler->regexes, struct image_regex);

    regex->flags = flags;
    regex->text = add_text(compiler, text);
    return (uint32_t)compiler->regexes.count - 1;
}

void compiler_add_suffixes(struct compiler *compiler, struct span text)
{
    compiler->suffixes = text;
}

bool compiler_begin_list(struct compiler *compiler, struct span name)
{
    if (compiler->lists.count == IMAGE_LIST_LIMIT)
        return false;
    if (name.size > UINT16_MAX)
        name.size = UINT16_MAX;
    *VECTOR_ADD(compiler->lists, uint32_t) = add_text(compiler, name);
    return true;
}

/* A host name in lower case and in ASCII; .at is NULL when it is none. */
static struct span clean_host(struct compiler *compiler, struct span text)
{
    bool is_ascii = true;

    while (text.size && text.at[text.size - 1] == '.')
        text.size--;
    if (text.size == 0 || text.size > URL_HOST_LIMIT)
        return SPAN_NONE;
    for (size_t i = 0; i < text.size; i++)
        is_ascii = is_ascii && (uint8_t)text.at[i] < 128;
    text = keep_lower(compiler, text);
    if (!is_ascii) {
        char *ascii = keep(compiler, URL_HOST_LIMIT);
        text = span_of(ascii, url_host_to_ascii(text, ascii, URL_HOST_LIMIT));
    }
    return names_can_be(text) ? text : SPAN_NONE;
}

/* ---- adding rules ---- */

static enum rule_reason add_plain(struct compiler *compiler, struct span host, uint32_t place)
{
    struct span clean = clean_host(compiler, host);

    if (!clean.at)
        return REASON_HOST;
    if (!names_make_plain(&compiler->names, names_find(&compiler->names, clean, false, true),
                          place))
        compiler->repeated++;
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

/* Reads a list of domains. False when nothing in it can ever hold; *is_part: something was left
 * out. */
static bool add_set(struct compiler *compiler, struct set *set, struct span list, bool *is_part)
{
    struct span written;
    bool is_not, lost = false;

    if (!list.at)
        return true;
    *set = (struct set){ .first = (uint32_t)compiler->items.count,
                         .is_there = true,
                         .is_for_keys = true };
    while (rule_next_name(&list, &written, &is_not)) {
        struct item item = { .is_not = is_not };
        struct span text, host = written;
        unsigned flags;
        bool is_entity = false;

        if (regex_split(written, &text, &flags)) {
            text = values_unescape(&compiler->arena, text, "|,"); // no host has these
            if (!regex_check(text, flags | REGEX_NOCASE)) {
                lost = true;
                continue;
            }
            item.number = add_regex(compiler, text, flags | REGEX_NOCASE);
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
            item.number = names_find(&compiler->names, host, is_entity, true);
            names_at(&compiler->names, item.number)->is_needed = true;
            set->has_entities = set->has_entities || is_entity;
            if (!is_entity && span_find_byte(host, '.') == host.size) { // "com"
                set->has_singles = true;
                set->is_for_keys = set->is_for_keys && is_not;
            }
        }
        set->has_with = set->has_with || !is_not;
        *VECTOR_ADD(compiler->items, struct item) = item;
        set->count++;
    }
    *is_part = *is_part || lost;
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

/* Two lines with the same identity say the same, whatever the order of their options. `pattern` is
 * the rule's as clean_pattern() makes it. */
static XXH128_hash_t identity_of(const struct rule *rule, struct span pattern)
{
    struct {
        XXH128_hash_t pattern, value;
        uint64_t lists[3], texts[4];
        uint32_t types, party, methods, page_flags, flags, modifier;
    } all;

    memset(&all, 0, sizeof all);
    all.pattern = XXH3_128bits(pattern.at, pattern.size);
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

static XXH128_hash_t rest_identity_of(const struct rule *rule, struct span pattern)
{
    struct rule other = *rule;

    other.domains = SPAN_NONE;
    return identity_of(&other, pattern);
}

/* The pattern in lower case, or with its capitals; a host at its start in lower case and as
 * A-labels in any case. */
static struct span clean_pattern(struct compiler *compiler, const struct rule *rule,
                                 bool keeps_case)
{
    struct span pattern = rule->pattern, host;
    size_t end = 0;
    bool is_ascii = true;
    char *at;

    for (size_t i = 0; i < pattern.size; i++)
        is_ascii = is_ascii && (uint8_t)pattern.at[i] < 128;
    if (rule->anchor != ANCHOR_HOST || (is_ascii && !keeps_case))
        return keeps_case ? pattern : keep_lower(compiler, pattern);
    while (end < pattern.size && !memchr("/^?:*#", pattern.at[end], 6))
        end++;
    host = span_slice(pattern, 0, end);
    host = is_ascii ? keep_lower(compiler, host) : clean_host(compiler, host);
    if (!host.at)
        return keeps_case ? pattern : keep_lower(compiler, pattern);
    at = keep(compiler, host.size + pattern.size - end);
    memcpy(at, host.at, host.size);
    memcpy(at + host.size, pattern.at + end, pattern.size - end);
    pattern = span_of(at, host.size + pattern.size - end);
    return keeps_case ? pattern : keep_lower(compiler, pattern);
}

static enum rule_reason add_draft(struct compiler *compiler, const struct rule *rule,
                                  uint32_t place)
{
    struct draft draft = {
        .text = rule->text,
        .written = rule->pattern,
        .value = rule->value,
        .client = values_unescape(&compiler->arena, rule->client, ","),
        .address = values_unescape(&compiler->arena, rule->address, ","),
        .header = values_unescape(&compiler->arena, rule->header, ","),
        .request_header = values_unescape(&compiler->arena, rule->request_header, ","),
        .place = place,
        .page_flags = rule->page_flags,
        .types = rule->types,
        .methods = rule->methods,
        .party = rule->party,
        .anchor = (uint8_t)rule->anchor,
        .modifier = (uint8_t)rule->modifier,
        .is_exception = rule->is_exception,
        .is_important = rule->is_important,
        .is_regex = rule->is_regex,
        .is_match_case = rule->is_match_case,
        .is_cname = rule->is_cname,
        .is_right_anchored = rule->is_right_anchored,
        .is_host = rule->is_host,
    };
    enum rule_reason reason;
    struct span pattern;
    bool is_part = false;

    if (rule->pattern.size > PATTERN_LIMIT || rule->text.size > UINT16_MAX)
        return REASON_TOO_LONG;
    if (rule->is_regex) {
        unsigned flags = rule->is_match_case ? 0 : REGEX_NOCASE;

        if (!regex_check(rule->pattern, flags))
            return REASON_REGEX;
        draft.pattern = rule->pattern;
        draft.regex = add_regex(compiler, rule->pattern, flags);
    } else {
        draft.pattern = clean_pattern(compiler, rule, false);
        if (rule->is_match_case)
            draft.written = clean_pattern(compiler, rule, true);
        if (rule->is_host && !names_can_be(draft.pattern))
            return REASON_HOST;
    }
    reason = values_clean(&compiler->arena, rule, &draft.value);
    if (reason != REASON_NONE)
        return reason;
    if (!values_items_are_good(draft.address) || !values_items_are_good(draft.client) ||
        !values_field_is_good(draft.header) || !values_field_is_good(draft.request_header))
        return REASON_REGEX;
    if (draft.value.size > UINT16_MAX)
        return REASON_TOO_LONG;
    if (!add_set(compiler, &draft.domains, rule->domains, &is_part) ||
        !add_set(compiler, &draft.to, rule->to, &is_part) ||
        !add_set(compiler, &draft.denyallow, rule->denyallow, &is_part))
        return REASON_VALUE;
    draft.is_everything = rule->is_host && rule->types == TYPES_ALL && !rule->has_types &&
                          rule->modifier == MODIFIER_NONE && rule->party == 0 &&
                          rule->methods == 0 && !rule->domains.at && !rule->to.at &&
                          !rule->denyallow.at && !rule->client.at && !rule->address.at &&
                          !rule->header.at && !rule->request_header.at && !rule->is_cname;
    pattern = rule->is_match_case ? draft.written : draft.pattern;
    draft.identity = identity_of(rule, pattern);
    if (rule->domains.at)
        draft.rest = rest_identity_of(rule, pattern);
    *VECTOR_ADD(compiler->drafts, struct draft) = draft;
    return is_part ? REASON_PART : REASON_NONE;
}

/* The names in front of a cosmetic rule. False: one of them is wrong. */
static bool add_cosmetic_hosts(struct compiler *compiler, struct span hosts)
{
    struct cosmetic_index *index = &compiler->cosmetics;
    struct span written, text;
    unsigned flags;
    bool is_not, is_entity;

    while (rule_next_cosmetic_host(&hosts, &written, &is_not)) {
        if (regex_split(written, &text, &flags)) {
            if (!regex_check(text, flags | REGEX_NOCASE))
                return false;
            cosmetic_index_regex(index, add_regex(compiler, text, flags | REGEX_NOCASE), is_not);
            continue;
        }
        if (span_starts(written, SPAN("*.")))
            written = span_from(written, 2);
        is_entity = span_ends(written, SPAN(".*"));
        if (is_entity)
            written.size -= 2;
        written = clean_host(compiler, written);
        if (!written.at)
            return false;
        cosmetic_index_name(index, written, is_entity, is_not);
    }
    return true;
}

/* A text for explain that fits: of very many hosts only the first. */
static struct span shorten(struct compiler *compiler, const struct rule *rule)
{
    size_t rest = rule->text.size - rule->hosts.size, room, kept = 0;
    char *at;

    if (rule->text.size <= RULE_TEXT_LIMIT)
        return rule->text;
    if (rest > RULE_TEXT_LIMIT / 2)
        return SPAN_NONE;
    room = RULE_TEXT_LIMIT - rest;
    for (size_t i = 0; i < room; i++)
        if (rule->hosts.at[i] == ',')
            kept = i;
    at = keep(compiler, kept + rest);
    memcpy(at, rule->hosts.at, kept);
    memcpy(at + kept, rule->hosts.at + rule->hosts.size, rest);
    return span_of(at, kept + rest);
}

/* "a.example,b.example##^responseheader(name)": removeheader=name for their pages. Only fields that
 * protect nobody. */
static enum rule_reason add_header(struct compiler *compiler, const struct rule *rule,
                                   uint32_t place)
{
    static const char *const fields[] = { "location", "refresh", "report-to", "set-cookie" };
    static const char start[] = "^responseheader(";
    struct rule network = { .kind = RULE_NETWORK,
                            .text = rule->text,
                            .is_exception = rule->is_exception,
                            .types = TYPE_BIT(TYPE_DOCUMENT) | TYPE_BIT(TYPE_SUBDOCUMENT),
                            .has_types = true,
                            .modifier = MODIFIER_REMOVEHEADER };
    size_t end = span_find_byte(rule->body, ')');
    char *hosts;

    network.value = span_slice(rule->body, 0, end);
    if (end + 1 != rule->body.size || !span_starts(network.value, span_text(start)))
        return REASON_COSMETIC;
    network.value = span_trim(span_from(network.value, sizeof start - 1));
    if (rule->hosts.size && rule->hosts.at[0] == '[')
        return REASON_COSMETIC;
    hosts = keep(compiler, rule->hosts.size);
    for (size_t i = 0; i < rule->hosts.size; i++)
        hosts[i] = rule->hosts.at[i] == ',' ? '|' : rule->hosts.at[i];
    if (rule->hosts.size)
        network.to = span_of(hosts, rule->hosts.size);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (span_equal_nocase(network.value, span_text(fields[i])))
            return add_draft(compiler, &network, place);
    return REASON_UNTRUSTED;
}

static enum rule_reason add_cosmetic(struct compiler *compiler, const struct rule *rule,
                                     uint32_t place)
{
    struct cosmetic_index *index = &compiler->cosmetics;
    struct cosmetic_line line = { .place = place, .is_exception = rule->is_exception };
    struct cosmetic_parts parts;
    size_t names = index->names.count, regexes = index->regexes.count, lines = index->lines.count;
    struct span hosts = rule->hosts, host;
    bool is_not;

    if (rule->cosmetic == COSMETIC_HEADER)
        return add_header(compiler, rule, place);
    if (rule->cosmetic == COSMETIC_SCRIPTLET || rule->cosmetic == COSMETIC_SCRIPT)
        return REASON_SCRIPTLET;
    line.text = shorten(compiler, rule);
    if (!line.text.at)
        return REASON_TOO_LONG;
    if (!cosmetic_parse(&parts, rule))
        return REASON_COSMETIC;
    line.is_generic = true;
    while (rule_next_cosmetic_host(&hosts, &host, &is_not))
        line.is_generic = line.is_generic && is_not;
    cosmetic_index_begin(index, &line);
    if (add_cosmetic_hosts(compiler, rule->hosts))
        return REASON_NONE;
    index->names.count = names;
    index->regexes.count = regexes;
    index->lines.count = lines;
    return REASON_HOST;
}

static int compare_items(const void *a, const void *b)
{
    uint32_t x = ((const struct item *)a)->number, y = ((const struct item *)b)->number;
    return x < y ? -1 : x > y;
}

static void add_badfilter(struct compiler *compiler, const struct rule *rule)
{
    struct span pattern = rule->pattern;
    struct bad_domains bad;
    bool is_part = false;

    compiler->negated++;
    if (is_plain(rule)) {
        *VECTOR_ADD(compiler->bad_plain_hosts, struct span) = rule->pattern;
        return;
    }
    if (!rule->is_regex)
        pattern = clean_pattern(compiler, rule, rule->is_match_case);
    *VECTOR_ADD(compiler->badfilters, XXH128_hash_t) = identity_of(rule, pattern);
    if (!rule->domains.at || span_find_byte(rule->domains, '~') < rule->domains.size ||
        span_find_byte(rule->domains, '/') < rule->domains.size ||
        !add_set(compiler, &bad.set, rule->domains, &is_part))
        return;
    bad.rest = rest_identity_of(rule, pattern);
    qsort((struct item *)compiler->items.at + bad.set.first, bad.set.count, sizeof(struct item),
          compare_items);
    *VECTOR_ADD(compiler->bad_domains, struct bad_domains) = bad;
}

enum rule_reason compiler_add(struct compiler *compiler, const struct rule *rule, uint32_t line)
{
    uint32_t place;

    assert(compiler->lists.count > 0 && line <= LIST_LINE_LIMIT);
    place = (uint32_t)(compiler->lists.count - 1) << IMAGE_LINE_BITS | line;
    if (rule->kind == RULE_HOSTS) {
        struct span names = rule->pattern, name;
        enum rule_reason reason = REASON_NONE;

        while (rule_next_host(&names, &name))
            if (!rule_is_host(name) || add_plain(compiler, name, place) != REASON_NONE)
                reason = REASON_PART;
        return reason;
    }
    if (rule->kind == RULE_COSMETIC)
        return add_cosmetic(compiler, rule, place);
    if (rule->kind != RULE_NETWORK)
        return REASON_NONE;
    if (rule->is_badfilter) {
        add_badfilter(compiler, rule);
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

static int compare_rests(const void *a, const void *b)
{
    return memcmp(&((const struct bad_domains *)a)->rest, &((const struct bad_domains *)b)->rest,
                  sizeof(XXH128_hash_t));
}

/* Of a badfilter's names, which are sorted. */
static bool has_item(const struct compiler *compiler, const struct set *set, struct item item)
{
    const struct item *items = (const struct item *)compiler->items.at + set->first;

    return bsearch(&item, items, set->count, sizeof *items, compare_items) != NULL;
}

/* A badfilter that is the rule but for its domains takes these from it: "$domain=a|b" and
 * "$domain=a,badfilter" leave "$domain=b". Neither may have a domain that is negated. */
static void take_domains(struct compiler *compiler, struct draft *draft)
{
    const struct bad_domains *all = compiler->bad_domains.at, *found;
    size_t count = compiler->bad_domains.count, i;
    struct set *set = &draft->domains;
    struct bad_domains key = { .rest = draft->rest };
    struct item *items;

    if (!count || !set->is_there)
        return;
    items = (struct item *)compiler->items.at + set->first;
    found = bsearch(&key, all, count, sizeof *all, compare_rests);
    if (!found)
        return;
    for (i = 0; i < set->count; i++)
        if (items[i].is_not)
            return;
    for (i = (size_t)(found - all); i > 0 && compare_rests(&all[i - 1], &key) == 0; i--)
        ;
    for (unsigned n = 0; n < BADFILTERS && i < count && compare_rests(&all[i], &key) == 0;
         n++, i++) {
        uint32_t kept = 0;

        for (uint32_t k = 0; k < set->count; k++)
            if (items[k].is_regex || !has_item(compiler, &all[i].set, items[k]))
                items[kept++] = items[k];
        set->count = kept;
    }
    draft->is_dead = set->count == 0;
}

static void drop_negated(struct compiler *compiler)
{
    struct names *names = &compiler->names;
    size_t size = 1024, count = compiler->drafts.count;
    uint32_t *table;

    for (size_t i = 0; i < compiler->bad_plain_hosts.count; i++) {
        struct span host =
            clean_host(compiler, VECTOR_AT(compiler->bad_plain_hosts, struct span, i));
        uint32_t found = host.at ? names_find(names, host, false, false) : NAMES_NONE;
        if (found != NAMES_NONE && names_at(names, found)->is_plain) {
            compiler->negated++;
            names_at(names, found)->is_plain = false;
        }
    }
    if (compiler->badfilters.count)
        qsort(compiler->badfilters.at, compiler->badfilters.count, sizeof(XXH128_hash_t),
              compare_identities);
    if (compiler->bad_domains.count)
        qsort(compiler->bad_domains.at, compiler->bad_domains.count, sizeof(struct bad_domains),
              compare_rests);
    while (size < count * 2)
        size *= 2;
    table = calloc(size, sizeof *table); // of identities: index + 1
    if (!table)
        abort();
    for (uint32_t i = 0; i < count; i++) {
        struct draft *drafts = compiler->drafts.at, *draft = &drafts[i];
        size_t slot = draft->identity.low64 & (size - 1);

        if (compiler->badfilters.count &&
            bsearch(&draft->identity, compiler->badfilters.at, compiler->badfilters.count,
                    sizeof(XXH128_hash_t), compare_identities)) {
            draft->is_dead = true;
            compiler->negated++;
            continue;
        }
        take_domains(compiler, draft);
        if (draft->is_dead) {
            compiler->negated++;
            continue;
        }
        while (table[slot] && !XXH128_isEqual(drafts[table[slot] - 1].identity, draft->identity))
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
    else
        books[count++] = BOOK_MAIN;
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
        while (end < pattern.size && !memchr("/^?:*#", pattern.at[end], 6))
            end++;
    }
    if (!names_can_be(span_slice(pattern, 0, end)))
        return 0;
    if (span_find_byte(span_slice(pattern, 0, end), '.') == end && pattern.at[0] != '[')
        return 0; // "||com/x": every other host would have to be looked at
    if (end == pattern.size)
        return draft->is_right_anchored ? end : 0;
    return pattern.at[end] == '*' ? 0 : end;
}

static struct entry *add_entry(struct compiler *compiler, uint32_t draft, uint8_t book,
                               uint8_t kind, uint64_t key)
{
    struct entry *entry = VECTOR_ADD(compiler->entries, struct entry);

    entry->draft = draft;
    entry->book = book;
    entry->kind = kind;
    entry->key = key;
    return entry;
}

/* The pattern as bytes that must be found: with its '^' put back, or what a regular expression or
 * a parameter's name says, with '*' where anything may stand. */
static struct span sure_pattern(const struct draft *draft, char *room, enum window_front *front,
                                bool *to_end)
{
    struct span pattern = draft->pattern, value = draft->value;

    *to_end = draft->is_right_anchored;
    *front = draft->anchor == ANCHOR_HOST ? FRONT_LABEL : FRONT_UNKNOWN;
    if (draft->is_regex)
        return span_of(room, window_pattern_of_regex(draft->pattern, room, to_end));
    if (draft->is_host) {
        memcpy(room, pattern.at, pattern.size);
        room[pattern.size] = '^';
        return span_of(room, pattern.size + 1);
    }
    if (pattern.size == 0 && draft->modifier == MODIFIER_REMOVEPARAM && !draft->is_exception &&
        value.size > 2 && value.size < 256 && value.at[0] != '/' && value.at[0] != '~') {
        for (size_t i = 0; i < value.size; i++) {
            room[i] = ascii_lower(value.at[i]);
            if (room[i] == '*' || room[i] == '^' || room[i] == '%')
                return pattern;
        }
        *front = FRONT_PARAMETER;
        return span_of(room, value.size);
    }
    return pattern;
}

/* Under the names of a set. */
static void add_by_names(struct compiler *compiler, uint32_t index, uint8_t book, uint8_t side,
                         const struct set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct item *item = &VECTOR_AT(compiler->items, struct item, set->first + i);
        uint32_t number = item->number;
        const struct name *name = names_at(&compiler->names, number);

        if (item->is_not)
            continue;
        if (name->is_entity) { // under its last label
            struct span label = span_of(name->text, name->size);
            for (size_t k = label.size; k > 0; k--)
                if (label.at[k - 1] == '.') {
                    label = span_from(label, k);
                    break;
                }
            number = names_find(&compiler->names, label, true, true);
        }
        add_entry(compiler, index, book, ENTRY_NAME, number)->side = side;
    }
}

/* What it costs to keep a rule in some place, in looks at its record for 1000 requests; guesses
 * from what pages load. */
enum {
    COST_WINDOW = 4,   // what one more window does to the filter
    COST_UNPLACED = 4, // a window that does not say where the pattern begins
    COST_GENERAL = 6,  // times: a rule that has no literal to reject it by
    COST_NAME = 2,
    COST_ENTITY = 20, // entities of the request's host are looked for only if a book has any
    COST_NONE = 1 << 30,
};

static const uint16_t type_shares[REQUEST_TYPES] = {
    // of 1000 requests
    [TYPE_DOCUMENT] = 15, [TYPE_SUBDOCUMENT] = 30, [TYPE_SCRIPT] = 330, [TYPE_STYLESHEET] = 70,
    [TYPE_IMAGE] = 330,   [TYPE_FONT] = 40,        [TYPE_MEDIA] = 10,   [TYPE_OBJECT] = 2,
    [TYPE_XHR] = 150,     [TYPE_WEBSOCKET] = 3,    [TYPE_PING] = 10,    [TYPE_OTHER] = 10,
};

static uint32_t share_of(const struct draft *draft)
{
    uint32_t share = 0;

    for (unsigned type = 0; type < REQUEST_TYPES; type++)
        if (draft->types & TYPE_BIT(type))
            share += type_shares[type];
    return share;
}

/* Of a window: a rule that is not for the request's type is rejected at once. */
static uint32_t window_cost(const struct window_choice *choice, uint32_t share)
{
    uint32_t weight = choice->weight + (choice->is_placed && choice->run < 256 ? 0 : COST_UNPLACED);

    return COST_WINDOW + weight * (400 + share * 6 / 10) / 1000;
}

static const struct window_choice *best_choice(const struct window_choice *choices, size_t count,
                                               uint32_t share, uint32_t *cost)
{
    const struct window_choice *best = NULL;

    *cost = COST_NONE;
    for (size_t i = 0; i < count; i++) {
        uint32_t this = window_cost(&choices[i], share);
        if (this < *cost) {
            *cost = this;
            best = &choices[i];
        }
    }
    return best;
}

/* Of the names of a set, as keys. */
static uint32_t set_cost(const struct set *set, uint32_t entity_cost)
{
    if (!set->is_there || !set->has_with || !set->is_for_keys || set->count > SOURCE_LIMIT)
        return COST_NONE;
    return COST_NAME + 1 + set->count / 4 + (set->has_entities ? entity_cost : 0);
}

/* Of the name that a pattern begins with: the more rules, the more visited. */
static uint32_t host_cost(struct compiler *compiler, const struct draft *draft, uint8_t book,
                          size_t host, uint32_t name)
{
    uint32_t rules = VECTOR_AT(compiler->host_rules, uint32_t, name * BOOKS + book);
    const char *rest = draft->pattern.at + host;
    size_t size = draft->pattern.size - host;

    if (host == draft->pattern.size)
        return 0;
    rules = COST_NAME + (rules > POPULAR_HOST ? 8 * rules : rules / 4);
    if (*rest == '*' || (size > 1 && *rest == '^' && rest[1] == '*'))
        return rules * COST_GENERAL;
    return rules;
}

static void place(struct compiler *compiler, uint32_t index, uint8_t book)
{
    const struct draft *draft = &VECTOR_AT(compiler->drafts, struct draft, index);
    struct window_choice choices[WINDOW_CHOICES];
    const struct window_choice *best;
    char room[PATTERN_LIMIT + 2];
    enum window_front front;
    bool to_end;
    size_t host = whole_host(draft);
    uint32_t name = NAMES_NONE, share = share_of(draft);
    uint32_t by_host = COST_NONE, by_window, by_to = set_cost(&draft->to, COST_ENTITY);
    uint32_t by_source = set_cost(&draft->domains, 0), loose = share * COST_GENERAL;
    struct span sure;

    if (host) {
        name = names_find(&compiler->names, span_slice(draft->pattern, 0, host), false, true);
        by_host = host_cost(compiler, draft, book, host, name);
    }
    sure = sure_pattern(draft, room, &front, &to_end);
    best = best_choice(choices, window_list(&compiler->weights, choices, sure, front, to_end),
                       share, &by_window);
    if (by_host <= by_window && by_host <= loose) {
        add_entry(compiler, index, book, ENTRY_NAME, name);
    } else if (by_window <= by_to && by_window <= by_source && by_window <= loose) {
        for (const char *byte = best->fronts; *byte; byte++) {
            struct entry *entry =
                add_entry(compiler, index, book, ENTRY_WINDOW, window_bytes(best, *byte));
            entry->is_long = best->is_long;
            entry->run = best->run;
            entry->is_placed =
                best->is_placed && best->run < 256 && !draft->is_regex && front != FRONT_PARAMETER;
        }
    } else if (by_to <= by_source && by_to <= loose) {
        add_by_names(compiler, index, book, SIDE_HOST, &draft->to);
    } else if (by_source <= loose) {
        add_by_names(compiler, index, book, SIDE_SOURCE, &draft->domains);
    } else {
        for (unsigned type = 0; type < REQUEST_TYPES; type++)
            if (draft->types & TYPE_BIT(type))
                add_entry(compiler, index, book, ENTRY_LOOSE, type);
    }
}

static void place_all(struct compiler *compiler)
{
    uint8_t books[BOOKS];

    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < compiler->drafts.count; i++) {
            const struct draft *draft = &VECTOR_AT(compiler->drafts, struct draft, i);
            unsigned count = draft->is_dead ? 0 : books_of(draft, books);

            for (unsigned k = 0; k < count; k++) {
                size_t host = whole_host(draft);
                uint32_t name;

                if (pass == 1) {
                    place(compiler, i, books[k]);
                    continue;
                }
                if (!host)
                    continue;
                name =
                    names_find(&compiler->names, span_slice(draft->pattern, 0, host), false, true);
                while (compiler->host_rules.count <= name * BOOKS + books[k])
                    vector_add(&compiler->host_rules, sizeof(uint32_t), BOOKS);
                VECTOR_AT(compiler->host_rules, uint32_t, name * BOOKS + books[k])++;
            }
        }
        while (compiler->host_rules.count < compiler->names.items.count * BOOKS)
            vector_add(&compiler->host_rules, sizeof(uint32_t), BOOKS);
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->book != y->book)
        return x->book < y->book ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->side != y->side)
        return x->side < y->side ? -1 : 1;
    if (x->is_long != y->is_long)
        return x->is_long ? 1 : -1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->draft < y->draft ? -1 : x->draft > y->draft;
}

static bool same_chain(const struct entry *a, const struct entry *b)
{
    return a->book == b->book && a->kind == b->kind && a->side == b->side &&
           a->is_long == b->is_long && a->key == b->key;
}

/* ---- rules ---- */

static int compare_words(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a & ~IMAGE_SET_NOT, y = *(const uint32_t *)b & ~IMAGE_SET_NOT;
    return x < y ? -1 : x > y;
}

/* Needs the names' offsets in HOSTS. */
static uint32_t write_set(struct compiler *compiler, struct set *set)
{
    struct vector words = { 0 };
    uint32_t *head, *word, marks = 0;
    size_t kept = 0;

    if (set->words)
        return set->words;
    head = vector_add(&words, sizeof *head, set->count + IMAGE_SET_WORDS);
    word = head + IMAGE_SET_WORDS;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct item *item = &VECTOR_AT(compiler->items, struct item, set->first + i);
        const struct name *name = item->is_regex ? NULL : names_at(&compiler->names, item->number);

        word[i] = (name ? name->at : item->number | IMAGE_SET_REGEX) |
                  (item->is_not ? IMAGE_SET_NOT : 0u);
        marks |= name ? image_set_mark(name->text, name->size) : 0;
    }
    qsort(word, set->count, sizeof *word, compare_words);
    for (uint32_t i = 0; i < set->count; i++) // the same name twice: once
        if (kept == 0 || (word[kept - 1] | IMAGE_SET_NOT) != (word[i] | IMAGE_SET_NOT))
            word[kept++] = word[i];
    head[0] = (uint32_t)kept | (set->has_with ? IMAGE_SET_HAS_WITH : 0) |
              (set->has_entities ? IMAGE_SET_HAS_ENTITIES : 0) |
              (set->has_regexes ? IMAGE_SET_HAS_REGEXES : 0) |
              (set->has_singles ? IMAGE_SET_HAS_SINGLES : 0);
    head[1] = set->has_entities || set->has_regexes || set->has_singles ? UINT32_MAX : marks;
    set->words = add_words(&compiler->sets, &compiler->known_sets, head, kept + IMAGE_SET_WORDS);
    vector_done(&words);
    return set->words;
}

/* What a rule's record in RULES compares by itself, and what is left for EXTRA_PATTERN. */
struct shape {
    struct span pattern; // for EXTRA_PATTERN; .at is NULL: none
    struct span literal; // up to LITERAL bytes
    size_t run;          // of the window, in `literal`
    uint32_t flags;
};

static bool is_special(char c)
{
    return c == '*' || c == '^';
}

/* The part of an unplaced pattern around the run of its window, for a first look. */
static void take_segment(struct shape *shape, struct span pattern, size_t run)
{
    size_t start = run, end = run;

    while (start > 0 && run - start < LITERAL / 2 && !is_special(pattern.at[start - 1]))
        start--;
    while (end < pattern.size && end - start < LITERAL && !is_special(pattern.at[end]))
        end++;
    shape->literal = span_slice(pattern, start, end - start);
    shape->run = run - start;
}

/* The longest part of an unplaced pattern that no window was taken from, for a first look; or its
 * end, when the URL must end with it. */
static void take_longest(struct shape *shape, struct span pattern, bool to_end)
{
    size_t end = pattern.size;

    while (end > 0) {
        size_t start = end, size;

        while (start > 0 && !is_special(pattern.at[start - 1]))
            start--;
        size = end - start < LITERAL ? end - start : LITERAL;
        if (to_end && end == pattern.size && size > 0) {
            shape->literal = span_slice(pattern, end - size, size);
            shape->flags |= RULE_ENDS;
            return;
        }
        if (size > shape->literal.size && size > 1) {
            struct span part = span_slice(pattern, start, size);
            if (!span_starts(part, SPAN("http")) && !span_equal(part, SPAN("://")))
                shape->literal = part;
        }
        end = start - (start > 0);
    }
    if (shape->literal.size)
        shape->flags |= RULE_CONTAINS;
}

/* `room` holds what sure_pattern() made of the draft's pattern. */
static struct shape shape_of(const struct entry *entry, struct draft *draft, char *room)
{
    struct shape shape = { .literal = SPAN_NONE };
    bool is_behind_host =
        entry->kind == ENTRY_NAME && entry->side == SIDE_HOST && whole_host(draft) > 0;
    enum window_front front;
    bool to_end;
    struct span sure = sure_pattern(draft, room, &front, &to_end), body = sure;
    size_t plain = 0;

    if (draft->is_regex || front == FRONT_PARAMETER) {
        shape.flags = RULE_ANYWHERE | (draft->is_regex ? RULE_REGEX : 0);
        if (entry->kind == ENTRY_WINDOW)
            take_segment(&shape, sure, entry->run);
        else if (draft->is_regex)
            take_longest(&shape, sure, to_end);
        return shape;
    }
    if (draft->is_right_anchored)
        shape.flags |= RULE_AT_END;
    if (is_behind_host) {
        body = span_from(body, whole_host(draft));
        shape.flags |= RULE_AT_NAME_END;
        if (body.size == 1 && body.at[0] == '^' && !draft->is_right_anchored)
            body.size = 0; // behind a host there is always a separator, or the end
    } else {
        shape.flags |= draft->anchor == ANCHOR_HOST    ? RULE_AT_HOST
                       : draft->anchor == ANCHOR_START ? RULE_AT_START
                                                       : 0;
        if (entry->kind != ENTRY_WINDOW || !entry->is_placed) {
            shape.flags |= RULE_ANYWHERE;
            if (body.size)
                shape.flags |= RULE_GENERAL;
            shape.pattern = body.size ? body : SPAN_NONE;
            if (entry->kind == ENTRY_WINDOW)
                take_segment(&shape, sure, entry->run);
            else
                take_longest(&shape, sure, false);
            return shape;
        }
    }
    shape.run = entry->kind == ENTRY_WINDOW ? entry->run : 0;
    while (plain < body.size && body.at[plain] != '*' && (body.at[plain] != '^' || plain < LITERAL))
        plain++;
    if (plain == body.size && body.size <= LITERAL && !draft->is_match_case &&
        !(draft->is_right_anchored && body.size && body.at[body.size - 1] == '^')) {
        shape.literal = body; // '^' in it are marked in the record
        return shape;
    }
    if (plain + 1 == body.size && body.at[plain] == '^' && !draft->is_right_anchored) {
        body.size--;
        shape.flags |= RULE_SEPARATOR;
    }
    shape.literal = span_slice(body, 0, body.size < LITERAL ? body.size : LITERAL);
    if (plain >= body.size && !draft->is_match_case &&
        !(draft->is_right_anchored && body.at[body.size - 1] == '^')) {
        shape.flags |= RULE_LONG;
        shape.pattern = span_from(body, LITERAL);
        return shape;
    }
    if (shape.flags & RULE_SEPARATOR)
        body.size++;
    shape.flags &= ~(uint32_t)RULE_SEPARATOR;
    shape.flags |= RULE_GENERAL;
    shape.pattern = body;
    for (plain = 0; plain < shape.literal.size && !is_special(body.at[plain]);)
        plain++;
    shape.literal.size = plain;
    return shape;
}

/* The same part of the pattern as it was written, capitals and all. */
static struct span as_written(const struct draft *draft, struct span part, const char *room)
{
    const char *base = part.at >= room && part.at < room + PATTERN_LIMIT ? room : draft->pattern.at;
    size_t at = (size_t)(part.at - base);

    if (draft->written.size != draft->pattern.size || at + part.size > draft->written.size)
        return part;
    return span_slice(draft->written, at, part.size);
}

/* Index in EXTRAS of what the rule needs beyond its record; 0 for nothing. */
static uint32_t add_extra(struct compiler *compiler, struct draft *draft, const struct shape *shape,
                          struct span pattern)
{
    uint32_t record[16], count = 1;

#define PART(bit, is_there, word)                                                                  \
    if (is_there) {                                                                                \
        record[0] |= (bit);                                                                        \
        record[count++] = (word);                                                                  \
    }
    record[0] = 0;
    if (shape->flags & (RULE_GENERAL | RULE_REGEX)) {
        if (!draft->once)
            draft->once = ++compiler->once_count;
        PART(EXTRA_ONCE, true, draft->once)
    }
    PART(EXTRA_PATTERN, pattern.at, add_text(compiler, pattern))
    PART(EXTRA_REGEX, draft->is_regex, draft->regex)
    PART(EXTRA_DOMAINS, draft->domains.is_there, write_set(compiler, &draft->domains))
    PART(EXTRA_TO, draft->to.is_there, write_set(compiler, &draft->to))
    PART(EXTRA_DENYALLOW, draft->denyallow.is_there, write_set(compiler, &draft->denyallow))
    PART(EXTRA_METHODS, draft->methods, draft->methods)
    PART(EXTRA_CLIENT, draft->client.at, add_text(compiler, draft->client))
    PART(EXTRA_ADDRESS, draft->address.at, add_text(compiler, draft->address))
    PART(EXTRA_HEADER, draft->header.at, add_text(compiler, draft->header))
    PART(EXTRA_REQUEST_HEADER, draft->request_header.at, add_text(compiler, draft->request_header))
    PART(EXTRA_VALUE, draft->value.size, add_text(compiler, draft->value))
    PART(EXTRA_PAGE, draft->page_flags, draft->page_flags)
#undef PART
    if (count == 1)
        return 0;
    return add_words(&compiler->extras, &compiler->known_extras, record, count);
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
    flags |= draft->is_match_case ? RULE_MATCH_CASE : 0;
    flags |= draft->is_cname ? RULE_CNAME : 0;
    flags |= draft->is_everything ? RULE_EVERYTHING : 0;
    if (draft->domains.is_there || draft->to.is_there || draft->denyallow.is_there ||
        draft->methods || draft->client.at || draft->address.at || draft->header.at ||
        draft->request_header.at)
        flags |= RULE_CONDITIONS;
    return flags;
}

static uint16_t not_types_of(const struct draft *draft, uint8_t book)
{
    uint16_t not_types = (uint16_t)(~draft->types & TYPES_ALL);

    if (book != BOOK_MAIN)
        return not_types;
    if (draft->is_exception || draft->modifier == MODIFIER_REDIRECT_RULE)
        not_types |= RULE_NOT_BLOCK;
    else if (draft->modifier != MODIFIER_REDIRECT)
        not_types |= RULE_NOT_AFTER;
    return not_types;
}

static void make_rule(struct compiler *compiler, const struct entry *entry, struct image_rule *rule)
{
    struct draft *draft = &VECTOR_AT(compiler->drafts, struct draft, entry->draft);
    char room[PATTERN_LIMIT + 2];
    struct shape shape = shape_of(entry, draft, room);
    struct span pattern = shape.pattern;

    memset(rule, 0, sizeof *rule);
    rule->flags = flags_of(draft) | shape.flags;
    rule->not_types = not_types_of(draft, entry->book);
    for (size_t i = 0; i < shape.literal.size; i++) {
        rule->literal[i] = shape.literal.at[i];
        *(shape.literal.at[i] == '^' ? &rule->separators : &rule->need) |= (uint16_t)(1u << i);
    }
    if (rule->separators)
        rule->flags |= RULE_SEPARATORS;
    if (rule->flags & (RULE_CONTAINS | RULE_ENDS))
        rule->need = 0;
    rule->size = (uint8_t)shape.literal.size;
    rule->offset = (uint8_t)shape.run;
    if (draft->is_match_case && !draft->is_regex && pattern.at)
        pattern = as_written(draft, pattern, room);
    rule->extra = add_extra(compiler, draft, &shape, pattern);
    if (draft->is_regex)
        rule->flags &= ~(uint32_t)RULE_MATCH_CASE; // its own flags say so
}

/* Texts and places of all rules, which get their numbers. */
static void write_lines(struct compiler *compiler)
{
    struct line_writer *writer = malloc(sizeof *writer);

    if (!writer)
        abort();
    line_writer_init(writer, &compiler->pieces, &compiler->lines, &compiler->line_runs);
    for (size_t i = 0; i < compiler->drafts.count; i++) {
        struct draft *draft = &VECTOR_AT(compiler->drafts, struct draft, i);
        if (!draft->is_dead)
            draft->number = line_write(writer, draft->text, draft->place);
    }
    compiler->page_lines_at = line_writer_turn(writer);
    for (size_t i = 0; i < compiler->cosmetics.lines.count; i++) {
        struct cosmetic_line *line = &VECTOR_AT(compiler->cosmetics.lines, struct cosmetic_line, i);
        line->number = line_write(writer, line->text, line->place);
    }
    line_writer_finish(writer);
    free(writer);
}

/* ---- names ---- */

/* `||name^` with a party or types at most, alone under its name: needs no record in RULES. */
static bool is_simple(const struct image_rule *rule, const struct entry *entry)
{
    uint32_t allowed = RULE_AT_NAME_END | RULE_IS_FIRST | RULE_IS_THIRD | RULE_EVERYTHING;

    return entry->book == BOOK_MAIN && rule->size == 0 && rule->extra == 0 &&
           IMAGE_MODIFIER(rule->flags) == MODIFIER_NONE &&
           (rule->flags & ~allowed & ((1u << RULE_MODIFIER_SHIFT) - 1)) == 0 &&
           rule->flags & RULE_AT_NAME_END;
}

/* Gives the names their records in NAMES, still without chains. */
static void number_names(struct compiler *compiler)
{
    uint32_t next = 1;
    uint32_t *marks = calloc(compiler->names.items.count + 1, sizeof *marks);

    if (!marks)
        abort();
    for (size_t i = 0; i < compiler->entries.count; i++) {
        const struct entry *entry = &VECTOR_AT(compiler->entries, struct entry, i);
        if (entry->kind == ENTRY_NAME)
            marks[entry->key] |= IMAGE_NAME_MARK(entry->book, entry->side);
    }
    for (uint32_t i = 0; i < compiler->names.items.count; i++) {
        struct name *name = names_at(&compiler->names, i);

        for (unsigned book = 0; book < BOOKS; book++) {
            bool on_host = marks[i] & IMAGE_NAME_MARK(book, SIDE_HOST);
            bool on_source = marks[i] & IMAGE_NAME_MARK(book, SIDE_SOURCE);
            if (on_source)
                compiler->books[book].flags |= BOOK_HAS_SOURCES;
            if (name->is_entity && on_host)
                compiler->books[book].flags |= BOOK_HAS_HOST_ENTITIES;
            if (name->is_entity && on_source)
                compiler->books[book].flags |= BOOK_HAS_SOURCE_ENTITIES;
        }
        if (!marks[i])
            continue;
        name->is_needed = true;
        name->record = next;
        next += 2 + (uint32_t)__builtin_popcount(marks[i]);
    }
    vector_add(&compiler->name_words, sizeof(uint32_t), next);
    for (uint32_t i = 0; i < compiler->names.items.count; i++) {
        const struct name *name = names_at(&compiler->names, i);
        if (name->record)
            VECTOR_AT(compiler->name_words, uint32_t, name->record + 1) = marks[i];
    }
    free(marks);
}

/* Words 0 of the records, when the names' places in HOSTS are known. */
static void finish_records(struct compiler *compiler)
{
    for (uint32_t i = 0; i < compiler->names.items.count; i++) {
        const struct name *name = names_at(&compiler->names, i);
        if (name->record)
            VECTOR_AT(compiler->name_words, uint32_t, name->record) =
                name->at | (name->is_plain ? IMAGE_NAME_PLAIN : 0);
    }
}

/* Puts a chain's start into its name's record. */
static void set_chain(struct compiler *compiler, const struct entry *entry, uint32_t rule)
{
    uint32_t *record = &VECTOR_AT(compiler->name_words, uint32_t,
                                  names_at(&compiler->names, (uint32_t)entry->key)->record);
    uint32_t mark = IMAGE_NAME_MARK(entry->book, entry->side);

    assert(record[1] & mark);
    record[2 + __builtin_popcount(record[1] & (mark - 1))] = rule;
}

static bool set_simple(struct compiler *compiler, const struct entry *entry,
                       const struct image_rule *rule, uint32_t number)
{
    uint32_t *record = &VECTOR_AT(compiler->name_words, uint32_t,
                                  names_at(&compiler->names, (uint32_t)entry->key)->record);

    if (entry->side != SIDE_HOST || record[1] != IMAGE_NAME_MARK(BOOK_MAIN, SIDE_HOST) ||
        !is_simple(rule, entry))
        return false;
    record[1] = IMAGE_NAME_SIMPLE | (uint32_t)rule->not_types << IMAGE_NAME_NOT_TYPES |
                (rule->flags & RULE_IS_FIRST ? IMAGE_NAME_FIRST : 0) |
                (rule->flags & RULE_IS_THIRD ? IMAGE_NAME_THIRD : 0);
    record[2] = number;
    return true;
}

/* ---- filters of names ---- */

/* The filters of names that are asked for by the host a request comes from, and of entities. */
static void write_keys(struct compiler *compiler)
{
    for (unsigned number = 0; number < BOOKS; number++) {
        struct image_book *book = &compiler->books[number];
        uint32_t mark = IMAGE_NAME_MARK(number, SIDE_SOURCE);
        uint32_t either = mark | IMAGE_NAME_MARK(number, SIDE_HOST);
        size_t count = 0;
        uint32_t *bits;

        for (unsigned pass = 0; pass < 2; pass++) {
            for (uint32_t i = 0; i < compiler->names.items.count; i++) {
                const struct name *name = names_at(&compiler->names, i);
                uint32_t marks, key;

                if (name->is_plain && number == BOOK_MAIN && !memchr(name->text, '.', name->size))
                    book->singles |= image_single(name->hash);
                if (!name->record)
                    continue;
                marks = VECTOR_AT(compiler->name_words, uint32_t, name->record + 1);
                if (!name->is_entity && !memchr(name->text, '.', name->size) &&
                    (marks & either || (number == BOOK_MAIN && marks & IMAGE_NAME_SIMPLE)))
                    book->singles |= image_single(name->hash);
                if (marks & IMAGE_NAME_SIMPLE || !(marks & (name->is_entity ? either : mark)))
                    continue;
                count++;
                if (pass == 0)
                    continue;
                key = image_key(name->hash, book->keys_bits);
                bits = (uint32_t *)(void *)((char *)compiler->windows.at + book->keys_at);
                bits[key / 32] |= 1u << key % 32;
            }
            if (pass == 0) {
                book->keys_bits = 5;
                while (book->keys_bits < 16 && (1u << book->keys_bits) < count * 16)
                    book->keys_bits++;
                book->keys_at = (uint32_t)compiler->windows.count;
                vector_add(&compiler->windows, 1, (1u << book->keys_bits) / 8);
            }
        }
        while (compiler->windows.count % 8)
            vector_add(&compiler->windows, 1, 1);
    }
}

/* ---- public suffixes ---- */

static void add_suffix(struct compiler *compiler, uint32_t *table, struct vector *texts,
                       struct span name, uint8_t kind)
{
    uint64_t hash = names_hash(compiler->names.seed, name);
    size_t mask = ((size_t)1 << compiler->suffix_bits) - 1, slot = hash & mask, at;
    uint8_t codes[URL_HOST_LIMIT];
    size_t size = pieces_pack_host(&compiler->pieces, name, codes);
    uint8_t *bytes;

    for (; table[slot]; slot = (slot + 1) & mask) {
        uint8_t *old = (uint8_t *)texts->at + (table[slot] & IMAGE_SUFFIX_OFFSET);
        if (old[0] == size && memcmp(old + 2, codes, size) == 0) {
            old[1] |= kind;
            return;
        }
    }
    at = texts->count;
    if (at + size + 2 > IMAGE_SUFFIX_OFFSET)
        return;
    bytes = vector_add(texts, 1, size + 2);
    bytes[0] = (uint8_t)size;
    bytes[1] = kind;
    memcpy(bytes + 2, codes, size);
    table[slot] = (uint32_t)at | (uint32_t)(hash >> 52) << 20;
}

/* The next line that says something; false: that was all. Names with one label are left out, but
 * for "*.ck": a host's last label is a suffix anyway. */
static bool next_suffix(struct span *rest, struct span *name, uint8_t *kind)
{
    while (rest->size) {
        size_t end = span_find_byte(*rest, '\n');
        struct span line = span_trim(span_slice(*rest, 0, end));

        *rest = span_from(*rest, end + (end < rest->size));
        line.size = span_find_byte(line, ' ');
        if (line.size == 0 || span_starts(line, SPAN("//")))
            continue;
        *kind = line.at[0] == '!'               ? SUFFIX_EXCEPTION
                : span_starts(line, SPAN("*.")) ? SUFFIX_WILD
                                                : SUFFIX_NORMAL;
        *name = span_from(line, *kind == SUFFIX_EXCEPTION ? 1 : *kind == SUFFIX_WILD ? 2 : 0);
        if (*kind != SUFFIX_NORMAL || span_find_byte(*name, '.') < name->size)
            return true;
    }
    return false;
}

/* A quarter of the table stays free, so that a search in it soon ends. */
static void write_suffixes(struct compiler *compiler)
{
    struct span rest = compiler->suffixes, name;
    struct vector texts = { 0 };
    size_t count = 0;
    uint32_t *table;
    uint8_t kind;

    while (next_suffix(&rest, &name, &kind))
        count++;
    compiler->suffix_bits = 6;
    while (((size_t)3 << compiler->suffix_bits) / 4 < count)
        compiler->suffix_bits++;
    table = vector_add(&compiler->suffix_words, sizeof *table, (size_t)1 << compiler->suffix_bits);
    vector_add(&texts, 1, 1); // offset 0 is nobody's
    for (rest = compiler->suffixes; next_suffix(&rest, &name, &kind);) {
        name = clean_host(compiler, name);
        if (name.at)
            add_suffix(compiler, table, &texts, name, kind);
    }
    while (texts.count % 4)
        vector_add(&texts, 1, 1);
    memcpy(vector_add(&compiler->suffix_words, 4, texts.count / 4), texts.at, texts.count);
    vector_done(&texts);
}

/* ---- all together ---- */

/* Adds the chain of the entries from `entries` on, which are in order, to compiler->chained, or
 * finds it there; says in *used how many entries it is of. What comes back leads to it; 0: its
 * one rule stands in NAMES now. */
static uint32_t add_chain(struct compiler *compiler, const struct entry *entries, size_t count,
                          size_t *used)
{
    size_t start = compiler->chained.count, i = 0;
    uint32_t marks = 0;
    bool is_last;

    do {
        const struct draft *draft = &VECTOR_AT(compiler->drafts, struct draft, entries[i].draft);
        struct chained *added = VECTOR_ADD(compiler->chained, struct chained);
        struct image_rule *rule = &added->rule;

        is_last = i + 1 == count || !same_chain(&entries[i], &entries[i + 1]);
        make_rule(compiler, &entries[i], rule);
        added->number = draft->number;
        if (!(rule->not_types & RULE_NOT_BLOCK))
            marks |= IMAGE_CHAIN_BLOCK;
        if (!(rule->not_types & RULE_NOT_AFTER))
            marks |= IMAGE_CHAIN_AFTER;
        i++;
        if (i == 1 && is_last && entries[0].kind == ENTRY_NAME &&
            set_simple(compiler, &entries[0], rule, draft->number)) {
            compiler->chained.count--;
            *used = i;
            return 0;
        }
        rule->flags |= is_last ? RULE_LAST : 0;
    } while (!is_last);
    *used = i;
    return known_settle(&compiler->known_chains, &compiler->chained, sizeof(struct chained),
                        start) |
           marks;
}

/* Writes the chains of all entries, which are in order, and what leads to them. */
static bool write_rules(struct compiler *compiler, struct compile_counts *counts)
{
    struct vector keys = { 0 };
    const struct entry *entries = compiler->entries.at;
    size_t count = compiler->entries.count, used;
    bool is_good = true;

    VECTOR_ADD(compiler->chained, struct chained)->rule.flags = RULE_LAST; // 0 is none
    VECTOR_ADD(compiler->extras, uint32_t);
    VECTOR_ADD(compiler->sets, uint32_t);
    for (unsigned book = 0; book < BOOKS && is_good; book++) {
        keys.count = 0;
        for (; count > 0 && entries->book == book; entries += used, count -= used) {
            uint32_t chain = add_chain(compiler, entries, count, &used);

            if (entries->kind == ENTRY_NAME) {
                *(entries->side == SIDE_HOST ? &counts->by_host : &counts->by_source) +=
                    (uint32_t)used;
                if (chain)
                    set_chain(compiler, entries, chain);
            } else if (entries->kind == ENTRY_WINDOW) {
                *VECTOR_ADD(keys, struct window_key) = (struct window_key){
                    .bytes = entries->key, .chain = chain, .is_long = entries->is_long
                };
                counts->by_window += (uint32_t)used;
            } else {
                compiler->books[book].loose[entries->key] = chain;
                counts->loose += (uint32_t)used;
            }
        }
        is_good = window_table_write(&compiler->windows, &compiler->books[book], &keys);
    }
    vector_done(&keys);
    for (size_t i = 0; i < compiler->chained.count; i++) {
        const struct chained *chained = &VECTOR_AT(compiler->chained, struct chained, i);
        *VECTOR_ADD(compiler->rules, struct image_rule) = chained->rule;
        *VECTOR_ADD(compiler->numbers, uint32_t) = chained->number;
    }
    return is_good;
}

static size_t write_sections(struct compiler *compiler, struct image_header *header, char *image)
{
    const struct {
        const struct vector *from;
        size_t item_size;
    } sections[SECTIONS] = {
        [SECTION_BUCKETS] = { &compiler->buckets, sizeof(struct image_bucket) },
        [SECTION_SLOTS] = { &compiler->slots, 1 },
        [SECTION_HOSTS] = { &compiler->hosts, 1 },
        [SECTION_NAMES] = { &compiler->name_words, 4 },
        [SECTION_RULES] = { &compiler->rules, sizeof(struct image_rule) },
        [SECTION_NUMBERS] = { &compiler->numbers, 4 },
        [SECTION_EXTRAS] = { &compiler->extras, 4 },
        [SECTION_SETS] = { &compiler->sets, 4 },
        [SECTION_WINDOWS] = { &compiler->windows, 1 },
        [SECTION_REGEXES] = { &compiler->regexes, sizeof(struct image_regex) },
        [SECTION_SUFFIXES] = { &compiler->suffix_words, 4 },
        [SECTION_TEXTS] = { &compiler->texts, 1 },
        [SECTION_LINES] = { &compiler->lines, 1 },
        [SECTION_HOST_PLACES] = { &compiler->host_runs, sizeof(struct image_run) },
        [SECTION_LINE_PLACES] = { &compiler->line_runs, sizeof(struct image_run) },
        [SECTION_LISTS] = { &compiler->lists, 4 },
        [SECTION_COSMETIC] = { &compiler->cosmetic_words, 4 },
    };
    size_t size = (sizeof *header + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;

    for (unsigned i = 0; i < SECTIONS; i++) {
        size_t bytes = sections[i].from->count * sections[i].item_size;

        header->sections[i].at = (uint32_t)size;
        header->sections[i].size = (uint32_t)bytes;
        if (image && bytes)
            memcpy(image + size, sections[i].from->at, bytes);
        size = (size + bytes + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;
        if (size > IMAGE_LIMIT)
            return size;
    }
    return size;
}

static void count_rules(struct compiler *compiler, struct compile_counts *counts)
{
    for (uint32_t i = 0; i < compiler->names.items.count; i++)
        counts->plain_hosts += names_at(&compiler->names, i)->is_plain;
    for (size_t i = 0; i < compiler->drafts.count; i++)
        counts->rules += !VECTOR_AT(compiler->drafts, struct draft, i).is_dead;
    counts->cosmetic = (uint32_t)compiler->cosmetics.lines.count;
    counts->repeated = compiler->repeated;
    counts->negated = compiler->negated;
}

enum error_kind compiler_finish(struct compiler *compiler, struct span *image,
                                struct compile_counts *counts, struct error *error)
{
    struct image_header header = { .magic = IMAGE_MAGIC,
                                   .version = IMAGE_VERSION,
                                   .order = IMAGE_ORDER };
    size_t size;

    assert(!compiler->image);
    *counts = (struct compile_counts){ 0 };
    drop_negated(compiler);
    place_all(compiler);
    if (compiler->entries.count)
        qsort(compiler->entries.at, compiler->entries.count, sizeof(struct entry), compare_entries);
    number_names(compiler);
    names_write_hosts(&compiler->names, &compiler->hosts, &compiler->host_runs);
    finish_records(compiler);
    write_lines(compiler);
    if (!cosmetic_index_write(&compiler->cosmetics, &compiler->cosmetic_words) ||
        !write_rules(compiler, counts) ||
        !names_write_table(&compiler->names, &compiler->buckets, &compiler->slots))
        return error_set(error, ERROR_LIMIT, "the rules do not fit into a database");
    write_keys(compiler);
    write_suffixes(compiler);
    count_rules(compiler, counts);
    memcpy(header.books, compiler->books, sizeof header.books);
    header.seed = compiler->names.seed;
    header.bucket_count = (uint32_t)compiler->buckets.count;
    header.slot_bytes =
        (uint32_t)(compiler->slots.count / (compiler->buckets.count * IMAGE_BUCKET_SLOTS));
    header.suffix_bits = compiler->suffix_bits;
    header.rule_total = counts->plain_hosts + counts->rules;
    header.once_count = compiler->once_count;
    header.page_lines_at = compiler->page_lines_at;
    size = write_sections(compiler, &header, NULL);
    if (size > IMAGE_LIMIT || compiler->rules.count > IMAGE_CHAIN)
        return error_set(error, ERROR_LIMIT, "the rule database would have %zu bytes", size);
    compiler->image = aligned_alloc(IMAGE_ALIGN, size);
    if (!compiler->image)
        abort();
    memset(compiler->image, 0, size);
    write_sections(compiler, &header, compiler->image);
    header.size = size;
    header.generation = XXH3_64bits(compiler->image + sizeof header, size - sizeof header);
    memcpy(compiler->image, &header, sizeof header);
    header.checksum = XXH3_64bits(compiler->image + offsetof(struct image_header, seed),
                                  size - offsetof(struct image_header, seed));
    memcpy(compiler->image, &header, sizeof header);
    *image = span_of(compiler->image, size);
    return ERROR_NONE;
}
