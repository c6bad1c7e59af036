#define PCRE2_CODE_UNIT_WIDTH 8
#include "filter/expressions.h"

#include <pcre2.h>
#include <stdlib.h>

#include "base/table.h"
#include "filter/regex.h"

enum {
    STEPS = 2000000,    // PCRE2's match limit for one place: bodies are long
    CHECKED_BYTES = 16, // that are looked at in a step of the watch
};

struct expression {
    struct table_node node; // first
    pcre2_code *code;       // NULL: it does not compile
    pcre2_code *loose;      // for texts that are not UTF-8; NULL: none has come
    struct span text;
    char bytes[];
};

struct expressions {
    struct table table;
    pcre2_match_context *limits;
    pcre2_match_data *match;
    struct regex_watch watch;
    bool is_loose;     // the text that is searched now is not UTF-8
    struct buffer key; // under construction
};

struct expressions *expressions_new(void)
{
    struct expressions *it = calloc(1, sizeof *it);

    if (!it)
        abort(); // out of memory
    table_init(&it->table);
    it->key.limit_bytes = REGEX_LIMIT + 64;
    it->limits = pcre2_match_context_create(NULL);
    it->match = pcre2_match_data_create(EXPRESSIONS_GROUPS + 1, NULL);
    if (!it->limits || !it->match)
        abort(); // out of memory
    pcre2_set_match_limit(it->limits, STEPS);
    pcre2_set_depth_limit(it->limits, STEPS);
    pcre2_set_heap_limit(it->limits, REGEX_HEAP_LIMIT_KB);
    regex_watch(it->limits, &it->watch);
    return it;
}

static void forget(struct table_node *node, void *owner)
{
    struct expressions *it = owner;
    struct expression *expression = (struct expression *)node;

    table_remove(&it->table, node);
    pcre2_code_free(expression->code);
    pcre2_code_free(expression->loose);
    free(expression);
}

void expressions_free(struct expressions **expressions)
{
    struct expressions *old = *expressions;

    *expressions = NULL;
    if (!old)
        return;
    table_visit(&old->table, forget, old);
    table_done(&old->table);
    pcre2_match_context_free(old->limits);
    pcre2_match_data_free(old->match);
    buffer_release(&old->key);
    free(old);
}

/* For UTF-8 (one of REGEX_UTF and REGEX_UTF_LOOSE), and where that cannot be (halves of a pair as
 * "\uD83D"), for bytes. */
static pcre2_code *compile(struct span written, enum regex_flag utf)
{
    struct span text;
    unsigned flags;
    pcre2_code *code;

    if (!regex_split(written, &text, &flags))
        return NULL;
    code = regex_compile(text, flags | REGEX_WATCHED | utf);
    return code ? code : regex_compile(text, flags | REGEX_WATCHED);
}

static bool is_same(const struct table_node *node, const void *key)
{
    return span_equal(((const struct expression *)node)->text, *(const struct span *)key);
}

/* Where it fails (no memory may be executed) the interpreter is used. */
static void make_fast(pcre2_code *code)
{
    if (code)
        (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

/* Of "/text/flags", made if need be. */
static struct expression *expression_for(struct expressions *it, struct span written)
{
    uint64_t hash = table_hash(&it->table, written);
    struct expression *made = (struct expression *)table_find(&it->table, hash, is_same, &written);

    if (made)
        return made;
    if (it->table.count >= EXPRESSIONS_KEPT)
        table_visit(&it->table, forget, it);
    made = calloc(1, sizeof *made + written.size);
    if (!made)
        abort(); // out of memory
    memcpy(made->bytes, written.at, written.size);
    made->text = span_of(made->bytes, written.size);
    made->code = compile(made->text, REGEX_UTF);
    make_fast(made->code);
    table_add(&it->table, &made->node, hash);
    return made;
}

/* Before the first search of a text. */
static void begin(struct expressions *it)
{
    it->watch.work = REGEX_WORK;
    it->is_loose = false;
}

static int search_with(struct expressions *it, const pcre2_code *code, struct span text,
                       size_t from, uint32_t options)
{
    PCRE2_SPTR at = (PCRE2_SPTR)(text.at ? text.at : "");

    regex_watch_begin(&it->watch, code, from);
    return pcre2_match(code, at, text.size, from, options, it->match, it->limits);
}

/* PCRE2's answer: groups found + 1, or below zero. The first search of a text is from 0, and looks
 * whether all of it is UTF-8. */
static int search(struct expressions *it, struct expression *expression, struct span text,
                  size_t from)
{
    size_t looked_at = (text.size - from) / CHECKED_BYTES;
    int answer;

    if (!it->is_loose) {
        answer = search_with(it, expression->code, text, from, from ? PCRE2_NO_UTF_CHECK : 0);
        it->is_loose = answer <= PCRE2_ERROR_UTF8_ERR1 && answer >= PCRE2_ERROR_UTF8_ERR21;
        if (!it->is_loose)
            return answer;
    }
    if (!expression->loose) {
        expression->loose = compile(expression->text, REGEX_UTF_LOOSE);
        make_fast(expression->loose);
    }
    if (!expression->loose || it->watch.work <= looked_at)
        return PCRE2_ERROR_CALLOUT;
    it->watch.work -= looked_at;
    return search_with(it, expression->loose, text, from, 0);
}

bool expressions_find(struct expressions *it, struct span written, struct span text)
{
    struct expression *expression = expression_for(it, written);

    begin(it);
    return expression->code && search(it, expression, text, 0) >= 0;
}

/* Of the last match. */
static bool group_of(struct expressions *it, struct span text, uint32_t number, struct span *out)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(it->match);

    if (number >= pcre2_get_ovector_count(it->match) || ends[2 * number] == PCRE2_UNSET ||
        ends[2 * number] > ends[2 * number + 1])
        return false;
    *out = span_slice(text, ends[2 * number], ends[2 * number + 1] - ends[2 * number]);
    return true;
}

bool expressions_group(struct expressions *it, struct span written, struct span text,
                       struct span *group)
{
    struct expression *expression = expression_for(it, written);
    int count;

    if (!expression->code)
        return false;
    begin(it);
    count = search(it, expression, text, 0);
    return (count > 1 || count == 0) && group_of(it, text, 1, group);
}

/* ---- replacing ---- */

/* Up to the next '/' that is not escaped. */
static bool next_part(struct span *rest, struct span *part)
{
    for (size_t i = 0; i < rest->size; i++) {
        if (rest->at[i] == '\\') {
            i++;
        } else if (rest->at[i] == '/') {
            *part = span_slice(*rest, 0, i);
            *rest = span_from(*rest, i + 1);
            return true;
        }
    }
    return false;
}

bool replacement_split(struct replacement *out, struct span written)
{
    struct span rest;

    if (written.size < 3 || written.at[0] != '/')
        return false;
    rest = span_from(written, 1);
    if (!next_part(&rest, &out->expression) || !next_part(&rest, &out->replacement))
        return false;
    out->flags = rest;
    return span_find_byte(rest, '/') == rest.size;
}

/* How many digits behind '$' name a group that is there; *number: which. */
static size_t group_digits(struct span text, uint32_t groups, uint32_t *number)
{
    size_t size = 0;

    *number = 0;
    for (uint32_t value = 0; size < text.size && size < 2; size++) {
        if (text.at[size] < '0' || text.at[size] > '9')
            break;
        value = value * 10 + (uint32_t)(text.at[size] - '0');
        if (value > groups)
            break;
        *number = value;
    }
    return *number ? size : 0;
}

/* Puts what '$' and its like stand for behind `out`; *used: how much of `text` it was. */
static bool put_reference(struct expressions *it, const struct expression *expression,
                          struct span subject, struct span text, struct buffer *out, size_t *used)
{
    uint32_t groups = 0, number;
    struct span group;
    size_t digits;

    *used = 2;
    if (text.size > 1 && text.at[1] == '$')
        return buffer_append(out, SPAN("$"));
    if (text.size > 1 && text.at[1] == '&')
        return !group_of(it, subject, 0, &group) || buffer_append(out, group);
    if (text.size > 1 && text.at[1] == '<') {
        size_t end = span_find_byte(text, '>');
        char name[64];

        if (end < text.size && end - 2 < sizeof name) {
            memcpy(name, text.at + 2, end - 2);
            name[end - 2] = 0;
            digits = (size_t)pcre2_substring_number_from_name(expression->code, (PCRE2_SPTR)name);
            if ((int)digits > 0) {
                *used = end + 1;
                return !group_of(it, subject, (uint32_t)digits, &group) ||
                       buffer_append(out, group);
            }
        }
    }
    pcre2_pattern_info(expression->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    digits = group_digits(span_from(text, 1), groups, &number);
    if (digits == 0) {
        *used = 1;
        return buffer_append(out, SPAN("$"));
    }
    *used = 1 + digits;
    return !group_of(it, subject, number, &group) || buffer_append(out, group);
}

static bool put_replacement(struct expressions *it, const struct expression *expression,
                            struct span subject, struct span text, struct buffer *out)
{
    size_t used;

    while (text.size) {
        size_t plain = 0;

        while (plain < text.size && text.at[plain] != '\\' && text.at[plain] != '$')
            plain++;
        if (!buffer_append(out, span_slice(text, 0, plain)))
            return false;
        text = span_from(text, plain);
        if (text.size == 0)
            break;
        used = 1;
        if (text.at[0] == '\\' && text.size > 1 && text.at[1] == '$')
            text = span_from(text, 1);
        if (text.at[0] == '$') {
            if (!put_reference(it, expression, subject, text, out, &used))
                return false;
        } else {
            if (text.size > 1 && (text.at[1] == '/' || text.at[1] == ','))
                text = span_from(text, 1);
            if (!buffer_append(out, span_slice(text, 0, 1)))
                return false;
        }
        text = span_from(text, used);
    }
    return true;
}

/* The size of the character at text.at[at], which is there. */
static size_t character_size(struct span text, size_t at)
{
    size_t size = 1;

    if ((uint8_t)text.at[at] >= 0xc0)
        while (at + size < text.size && size < 4 && ((uint8_t)text.at[at + size] & 0xc0) == 0x80)
            size++;
    return size;
}

static enum replace_result replace_all(struct expressions *it, struct expression *expression,
                                       bool is_global, struct span replacement, struct span text,
                                       struct buffer *out)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(it->match);
    size_t at = 0, copied = 0, places = 0;

    begin(it);
    while (at <= text.size && places < EXPRESSIONS_REPLACED) {
        int count = search(it, expression, text, at);
        size_t from, to;

        if (count == PCRE2_ERROR_NOMATCH)
            break;
        if (count < 0)
            return REPLACE_TOO_MUCH;
        from = ends[0];
        to = ends[1];
        if (to < from) // "\K" behind the end
            return REPLACE_TOO_MUCH;
        places++;
        if (!buffer_append(out, span_slice(text, copied, from - copied)) ||
            !put_replacement(it, expression, text, replacement, out))
            return REPLACE_TOO_MUCH;
        copied = to;
        if (!is_global)
            break;
        at = to;
        if (to == from) { // nothing was matched: on by a character
            if (to == text.size)
                break;
            at += character_size(text, to);
        }
    }
    if (places == 0)
        return REPLACE_NOTHING;
    if (!buffer_append(out, span_from(text, copied)))
        return REPLACE_TOO_MUCH;
    return span_equal(text, buffer_span(out)) ? REPLACE_NOTHING : REPLACE_DONE;
}

/* "/text/flags" of a replacement, in it->key. */
static bool make_key(struct expressions *it, const struct replacement *replacement)
{
    it->key.size = 0;
    return buffer_append(&it->key, SPAN("/")) && buffer_append(&it->key, replacement->expression) &&
           buffer_append(&it->key, SPAN("/")) && buffer_append(&it->key, replacement->flags);
}

enum replace_result expressions_replace(struct expressions *it,
                                        const struct replacement *replacement, struct span text,
                                        struct buffer *out)
{
    struct expression *expression;
    enum replace_result result;
    bool is_global = span_find_byte(replacement->flags, 'g') < replacement->flags.size;

    if (!text.at)
        text = SPAN("");
    if (!make_key(it, replacement))
        return REPLACE_NOTHING;
    expression = expression_for(it, buffer_span(&it->key));
    if (!expression->code)
        return REPLACE_NOTHING;
    result = replace_all(it, expression, is_global, replacement->replacement, text, out);
    if (result != REPLACE_DONE)
        buffer_release(out);
    return result;
}

/* ---- checking ---- */

bool expression_is_good(struct span written)
{
    pcre2_code *code = compile(written, REGEX_UTF);
    bool is_good = code != NULL;

    pcre2_code_free(code);
    return is_good;
}

bool replacement_is_good(struct span written)
{
    struct replacement parts;
    unsigned flags = 0;
    pcre2_code *code;

    if (!replacement_split(&parts, written))
        return false;
    if (parts.expression.size == 0)
        return true; // the rule's own
    code = regex_compile(parts.expression, flags | REGEX_UTF);
    if (!code)
        code = regex_compile(parts.expression, flags);
    flags = code != NULL;
    pcre2_code_free(code);
    return flags;
}
