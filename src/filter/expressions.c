#define PCRE2_CODE_UNIT_WIDTH 8
#include "filter/expressions.h"

#include <pcre2.h>
#include <stdlib.h>
#include <time.h>

#include "base/table.h"
#include "filter/regex.h"

enum {
    STEPS = 2000000,       // PCRE2's match limit for one search: bodies are long
    REPLACE_TIME_MS = 100, // for all places of one text
};

struct expression {
    struct table_node node; // first
    pcre2_code *code;       // NULL: it does not compile
    bool has_jit;
    struct span text;
    char bytes[];
};

struct expressions {
    struct table table;
    pcre2_match_context *limits;
    pcre2_match_data *match;
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
    return it;
}

static void forget(struct table_node *node, void *owner)
{
    struct expressions *it = owner;
    struct expression *expression = (struct expression *)node;

    table_remove(&it->table, node);
    pcre2_code_free(expression->code);
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

/* In the text of a character more than a byte, and where that cannot be (halves of a pair as
 * "\uD83D"), in bytes. */
static pcre2_code *compile(struct span written)
{
    struct span text;
    unsigned flags;
    pcre2_code *code;

    if (!regex_split(written, &text, &flags))
        return NULL;
    code = regex_compile(text, flags | REGEX_UTF);
    return code ? code : regex_compile(text, flags);
}

static bool is_same(const struct table_node *node, const void *key)
{
    return span_equal(((const struct expression *)node)->text, *(const struct span *)key);
}

/* Of "/text/flags", made if need be. */
static const struct expression *expression_for(struct expressions *it, struct span written)
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
    made->code = compile(made->text);
    // Where it fails (no memory may be executed): the interpreter.
    made->has_jit = made->code && pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE) == 0;
    table_add(&it->table, &made->node, hash);
    return made;
}

/* PCRE2's answer: groups found + 1, or below zero. */
static int search(struct expressions *it, const struct expression *expression, struct span text,
                  size_t from, uint32_t options)
{
    PCRE2_SPTR at = (PCRE2_SPTR)(text.at ? text.at : "");

    return pcre2_match(expression->code, at, text.size, from, options, it->match, it->limits);
}

bool expressions_find(struct expressions *it, struct span written, struct span text)
{
    const struct expression *expression = expression_for(it, written);

    return expression->code && search(it, expression, text, 0, 0) >= 0;
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
    const struct expression *expression = expression_for(it, written);
    int count;

    if (!expression->code)
        return false;
    count = search(it, expression, text, 0, 0);
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

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
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

static enum replace_result replace_all(struct expressions *it, const struct expression *expression,
                                       bool is_global, struct span replacement, struct span text,
                                       struct buffer *out)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(it->match);
    uint64_t start = now_ms();
    size_t at = 0, copied = 0, places = 0;

    while (at <= text.size && places < EXPRESSIONS_REPLACED) {
        int count = search(it, expression, text, at, 0);
        size_t from, to;

        if (count == PCRE2_ERROR_NOMATCH)
            break;
        if (count < 0 || now_ms() - start > REPLACE_TIME_MS)
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
    const struct expression *expression;
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
    pcre2_code *code = compile(written);
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
