#include "filter/match.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/url.h"
#include "filter/image.h"
#include "filter/regex.h"
#include "filter/rule.h"

enum { HOST_ROOM = 16 + URL_HOST_LIMIT + 16 };

struct matcher {
    struct database *database;
    const struct image_view *view; // NULL: no database
    struct regex_cache *regexes;
    struct url_text url_room;
    char source_room[HOST_ROOM], host_room[HOST_ROOM];
    char name_room[URL_LIMIT]; // a URL with another host
};

/* A host, its labels and what is known of them. Index 0 is the last label ("com"), the host as a
 * whole has index count - 1. */
struct host {
    const char *at; // folded, at least 8 readable bytes in front
    uint32_t size;
    uint32_t count;         // labels
    uint32_t suffix_labels; // of its public suffix; 0: not looked up yet
    bool is_address;
    bool has_records, has_entities; // the arrays below are filled in
    uint16_t starts[URL_LABELS + 1];
    uint64_t hashes[URL_LABELS + 1];
    uint32_t records[URL_LABELS + 1];  // index in NAMES of the name from there on; 0: none
    uint32_t entities[URL_LABELS + 1]; // of "name.*"
};

struct ask {
    struct matcher *matcher;
    const struct image_view *view;
    const struct request *request;
    uint32_t type_bit;
    struct url url;
    struct host host, source;
    bool has_source_split, has_source;
    bool is_late; // asked by address or response: rules of BOOK_LATE
    int party;              // 0: not told yet, else enum party
    uint16_t method_bit;
    bool has_method;
};

struct matcher *matcher_new(struct database *database)
{
    struct matcher *matcher = calloc(1, sizeof *matcher);

    if (!matcher)
        abort();
    matcher_use(matcher, database);
    return matcher;
}

void matcher_use(struct matcher *matcher, struct database *database)
{
    if (database)
        database_ref(database);
    regex_cache_free(&matcher->regexes);
    database_unref(&matcher->database);
    matcher->database = database;
    matcher->view = database ? database_image(database) : NULL;
    if (database)
        matcher->regexes = regex_cache_new(matcher->view->regex_count);
}

void matcher_free(struct matcher **matcher)
{
    if (!*matcher)
        return;
    matcher_use(*matcher, NULL);
    free(*matcher);
    *matcher = NULL;
}

struct database *matcher_database(const struct matcher *matcher)
{
    return matcher->database;
}

/* ---- hosts ---- */

/* Cuts the host into labels and hashes each name that ends it, last label first. */
static void split_host(struct host *host, uint64_t seed, const char *at, uint32_t size)
{
    uint64_t hash = seed;
    uint32_t end = size, count = 0;

    host->at = at;
    host->size = size;
    host->suffix_labels = 0;
    host->has_records = host->has_entities = false;
    while (count < URL_LABELS) {
        uint32_t start = end;
        uint64_t bytes;

        while (start > 0 && at[start - 1] != '.')
            start--;
        for (; end - start > 8; end -= 8) {
            memcpy(&bytes, at + end - 8, 8);
            hash = image_hash_step(hash, bytes);
        }
        if (end > start) {
            memcpy(&bytes, at + end - 8, 8);
            hash = image_hash_step(hash, bytes >> (8 * (8 - (end - start))));
        } else {
            hash = image_hash_step(hash, 0);
        }
        host->starts[count] = (uint16_t)start;
        host->hashes[count] = hash;
        count++;
        if (start == 0)
            break;
        end = start - 1;
    }
    host->count = count;
}

/* What the table of names says to a name: a slot, or 0. */
static uint32_t find_name(const struct image_view *view, uint64_t hash, const char *at,
                          uint32_t size)
{
    uint32_t index = image_bucket_of(hash, view->header->bucket_count);
    uint16_t print = image_print(hash);

    for (unsigned walk = 0; walk <= IMAGE_BUCKET_WALK; walk++) {
        const struct image_bucket *bucket = &view->buckets[index];

        for (unsigned i = 0; i < IMAGE_BUCKET_SLOTS; i++) {
            uint32_t slot, text;
            if (bucket->prints[i] != print)
                continue;
            slot = view->slots[index * IMAGE_BUCKET_SLOTS + i];
            text = slot & IMAGE_SLOT_NAME ? view->names[slot & ~IMAGE_SLOT_NAME] : slot;
            if ((uint8_t)view->hosts[text] == size &&
                memcmp(view->hosts + text + 1, at, size) == 0)
                return slot;
        }
        if (!bucket->prints[IMAGE_BUCKET_SLOTS])
            return 0;
        index = index + 1 == view->header->bucket_count ? 0 : index + 1;
    }
    return 0;
}

/* The kind of public suffix that the name at label `i` is, or 0. */
static unsigned suffix_kind(const struct image_view *view, const struct host *host, uint32_t i)
{
    uint64_t hash = host->hashes[i];
    size_t mask = ((size_t)1 << view->header->suffix_bits) - 1, slot = hash & mask;
    uint32_t size = host->size - host->starts[i];

    for (unsigned probes = 0; view->suffixes[slot] && probes < IMAGE_SUFFIX_PROBES; probes++) {
        uint32_t word = view->suffixes[slot];
        const char *text = view->suffix_texts + (word & IMAGE_SUFFIX_OFFSET);
        if (word >> 20 == hash >> 52 && (uint8_t)text[0] == size &&
            memcmp(text + 2, host->at + host->starts[i], size) == 0)
            return (uint8_t)text[1];
        slot = (slot + 1) & mask;
    }
    return 0;
}

static uint32_t suffix_labels(const struct image_view *view, struct host *host)
{
    uint32_t labels = 1;
    uint32_t i = host->count < IMAGE_SUFFIX_LABELS ? host->count : IMAGE_SUFFIX_LABELS;

    if (host->suffix_labels)
        return host->suffix_labels;
    while (i-- > 0) {
        unsigned kind = suffix_kind(view, host, i);
        if (kind & SUFFIX_EXCEPTION) {
            labels = i ? i : 1;
            break;
        }
        if (kind & SUFFIX_WILD && i + 2 > labels && i + 1 < host->count)
            labels = i + 2;
        if (kind & SUFFIX_NORMAL && i + 1 > labels)
            labels = i + 1;
    }
    host->suffix_labels = labels;
    return labels;
}

static bool same_host(const struct host *a, const struct host *b)
{
    return a->size == b->size && memcmp(a->at, b->at, a->size) == 0;
}

static bool same_party(const struct image_view *view, struct host *a, struct host *b)
{
    uint32_t labels, size;

    if (a->is_address || b->is_address)
        return same_host(a, b);
    labels = suffix_labels(view, a);
    if (labels >= a->count || labels >= b->count)
        return same_host(a, b);
    size = a->size - a->starts[labels];
    return b->size - b->starts[labels] == size &&
           memcmp(a->at + a->starts[labels], b->at + b->starts[labels], size) == 0;
}

static void split_source(struct ask *ask)
{
    struct span source;
    char *room = ask->matcher->source_room + 16;

    if (ask->has_source_split)
        return;
    ask->has_source_split = true;
    source = url_find_host(ask->request->source);
    ask->has_source = source.size > 0;
    if (!ask->has_source)
        return;
    for (size_t i = 0; i < source.size; i++)
        room[i] = ascii_lower(source.at[i]);
    split_host(&ask->source, ask->view->header->seed, room, (uint32_t)source.size);
    ask->source.is_address = url_host_is_address(span_of(room, source.size));
}

static bool is_third_party(struct ask *ask)
{
    if (!ask->party) {
        split_source(ask);
        if (!ask->has_source)
            ask->party = ask->request->party == PARTY_THIRD ? PARTY_THIRD : PARTY_FIRST;
        else
            ask->party = same_party(ask->view, &ask->host, &ask->source) ? PARTY_FIRST : PARTY_THIRD;
    }
    return ask->party == PARTY_THIRD;
}

/* Fills in the numbers of the names that end the host. */
static void find_records(const struct image_view *view, struct host *host)
{
    if (host->has_records)
        return;
    host->has_records = true;
    for (uint32_t i = 0; i < host->count; i++) {
        uint32_t slot = find_name(view, host->hashes[i], host->at + host->starts[i],
                                  host->size - host->starts[i]);
        host->records[i] = slot & IMAGE_SLOT_NAME ? slot & ~IMAGE_SLOT_NAME : 0;
    }
}

/* The same for "name.*": the labels in front of the public suffix. */
static void find_entities(const struct image_view *view, struct host *host)
{
    uint32_t labels;
    struct host front;

    if (host->has_entities)
        return;
    host->has_entities = true;
    for (uint32_t i = 0; i < host->count; i++)
        host->entities[i] = 0;
    labels = suffix_labels(view, host);
    if (labels >= host->count || host->is_address)
        return;
    split_host(&front, image_entity_seed(view->header->seed), host->at,
               host->starts[labels - 1] - 1u);
    for (uint32_t i = 0; i < front.count; i++) {
        uint32_t slot = find_name(view, front.hashes[i], front.at + front.starts[i],
                                  front.size - front.starts[i]);
        host->entities[labels + i] = slot & IMAGE_SLOT_NAME ? slot & ~IMAGE_SLOT_NAME : 0;
    }
}

/* ---- sets of domains ---- */

/* The word of the set that has this number, or NULL. Names come first, in ascending order. */
static const uint32_t *find_word(const uint32_t *words, uint32_t count, uint32_t number)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((words[middle] & ~IMAGE_SET_NOT) < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && (words[low] & ~IMAGE_SET_NOT) == number ? &words[low] : NULL;
}

static bool regex_hits(struct ask *ask, uint32_t index, struct span subject)
{
    const struct image_regex *regex = &ask->view->regexes[index];

    return regex_find(ask->matcher->regexes, index,
                      span_of(ask->view->text + regex->text, regex->size), regex->flags, subject);
}

/* Is the host in the set? The most specific name decides. */
static bool set_holds(struct ask *ask, const uint32_t *set, struct host *host)
{
    const uint32_t *words = set + 1;
    uint32_t count = set[0] & IMAGE_SET_COUNT;
    const uint32_t *found = NULL;

    find_records(ask->view, host);
    if (set[0] & IMAGE_SET_HAS_ENTITIES)
        find_entities(ask->view, host);
    for (uint32_t i = host->count; i > 0 && !found; i--) {
        if (host->records[i - 1])
            found = find_word(words, count, host->records[i - 1]);
        if (!found && set[0] & IMAGE_SET_HAS_ENTITIES && host->entities[i - 1])
            found = find_word(words, count, host->entities[i - 1]);
    }
    if (set[0] & IMAGE_SET_HAS_REGEXES)
        for (uint32_t i = 0; i < count; i++) {
            if (!(words[i] & IMAGE_SET_REGEX) || (found && !(words[i] & IMAGE_SET_NOT)))
                continue;
            if (regex_hits(ask, words[i] & IMAGE_SET_NUMBER, span_of(host->at, host->size)))
                found = &words[i];
        }
    if (found)
        return !(*found & IMAGE_SET_NOT);
    return !(set[0] & IMAGE_SET_HAS_WITH);
}

/* ---- conditions ---- */

static struct span text_at(const struct image_view *view, const uint32_t *words)
{
    return span_of(view->text + words[0], words[1]);
}

/* "name", "name:value" (part of it), "name:~value", "name:/regex/". */
static bool field_holds(struct span written, struct span (*field)(void *, struct span),
                        void *owner)
{
    size_t colon = span_find_byte(written, ':');
    struct span name = span_trim(span_slice(written, 0, colon)), want, have, text;
    unsigned flags;
    bool is_not = false, found;

    if (!field)
        return false;
    have = field(owner, name);
    if (!have.at)
        return false;
    if (colon == written.size)
        return true;
    want = span_trim(span_from(written, colon + 1));
    if (want.size && want.at[0] == '~') {
        is_not = true;
        want = span_from(want, 1);
    }
    if (regex_split(want, &text, &flags)) {
        struct regex_cache *cache = regex_cache_new(1);
        found = regex_find(cache, 0, text, flags | REGEX_NOCASE, have);
        regex_cache_free(&cache);
    } else if (span_find_byte(want, '*') < want.size) {
        found = span_matches_wildcard(have, want);
    } else {
        found = false;
        for (size_t i = 0; i + want.size <= have.size && !found; i++)
            found = span_equal_nocase(span_slice(have, i, want.size), want);
    }
    return found != is_not;
}

/* An address as four or sixteen bytes. */
struct address {
    uint8_t bytes[16];
    unsigned size;
};

static bool read_address(struct address *out, struct span text)
{
    char room[64];

    if (text.size > 1 && text.at[0] == '[' && text.at[text.size - 1] == ']')
        text = span_slice(text, 1, text.size - 2);
    text.size = span_find_byte(text, '%');
    if (text.size == 0 || text.size >= sizeof room)
        return false;
    memcpy(room, text.at, text.size);
    room[text.size] = 0;
    if (inet_pton(AF_INET, room, out->bytes) == 1) {
        out->size = 4;
        return true;
    }
    if (inet_pton(AF_INET6, room, out->bytes) != 1)
        return false;
    out->size = 16;
    if (memcmp(out->bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) { // an IPv4 address inside
        memmove(out->bytes, out->bytes + 12, 4);
        out->size = 4;
    }
    return true;
}

static bool in_block(const struct address *address, struct span written)
{
    size_t slash = span_find_byte(written, '/');
    struct address block;
    uint64_t bits;

    if (!read_address(&block, span_slice(written, 0, slash)) || block.size != address->size)
        return false;
    bits = block.size * 8u;
    if (slash < written.size &&
        (!span_to_u64(span_from(written, slash + 1), &bits) || bits > block.size * 8u))
        return false;
    if (memcmp(block.bytes, address->bytes, bits / 8) != 0)
        return false;
    return bits % 8 == 0 ||
           (block.bytes[bits / 8] ^ address->bytes[bits / 8]) >> (8 - bits % 8) == 0;
}

static bool is_in_class(const struct address *address, struct span name)
{
    const uint8_t *b = address->bytes;

    if (span_equal(name, SPAN("loopback")))
        return address->size == 4 ? b[0] == 127
                                  : memcmp(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16) == 0;
    if (span_equal(name, SPAN("lan")))
        return address->size == 4 ? b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
                                        (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254)
                                  : (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    return false;
}

/* ipaddress=: addresses, blocks, prefixes ("10.*"), "lan", "loopback", regular expressions, any of
 * them with '~'. client=: the same and names. */
static bool address_holds(struct span list, struct span text, struct span other)
{
    struct address address = { .size = 0 };
    bool has_with = false, is_not;
    struct span item, expression;
    unsigned flags;

    if (text.size == 0 && other.size == 0)
        return false;
    if (text.size && !read_address(&address, text))
        address.size = 0;
    while (rule_next_name(&list, &item, &is_not)) {
        bool hit;

        if (item.size > 1 && (item.at[0] == '\'' || item.at[0] == '"') &&
            item.at[item.size - 1] == item.at[0])
            item = span_slice(item, 1, item.size - 2);
        if (regex_split(item, &expression, &flags)) {
            struct regex_cache *cache = regex_cache_new(1);
            hit = regex_find(cache, 0, expression, flags | REGEX_NOCASE, text);
            regex_cache_free(&cache);
        } else if (span_find_byte(item, '*') < item.size) {
            hit = span_matches_wildcard(text, item) ||
                  (other.size && span_matches_wildcard(other, item));
        } else {
            hit = (address.size && (in_block(&address, item) || is_in_class(&address, item))) ||
                  (other.size && span_equal_nocase(other, item));
        }
        if (hit && is_not)
            return false;
        if (hit)
            return true;
        has_with = has_with || !is_not;
    }
    return !has_with;
}

static bool conditions_hold(struct ask *ask, const struct image_rule *rule)
{
    const struct image_view *view = ask->view;
    const struct request *request = ask->request;
    const uint32_t *words = view->extras + rule->extra;
    uint32_t parts = *words++;

    if (parts & EXTRA_PATTERN)
        words += 2;
    if (parts & EXTRA_REGEX)
        words++;
    if (parts & EXTRA_DOMAINS) {
        split_source(ask);
        if (!ask->has_source ? *words & IMAGE_SET_HAS_WITH : !set_holds(ask, words, &ask->source))
            return false;
        words += 1 + (*words & IMAGE_SET_COUNT);
    }
    if (parts & EXTRA_TO) {
        if (!set_holds(ask, words, &ask->host))
            return false;
        words += 1 + (*words & IMAGE_SET_COUNT);
    }
    if (parts & EXTRA_DENYALLOW) {
        if (set_holds(ask, words, &ask->host))
            return false;
        words += 1 + (*words & IMAGE_SET_COUNT);
    }
    if (parts & EXTRA_METHODS) {
        if (!ask->has_method) {
            ask->has_method = true;
            ask->method_bit = rule_method_bit(request->method);
        }
        if (!(*words & ask->method_bit))
            return false;
        words++;
    }
    if (parts & EXTRA_CLIENT) {
        if (!address_holds(text_at(view, words), request->client, request->client_name))
            return false;
        words += 2;
    }
    if (parts & EXTRA_ADDRESS) {
        if (!address_holds(text_at(view, words), request->address, SPAN_NONE))
            return false;
        words += 2;
    }
    if (parts & EXTRA_HEADER) {
        if (!field_holds(text_at(view, words), request->response_field, request->field_owner))
            return false;
        words += 2;
    }
    if (parts & EXTRA_REQUEST_HEADER &&
        !field_holds(text_at(view, words), request->request_field, request->field_owner))
        return false;
    return true;
}

static bool party_holds(struct ask *ask, uint32_t flags)
{
    if (flags & RULE_IS_THIRD && !is_third_party(ask))
        return false;
    if (flags & RULE_IS_FIRST && is_third_party(ask))
        return false;
    if (flags & (RULE_IS_STRICT_FIRST | RULE_IS_STRICT_THIRD)) {
        bool same;
        split_source(ask);
        same = ask->has_source ? same_host(&ask->host, &ask->source)
                               : ask->request->party != PARTY_THIRD;
        if (same != ((flags & RULE_IS_STRICT_FIRST) != 0))
            return false;
    }
    return true;
}

/* ---- patterns ---- */

/* What '^' stands for: anything but a letter, a digit, or one of _ - . % */
static bool is_separator(char c)
{
    return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
             c == '_' || c == '-' || c == '.' || c == '%');
}

/* Does the pattern match the text from `at` on (or from anywhere behind it, if it may float)? */
static bool matches(struct span pattern, struct span text, size_t at, bool floats, bool to_end)
{
    size_t p = 0, star = floats ? 0 : SIZE_MAX, star_at = at; // where to go on after a failure

    for (;;) {
        if (p < pattern.size && pattern.at[p] == '*') {
            star = ++p;
            star_at = at;
            continue;
        }
        if (p < pattern.size ? at == text.size && pattern.at[p] == '^'
                             : !to_end || at == text.size) {
            if (p == pattern.size)
                return true;
            p++; // the end is a separator too
            continue;
        }
        if (p < pattern.size && at < text.size &&
            (pattern.at[p] == text.at[at] || (pattern.at[p] == '^' && is_separator(text.at[at])))) {
            p++;
            at++;
            continue;
        }
        if (star == SIZE_MAX || star_at >= text.size)
            return false;
        p = star;
        at = ++star_at;
    }
}

/* The pattern of a rule from `at` on. */
static bool pattern_from(struct ask *ask, const struct image_rule *rule, size_t at)
{
    const struct url *url = &ask->url;
    uint32_t flags = rule->flags;

    if (memcmp(url->at + at, rule->literal, rule->size) != 0)
        return false;
    if (flags & (RULE_GENERAL | RULE_MATCH_CASE)) {
        struct span text = span_of(flags & RULE_MATCH_CASE ? ask->request->url.at : url->at,
                                   url->size);
        struct span pattern = text_at(ask->view, ask->view->extras + rule->extra + 1);

        if (flags & RULE_SEPARATOR && flags & RULE_MATCH_CASE) {
            size_t end = at + pattern.size;
            return matches(pattern, text, at, false, false) &&
                   (end >= text.size || is_separator(text.at[end]));
        }
        return matches(pattern, text, at, false, flags & RULE_AT_END);
    }
    at += rule->size;
    if (flags & RULE_LONG) {
        struct span pattern = text_at(ask->view, ask->view->extras + rule->extra + 1);

        if (pattern.size - rule->size > url->size - at ||
            memcmp(url->at + at, pattern.at + rule->size, pattern.size - rule->size) != 0)
            return false;
        at += pattern.size - rule->size;
    }
    if (flags & RULE_SEPARATOR && at < url->size && !is_separator(url->at[at]))
        return false;
    return !(flags & RULE_AT_END) || at == url->size;
}

static bool is_label_start(const struct url *url, size_t at)
{
    return at >= url->host_at && at < url->host_end &&
           (at == url->host_at || url->at[at - 1] == '.');
}

/* The pattern of a rule that no window places. */
static bool pattern_anywhere(struct ask *ask, const struct image_rule *rule)
{
    const struct url *url = &ask->url;

    if (rule->flags & RULE_REGEX) {
        const uint32_t *words = ask->view->extras + rule->extra;
        return regex_hits(ask, words[1 + (words[0] & EXTRA_PATTERN ? 2 : 0)],
                          span_of(ask->request->url.at, url->size));
    }
    if (rule->flags & RULE_AT_START)
        return pattern_from(ask, rule, 0);
    for (size_t at = 0; at < url->size || at == 0; at++) {
        if (rule->flags & RULE_AT_HOST && !is_label_start(url, at))
            continue;
        if (pattern_from(ask, rule, at))
            return true;
    }
    return false;
}

/* Does the rule apply? `at`: where the window stands, or where the host ends. */
static bool rule_holds(struct ask *ask, const struct image_rule *rule, size_t at)
{
    uint32_t flags = rule->flags;

    if (!(rule->types & ask->type_bit))
        return false;
    if (flags & RULE_ANYWHERE) {
        if (!pattern_anywhere(ask, rule))
            return false;
    } else {
        size_t start = at - (flags & RULE_AT_NAME_END ? 0 : rule->offset);

        if (start > ask->url.size)
            return false;
        if (flags & RULE_AT_HOST && !is_label_start(&ask->url, start))
            return false;
        if (flags & RULE_AT_START && start != 0)
            return false;
        if (!pattern_from(ask, rule, start))
            return false;
    }
    return party_holds(ask, flags) &&
           (!(flags & RULE_CONDITIONS) || conditions_hold(ask, rule));
}

/* ---- walking a book ---- */

/* Called for each rule that applies; true: enough. */
typedef bool visit(struct ask *ask, const struct image_rule *rule, void *to);

static bool walk_chain(struct ask *ask, uint32_t chain, size_t at, visit *on_rule, void *to)
{
    const struct image_rule *rule = &ask->view->rules[chain];

    for (;; rule++) {
        if (rule_holds(ask, rule, at) && on_rule(ask, rule, to))
            return true;
        if (rule->flags & RULE_LAST)
            return false;
    }
}

/* The chain of a name in a book, or 0. */
static uint32_t chain_of(const struct image_view *view, uint32_t record, uint32_t mark)
{
    uint32_t marks = view->names[record + 1];

    if (!(marks & mark))
        return 0;
    return view->names[record + 2 + (uint32_t)__builtin_popcount(marks & (mark - 1))];
}

static bool walk_names(struct ask *ask, struct host *host, enum image_book_name book,
                       enum image_side side, visit *on_rule, void *to)
{
    uint32_t mark = IMAGE_NAME_MARK(book, side), entities;

    entities = ask->view->header->books[book].flags &
               (side == SIDE_HOST ? BOOK_HAS_HOST_ENTITIES : BOOK_HAS_SOURCE_ENTITIES);
    find_records(ask->view, host);
    if (entities)
        find_entities(ask->view, host);
    for (uint32_t i = host->count; i > 0; i--) {
        uint32_t record = host->records[i - 1], chain;

        if (record && (chain = chain_of(ask->view, record, mark)) != 0 &&
            walk_chain(ask, chain, ask->url.host_end, on_rule, to))
            return true;
        record = entities ? host->entities[i - 1] : 0;
        if (record && (chain = chain_of(ask->view, record, mark)) != 0 &&
            walk_chain(ask, chain, ask->url.host_end, on_rule, to))
            return true;
    }
    return false;
}

static bool walk_windows(struct ask *ask, const struct image_book *book, visit *on_rule, void *to)
{
    const struct image_view *view = ask->view;
    const uint64_t *filter = (const void *)(view->windows + book->filter_at);
    const struct image_window *table = (const void *)(view->windows + book->table_at);
    size_t mask = ((size_t)1 << book->table_bits) - 1;

    for (size_t block = 0; block <= ask->url.size / 64; block++) {
        for (uint64_t bits = ask->url.starts[block]; bits; bits &= bits - 1) {
            size_t at = block * 64 + (size_t)__builtin_ctzll(bits);
            uint64_t bytes, word;

            memcpy(&bytes, ask->url.at + at - 1, 8);
            word = filter[image_filter_word(bytes)];
            for (unsigned is_long = 0; is_long < 2; is_long++) {
                uint64_t hash;
                size_t slot;

                if (!(word >> (is_long ? image_filter_long(bytes) : image_filter_short(bytes)) & 1))
                    continue;
                hash = image_window_hash(is_long ? image_window_long(bytes)
                                                 : image_window_short(bytes));
                slot = hash & mask;
                for (unsigned i = 0; table[slot].rule && i < IMAGE_WINDOW_PROBES; i++) {
                    if (table[slot].check == (uint32_t)(hash >> 32) &&
                        walk_chain(ask, table[slot].rule, at, on_rule, to))
                        return true;
                    slot = (slot + 1) & mask;
                }
            }
        }
    }
    return false;
}

/* Visits every rule of the book that applies to the request, until told to stop. */
static bool walk_book(struct ask *ask, enum image_book_name name, visit *on_rule, void *to)
{
    const struct image_book *book = &ask->view->header->books[name];

    if (walk_names(ask, &ask->host, name, SIDE_HOST, on_rule, to) ||
        walk_windows(ask, book, on_rule, to))
        return true;
    if (book->flags & BOOK_HAS_SOURCES) {
        split_source(ask);
        if (ask->has_source && walk_names(ask, &ask->source, name, SIDE_SOURCE, on_rule, to))
            return true;
    }
    return book->loose && walk_chain(ask, book->loose, 0, on_rule, to);
}

/* ---- asking ---- */

static bool ask_begin(struct ask *ask, struct matcher *matcher, const struct request *request)
{
    ask->matcher = matcher;
    ask->view = matcher->view;
    ask->request = request;
    ask->type_bit = TYPE_BIT(request->type);
    ask->has_source_split = ask->has_source = ask->has_method = ask->is_late = false;
    ask->party = 0;
    if (!ask->view || !url_parse(&ask->url, &matcher->url_room, request->url))
        return false;
    split_host(&ask->host, ask->view->header->seed, ask->url.at + ask->url.host_at,
               ask->url.name_end - ask->url.host_at);
    ask->host.is_address = ask->url.is_address;
    return true;
}

/* The number of the plain `||name^` rule for the name from label `i` on, or 0. */
static rule_number plain_at(struct ask *ask, uint32_t i)
{
    const struct image_view *view = ask->view;
    uint32_t slot = find_name(view, ask->host.hashes[i], ask->host.at + ask->host.starts[i],
                              ask->host.size - ask->host.starts[i]);

    if (slot == 0)
        return 0;
    if (!(slot & IMAGE_SLOT_NAME))
        return slot | IMAGE_NUMBER_HOST;
    slot &= ~IMAGE_SLOT_NAME;
    return view->names[slot + 1] & IMAGE_NAME_PLAIN ? view->names[slot] | IMAGE_NUMBER_HOST : 0;
}

/* The same for the host or what it is under. */
static rule_number find_plain(struct ask *ask)
{
    rule_number plain = 0;

    for (uint32_t i = ask->host.count; i > 0 && !plain; i--)
        plain = plain_at(ask, i - 1);
    return plain;
}

struct found {
    const struct image_rule *rule;
    uint32_t needs, excludes; // flags that a rule must, and must not have
};

static bool first_found(struct ask *ask, const struct image_rule *rule, void *to)
{
    struct found *found = to;

    (void)ask;
    if ((rule->flags & found->needs) != found->needs || rule->flags & found->excludes)
        return false;
    found->rule = rule;
    return true;
}

enum { STUBS = 16 }; // redirect rules of one request that are compared

struct after {
    const struct image_rule *exception;
    const struct image_rule *stubs[STUBS], *no_stubs[STUBS];
    size_t stub_count, no_stub_count;
};

static bool gather_after(struct ask *ask, const struct image_rule *rule, void *to)
{
    struct after *after = to;
    bool is_exception = rule->flags & RULE_EXCEPTION;

    (void)ask;
    for (size_t i = 0; i < after->stub_count; i++)
        if (after->stubs[i]->number == rule->number)
            return false;
    for (size_t i = 0; i < after->no_stub_count; i++)
        if (after->no_stubs[i]->number == rule->number)
            return false;
    if (IMAGE_MODIFIER(rule->flags) == MODIFIER_NONE) {
        if (!after->exception || (!(after->exception->flags & RULE_IMPORTANT) &&
                                  rule->flags & RULE_IMPORTANT))
            after->exception = rule;
    } else if (is_exception && after->no_stub_count < STUBS) {
        after->no_stubs[after->no_stub_count++] = rule;
    } else if (!is_exception && after->stub_count < STUBS) {
        after->stubs[after->stub_count++] = rule;
    }
    return false;
}

static bool gather_late_exception(struct ask *ask, const struct image_rule *rule, void *to)
{
    return rule->flags & RULE_EXCEPTION ? gather_after(ask, rule, to) : false;
}

/* Where one of the parts of a record in EXTRAS stands; `words` is behind its first word. */
static const uint32_t *skip_extras(const uint32_t *words, uint32_t parts, uint32_t until)
{
    for (uint32_t part = 1; part < until; part <<= 1) {
        if (!(parts & part))
            continue;
        if (part == EXTRA_DOMAINS || part == EXTRA_TO || part == EXTRA_DENYALLOW)
            words += 1 + (*words & IMAGE_SET_COUNT);
        else
            words += part == EXTRA_REGEX || part == EXTRA_METHODS ? 1 : 2;
    }
    return words;
}

/* The value of a rule's modifier; empty where there is none. */
static struct span value_of(const struct image_view *view, const struct image_rule *rule)
{
    const uint32_t *words = view->extras + rule->extra;
    uint32_t parts;

    if (!rule->extra)
        return SPAN_NONE;
    parts = *words++;
    if (!(parts & EXTRA_VALUE))
        return SPAN_NONE;
    return text_at(view, skip_extras(words, parts, EXTRA_VALUE));
}

/* "noop.js:100": the name without its priority. */
static struct span stub_name(struct span value, int64_t *priority)
{
    size_t colon = value.size;
    uint64_t number;
    bool is_negative = false;

    *priority = 0;
    while (colon > 0 && value.at[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return value;
    {
        struct span digits = span_from(value, colon);
        if (digits.size && digits.at[0] == '-') {
            is_negative = true;
            digits = span_from(digits, 1);
        }
        if (!span_to_u64(digits, &number) || number > 1000000)
            return value;
    }
    *priority = is_negative ? -(int64_t)number : (int64_t)number;
    return span_slice(value, 0, colon - 1);
}

static void choose_stub(const struct image_view *view, const struct after *after,
                        struct verdict *verdict)
{
    int64_t best = INT64_MIN;

    for (size_t i = 0; i < after->stub_count; i++) {
        int64_t priority;
        struct span value = value_of(view, after->stubs[i]), name = stub_name(value, &priority);
        bool is_lifted = false;

        for (size_t k = 0; k < after->no_stub_count && !is_lifted; k++) {
            struct span other = value_of(view, after->no_stubs[k]);
            is_lifted = (other.size == 0 || span_equal(other, value) || span_equal(other, name)) &&
                        !(after->stubs[i]->flags & RULE_IMPORTANT);
        }
        if (is_lifted || name.size == 0 || priority <= best)
            continue;
        best = priority;
        verdict->redirect = name;
        verdict->redirect_rule = after->stubs[i]->number;
        verdict->action = VERDICT_REDIRECT;
    }
    if (verdict->action == VERDICT_REDIRECT && span_equal(verdict->redirect, SPAN("none"))) {
        verdict->action = VERDICT_BLOCK;
        verdict->redirect = SPAN_NONE;
        verdict->redirect_rule = 0;
    }
}

/* `rule` wants to stop the request: do exceptions lift it, does a stub stand for it? */
static void settle(struct ask *ask, rule_number rule, bool is_important, struct verdict *verdict)
{
    struct after after = { 0 };

    verdict->rule = rule;
    verdict->action = VERDICT_BLOCK;
    walk_book(ask, BOOK_AFTER, gather_after, &after);
    if (ask->is_late)
        walk_book(ask, BOOK_LATE, gather_late_exception, &after);
    if (after.exception && (!is_important || after.exception->flags & RULE_IMPORTANT)) {
        struct found important = { .needs = RULE_IMPORTANT, .excludes = RULE_EXCEPTION };

        if (!(after.exception->flags & RULE_IMPORTANT))
            walk_book(ask, ask->is_late ? BOOK_LATE : BOOK_BLOCK, first_found, &important);
        if (!important.rule) {
            verdict->overridden = verdict->rule;
            verdict->rule = after.exception->number;
            verdict->action = VERDICT_EXCEPTION;
            return;
        }
        verdict->rule = important.rule->number;
    }
    choose_stub(ask->view, &after, verdict);
}

static void decide(struct ask *ask, struct verdict *verdict)
{
    struct found block = { 0 };
    rule_number plain = find_plain(ask);

    if (plain)
        settle(ask, plain, false, verdict);
    else if (walk_book(ask, BOOK_BLOCK, first_found, &block))
        settle(ask, block.rule->number, block.rule->flags & RULE_IMPORTANT, verdict);
}

void matcher_ask(struct matcher *matcher, const struct request *request, struct verdict *verdict)
{
    struct ask ask;

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    if (ask_begin(&ask, matcher, request))
        decide(&ask, verdict);
}

/* The first rule of the host's chains in the book that is about every request to it. */
static const struct image_rule *find_everything(const struct image_view *view,
                                                const struct host *host, enum image_book_name book,
                                                uint32_t needs)
{
    for (uint32_t i = host->count; i > 0; i--) {
        uint32_t chain = host->records[i - 1]
                             ? chain_of(view, host->records[i - 1], IMAGE_NAME_MARK(book, SIDE_HOST))
                             : 0;
        if (!chain)
            continue;
        for (const struct image_rule *rule = &view->rules[chain];; rule++) {
            if (rule->flags & RULE_EVERYTHING && (rule->flags & needs) == needs &&
                rule->flags & RULE_AT_NAME_END)
                return rule;
            if (rule->flags & RULE_LAST)
                break;
        }
    }
    return NULL;
}

void matcher_connect(struct matcher *matcher, struct span host, struct verdict *verdict)
{
    const struct image_view *view = matcher->view;
    char *room = matcher->host_room + 16;
    struct ask ask;
    const struct image_rule *important, *exception;

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    host = url_find_host(host);
    if (!view || host.size == 0)
        return;
    for (size_t i = 0; i < host.size; i++)
        room[i] = ascii_lower(host.at[i]);
    ask.view = view;
    split_host(&ask.host, view->header->seed, room, (uint32_t)host.size);
    find_records(view, &ask.host);
    verdict->rule = find_plain(&ask);
    important = find_everything(view, &ask.host, BOOK_BLOCK, RULE_IMPORTANT);
    if (important)
        verdict->rule = important->number;
    if (!verdict->rule)
        return;
    verdict->action = VERDICT_BLOCK;
    exception = find_everything(view, &ask.host, BOOK_AFTER, important ? RULE_IMPORTANT : 0);
    if (!exception)
        return;
    verdict->action = VERDICT_EXCEPTION;
    verdict->overridden = verdict->rule;
    verdict->rule = exception->number;
}

static void ask_late(struct matcher *matcher, const struct request *request,
                     struct verdict *verdict)
{
    struct ask ask;
    struct found block = { .excludes = RULE_EXCEPTION };

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    if (!ask_begin(&ask, matcher, request))
        return;
    ask.is_late = true;
    if (walk_book(&ask, BOOK_LATE, first_found, &block))
        settle(&ask, block.rule->number, block.rule->flags & RULE_IMPORTANT, verdict);
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
static bool is_foreign(struct ask *ask, struct span name)
{
    struct host other;
    char *room = ask->matcher->host_room + 16;

    for (size_t i = 0; i < name.size; i++)
        room[i] = ascii_lower(name.at[i]);
    split_host(&other, ask->view->header->seed, room, (uint32_t)name.size);
    other.is_address = url_host_is_address(span_of(room, name.size));
    return !same_party(ask->view, &ask->host, &other);
}

void matcher_name(struct matcher *matcher, const struct request *request, struct span name,
                  struct verdict *verdict)
{
    struct request renamed = *request;
    struct found exempt = { .needs = RULE_CNAME };
    struct ask ask;
    size_t size;

    *verdict = (struct verdict){ .action = VERDICT_PASS };
    name = url_find_host(name);
    if (name.size == 0 || request->type == TYPE_DOCUMENT ||
        !ask_begin(&ask, matcher, request) || !is_foreign(&ask, name) ||
        walk_book(&ask, BOOK_PAGE, first_found, &exempt))
        return;
    size = ask.url.host_at + name.size + (ask.url.size - ask.url.host_end);
    if (size > URL_LIMIT)
        return;
    memcpy(matcher->name_room, ask.url.at, ask.url.host_at);
    memcpy(matcher->name_room + ask.url.host_at, name.at, name.size);
    memcpy(matcher->name_room + ask.url.host_at + name.size, ask.url.at + ask.url.host_end,
           ask.url.size - ask.url.host_end);
    renamed.url = span_of(matcher->name_room, size);
    matcher_ask(matcher, &renamed, verdict);
}

/* ---- directives ---- */

struct gathered {
    const struct image_rule *rules[DIRECTIVES_LIMIT], *exceptions[DIRECTIVES_LIMIT];
    size_t rule_count, exception_count;
    uint32_t wanted;
};

static bool gather_directive(struct ask *ask, const struct image_rule *rule, void *to)
{
    struct gathered *gathered = to;
    bool is_exception = rule->flags & RULE_EXCEPTION;
    const struct image_rule **list = is_exception ? gathered->exceptions : gathered->rules;
    size_t *count = is_exception ? &gathered->exception_count : &gathered->rule_count;

    (void)ask;
    if (!(gathered->wanted & DIRECTIVE_BIT(IMAGE_MODIFIER(rule->flags))))
        return false;
    for (size_t i = 0; i < *count; i++)
        if (list[i]->number == rule->number)
            return false;
    if (*count < DIRECTIVES_LIMIT)
        list[(*count)++] = rule;
    return false;
}

static int compare_rules(const void *a, const void *b)
{
    uint32_t x = (*(const struct image_rule *const *)a)->number;
    uint32_t y = (*(const struct image_rule *const *)b)->number;
    return x < y ? -1 : x > y;
}

static bool is_lifted(const struct image_view *view, const struct gathered *gathered,
                      const struct image_rule *rule)
{
    for (size_t i = 0; i < gathered->exception_count; i++) {
        const struct image_rule *exception = gathered->exceptions[i];
        struct span value = value_of(view, exception);

        if (IMAGE_MODIFIER(exception->flags) != IMAGE_MODIFIER(rule->flags) ||
            (rule->flags & RULE_IMPORTANT && !(exception->flags & RULE_IMPORTANT)))
            continue;
        if (value.size == 0 || span_equal(value, value_of(view, rule)))
            return true;
    }
    return false;
}

size_t matcher_directives(struct matcher *matcher, const struct request *request, uint32_t wanted,
                          struct directive *out, size_t limit)
{
    struct gathered gathered;
    struct ask ask;
    size_t count = 0;

    gathered.rule_count = gathered.exception_count = 0;
    gathered.wanted = wanted;
    if (!ask_begin(&ask, matcher, request))
        return 0;
    walk_book(&ask, BOOK_MODIFY, gather_directive, &gathered);
    if (gathered.rule_count > 1)
        qsort(gathered.rules, gathered.rule_count, sizeof gathered.rules[0], compare_rules);
    for (size_t i = 0; i < gathered.rule_count && count < limit; i++) {
        const struct image_rule *rule = gathered.rules[i];
        if (is_lifted(ask.view, &gathered, rule))
            continue;
        out[count++] = (struct directive){ .kind = (enum directive_kind)IMAGE_MODIFIER(rule->flags),
                                           .rule = rule->number,
                                           .value = value_of(ask.view, rule) };
    }
    return count;
}

/* ---- pages ---- */

/* The bits of enum page_flag of a rule in BOOK_PAGE. */
static uint32_t page_flags_of(const struct image_view *view, const struct image_rule *rule)
{
    const uint32_t *words = view->extras + rule->extra;
    uint32_t parts;

    if (!rule->extra)
        return 0;
    parts = *words++;
    if (!(parts & EXTRA_PAGE))
        return 0;
    return *skip_extras(words, parts, EXTRA_PAGE);
}

static bool gather_page(struct ask *ask, const struct image_rule *rule, void *to)
{
    unsigned *flags = to;

    if (!(rule->flags & RULE_CNAME))
        *flags |= page_flags_of(ask->view, rule);
    return false;
}

unsigned matcher_page(struct matcher *matcher, const struct request *page)
{
    unsigned flags = 0;
    struct ask ask;

    if (ask_begin(&ask, matcher, page))
        walk_book(&ask, BOOK_PAGE, gather_page, &flags);
    return flags;
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

static bool gather_listing(struct ask *ask, const struct image_rule *rule, void *to)
{
    (void)ask;
    list_rule(to, rule->number);
    return false;
}

static uint32_t place_of(const struct image_view *view, rule_number rule)
{
    uint32_t place;

    if (!(rule & IMAGE_NUMBER_HOST))
        return view->origins[rule].place;
    rule &= ~IMAGE_NUMBER_HOST;
    memcpy(&place, view->hosts + rule + 1 + (uint8_t)view->hosts[rule], 4);
    return place;
}

size_t matcher_explain(struct matcher *matcher, const struct request *request, rule_number *out,
                       size_t limit)
{
    struct listing listing = { .out = out, .limit = limit };
    struct ask ask;
    size_t shown;

    if (!ask_begin(&ask, matcher, request))
        return 0;
    for (uint32_t i = ask.host.count; i > 0; i--) {
        rule_number plain = plain_at(&ask, i - 1);
        if (plain)
            list_rule(&listing, plain);
    }
    for (unsigned book = 0; book < BOOKS; book++)
        walk_book(&ask, (enum image_book_name)book, gather_listing, &listing);
    shown = listing.count < limit ? listing.count : limit;
    for (size_t i = 1; i < shown; i++) // by place; few as they are
        for (size_t k = i; k > 0 && place_of(ask.view, out[k - 1]) > place_of(ask.view, out[k]); k--) {
            rule_number other = out[k];
            out[k] = out[k - 1];
            out[k - 1] = other;
        }
    return listing.count;
}
