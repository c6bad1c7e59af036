#include "filter/cosmetic.h"

#include <stdlib.h>

#include "filter/cosmetic_index.h"
#include "filter/hosts.h"
#include "filter/lines.h"
#include "filter/regex.h"

/* ---- what a rule says ---- */

/* Where the parenthesis that opens at `open` closes, or text.size. What is quoted or escaped does
 * not count. */
static size_t closing(struct span text, size_t open)
{
    size_t depth = 0;
    char quote = 0;

    for (size_t i = open; i < text.size; i++) {
        char c = text.at[i];

        if (c == '\\')
            i++;
        else if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '(')
            depth++;
        else if (c == ')' && --depth == 0)
            return i;
    }
    return text.size;
}

/* ":name(...)" at the very end: its argument, and the text without it. */
static bool cut_operator(struct span *text, struct span name, struct span *argument)
{
    for (size_t i = 0; i + name.size < text->size; i++) {
        if (text->at[i] != ':' || !span_starts(span_from(*text, i), name))
            continue;
        if (closing(*text, i + name.size - 1) + 1 != text->size)
            continue;
        *argument = span_trim(span_slice(*text, i + name.size, text->size - i - name.size - 1));
        *text = span_trim(span_slice(*text, 0, i));
        return true;
    }
    return false;
}

/* A text may stand in quotes. */
static struct span unquoted(struct span text)
{
    if (text.size >= 2 && (text.at[0] == '"' || text.at[0] == '\'') &&
        text.at[text.size - 1] == text.at[0])
        return span_slice(text, 1, text.size - 2);
    return text;
}

static bool add_test(struct cosmetic_parts *parts, enum cosmetic_test_kind kind, struct span text)
{
    struct cosmetic_test test = { .kind = kind };

    if (parts->test_count == COSMETIC_TESTS)
        return false;
    if (kind == COSMETIC_HAS_TEXT && regex_split(text, &test.text, &test.flags)) {
        test.kind = COSMETIC_HAS_REGEX;
        if (test.text.size == 0 || !regex_check(test.text, test.flags))
            return false;
    } else {
        test.text = text;
    }
    parts->tests[parts->test_count++] = test;
    return true;
}

/* ":has-text()" and its other names at the end, as often as they stand there. */
static bool cut_text_tests(struct cosmetic_parts *parts)
{
    static const struct span names[] = { { ":has-text(", 10 },
                                         { ":contains(", 10 },
                                         { ":-abp-contains(", 15 } };
    struct span argument;
    bool found = true;

    while (found) {
        found = false;
        for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
            found = cut_operator(&parts->selector, names[i], &argument);
        if (found &&
            (argument.size == 0 || !add_test(parts, COSMETIC_HAS_TEXT, unquoted(argument))))
            return false;
    }
    return true;
}

/* Takes what "$$" has of its own out of the selector: [tag-content="x"] and its like. */
static bool cut_html_attribute(struct cosmetic_parts *parts, struct span name, struct span value)
{
    uint64_t number;

    if (span_equal(name, SPAN("tag-content")))
        return add_test(parts, COSMETIC_HAS_TEXT, value);
    if (span_equal(name, SPAN("wildcard")))
        return add_test(parts, COSMETIC_IS_LIKE, value);
    if (!span_to_u64(value, &number))
        return false;
    if (span_equal(name, SPAN("min-length")))
        parts->least_bytes = (size_t)number;
    else
        parts->most_bytes = (size_t)number;
    return true;
}

/* One attribute of ours at the start of `text`: "[name="value"]"; doubled quotes in it stand for
 * one. Returns its size, 0 when it is none. The value, decoded, is appended to the room. */
static size_t html_attribute(struct cosmetic_parts *parts, struct span text, size_t *room,
                             struct span *name, struct span *value)
{
    static const struct span names[] = {
        { "tag-content", 11 }, { "wildcard", 8 }, { "min-length", 10 }, { "max-length", 10 }
    };
    size_t at = 1, start = *room;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_starts(span_from(text, 1), names[i]))
            *name = names[i], at = 1 + names[i].size;
    if (at == 1 || !span_starts(span_from(text, at), SPAN("=\"")))
        return 0;
    for (at += 2; at < text.size; at++) {
        if (text.at[at] == '"' && at + 1 < text.size && text.at[at + 1] == '"')
            at++;
        else if (text.at[at] == '"')
            break;
        parts->room[(*room)++] = text.at[at];
    }
    *value = span_of(parts->room + start, *room - start);
    if (at + 1 < text.size && text.at[at + 1] == ']')
        return at + 2;
    *room = start; // so that each byte of the text is there once at most
    return 0;
}

/* `$$div[id="x"][tag-content="y"]` */
static bool parse_adguard_html(struct cosmetic_parts *parts, struct span body)
{
    char selector[RULE_TEXT_LIMIT + 8];
    size_t size = 0, room = 0;

    if (body.size > RULE_TEXT_LIMIT)
        return false;
    parts->most_bytes = COSMETIC_TEXT_BYTES;
    for (size_t i = 0; i < body.size;) {
        struct span name = SPAN_NONE, value = SPAN_NONE;
        size_t used = body.at[i] == '[' && i + 1 < body.size
                          ? html_attribute(parts, span_from(body, i), &room, &name, &value)
                          : 0;
        if (used == 0) {
            selector[size++] = body.at[i++];
            continue;
        }
        if (!cut_html_attribute(parts, name, value))
            return false;
        i += used;
    }
    if (room + size > sizeof parts->room)
        return false;
    memcpy(parts->room + room, selector, size);
    parts->selector = span_trim(span_of(parts->room + room, size));
    return cut_text_tests(parts);
}

static bool parse_html(struct cosmetic_parts *parts, struct span body)
{
    parts->effect = COSMETIC_REMOVES;
    parts->is_html = true;
    parts->most_bytes = SIZE_MAX;
    if (body.at[0] != '^')
        return parse_adguard_html(parts, body);
    parts->selector = span_trim(span_from(body, 1));
    return cut_text_tests(parts);
}

bool cosmetic_style_is_good(struct span style)
{
    static const char *const bad[] = { "url(", "image(", "image-set(", "expression(", "@import" };

    if (style.size == 0)
        return false;
    for (size_t i = 0; i < style.size; i++) {
        if (memchr("{}<>\\", style.at[i], 5) || (unsigned char)style.at[i] < 0x20)
            return false;
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
            if (span_starts_nocase(span_from(style, i), span_text(bad[k])))
                return false;
    }
    return span_find(style, SPAN("/*")) == style.size;
}

/* `selector { declarations }` */
static bool parse_style(struct cosmetic_parts *parts, struct span body)
{
    size_t open = body.size;
    char quote = 0;

    for (size_t i = 0; i < body.size && open == body.size; i++) {
        char c = body.at[i];
        if (c == '\\')
            i++;
        else if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '{')
            open = i;
    }
    if (open == body.size || body.at[body.size - 1] != '}' || body.at[0] == '@')
        return false;
    parts->selector = span_trim(span_slice(body, 0, open));
    parts->style = span_trim(span_slice(body, open + 1, body.size - open - 2));
    if (span_starts_nocase(parts->style, SPAN("remove:")) &&
        span_starts_nocase(span_trim(span_from(parts->style, 7)), SPAN("true"))) {
        parts->effect = COSMETIC_REMOVES;
        parts->style = SPAN_NONE;
        return true;
    }
    parts->effect = COSMETIC_STYLES;
    return cosmetic_style_is_good(parts->style);
}

static bool parse_hide(struct cosmetic_parts *parts, struct span body)
{
    struct span argument;

    if (body.at[body.size - 1] == '}') // Adblock Plus writes `##.ad {height: 0;}`
        return parse_style(parts, body);
    parts->selector = body;
    if (cut_operator(&parts->selector, SPAN(":style("), &parts->style)) {
        parts->effect = COSMETIC_STYLES;
        return cosmetic_style_is_good(parts->style);
    }
    if (cut_operator(&parts->selector, SPAN(":remove("), &argument)) {
        parts->effect = COSMETIC_REMOVES;
        return argument.size == 0;
    }
    parts->effect = COSMETIC_HIDES;
    return true;
}

bool cosmetic_parse(struct cosmetic_parts *parts, const struct rule *rule)
{
    struct span body = rule->body;
    bool is_good;

    memset(parts, 0, offsetof(struct cosmetic_parts, room));
    parts->most_bytes = SIZE_MAX;
    if (body.size == 0 || span_starts(rule->hosts, SPAN("[$")))
        return false;
    if (rule->cosmetic == COSMETIC_HTML)
        is_good = parse_html(parts, body);
    else if (rule->cosmetic == COSMETIC_STYLE)
        is_good = parse_style(parts, body);
    else
        is_good = parse_hide(parts, body);
    return is_good && parts->selector.size > 0;
}

/* ---- which hold for a host ---- */

_Static_assert(sizeof(struct image_cosmetic) == IMAGE_COSMETIC_HEAD * sizeof(uint32_t), "words");

static const struct image_cosmetic *head_of(const struct image_view *view)
{
    return (const void *)view->cosmetics;
}

static const uint32_t *starts_of(const struct image_view *view)
{
    return view->cosmetics + IMAGE_COSMETIC_HEAD;
}

static bool check_names(const struct image_view *view, uint32_t lists_at)
{
    const struct image_cosmetic *head = head_of(view);
    const uint32_t *starts = starts_of(view), *rules;

    for (uint32_t i = 1; i < IMAGE_COSMETIC_INDEX; i++)
        if (starts[i] < starts[i - 1])
            return false;
    if (starts[0] != 0 || starts[IMAGE_COSMETIC_INDEX - 1] != head->names)
        return false;
    rules = starts + IMAGE_COSMETIC_INDEX + head->names;
    for (uint32_t i = 0; i < head->names; i++) {
        uint32_t at = rules[i] & IMAGE_COSMETIC_NUMBER;
        if (rules[i] & IMAGE_COSMETIC_LIST && (at < lists_at || at >= head->generics_at))
            return false;
    }
    // the last list ends at the latest with the last word
    return lists_at == head->generics_at ||
           view->cosmetics[head->generics_at - 1] & IMAGE_COSMETIC_LAST;
}

bool cosmetic_check(const struct image_view *view)
{
    const struct image_cosmetic *head = head_of(view);
    uint64_t count = view->cosmetic_words, lists_at, generics = 0;

    if (count < IMAGE_COSMETIC_HEAD + IMAGE_COSMETIC_INDEX)
        return false;
    lists_at = IMAGE_COSMETIC_HEAD + IMAGE_COSMETIC_INDEX + 2 * (uint64_t)head->names;
    if (lists_at > head->generics_at || head->generics_at > head->regexes_at ||
        head->regexes_at > count || (head->regexes_at - head->generics_at) % 2 ||
        (count - head->regexes_at) % 2 || !check_names(view, (uint32_t)lists_at))
        return false;
    for (uint64_t at = head->generics_at; at < head->regexes_at; at += 2)
        generics += view->cosmetics[at + 1];
    for (uint64_t at = head->regexes_at; at < count; at += 2)
        if (view->cosmetics[at] >= view->regex_count)
            return false;
    return generics == head->generics;
}

struct hit {
    uint32_t word;
    uint32_t depth; // of the name that it was found under: more is more specific
};

struct hits {
    struct hit *at;
    size_t count;
};

static void add_hit(struct hits *hits, uint32_t word, uint32_t depth)
{
    if (hits->count < COSMETIC_FOUND_LIMIT)
        hits->at[hits->count++] = (struct hit){ word, depth };
}

static void add_name(const struct image_view *view, struct hits *hits, struct span name,
                     bool is_entity, uint32_t depth)
{
    uint64_t hash = cosmetic_hash(name, is_entity);
    const uint32_t *starts = starts_of(view), *keys = starts + IMAGE_COSMETIC_INDEX;
    uint32_t byte = image_cosmetic_byte(hash), key = image_cosmetic_key(hash), word;
    uint32_t low = starts[byte], high = starts[byte + 1];

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == starts[byte + 1] || keys[low] != key)
        return;
    word = keys[head_of(view)->names + low];
    if (!(word & IMAGE_COSMETIC_LIST)) {
        add_hit(hits, word, depth);
        return;
    }
    keys = view->cosmetics + (word & IMAGE_COSMETIC_NUMBER);
    do
        add_hit(hits, *keys, depth);
    while (!(*keys++ & IMAGE_COSMETIC_LAST));
}

static void add_names(const struct image_view *view, struct hits *hits, struct host *host)
{
    uint32_t suffix = host_suffix_labels(view, host);
    bool has_entities = suffix < host->count && !url_host_is_address(span_of(host->at, host->size));

    for (uint32_t i = 0; i < host->count; i++) {
        struct span name = host_name(host, i);
        add_name(view, hits, name, false, 2 * i + 3);
        if (!has_entities || i < suffix)
            continue;
        name.size -= host->size - host->starts[suffix - 1] + 1;
        add_name(view, hits, name, true, 2 * i + 2);
    }
}

static void add_regexes(const struct image_view *view, struct hits *hits, struct span host)
{
    const struct image_cosmetic *head = head_of(view);

    for (uint32_t at = head->regexes_at; at < view->cosmetic_words; at += 2) {
        const struct image_regex *regex = &view->regexes[view->cosmetics[at]];
        struct regex_cache *cache = regex_cache_new(1);

        if (regex_find(cache, 0, image_text(view, regex->text), regex->flags, host))
            add_hit(hits, view->cosmetics[at + 1], 1);
        regex_cache_free(&cache);
    }
}

/* By rule, the most specific name of each first; a "not" wins among equals. */
static int compare_hits(const void *a, const void *b)
{
    const struct hit *one = a, *other = b;
    uint32_t rule = one->word & IMAGE_COSMETIC_NUMBER, rule2 = other->word & IMAGE_COSMETIC_NUMBER;

    if (rule != rule2)
        return rule < rule2 ? -1 : 1;
    if (one->depth != other->depth)
        return one->depth > other->depth ? -1 : 1;
    return (int)(other->word >> 31) - (int)(one->word >> 31);
}

static struct cosmetic_found found_of(uint32_t word)
{
    return (struct cosmetic_found){ .rule = word & IMAGE_COSMETIC_NUMBER,
                                    .is_exception = word & IMAGE_COSMETIC_EXCEPTION,
                                    .is_not = word & IMAGE_COSMETIC_NOT };
}

size_t cosmetic_select(const struct database *database, struct span host,
                       struct cosmetic_found *out, size_t limit)
{
    const struct image_view *view = database_image(database);
    struct url_host_text room = { 0 };
    struct url_name name;
    struct hits hits = { 0 };
    struct host split;
    size_t count = 0;

    url_parse_host(&name, &room, host);
    if (name.size == 0)
        return 0;
    hits.at = malloc(COSMETIC_FOUND_LIMIT * sizeof *hits.at);
    if (!hits.at)
        abort(); // out of memory ends the worker; the master starts another
    host_split(&split, view->header->seed, name.at, name.size, name.dots);
    add_names(view, &hits, &split);
    add_regexes(view, &hits, span_of(name.at, name.size));
    if (hits.count)
        qsort(hits.at, hits.count, sizeof *hits.at, compare_hits);
    for (size_t i = 0; i < hits.count; i++) {
        if (i > 0 && (hits.at[i].word & IMAGE_COSMETIC_NUMBER) ==
                         (hits.at[i - 1].word & IMAGE_COSMETIC_NUMBER))
            continue;
        if (count < limit)
            out[count] = found_of(hits.at[i].word);
        count++;
    }
    free(hits.at);
    return count;
}

bool cosmetic_next_generic(const struct database *database, struct cosmetic_walk *walk,
                           struct cosmetic_found *out)
{
    const struct image_view *view = database_image(database);
    const struct image_cosmetic *head = head_of(view);
    const uint32_t *pair = view->cosmetics + head->generics_at + 2 * walk->pair;

    if (pair >= view->cosmetics + head->regexes_at)
        return false;
    if (walk->done == 0)
        walk->next = found_of(pair[0]);
    *out = walk->next;
    walk->next.rule = line_next(view, walk->next.rule);
    if (++walk->done >= pair[1] || walk->next.rule == 0) {
        walk->pair++;
        walk->done = 0;
    }
    return true;
}
