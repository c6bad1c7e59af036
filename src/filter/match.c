#include "filter/match.h"

#include <stdio.h>
#include <stdlib.h>

#include "filter/expressions.h"
#include "filter/hosts.h"
#include "filter/pattern.h"
#include "filter/regex.h"
#include "filter/rule.h"

enum {
    WINDOWS = URL_LIMIT / 2 + 1, // runs that a URL can have
    REGEX_SUBJECT = 16384,       // bytes of a URL that regular expressions look at
};

enum {
    LEADS = 2 * WINDOWS + 4 * (URL_LABELS + 1) + 1,
};

/* A chain of rules in the low half, in the high half where in the URL its window stands or its
 * host ends. */
typedef uint64_t lead;
#define LEAD_SIMPLE 0x80000000u // no chain, but a record in NAMES with IMAGE_NAME_SIMPLE
#define LEAD_GUESS 0x40000000u  // the host's name is to be proved when a rule of it holds:
#define LEAD_LABEL 24u          // its label stands here in the high half
#define LEAD_AT 0xffffffu

struct matcher {
    struct database *database;
    const struct image_view *view; // NULL: no database
    struct regex_cache *regexes;
    struct expressions *expressions; // those of conditions
    uint16_t *tried;                 // for each EXTRA_ONCE: the question in which it failed
    uint16_t question;               // never 0
    bool is_waiting;                 // a condition could not be asked for want of an answer
    bool is_wide;                    // the machine has what ask_wide() is compiled for
    struct url_parsers parsers;
    struct url_text url_room;
    struct url_host_text source_room, name_room;
    uint32_t passed[WINDOWS + 1]; // starts of windows that the filter let through
    lead leads[LEADS];
    char other_url[URL_LIMIT]; // one with another host, or as it came
};

struct ask { // one question
    struct matcher *matcher;
    const struct image_view *view;
    const struct request *request;
    struct url url;
    size_t lead_count; // in matcher->leads: all that can hold in the book under examination
    rule_number plain; // a plain `||host^` rule, or 0
    bool has_source_split, has_source;
    bool is_own_source; // a page visit without one: the page's own host
    bool is_late;       // asked by address or response: rules of BOOK_LATE
    bool has_method;
    uint16_t method_bit;
    bool has_party;
    uint32_t failing; // when has_party: the RULE_IS_... that do not hold
    struct host host, source;
};

struct matcher *matcher_new(struct database *database)
{
    struct matcher *matcher = calloc(1, sizeof *matcher);

    if (!matcher)
        abort();
    matcher->parsers = url_best_parsers();
    matcher->expressions = expressions_new();
#if defined(__x86_64__)
    matcher->is_wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    // and lzcnt, which clang cannot ask for: every processor with BMI2 has it
#endif
    matcher_use(matcher, database);
    return matcher;
}

void matcher_use(struct matcher *matcher, struct database *database)
{
    if (database)
        database_ref(database);
    regex_cache_free(&matcher->regexes);
    free(matcher->tried);
    matcher->tried = NULL;
    database_unref(&matcher->database);
    matcher->database = database;
    matcher->view = database ? database_image(database) : NULL;
    if (!database)
        return;
    matcher->regexes = regex_cache_new(matcher->view->regex_count);
    matcher->tried = calloc(matcher->view->header->once_count + 1u, sizeof *matcher->tried);
    if (!matcher->tried)
        abort();
}

void matcher_free(struct matcher **matcher)
{
    if (!*matcher)
        return;
    matcher_use(*matcher, NULL);
    expressions_free(&(*matcher)->expressions);
    free(*matcher);
    *matcher = NULL;
}

struct database *matcher_database(const struct matcher *matcher)
{
    return matcher->database;
}

/* ---- hosts ---- */

/* A page visit's own host is its source to the conditions of rules. */
static __attribute__((noinline)) void take_own_source(struct ask *ask)
{
    const struct url *url = &ask->url;

    ask->is_own_source = ask->has_source = true;
    host_split(&ask->source, ask->view->header->seed, url->at + url->host_at,
               url->name_end - url->host_at, url->dots);
}

ALWAYS_INLINE void split_source(struct ask *ask)
{
    struct url_name name;

    if (ask->has_source_split)
        return;
    ask->has_source_split = true;
    if (ask->request->source.size == 0 && ask->request->type == TYPE_DOCUMENT) {
        take_own_source(ask);
        return;
    }
    ask->matcher->parsers.parse_host(&name, &ask->matcher->source_room, ask->request->source);
    ask->has_source = name.size > 0;
    if (!ask->has_source)
        return;
    host_split(&ask->source, ask->view->header->seed, name.at, name.size, name.dots);
}

static __attribute__((noinline)) void split_source_now(struct ask *ask)
{
    split_source(ask);
}

static inline void need_source(struct ask *ask)
{
    if (!ask->has_source_split)
        split_source_now(ask);
}

/* Finds out which of RULE_IS_... fail. */
static void tell_party(struct ask *ask)
{
    bool is_third, is_same;

    if (ask->has_party)
        return;
    ask->has_party = true;
    need_source(ask);
    if (ask->has_source && !ask->is_own_source) {
        is_same = host_same(&ask->host, &ask->source);
        is_third = !is_same && !host_same_party(ask->view, &ask->host, &ask->source);
    } else {
        is_third = ask->request->party == PARTY_THIRD;
        is_same = !is_third;
    }
    ask->failing = (is_third ? RULE_IS_FIRST : RULE_IS_THIRD) |
                   (is_same ? RULE_IS_STRICT_THIRD : RULE_IS_STRICT_FIRST);
}

/* ---- does a rule hold? ---- */

static bool regex_hits(void *owner, uint32_t index, struct span subject)
{
    struct ask *ask = owner;
    const struct image_regex *regex = &ask->view->regexes[index];

    return regex_find(ask->matcher->regexes, index, image_text(ask->view, regex->text),
                      regex->flags, subject);
}

static bool text_holds(struct ask *ask, const uint32_t *record, enum image_extra part)
{
    const struct request *request = ask->request;
    struct expressions *expressions = ask->matcher->expressions;
    struct span text;

    if (!(record[0] & part))
        return true;
    text = image_text(ask->view, image_part(record, part));
    switch (part) {
    case EXTRA_CLIENT:
        return condition_address(expressions, text, request->client, request->client_name);
    case EXTRA_ADDRESS:
        ask->matcher->is_waiting |= request->address.size == 0;
        return condition_address(expressions, text, request->address, SPAN_NONE);
    case EXTRA_HEADER:
        ask->matcher->is_waiting |= !request->response_field;
        return condition_field(expressions, text, request->response_field, request->field_owner);
    default:
        return condition_field(expressions, text, request->request_field, request->field_owner);
    }
}

static bool conditions_hold(struct ask *ask, const uint32_t *record)
{
    const struct image_view *view = ask->view;
    uint32_t parts = record[0];

    if (parts & EXTRA_METHODS) {
        if (!ask->has_method) {
            ask->has_method = true;
            ask->method_bit = 0;
            if (ask->request->method.size)
                ask->method_bit = rule_method_bit(ask->request->method);
        }
        if (!(image_part(record, EXTRA_METHODS) & ask->method_bit))
            return false;
    }
    if (parts & EXTRA_DOMAINS) {
        uint32_t set = image_part(record, EXTRA_DOMAINS);
        need_source(ask);
        if (!ask->has_source ? view->sets[set] & IMAGE_SET_HAS_WITH
                             : !host_in_set(view, set, &ask->source, regex_hits, ask))
            return false;
    }
    if (parts & EXTRA_TO &&
        !host_in_set(view, image_part(record, EXTRA_TO), &ask->host, regex_hits, ask))
        return false;
    if (parts & EXTRA_DENYALLOW &&
        host_in_set(view, image_part(record, EXTRA_DENYALLOW), &ask->host, regex_hits, ask))
        return false;
    return text_holds(ask, record, EXTRA_CLIENT) && text_holds(ask, record, EXTRA_REQUEST_HEADER) &&
           text_holds(ask, record, EXTRA_ADDRESS) && text_holds(ask, record, EXTRA_HEADER);
}

enum {
    RULE_PARTIES = RULE_IS_FIRST | RULE_IS_THIRD | RULE_IS_STRICT_FIRST | RULE_IS_STRICT_THIRD,
};

static bool party_holds(struct ask *ask, uint32_t flags)
{
    if (flags & RULE_PARTIES)
        tell_party(ask);
    return !(flags & ask->failing);
}

static bool is_label_start(const struct url *url, size_t at)
{
    return at >= url->host_at && at < url->host_end &&
           (at == url->host_at || url->at[at - 1] == '.');
}

/* The URL as it came, for rules that tell capitals apart; scheme and host, where none count, in
 * lower case. */
static struct span as_it_came(const struct ask *ask)
{
    const struct url *url = &ask->url;
    struct span came = ask->request->url;
    char *to = ask->matcher->other_url;

    if (!url->left_out && memcmp(came.at, url->at, url->host_end) == 0)
        return span_slice(came, 0, url->size);
    memcpy(to, url->at, url->host_end);
    memcpy(to + url->host_end, came.at + url->host_end + url->left_out, url->size - url->host_end);
    return span_of(to, url->size);
}

/* The pattern in EXTRAS, or the regular expression. */
static enum pattern_result general_holds(struct ask *ask, const struct image_rule *rule,
                                         const uint32_t *record, size_t start)
{
    const struct url *url = &ask->url;
    struct span text = span_of(url->at, url->size), pattern;
    bool to_end = rule->flags & RULE_AT_END;

    if (rule->flags & RULE_REGEX) {
        uint32_t index = image_part(record, EXTRA_REGEX);
        if (!(ask->view->regexes[index].flags & REGEX_NOCASE))
            text = as_it_came(ask);
        if (text.size > REGEX_SUBJECT)
            text.size = REGEX_SUBJECT;
        return regex_hits(ask, index, text) ? PATTERN_YES : PATTERN_NOWHERE;
    }
    pattern = image_text(ask->view, image_part(record, EXTRA_PATTERN));
    if (rule->flags & RULE_MATCH_CASE)
        text = as_it_came(ask);
    if (!(rule->flags & RULE_ANYWHERE))
        return pattern_match(pattern, text, start, false, to_end);
    if (rule->flags & RULE_AT_START)
        return pattern_match(pattern, text, 0, false, to_end) == PATTERN_YES ? PATTERN_YES
                                                                             : PATTERN_NOWHERE;
    if (!(rule->flags & RULE_AT_HOST))
        return pattern_match(pattern, text, 0, true, to_end);
    for (uint32_t i = ask->host.count; i > 0; i--) {
        enum pattern_result result =
            pattern_match(pattern, text, url->host_at + ask->host.starts[i - 1], false, to_end);
        if (result != PATTERN_NO)
            return result;
    }
    return PATTERN_NOWHERE;
}

#if defined(__x86_64__)
/* Is a literal in the URL? Behind that there are NULs, which no literal has. */
static __attribute__((target("avx2,bmi"), noinline)) bool is_literal_in_avx2(
    const char *at, const char *end, const struct image_rule *rule)
{
    unsigned last = rule->size - 1u, middle = last / 2, all = (2u << last) - 1;
    __m128i literal = _mm_loadu_si128((const __m128i *)(const void *)rule->literal);
    __m256i first = _mm256_set1_epi8(rule->literal[0]);
    __m256i second = _mm256_set1_epi8(rule->literal[middle]);
    __m256i third = _mm256_set1_epi8(rule->literal[last]);

#define EQUALS(offset, want)                                                                       \
    _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)(at + (offset))), want)
    for (; at < end; at += 32) {
        unsigned hits = (unsigned)_mm256_movemask_epi8(_mm256_and_si256(
            EQUALS(0, first), _mm256_and_si256(EQUALS(middle, second), EQUALS(last, third))));

        for (; hits; hits &= hits - 1) {
            const void *hit = at + __builtin_ctz(hits);
            __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)hit), literal);
            if (!(all & ~(unsigned)_mm_movemask_epi8(equal)))
                return true;
        }
    }
#undef EQUALS
    return false;
}
#endif

/* The literal of a rule that no window places: a first look before what costs more. */
static bool literal_holds(const struct ask *ask, const struct image_rule *rule)
{
    struct span url = span_of(ask->url.at, ask->url.size);
    struct span literal = span_of(rule->literal, rule->size);

    if (rule->size == 0)
        return true;
    if (rule->flags & RULE_ENDS)
        return span_ends(url, literal);
#if defined(__x86_64__)
    if (ask->matcher->is_wide)
        return is_literal_in_avx2(url.at, url.at + url.size, rule);
#endif
    return pattern_find(url, literal) < url.size;
}

/* Where the literal stands, does the rest of the pattern? What is left to general_holds() is not
 * looked at. */
static bool rest_holds(struct ask *ask, const struct image_rule *rule, size_t start)
{
    const struct url *url = &ask->url;
    uint32_t flags = rule->flags;
    size_t end = start + rule->size;

    if (flags & RULE_SEPARATORS)
        for (unsigned bits = rule->separators; bits; bits &= bits - 1)
            if (!pattern_is_separator(url->at[start + (unsigned)__builtin_ctz(bits)]))
                return false;
    if ((flags & RULE_AT_HOST && !is_label_start(url, start)) ||
        (flags & RULE_AT_START && start != 0))
        return false;
    if (flags & RULE_LONG) {
        struct span tail =
            image_text(ask->view, image_part(ask->view->extras + rule->extra, EXTRA_PATTERN));
        if (tail.size > url->size - end || memcmp(url->at + end, tail.at, tail.size) != 0)
            return false;
        end += tail.size;
    }
    if (flags & RULE_SEPARATOR && !pattern_is_separator(url->at[end]))
        return false;
    return !(flags & RULE_AT_END) || flags & RULE_GENERAL || end == url->size;
}

/* All that the record in RULES cannot tell by its literal alone. `start`: where that stands. */
static bool more_holds(struct ask *ask, const struct image_rule *rule, size_t start)
{
    const uint32_t *record = ask->view->extras + rule->extra;
    uint32_t flags = rule->flags;
    uint16_t *tried = NULL;
    enum pattern_result result;

    if (flags & (RULE_GENERAL | RULE_REGEX)) {
        tried = &ask->matcher->tried[image_part(record, EXTRA_ONCE)];
        if (*tried == ask->matcher->question)
            return false;
    }
    if (!(flags & RULE_ANYWHERE)) {
        if (start > ask->url.size || !rest_holds(ask, rule, start)) // it would begin before the URL
            return false;
    } else if (flags & (RULE_CONTAINS | RULE_ENDS) && !literal_holds(ask, rule)) {
        return false;
    }
    if (!party_holds(ask, flags) || (flags & RULE_CONDITIONS && !conditions_hold(ask, record))) {
        if (tried)
            *tried = ask->matcher->question;
        return false;
    }
    if (!tried)
        return true;
    result = general_holds(ask, rule, record, start);
    if (result == PATTERN_NOWHERE)
        *tried = ask->matcher->question;
    return result == PATTERN_YES;
}

/* Does the rule apply? `at`: where the window stands, or where the host ends. */
ALWAYS_INLINE bool rule_holds(struct ask *ask, const struct image_rule *rule, uint32_t want,
                              size_t at)
{
    const char *start = ask->url.at + at - rule->offset;

    if (rule->not_types & want)
        return false;
#if defined(__SSE2__)
    {
        __m128i have = _mm_loadu_si128((const __m128i *)(const void *)start);
        __m128i literal = _mm_loadu_si128((const __m128i *)(const void *)rule->literal);
        unsigned equal = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(have, literal));
        if (rule->need & ~equal)
            return false;
    }
#else
    for (unsigned bits = rule->need; bits; bits &= bits - 1) {
        unsigned i = (unsigned)__builtin_ctz(bits);
        if (start[i] != rule->literal[i])
            return false;
    }
#endif
    if (!(rule->flags & RULE_MORE))
        return true;
    if (rule->flags & ask->failing)
        return false;
    return more_holds(ask, rule, (size_t)(start - ask->url.at));
}

/* ---- walking a book ---- */

struct hit {
    rule_number number;
    uint32_t flags;
    const struct image_rule *rule; // NULL: it has no record in RULES
};

/* Called for each rule that applies; true: enough. */
typedef bool visit(struct ask *ask, const struct hit *hit, void *to);

/* Is the name that the lead was found by really the host's? */
ALWAYS_INLINE bool is_proved(struct ask *ask, lead by)
{
    return !((uint32_t)by & LEAD_GUESS) ||
           host_slot(ask->view, &ask->host, (uint32_t)(by >> 32) >> LEAD_LABEL) != 0;
}

static bool walk_simple(struct ask *ask, lead by, uint32_t want, visit *on_hit, void *to)
{
    const uint32_t *record = &ask->view->names[(uint32_t)by & ~(LEAD_SIMPLE | LEAD_GUESS)];
    struct hit hit = { .number = record[2],
                       .flags = (uint32_t)MODIFIER_NONE << RULE_MODIFIER_SHIFT };

    if (record[1] >> IMAGE_NAME_NOT_TYPES & want)
        return false;
    if (record[1] & (IMAGE_NAME_FIRST | IMAGE_NAME_THIRD)) {
        tell_party(ask);
        if (ask->failing & (record[1] & IMAGE_NAME_THIRD ? RULE_IS_THIRD : RULE_IS_FIRST))
            return false;
    }
    return is_proved(ask, by) && on_hit(ask, &hit, to);
}

/* Visits every rule of the book under examination that applies and has none of the bits in `want`
 * among its not_types, until told to stop. */
ALWAYS_INLINE bool walk_with(struct ask *ask, uint32_t want, visit *on_hit, void *to)
{
    const struct image_view *view = ask->view;
    const lead *next = ask->matcher->leads, *end = next + ask->lead_count;
    uint32_t parts = want & RULE_NOT_BLOCK   ? IMAGE_CHAIN_BLOCK | LEAD_SIMPLE
                     : want & RULE_NOT_AFTER ? IMAGE_CHAIN_AFTER
                                             : IMAGE_CHAIN_BLOCK | IMAGE_CHAIN_AFTER | LEAD_SIMPLE;

    for (; next < end; next++) {
        uint32_t chain = (uint32_t)*next, at = (uint32_t)(*next >> 32) & LEAD_AT, flags;
        const struct image_rule *rule = &view->rules[chain & IMAGE_CHAIN];

        if (!(chain & parts))
            continue;
        if (__builtin_expect(chain & LEAD_SIMPLE, 0)) {
            if (walk_simple(ask, *next, want, on_hit, to))
                return true;
            continue;
        }
        do {
            flags = rule->flags;
            if (rule_holds(ask, rule, want, at)) {
                struct hit hit = { .number = view->numbers[rule - view->rules],
                                   .flags = flags,
                                   .rule = rule };
                if (!is_proved(ask, *next))
                    break;
                if (on_hit(ask, &hit, to))
                    return true;
            }
            rule++;
        } while (!(flags & RULE_LAST));
    }
    return false;
}

static bool walk(struct ask *ask, uint32_t want, visit *on_hit, void *to)
{
    return walk_with(ask, want, on_hit, to);
}

/* ---- what could hold ---- */

ALWAYS_INLINE lead lead_of(uint32_t chain, uint32_t at)
{
    return chain | (uint64_t)at << 32;
}

/* The starts of windows in the URL that the book's filter lets through: into matcher->passed. */
ALWAYS_INLINE size_t filter_windows(struct ask *ask, const struct image_book *book)
{
    const uint8_t *filter = (const void *)(ask->view->windows + book->filter_at);
    uint32_t factor = book->factor, shift = 32 - book->filter_bits;
    uint32_t *passed = ask->matcher->passed;

    for (uint32_t at = 0; at < ask->url.size; at += 64) {
        const char *before = ask->url.at + at - 1;
        uint64_t bits = ask->url.starts[at / 64];

        if (at == 0)
            bits &= bits - 1; // the scheme: no window stands at the very start
        while (bits) {
            size_t run = (size_t)__builtin_ctzll(bits);
            uint32_t bytes;

            memcpy(&bytes, before + run, 4);
            *passed = at + (uint32_t)run;
            passed += filter[image_tag_short(bytes, factor) >> shift];
            bits &= bits - 1;
        }
    }
    return (size_t)(passed - ask->matcher->passed);
}

/* What the table of windows says to a tag: 0 for nothing. */
ALWAYS_INLINE uint32_t window_chain(const struct image_window *table, uint32_t slots, uint32_t tag)
{
    const struct image_window *window = &table[image_window_slot(tag, slots)];

    while (window->tag != tag && window->chain)
        window++;
    return window->tag == tag ? window->chain : 0;
}

ALWAYS_INLINE lead *lead_by_windows(const struct ask *ask, const struct image_book *book,
                                    size_t count, lead *to)
{
    const struct image_window *table = (const void *)(ask->view->windows + book->table_at);
    const uint32_t *passed = ask->matcher->passed;
    const char *before = ask->url.at - 1;
    const uint32_t *longs = (const void *)(ask->view->windows + book->longs_at);
    uint32_t factor = book->factor, slots = book->table_slots;
    uint32_t longs_shift = 32 - book->longs_bits;

    for (size_t i = 0; i < count; i++) {
        uint64_t bytes;
        uint32_t chain, tag, bit;

        memcpy(&bytes, before + passed[i], 8);
        chain = window_chain(table, slots, image_tag_short((uint32_t)bytes, factor));
        *to = lead_of(chain & IMAGE_CHAIN_ANY, passed[i]);
        to += (chain & IMAGE_CHAIN) != 0;
        if (!(chain & IMAGE_WINDOW_LONGER))
            continue;
        tag = image_tag_long(bytes, factor);
        bit = tag >> longs_shift;
        if (!(longs[bit / 32] >> (bit & 31) & 1))
            continue;
        chain = window_chain(table, slots, tag);
        *to = lead_of(chain & IMAGE_CHAIN_ANY, passed[i]);
        to += (chain & IMAGE_CHAIN) != 0;
    }
    return to;
}

/* The index in RULES of the chain that a record in NAMES has for this mark, which it has. */
ALWAYS_INLINE uint32_t chain_of(const uint32_t *record, uint32_t mark)
{
    uint32_t before = record[1] & (mark - 1);

    return record[2 + (before ? (uint32_t)__builtin_popcount(before) : 0)];
}

/* By the names that end the request's host; finds its plain rule, too. */
ALWAYS_INLINE lead *lead_by_host(struct ask *ask, enum image_book_name book, lead *to,
                                 find_hits *find)
{
    const struct image_view *view = ask->view;
    struct host *host = &ask->host;
    uint32_t mark = IMAGE_NAME_MARK(book, SIDE_HOST);

    ask->plain = 0;
    for (uint32_t i = host_first(&view->header->books[book], host); i < host->count; i++) {
        uint32_t slot = host->slots[i];
        const uint32_t *record;

        if (slot == IMAGE_SLOT_UNKNOWN)
            slot = host->slots[i] = guess_slot(view, host, i, find);
        if (!(slot & IMAGE_SLOT_RECORD)) {
            if (slot && !(slot & IMAGE_SLOT_NAME) && (slot = host_slot(view, host, i)) != 0)
                ask->plain = image_slot_number(view, slot) | IMAGE_NUMBER_HOST;
            continue;
        }
        record = &view->names[image_slot_number(view, slot)];
        if (!(record[0] & IMAGE_NAME_PLAIN) && !(record[1] & (mark | IMAGE_NAME_SIMPLE)))
            continue;
        if (record[0] & IMAGE_NAME_PLAIN) {
            if (!host_slot(view, host, i))
                continue;
            ask->plain = (record[0] & ~IMAGE_NAME_PLAIN) | IMAGE_NUMBER_HOST;
        }
        if (record[1] & mark)
            *to++ =
                lead_of(chain_of(record, mark) | LEAD_GUESS, ask->url.host_end | i << LEAD_LABEL);
        else if (record[1] & IMAGE_NAME_SIMPLE && book == BOOK_MAIN)
            *to++ = lead_of((uint32_t)(record - view->names) | LEAD_SIMPLE | LEAD_GUESS,
                            i << LEAD_LABEL);
    }
    return to;
}

/* May a name with this hash have a chain that is found by it? */
ALWAYS_INLINE bool is_key(const struct image_view *view, const struct image_book *book,
                          uint64_t hash)
{
    const uint32_t *keys = (const void *)(view->windows + book->keys_at);
    uint32_t key = image_key(hash, book->keys_bits);

    return keys[key / 32] >> (key & 31) & 1;
}

ALWAYS_INLINE lead *lead_by_source(struct ask *ask, const struct image_book *book, uint32_t mark,
                                   lead *to)
{
    const struct image_view *view = ask->view;
    struct host *host = &ask->source;

    for (uint32_t i = 1; i < host->count; i++) { // no single label is a key
        uint32_t slot;
        const uint32_t *record;

        if (!is_key(view, book, host->hashes[i]))
            continue;
        slot = host_slot(view, host, i);
        if (!(slot & IMAGE_SLOT_RECORD))
            continue;
        record = &view->names[image_slot_number(view, slot)];
        if (record[1] & mark)
            *to++ = lead_of(chain_of(record, mark), ask->url.host_end);
    }
    return to;
}

/* By the entities that the host's labels could be. */
ALWAYS_INLINE lead *lead_by_entities(const struct ask *ask, const struct image_book *book,
                                     const struct host *host, uint32_t mark, lead *to)
{
    for (uint32_t i = 1; i < host->count; i++) {
        uint64_t hash = host_entity_hash(ask->view, host, i);
        const uint32_t *record;

        if (!is_key(ask->view, book, hash))
            continue;
        record = host_entity(ask->view, host, i, hash, mark);
        if (record)
            *to++ = lead_of(chain_of(record, mark), ask->url.host_end);
    }
    return to;
}

/* Gathers the leads of a book: every rule in it that can hold is in one of these chains. */
ALWAYS_INLINE void gather_with(struct ask *ask, enum image_book_name name, find_hits *find)
{
    const struct image_book *book = &ask->view->header->books[name];
    uint32_t by_host = IMAGE_NAME_MARK(name, SIDE_HOST);
    uint32_t by_source = IMAGE_NAME_MARK(name, SIDE_SOURCE);
    lead *to = ask->matcher->leads;
    size_t passed;

    passed = filter_windows(ask, book);
    if (book->flags & BOOK_HAS_SOURCES)
        split_source(ask);
    to = lead_by_host(ask, name, to, find);
    to = lead_by_windows(ask, book, passed, to);
    if (book->flags & BOOK_HAS_HOST_ENTITIES)
        to = lead_by_entities(ask, book, &ask->host, by_host, to);
    if (book->flags & BOOK_HAS_SOURCES && ask->has_source) {
        to = lead_by_source(ask, book, by_source, to);
        if (book->flags & BOOK_HAS_SOURCE_ENTITIES)
            to = lead_by_entities(ask, book, &ask->source, by_source, to);
    }
    *to = book->loose[ask->request->type];
    to += *to != 0;
    ask->lead_count = (size_t)(to - ask->matcher->leads);
}

static void gather(struct ask *ask, enum image_book_name name)
{
    gather_with(ask, name, bucket_hits);
}

/* ---- asking ---- */

ALWAYS_INLINE uint32_t block_bits(const struct ask *ask)
{
    return TYPE_BIT(ask->request->type) | RULE_NOT_BLOCK;
}

ALWAYS_INLINE uint32_t after_bits(const struct ask *ask)
{
    return TYPE_BIT(ask->request->type) | RULE_NOT_AFTER;
}

ALWAYS_INLINE bool begin_with(struct ask *ask, struct matcher *matcher,
                              const struct request *request)
{
    const struct url *url = &ask->url;

    // Memory is slow: what is read later than the URL's first bytes comes with them.
    __builtin_prefetch(request->source.at);
    __builtin_prefetch(request->source.at + 32);
    __builtin_prefetch(request->url.at + 64);
    __builtin_prefetch(request->url.at + 128);
    __builtin_prefetch(request->url.at + 192);
    ask->matcher = matcher;
    ask->view = matcher->view;
    ask->request = request;
    ask->has_source_split = ask->has_source = ask->has_method = ask->is_late = false;
    ask->has_party = ask->is_own_source = false;
    ask->failing = 0;
    if (!ask->view || (unsigned)request->type >= REQUEST_TYPES ||
        !matcher->parsers.parse(&ask->url, &matcher->url_room, request->url))
        return false;
    if (++matcher->question == 0) {
        memset(matcher->tried, 0,
               (matcher->view->header->once_count + 1u) * sizeof *matcher->tried);
        matcher->question = 1;
    }
    host_split(&ask->host, ask->view->header->seed, url->at + url->host_at,
               url->name_end - url->host_at, url->dots);
    host_fetch(ask->view, &ask->host);
    return true;
}

static bool begin(struct ask *ask, struct matcher *matcher, const struct request *request)
{
    return begin_with(ask, matcher, request);
}

struct found {
    struct hit hit;
    uint32_t needs, excludes; // flags that a rule must, and must not have
};

static bool first_found(struct ask *ask, const struct hit *hit, void *to)
{
    struct found *found = to;

    (void)ask;
    if ((hit->flags & found->needs) != found->needs || hit->flags & found->excludes)
        return false;
    found->hit = *hit;
    return true;
}

enum { STUBS = 16 }; // redirect rules of one request that are compared

struct after {
    struct hit exception; // number 0: none
    struct hit stubs[STUBS], no_stubs[STUBS];
    size_t stub_count, no_stub_count;
};

static void add_stub(struct hit *stubs, size_t *count, const struct hit *hit)
{
    for (size_t i = 0; i < *count; i++)
        if (stubs[i].number == hit->number)
            return;
    if (*count < STUBS)
        stubs[(*count)++] = *hit;
}

static bool gather_after(struct ask *ask, const struct hit *hit, void *to)
{
    struct after *after = to;

    (void)ask;
    if (IMAGE_MODIFIER(hit->flags) == MODIFIER_NONE) {
        if (!after->exception.number ||
            (!(after->exception.flags & RULE_IMPORTANT) && hit->flags & RULE_IMPORTANT))
            after->exception = *hit;
    } else if (hit->flags & RULE_EXCEPTION) {
        add_stub(after->no_stubs, &after->no_stub_count, hit);
    } else {
        add_stub(after->stubs, &after->stub_count, hit);
    }
    return false;
}

/* BOOK_LATE does not keep what stops requests apart from what comes after that. */
static bool gather_late_after(struct ask *ask, const struct hit *hit, void *to)
{
    bool is_after = hit->flags & RULE_EXCEPTION || IMAGE_MODIFIER(hit->flags) != MODIFIER_NONE;

    return is_after ? gather_after(ask, hit, to) : false;
}

static bool late_found(struct ask *ask, const struct hit *hit, void *to)
{
    return IMAGE_MODIFIER(hit->flags) != MODIFIER_REDIRECT_RULE && first_found(ask, hit, to);
}

/* The value of a rule's modifier; empty where there is none. */
static struct span value_of(const struct image_view *view, const struct hit *hit)
{
    const uint32_t *record;

    if (!hit->rule || !hit->rule->extra)
        return SPAN_NONE;
    record = view->extras + hit->rule->extra;
    return record[0] & EXTRA_VALUE ? image_text(view, image_part(record, EXTRA_VALUE)) : SPAN_NONE;
}

/* "noop.js:100": the name without its priority. */
static struct span stub_name(struct span value, int64_t *priority)
{
    size_t colon = value.size;
    struct span digits;
    uint64_t number;
    bool is_negative;

    *priority = 0;
    while (colon > 0 && value.at[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return value;
    digits = span_from(value, colon);
    is_negative = digits.size && digits.at[0] == '-';
    if (is_negative)
        digits = span_from(digits, 1);
    if (!span_to_u64(digits, &number) || number > 1000000)
        return value;
    *priority = is_negative ? -(int64_t)number : (int64_t)number;
    return span_slice(value, 0, colon - 1);
}

/* What is important yields only to an exception that is so, too. */
static bool is_too_weak(const struct hit *exception, const struct hit *rule)
{
    return rule->flags & RULE_IMPORTANT && !(exception->flags & RULE_IMPORTANT);
}

/* The stub of the highest priority, of important rules first, as uBlock Origin ranks them. */
static void choose_stub(const struct image_view *view, const struct after *after,
                        struct verdict *verdict)
{
    int64_t best = INT64_MIN, priority;
    bool is_best_important = false, is_important;

    for (size_t i = 0; i < after->stub_count; i++) {
        struct span value = value_of(view, &after->stubs[i]), name = stub_name(value, &priority);
        bool is_lifted = false;

        for (size_t k = 0; k < after->no_stub_count && !is_lifted; k++) {
            struct span other = value_of(view, &after->no_stubs[k]);
            is_lifted = (other.size == 0 || span_equal(other, value) || span_equal(other, name)) &&
                        !is_too_weak(&after->no_stubs[k], &after->stubs[i]);
        }
        is_important = after->stubs[i].flags & RULE_IMPORTANT;
        if (is_lifted || name.size == 0 ||
            (is_important == is_best_important ? priority <= best : is_best_important))
            continue;
        best = priority;
        is_best_important = is_important;
        verdict->redirect = name;
        verdict->redirect_rule = after->stubs[i].number;
        verdict->action = VERDICT_REDIRECT;
    }
    if (verdict->action == VERDICT_REDIRECT && span_equal(verdict->redirect, SPAN("none"))) {
        verdict->action = VERDICT_BLOCK;
        verdict->redirect = SPAN_NONE;
        verdict->redirect_rule = 0;
    }
}

/* `rule` wants to stop the request: do exceptions lift it, does a stub stand for it? The leads of
 * BOOK_MAIN have been gathered. */
static void settle(struct ask *ask, rule_number rule, bool is_important, struct verdict *verdict)
{
    struct after after;

    after.exception.number = 0;
    after.stub_count = after.no_stub_count = 0;
    verdict->rule = rule;
    verdict->action = VERDICT_BLOCK;
    walk(ask, after_bits(ask), gather_after, &after);
    if (ask->is_late) {
        gather(ask, BOOK_LATE);
        walk(ask, TYPE_BIT(ask->request->type), gather_late_after, &after);
    }
    if (after.exception.number && (!is_important || after.exception.flags & RULE_IMPORTANT)) {
        struct found important = { .needs = RULE_IMPORTANT, .excludes = RULE_EXCEPTION };

        if (!(after.exception.flags & RULE_IMPORTANT))
            walk(ask, ask->is_late ? TYPE_BIT(ask->request->type) : block_bits(ask),
                 ask->is_late ? late_found : first_found, &important);
        if (!important.hit.number) {
            verdict->overridden = verdict->rule;
            verdict->rule = after.exception.number;
            verdict->action = VERDICT_EXCEPTION;
            return;
        }
        verdict->rule = important.hit.number;
    }
    if (after.stub_count)
        choose_stub(ask->view, &after, verdict);
}

ALWAYS_INLINE void ask_with(struct matcher *matcher, const struct request *request,
                            struct verdict *verdict, find_hits *find)
{
    struct found block;
    struct ask ask;

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    if (!begin_with(&ask, matcher, request))
        return;
    gather_with(&ask, BOOK_MAIN, find);
    block.needs = block.excludes = 0;
    if (ask.plain)
        settle(&ask, ask.plain, false, verdict);
    else if (walk_with(&ask, block_bits(&ask), first_found, &block))
        settle(&ask, block.hit.number, block.hit.flags & RULE_IMPORTANT, verdict);
}

#if defined(__x86_64__)
/* The same for machines of the last ten years. */
static __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt,tune=znver2"))) void ask_wide(
    struct matcher *matcher, const struct request *request, struct verdict *verdict)
{
    ask_with(matcher, request, verdict, bucket_hits_avx2);
}
#endif

static __attribute__((noinline)) void ask_plain(struct matcher *matcher,
                                                const struct request *request,
                                                struct verdict *verdict)
{
    ask_with(matcher, request, verdict, bucket_hits);
}

void matcher_ask(struct matcher *matcher, const struct request *request, struct verdict *verdict)
{
#if defined(__x86_64__)
    if (matcher->is_wide) {
        ask_wide(matcher, request, verdict);
        return;
    }
#endif
    ask_plain(matcher, request, verdict);
}

/* The number of the first rule of the host's names that is about every request to it, or 0. */
static rule_number find_everything(const struct image_view *view, struct host *host, uint32_t needs,
                                   uint32_t excludes)
{
    for (uint32_t i = 0; i < host->count; i++) {
        uint32_t slot = host_slot(view, host, i);
        const uint32_t *record = &view->names[image_slot_number(view, slot)];

        if (!(slot & IMAGE_SLOT_RECORD) || !(record[1] & IMAGE_NAME_MARK(BOOK_MAIN, SIDE_HOST)))
            continue;
        for (const struct image_rule *rule = &view->rules[record[2] & IMAGE_CHAIN];; rule++) {
            if ((rule->flags & (needs | RULE_EVERYTHING)) == (needs | RULE_EVERYTHING) &&
                !(rule->flags & excludes))
                return view->numbers[rule - view->rules];
            if (rule->flags & RULE_LAST)
                break;
        }
    }
    return 0;
}

/* False: there are no rules, or it is no host. */
static bool begin_host(struct ask *ask, struct matcher *matcher, struct span host)
{
    struct url_name name;

    url_parse_host(&name, &matcher->name_room, host);
    if (!matcher->view || name.size == 0)
        return false;
    ask->view = matcher->view;
    host_split(&ask->host, ask->view->header->seed, name.at, name.size, name.dots);
    ask->url.host_end = 0;
    return true;
}

bool matcher_never_filters(struct matcher *matcher, struct span host)
{
    struct rule_view exception;
    struct ask ask;

    return begin_host(&ask, matcher, host) &&
           database_rule(matcher->database,
                         find_everything(ask.view, &ask.host, RULE_EXCEPTION | RULE_IMPORTANT, 0),
                         &exception) &&
           span_equal(exception.list, SPAN(MATCHER_UNFILTERED));
}

void matcher_connect(struct matcher *matcher, struct span host, struct verdict *verdict)
{
    const struct image_view *view = matcher->view;
    struct ask ask;
    rule_number important, exception;

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    if (!begin_host(&ask, matcher, host))
        return;
    lead_by_host(&ask, BOOK_MAIN, matcher->leads, bucket_hits);
    verdict->rule = ask.plain;
    important = find_everything(view, &ask.host, RULE_IMPORTANT, RULE_EXCEPTION);
    if (important)
        verdict->rule = important;
    if (!verdict->rule)
        return;
    verdict->action = VERDICT_BLOCK;
    exception =
        find_everything(view, &ask.host, RULE_EXCEPTION | (important ? RULE_IMPORTANT : 0u), 0);
    if (!exception)
        return;
    verdict->action = VERDICT_EXCEPTION;
    verdict->overridden = verdict->rule;
    verdict->rule = exception;
}

static void ask_late(struct matcher *matcher, const struct request *request,
                     struct verdict *verdict)
{
    struct ask ask;
    struct found block = { .excludes = RULE_EXCEPTION };

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    if (!begin(&ask, matcher, request))
        return;
    ask.is_late = true;
    gather(&ask, BOOK_LATE);
    if (!walk(&ask, TYPE_BIT(request->type), late_found, &block))
        return;
    gather(&ask, BOOK_MAIN);
    settle(&ask, block.hit.number, block.hit.flags & RULE_IMPORTANT, verdict);
}

void matcher_address(struct matcher *matcher, const struct request *request,
                     struct verdict *verdict)
{
    ask_late(matcher, request, verdict);
}

void matcher_response(struct matcher *matcher, const struct request *request,
                      struct verdict *verdict)
{
    ask_late(matcher, request, verdict);
}

/* ---- other names ---- */

/* Is the host that the resolver found someone else's than the request's own? */
static bool is_foreign(struct ask *ask, const struct url_name *name)
{
    struct host other;

    host_split(&other, ask->view->header->seed, name->at, name->size, name->dots);
    return !host_same_party(ask->view, &ask->host, &other);
}

void matcher_name(struct matcher *matcher, const struct request *request, struct span name,
                  struct verdict *verdict)
{
    struct request renamed = *request;
    struct found exempt = { .needs = RULE_CNAME };
    struct url_name other;
    struct ask ask;
    const struct url *url = &ask.url;
    char *to = matcher->other_url;
    size_t tail;

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    url_parse_host(&other, &matcher->name_room, name);
    if (other.size == 0 || request->type == TYPE_DOCUMENT || !begin(&ask, matcher, request) ||
        !is_foreign(&ask, &other))
        return;
    gather(&ask, BOOK_PAGE);
    if (walk(&ask, TYPE_BIT(request->type), first_found, &exempt))
        return;
    tail = url->size - url->host_end;
    if (url->host_at + other.size + tail > URL_LIMIT)
        return;
    memcpy(to, url->at, url->host_at);
    memcpy(to + url->host_at, other.at, other.size);
    memcpy(to + url->host_at + other.size, request->url.at + url->host_end + url->left_out, tail);
    renamed.url = span_of(to, url->host_at + other.size + tail);
    matcher_ask(matcher, &renamed, verdict);
}

/* ---- directives ---- */

struct gathered {
    struct hit rules[DIRECTIVES_LIMIT], exceptions[DIRECTIVES_LIMIT];
    size_t rule_count, exception_count;
    uint32_t wanted;
};

static bool gather_directive(struct ask *ask, const struct hit *hit, void *to)
{
    struct gathered *gathered = to;
    bool is_exception = hit->flags & RULE_EXCEPTION;
    struct hit *list = is_exception ? gathered->exceptions : gathered->rules;
    size_t *count = is_exception ? &gathered->exception_count : &gathered->rule_count;

    (void)ask;
    if (!(gathered->wanted & DIRECTIVE_BIT(IMAGE_MODIFIER(hit->flags))))
        return false;
    for (size_t i = 0; i < *count; i++)
        if (list[i].number == hit->number)
            return false;
    if (*count < DIRECTIVES_LIMIT)
        list[(*count)++] = *hit;
    return false;
}

static int compare_hits(const void *a, const void *b)
{
    uint32_t x = ((const struct hit *)a)->number, y = ((const struct hit *)b)->number;
    return x < y ? -1 : x > y;
}

/* A value as an exception would write it: see amend_url(). */
static struct span written_value(const struct image_view *view, const struct hit *hit)
{
    struct span value = value_of(view, hit);

    return span_slice(value, 0, span_find_byte(value, '\0'));
}

static bool is_lifted(const struct image_view *view, const struct gathered *gathered,
                      const struct hit *rule)
{
    for (size_t i = 0; i < gathered->exception_count; i++) {
        const struct hit *exception = &gathered->exceptions[i];
        struct span value = value_of(view, exception);

        if (IMAGE_MODIFIER(exception->flags) != IMAGE_MODIFIER(rule->flags) ||
            is_too_weak(exception, rule))
            continue;
        if (value.size == 0 || span_equal(value, written_value(view, rule)))
            return true;
    }
    return false;
}

/* Is the same said already? */
static bool is_said(const struct directive *items, size_t count, const struct directive *again)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].kind == again->kind && items[i].is_exception == again->is_exception &&
            span_equal(items[i].value, again->value))
            return true;
    return false;
}

/* Behind the others, unless it says the same as one of them; returns how many there are then. */
static size_t add_directive(const struct image_view *view, const struct hit *hit,
                            struct directive *out, size_t count)
{
    out[count] = (struct directive){ .kind = (enum directive_kind)IMAGE_MODIFIER(hit->flags),
                                     .is_exception = hit->flags & RULE_EXCEPTION,
                                     .rule = hit->number,
                                     .value = value_of(view, hit) };
    return count + !is_said(out, count, &out[count]);
}

size_t matcher_directives(struct matcher *matcher, const struct request *request, uint32_t wanted,
                          struct directive *out, size_t limit)
{
    struct gathered gathered;
    struct ask ask;
    size_t count = 0;

    gathered.rule_count = gathered.exception_count = 0;
    gathered.wanted = wanted;
    matcher->is_waiting = false;
    if (!begin(&ask, matcher, request))
        return 0;
    gather(&ask, BOOK_MODIFY);
    walk(&ask, TYPE_BIT(request->type), gather_directive, &gathered);
    if (gathered.rule_count > 1)
        qsort(gathered.rules, gathered.rule_count, sizeof gathered.rules[0], compare_hits);
    for (size_t i = 0; i < gathered.rule_count && count < limit; i++)
        if (!is_lifted(ask.view, &gathered, &gathered.rules[i]))
            count = add_directive(ask.view, &gathered.rules[i], out, count);
    for (size_t i = 0; i < gathered.exception_count && count > 0 && count < limit; i++)
        if (IMAGE_MODIFIER(gathered.exceptions[i].flags) == MODIFIER_COOKIE)
            count = add_directive(ask.view, &gathered.exceptions[i], out, count);
    return count;
}

bool matcher_directives_wait(const struct matcher *matcher)
{
    return matcher->is_waiting;
}

/* ---- pages ---- */

struct page_flags {
    unsigned all, important; // the second: by exceptions that are important
};

static bool gather_page(struct ask *ask, const struct hit *hit, void *to)
{
    struct page_flags *flags = to;
    const uint32_t *record;
    unsigned found;

    if (!hit->rule || !hit->rule->extra || hit->flags & RULE_CNAME) // a simple one says nothing
        return false;
    record = ask->view->extras + hit->rule->extra;
    found = record[0] & EXTRA_PAGE ? image_part(record, EXTRA_PAGE) : 0;
    flags->all |= found;
    if (hit->flags & RULE_IMPORTANT)
        flags->important |= found;
    return false;
}

static struct page_flags flags_of(struct matcher *matcher, const struct request *page)
{
    struct page_flags flags = { 0 };
    struct ask ask;

    if (!begin(&ask, matcher, page))
        return flags;
    gather(&ask, BOOK_PAGE);
    walk(&ask, TYPE_BIT(page->type), gather_page, &flags);
    return flags;
}

unsigned matcher_page(struct matcher *matcher, const struct request *page)
{
    return flags_of(matcher, page).all;
}

enum { PAGE_URL = URL_HOST_LIMIT + 16 };

/* The question about the page that asks; `room` for its URL where only the host is known. */
static struct request page_question(struct span page, char *room)
{
    struct request question = { .url = page, .type = TYPE_DOCUMENT };
    int size;

    if (span_find(page, SPAN("://")) == page.size) {
        size = snprintf(room, PAGE_URL, "http://%.*s/", SPAN_PRINT(page));
        question.url = span_of(room, size > 0 && size < PAGE_URL ? (size_t)size : 0);
    }
    return question;
}

/* Does the rule name the pages that it is for? */
static bool is_specific(struct span domains)
{
    struct span name;
    bool is_not = true;

    while (is_not && rule_next_name(&domains, &name, &is_not))
        ;
    return !is_not;
}

bool matcher_page_exempts(struct matcher *matcher, struct span page, rule_number number)
{
    char room[PAGE_URL];
    struct request question = page_question(page, room);
    struct page_flags flags;
    struct rule_view view;
    struct rule rule = { 0 };
    unsigned lifts;

    if (page.size == 0)
        return false;
    flags = flags_of(matcher, &question);
    if (!flags.all)
        return false;
    if (database_rule(matcher->database, number, &view))
        rule_parse(&rule, view.text);
    lifts = rule.is_important ? flags.important : flags.all;
    return lifts & (PAGE_ALL | PAGE_URLBLOCK) ||
           (lifts & PAGE_GENERICBLOCK && !is_specific(rule.domains));
}

bool matcher_page_is_free(struct matcher *matcher, struct span page)
{
    char room[PAGE_URL];
    struct request question = page_question(page, room);

    return page.size > 0 && flags_of(matcher, &question).all & PAGE_ALL;
}

/* ---- explaining ---- */

struct listing {
    rule_number *out;
    size_t count, limit;
};

static void list_rule(struct listing *listing, rule_number rule)
{
    size_t known = listing->count < listing->limit ? listing->count : listing->limit;

    for (size_t i = 0; i < known; i++)
        if (listing->out[i] == rule)
            return;
    if (listing->count < listing->limit)
        listing->out[listing->count] = rule;
    listing->count++;
}

/* The number of the plain `||name^` rule for the name from label `i` on, or 0. */
static rule_number plain_at(struct ask *ask, uint32_t i)
{
    uint32_t slot = host_slot(ask->view, &ask->host, i), record;

    if (slot == 0 || (slot & (IMAGE_SLOT_RECORD | IMAGE_SLOT_NAME)) == IMAGE_SLOT_NAME)
        return 0;
    if (!(slot & IMAGE_SLOT_RECORD))
        return image_slot_number(ask->view, slot) | IMAGE_NUMBER_HOST;
    record = ask->view->names[image_slot_number(ask->view, slot)];
    return record & IMAGE_NAME_PLAIN ? (record & ~IMAGE_NAME_PLAIN) | IMAGE_NUMBER_HOST : 0;
}

static bool gather_listing(struct ask *ask, const struct hit *hit, void *to)
{
    (void)ask;
    list_rule(to, hit->number);
    return false;
}

static bool gather_page_rule(struct ask *ask, const struct hit *hit, void *to)
{
    struct page_flags flags = { 0 };

    gather_page(ask, hit, &flags);
    if (flags.all & (PAGE_ALL | PAGE_URLBLOCK | PAGE_GENERICBLOCK))
        list_rule(to, hit->number);
    return false;
}

size_t matcher_page_rules(struct matcher *matcher, struct span page, rule_number *out, size_t limit)
{
    struct listing listing = { .out = out, .limit = limit };
    char room[PAGE_URL];
    struct request question = page_question(page, room);
    struct ask ask;

    if (page.size == 0 || !begin(&ask, matcher, &question))
        return 0;
    gather(&ask, BOOK_PAGE);
    walk(&ask, TYPE_BIT(question.type), gather_page_rule, &listing);
    return listing.count;
}

size_t matcher_explain(struct matcher *matcher, const struct request *request, rule_number *out,
                       size_t limit)
{
    struct listing listing = { .out = out, .limit = limit };
    struct ask ask;
    size_t shown;

    if (!begin(&ask, matcher, request))
        return 0;
    for (unsigned book = 0; book < BOOKS; book++) {
        gather(&ask, (enum image_book_name)book);
        walk(&ask, TYPE_BIT(request->type), gather_listing, &listing);
    }
    for (uint32_t i = 0; i < ask.host.count; i++) {
        rule_number plain = plain_at(&ask, i);
        if (plain)
            list_rule(&listing, plain);
    }
    shown = listing.count < limit ? listing.count : limit;
    for (size_t i = 1; i < shown; i++) // by place; few as they are
        for (size_t k = i;
             k > 0 && database_place(ask.view, out[k - 1]) > database_place(ask.view, out[k]);
             k--) {
            rule_number other = out[k];
            out[k] = out[k - 1];
            out[k - 1] = other;
        }
    return listing.count;
}
